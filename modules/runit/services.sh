#!/bin/sh
# services: a line `NAME STATE [PID]` for each service. STATE is up, down, starting (its check does not succeed yet), waiting (a
# task that has not succeeded yet) or done (one that has). The exit code is 0 if all are up or done.
export PATH=/bin
all=0
for dir in /run/service/*/; do
  dir=${dir%/}
  [ -e "$dir/run" ] || continue
  state=down
  pid=
  if [ -e "$dir/oneshot" ]; then
    if [ -e "$dir/done" ]; then state='done'; else state=waiting; fi
  else
    { read -r state <"$dir/supervise/stat" && read -r pid <"$dir/supervise/pid"; } 2>/dev/null
    case $state in
      run*) state=up ;;
      *) state=down pid= ;;
    esac
    if [ "$state" = up ] && [ -e "$dir/check" ] && ! (cd "$dir" && ./check) >/dev/null 2>&1; then state=starting; fi
  fi
  case $state in up | 'done') ;; *) all=1 ;; esac
  echo "${dir##*/} $state${pid:+ $pid}"
done
exit $all
