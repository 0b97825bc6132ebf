#!/bin/sh
# selftest: runs the checks of /etc/selftest.d, each for itself. A line for each, and the number of those that passed and
# failed; the exit code is 0 if none failed.
export PATH=/bin
passed=0
failed=0
for check in /etc/selftest.d/*; do
  name=${check##*/}
  if detail=$(cd / && timeout 60 sh "$check" 2>&1 </dev/null); then
    echo "selftest: ok $name${detail:+ ($(echo "$detail" | tr '\n\r' '  ' | sed 's/ *$//'))}"
    passed=$((passed + 1))
  else
    echo "selftest: FAIL $name: $(echo "${detail:-no reason given}" | tr '\n\r' '  ' | sed 's/ *$//')"
    failed=$((failed + 1))
  fi
done
echo "selftest: $passed passed, $failed failed"
[ $failed = 0 ]
