#!/bin/sh
# What init runs on the console, and again whenever it ends.
export PATH=/bin
cd /
# shellcheck source=/dev/null
. /etc/init/config
# shellcheck source=/dev/null
. /etc/init/console.config

# Up means: the same processes twice, a second apart. A service that dies at once and is started again is not up.
wait_for_services() {
  local tries=0 before='' now
  while [ $tries -lt 90 ]; do
    if now=$(services) && [ "$now" = "$before" ]; then return 0; fi
    before=$now
    tries=$((tries + 1))
    sleep 1
  done
  return 1
}

if [ ! -e /run/ready ]; then
  if wait_for_services; then
    echo
    echo "xbuild-ready: $NAME"
  else
    echo
    echo "xbuild-failed: $NAME: not up: $(services | awk '$2 != "up" && $2 != "done" { printf "%s%s", sep, $1; sep = ", " }')"
  fi
  touch /run/ready
fi

if [ "$SHELL_ON_CONSOLE" = 1 ]; then
  HOME=/root
  export HOME
  cd /root || cd /
  # A terminal of its own: Ctrl-C reaches the program that runs.
  exec cttyhack /bin/sh -l
fi
exec /etc/init/status-console
