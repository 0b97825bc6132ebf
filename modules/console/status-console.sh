#!/bin/sh
# The console of a release image: a few words without arguments, and no way to a shell.
export PATH=/bin
trap '' INT QUIT TSTP HUP
# shellcheck source=/dev/null
. /etc/init/config

cat <<END

$NAME
Type help for what this console knows.
END
while printf '> ' && read -r command; do
  # Serial lines send carriage returns.
  case $(printf %s "$command" | tr -d '\r') in
    '') ;;
    help)
      cat <<'END'
status      the state of the board
selftest    check the system
log         the end of the system log
reboot      start again
poweroff    switch off
help        this list
END
      ;;
    status) status ;;
    selftest) selftest ;;
    log) tail -n 100 /var/log/messages ;;
    reboot) reboot ;;
    poweroff) poweroff ;;
    *) echo "unknown; type help" ;;
  esac
done
# No input any more: not at once again.
sleep 5
