# Makes a tree from the commands in the file $manifestPath: root/ and permissions. The paths in commands are relative to /.
#   directory PATH [MODE]
#   link PATH TARGET
#   write PATH MODE UID GID TEXT
#   copy PATH MODE UID GID FILE       a directory is linked to
#   programs PACKAGE                  links to all of its bin/ and sbin/; programs of earlier ones stay
set -eu
shopt -s nullglob
umask 022
export PATH=/usr/bin
: "${name:?}" "${out:?}" "${manifestPath:?}"

root=$out/root
mkdir -p "$root"
: >"$out/permissions"

fail() {
  echo "$name: $*" >&2
  exit 1
}

# place PATH: makes the directory it is in, and checks that nothing is there yet.
place() {
  local above=$1
  [[ ! -e $root/$1 && ! -L $root/$1 ]] || fail "two things are to be at /$1"
  while [[ $above == */* ]]; do
    above=${above%/*}
    [[ ! -L $root/$above && (! -e $root/$above || -d $root/$above) ]] || fail "/$1 cannot be below /$above, which is no directory of the tree"
  done
  mkdir -p "$root/$(dirname "$1")"
}

# permit PATH MODE UID GID: what a store cannot keep, or the image would not make of it (root's, 0644, 0755).
permit() {
  local mode=${2#0}
  case $mode:$3:$4 in
    644:0:0) ;;
    755:0:0) chmod +x "$root/$1" ;;
    *) echo "0$mode $3 $4 $1" >>"$out/permissions" ;;
  esac
}

directory() {
  place "$1"
  mkdir "$root/$1"
  case ${2:-} in
    '') ;;
    1*) echo "$2 0 0 $1" >>"$out/permissions" ;;
    *) echo "0${2#0} 0 0 $1" >>"$out/permissions" ;;
  esac
}

link() {
  place "$1"
  ln -s "$2" "$root/$1"
}

write() {
  place "$1"
  printf %s "$5" >"$root/$1"
  permit "$1" "$2" "$3" "$4"
}

copy() {
  if [[ -d $5 ]]; then
    link "$1" "$5"
    return
  fi
  [[ -f $5 ]] || fail "$5, which is to become /$1, is no file"
  place "$1"
  cat <"$5" >"$root/$1"
  permit "$1" "$2" "$3" "$4"
}

programs() {
  local file program
  mkdir -p "$root/bin"
  for file in "$1"/bin/* "$1"/sbin/*; do
    program=$root/bin/${file##*/}
    [[ -e $program || -L $program ]] || ln -s "$file" "$program"
  done
}

# shellcheck source=/dev/null
source "$manifestPath"

# Who logs in needs the shell; what services run is shell.
while IFS=: read -r user _ _ _ _ _ shell; do
  [[ -e $root$shell || -L $root$shell ]] ||
    fail "users.users.$user.shell is $shell, which no package has: add the one that does to environment.systemPackages"
done <"$root/etc/passwd"
for file in "$root"/etc/service/*/{run,main,check,finish,log/run}; do
  if [[ -f $file && $(head -n 1 "$file") == '#!/bin/sh' ]]; then
    bash --posix -n "$file" || fail "/${file#"$root/"} is no shell script"
  fi
done

[[ -L $root/bin/init ]] || fail "no package has a program 'init'; busybox does"
# In any order of the modules the same.
sort -o "$out/permissions" "$out/permissions"
