# The phases of mkDerivation, in bash. A package replaces a phase with an attribute of its name (`buildPhase = ''…''`), skips
# it with `dontBuild = true`, and adds to it with `preBuild` and `postBuild`. Everything a phase reads is a variable of the
# derivation; lists are words separated by blanks.

set -eu
set -o pipefail
shopt -s nullglob

# --- the environment ------------------------------------------------------------------------------------------------

triplet=aarch64-linux-gnu
buildTriplet=${buildTriplet:-x86_64-linux-gnu}
prefix=${prefix:-$out}

export LC_ALL=C TZ=UTC HOME=/homeless-shelter SHELL=/usr/bin/bash CONFIG_SHELL=/usr/bin/bash
export TERM=dumb GZIP_NO_TIMESTAMPS=1 PYTHONHASHSEED=0 PERL_HASH_SEED=0 PYTHONDONTWRITEBYTECODE=1
export NIX_BUILD_TOP=${NIX_BUILD_TOP:-$PWD} pname=${pname:-$name}
unset CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH LD_LIBRARY_PATH CFLAGS_FOR_BUILD
umask 022

PATH=$cc/bin:/usr/bin:/usr/sbin
for input in ${nativeBuildInputs:-}; do PATH=$input/bin:$PATH; done
export PATH

export CC=$triplet-gcc CXX=$triplet-g++ CPP=$triplet-cpp LD=$triplet-ld AS=$triplet-as
export AR=$triplet-ar NM=$triplet-nm RANLIB=$triplet-ranlib STRIP=$triplet-strip
export OBJCOPY=$triplet-objcopy OBJDUMP=$triplet-objdump READELF=$triplet-readelf STRINGS=$triplet-strings
export CC_FOR_BUILD=gcc CXX_FOR_BUILD=g++ BUILD_CC=gcc HOSTCC=gcc HOSTCXX=g++

# Hardening: what the wrapper switches on, less what the package cannot bear.
hardeningAll="bindnow format fortify pie relro stackclashprotection stackprotector"
NIX_HARDENING_ENABLE=
for flag in $hardeningAll; do
  case " ${hardeningDisable:-} " in
    *" all "* | *" $flag "*) ;;
    *) NIX_HARDENING_ENABLE+="${NIX_HARDENING_ENABLE:+ }$flag" ;;
  esac
done
export NIX_HARDENING_ENABLE

# Libraries: headers and libraries of buildInputs, and of what those pass on, are found without a flag.
NIX_CFLAGS_COMPILE=${NIX_CFLAGS_COMPILE:-}
NIX_LDFLAGS=${NIX_LDFLAGS:-}
PKG_CONFIG_LIBDIR=
CMAKE_PREFIX_PATH=
ACLOCAL_PATH=
declare -A seenInput=()
addInput() {
  local input=$1 more
  [[ -z ${seenInput[$input]:-} ]] || return 0
  seenInput[$input]=1
  # A file name that a header's macro leaves in a program is not a reason to keep the header.
  [[ ! -d $input/include ]] || NIX_CFLAGS_COMPILE+=" -isystem $input/include -ffile-prefix-map=$input/include=/usr/include"
  [[ ! -d $input/lib ]] || NIX_LDFLAGS+=" -L$input/lib -rpath $input/lib"
  [[ ! -d $input/lib/pkgconfig ]] || PKG_CONFIG_LIBDIR+="${PKG_CONFIG_LIBDIR:+:}$input/lib/pkgconfig"
  [[ ! -d $input/share/pkgconfig ]] || PKG_CONFIG_LIBDIR+="${PKG_CONFIG_LIBDIR:+:}$input/share/pkgconfig"
  [[ ! -d $input/share/aclocal ]] || ACLOCAL_PATH+="${ACLOCAL_PATH:+:}$input/share/aclocal"
  CMAKE_PREFIX_PATH+="${CMAKE_PREFIX_PATH:+:}$input"
  if [[ -e $input/nix-support/propagated-build-inputs ]]; then
    for more in $(<"$input/nix-support/propagated-build-inputs"); do addInput "$more"; done
  fi
}
for input in ${buildInputs:-} ${propagatedBuildInputs:-}; do addInput "$input"; done
# A program finds the libraries of its own package, wherever those are put.
for output in ${outputs:-out}; do
  case $output in out | lib) NIX_LDFLAGS+=" -rpath ${!output}/lib" ;; esac
done
# An empty list would mean pkg-config's own, which is the build machine's.
PKG_CONFIG_LIBDIR=${PKG_CONFIG_LIBDIR:-$sysroot/usr/lib/pkgconfig}
export NIX_CFLAGS_COMPILE NIX_LDFLAGS PKG_CONFIG_LIBDIR CMAKE_PREFIX_PATH ACLOCAL_PATH
if [[ -x /usr/bin/pkg-config ]]; then
  export PKG_CONFIG=pkg-config
  # Makefiles with a CROSS_COMPILE ask for it by the prefix.
  mkdir -p "$NIX_BUILD_TOP/.tools"
  ln -sfn /usr/bin/pkg-config "$NIX_BUILD_TOP/.tools/$triplet-pkg-config"
  PATH=$NIX_BUILD_TOP/.tools:$PATH
fi

# Seconds since 1970 that builds take for now; unpackPhase raises it to the newest file of the source.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800}

# --- helpers --------------------------------------------------------------------------------------------------------

die() {
  echo "$name: $*" >&2
  exit 1
}

# runHook NAME: the package's text of that name, or the function.
runHook() {
  if [[ -n ${!1:-} ]]; then eval "${!1}"; elif declare -F "$1" >/dev/null; then "$1"; fi
}

# flag NAME: whether a boolean attribute is set.
flag() { [[ -n ${!1:-} && ${!1:-} != 0 ]]; }

# wordsOf NAME...: the words of these attributes, and the elements of the arrays NAMEArray, which hooks fill with flags that
# have blanks in them; into the array `words`. Not by an unquoted expansion, which would take `[x]` and `*` for patterns of
# file names.
wordsOf() {
  local name array more
  words=()
  for name; do
    more=()
    read -r -d '' -a more <<<"${!name:-}" || true
    array="${name}Array[@]"
    words+=("${more[@]}" "${!array}")
  done
}

# coreCount: how many processes a build may run; 0 asks for all cores.
coreCount() {
  local cores=${NIX_BUILD_CORES:-1}
  [[ $cores != 0 ]] || cores=$(nproc)
  echo "$cores"
}

# inParallel COMMAND...: make runs as many processes as the build may. With enableJobserver and xbuild these are processors that the
# builds of a run share; make 4.3 takes the pipe as a descriptor. Other calls of make run one process.
inParallel() {
  if ! flag enableParallelBuilding; then
    "$@"
  elif flag enableJobserver && [[ -p /nix/jobserver ]]; then
    local pipe
    exec {pipe}<>/nix/jobserver
    MAKEFLAGS="-j --jobserver-auth=$pipe,$pipe" "$@"
    exec {pipe}>&-
  else
    MAKEFLAGS="-j$(coreCount)" "$@"
  fi
}
# xbuild names the pipe in a way that make 4.3 does not know.
unset MAKEFLAGS CARGO_MAKEFLAGS

# outputOf NAME...: the directory of the first of these outputs that the package has, else of `out`.
outputOf() {
  local wanted output
  for wanted; do
    for output in ${outputs:-out}; do
      if [[ $output == "$wanted" ]]; then echo "${!output}"; return; fi
    done
  done
  echo "$out"
}

# substituteInPlace FILE... --replace OLD NEW...: plain text; a text that is not there is an error.
substituteInPlace() {
  local files=() file content
  while (($#)) && [[ $1 != --* ]]; do files+=("$1"); shift; done
  local edits=("$@")
  for file in "${files[@]}"; do
    content=$(cat "$file" && printf x)
    content=${content%x}
    set -- "${edits[@]}"
    while (($#)); do
      [[ $1 == --replace && $# -ge 3 ]] || die "substituteInPlace: expected --replace OLD NEW, got $*"
      [[ $content == *"$2"* ]] || die "substituteInPlace: $file does not contain: $2"
      content=${content//"$2"/"$3"}
      shift 3
    done
    printf %s "$content" >"$file"
  done
}

# --- phases ---------------------------------------------------------------------------------------------------------

unpackFile() {
  case $1 in
    *.tar | *.tar.* | *.tgz | *.tbz2 | *.txz) tar --extract --file "$1" --no-same-owner --no-same-permissions --warning=no-timestamp ;;
    *)
      if [[ -d $1 ]]; then cp -r --preserve=mode,timestamps "$1" "$(stripHash "$1")" && chmod -R u+w "$(stripHash "$1")"
      else die "unpackPhase: do not know how to unpack $1"; fi
      ;;
  esac
}

# stripHash PATH: a store path's name without its hash.
stripHash() {
  local base=${1##*/}
  if [[ $base =~ ^[0-9a-z]{32}- ]]; then base=${base:33}; fi
  echo "$base"
}

unpackPhase() {
  runHook preUnpack
  local source before after dir newest
  [[ -n ${srcs:-${src:-}} ]] || die "unpackPhase: the package has neither src nor srcs (set dontUnpack to do without)"
  before=" $(echo */) "
  for source in ${srcs:-$src}; do
    echo "unpacking $source"
    unpackFile "$source"
  done
  if [[ -z ${sourceRoot:-} ]]; then
    for dir in */; do
      [[ $before != *" $dir "* ]] || continue
      [[ -z ${sourceRoot:-} ]] || die "unpackPhase: the source has several directories; set sourceRoot"
      sourceRoot=${dir%/}
    done
  fi
  [[ -n ${sourceRoot:-} ]] || die "unpackPhase: the source has no directory; set sourceRoot"
  chmod -R u+w -- "$sourceRoot"
  newest=$(find "$sourceRoot" -type f -printf '%T@\n' | sort -n | tail -n 1)
  newest=${newest%.*}
  if ((${newest:-0} > SOURCE_DATE_EPOCH)); then SOURCE_DATE_EPOCH=$newest; fi
  cd -- "$sourceRoot"
  runHook postUnpack
}

patchPhase() {
  runHook prePatch
  local file
  for file in ${patches:-}; do
    echo "applying $file"
    case $file in
      *.gz) gzip -dc <"$file" ;;
      *.xz) xz -dc <"$file" ;;
      *) cat <"$file" ;;
    esac | patch ${patchFlags:--p1}
  done
  runHook postPatch
}

# With `autoreconf` set: configure and the makefiles' templates are made again, from configure.ac.
autoreconfPhase() {
  [[ " ${toolPhases:-} " == *" autotools "* ]] || die "autoreconf is set, but nativeBuildInputs lacks the layer \`autotools'"
  runHook preAutoreconf
  wordsOf autoreconfFlags
  autoreconf --force --install --verbose "${words[@]}"
  runHook postAutoreconf
}

configurePhase() {
  runHook preConfigure
  local script=${configureScript:-./configure} flags=()
  if [[ -e $script ]]; then
    flags=("--prefix=$prefix")
    flag dontAddPlatformFlags || flags+=("--build=$buildTriplet" "--host=$triplet")
    if [[ ${outputs:-out} == *" "* ]]; then
      flags+=("--libdir=$(outputOf lib)/lib" "--includedir=$(outputOf dev)/include" "--mandir=$(outputOf man doc)/share/man")
    fi
    if ! flag dontDisableStatic && grep -q enable-static "$script"; then flags+=(--disable-static); fi
    if ! flag dontAddDisableDepTrack && grep -q dependency-tracking "$script"; then flags+=(--disable-dependency-tracking); fi
    wordsOf configureFlags
    echo "$script ${flags[*]} ${words[*]}"
    "$script" "${flags[@]}" "${words[@]}"
  fi
  runHook postConfigure
}

cmakeConfigurePhase() {
  runHook preConfigure
  local generator="Unix Makefiles"
  [[ " ${toolPhases:-} " != *" ninja "* ]] || generator=Ninja
  mkdir -p "${cmakeBuildDir:=build}"
  cd "$cmakeBuildDir"
  wordsOf cmakeFlags
  echo "cmake -G $generator ${cmakeDir:-..} ${words[*]}"
  # Headers, libraries and packages are looked for in the sysroot, in buildInputs and in the build itself, never in the
  # build machine's /usr; programs only in PATH. The wrapper writes the RPATH: cmake's would name the build directory.
  cmake -G "$generator" "${cmakeDir:-..}" \
    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_C_COMPILER="$cc/bin/$CC" -DCMAKE_CXX_COMPILER="$cc/bin/$CXX" \
    -DCMAKE_AR="$cc/bin/$AR" -DCMAKE_RANLIB="$cc/bin/$RANLIB" -DCMAKE_STRIP="$cc/bin/$STRIP" -DCMAKE_NM="$cc/bin/$NM" \
    -DCMAKE_FIND_ROOT_PATH="$sysroot;$NIX_BUILD_TOP;${CMAKE_PREFIX_PATH//:/;}" \
    -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY \
    -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY \
    -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF -DCMAKE_EXPORT_NO_PACKAGE_REGISTRY=ON \
    -DCMAKE_BUILD_TYPE="${cmakeBuildType:-Release}" -DCMAKE_SKIP_RPATH=ON \
    -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR="$(outputOf lib)/lib" \
    -DCMAKE_INSTALL_INCLUDEDIR="$(outputOf dev)/include" \
    "${words[@]}"
  runHook postConfigure
}

mesonConfigurePhase() {
  runHook preConfigure
  local cross=$NIX_BUILD_TOP/.tools/meson-cross.ini
  # When it installs, meson takes the directories that it knows from .pc files out of the RPATHs. It goes by their spelling.
  NIX_LDFLAGS=$(sed -E 's,(-rpath [^ ]*[^ /.])( |$),\1/.\2,g' <<<"$NIX_LDFLAGS")
  mkdir -p "${cross%/*}"
  cat >"$cross" <<EOF
[binaries]
c = '$cc/bin/$CC'
cpp = '$cc/bin/$CXX'
ar = '$cc/bin/$AR'
nm = '$cc/bin/$NM'
ranlib = '$cc/bin/$RANLIB'
strip = '$cc/bin/$STRIP'
objcopy = '$cc/bin/$OBJCOPY'
pkgconfig = 'pkg-config'
[properties]
needs_exe_wrapper = true
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
EOF
  wordsOf mesonFlags
  echo "meson setup ${mesonBuildDir:=build} ${words[*]}"
  meson setup "$mesonBuildDir" --cross-file "$cross" --prefix "$prefix" --libdir "$(outputOf lib)/lib" \
    --includedir "$(outputOf dev)/include" --mandir "$(outputOf man doc)/share/man" \
    --buildtype "${mesonBuildType:-release}" --wrap-mode nodownload "${words[@]}"
  cd "$mesonBuildDir"
  runHook postConfigure
}

buildPhase() {
  runHook preBuild
  if [[ -e build.ninja ]]; then
    wordsOf ninjaFlags buildFlags
    ninja "-j$(flag enableParallelBuilding && coreCount || echo 1)" "${words[@]}"
  elif [[ -e ${makefile:-Makefile} || -e makefile || -e GNUmakefile ]]; then
    wordsOf makeFlags buildFlags
    inParallel make ${makefile:+-f "$makefile"} "${words[@]}"
  else
    echo "no makefile: nothing to build"
  fi
  runHook postBuild
}

# Only where the package asks for it: programs for the target do not run on the build machine.
checkPhase() {
  runHook preCheck
  wordsOf makeFlags checkFlags
  inParallel make "${words[@]}" "${checkTarget:-check}"
  runHook postCheck
}

installPhase() {
  runHook preInstall
  if [[ -e build.ninja ]]; then
    wordsOf ninjaFlags
    ninja "-j$(coreCount)" "${words[@]}" ${installTargets:-install}
  else
    wordsOf makeFlags installFlags
    make ${makefile:+-f "$makefile"} "${words[@]}" ${installTargets:-install}
  fi
  runHook postInstall
}

# moveTo OUTPUT PATH...: moves files of $out, if there, to another output and leaves nothing behind.
moveTo() {
  local target=$1 path
  shift
  [[ $target != "$out" ]] || return 0
  for path; do
    [[ -e $out/$path || -L $out/$path ]] || continue
    mkdir -p "$target/$(dirname "$path")"
    mv "$out/$path" "$target/$path"
    [[ $path != */* ]] || (cd "$out" && rmdir -p --ignore-fail-on-non-empty "${path%/*}")
  done
}

elfFiles() { # DIR: regular files that are ELF
  local file magic
  while IFS= read -r -d '' file; do
    IFS= read -r -n 4 magic <"$file" 2>/dev/null || true
    [[ $magic != $'\177ELF' ]] || printf '%s\0' "$file"
  done < <(find "$1" -type f -size +63c -print0 2>/dev/null | sort -z)
}

fixupPhase() {
  runHook preFixup
  local output dir file hash path found
  moveTo "$(outputOf dev)" include lib/pkgconfig share/pkgconfig lib/cmake share/aclocal
  moveTo "$(outputOf man doc)" share/man
  moveTo "$(outputOf doc man)" share/doc share/info
  if [[ " ${outputs:-} " == *" dev "* ]]; then
    for file in "$out"/lib/*.a; do moveTo "$dev" "lib/${file##*/}"; done
  fi
  for output in ${outputs:-out}; do
    dir=${!output}
    [[ -e $dir ]] || die "fixupPhase: the build made no output '$output' ($dir)"
    [[ -d $dir ]] || continue
    # An index of all installed manuals: each package has one, and they would clash.
    rm -f "$dir/share/info/dir"
    # Libtool's archives name the build's libraries by path; nothing here reads them.
    find "$dir" -name '*.la' -type f -delete
    while IFS= read -r -d '' file; do
      chmod u+w "$file"
      # Either of the two also takes dates and owners out of the archive.
      if flag dontStrip; then "$OBJCOPY" --enable-deterministic-archives "$file"
      else "$STRIP" --strip-debug --enable-deterministic-archives "$file"; fi
    done < <(find "$dir" -name '*.a' -type f -print0 | sort -z)
    while IFS= read -r -d '' file; do
      case $file in *.o | *.ko | *.a) continue ;; esac
      chmod u+w "$file"
      if ! flag dontStrip; then
        case $file in
          */lib/* | *.so | *.so.*) "$STRIP" --strip-unneeded "$file" ;;
          *) "$STRIP" ${stripFlags:---strip-all} "$file" ;;
        esac
      fi
      # Only directories that a needed library is really in: they decide what the output's closure is.
      if ! flag dontPatchELF && "$READELF" --dynamic "$file" | grep -qE 'R(UN)?PATH'; then
        patchelf --force-rpath --shrink-rpath "$file"
      fi
    done < <(elfFiles "$dir")
  done
  # Who builds with `dev` finds the libraries through it.
  dir=$(outputOf lib)
  [[ $dir != "$(outputOf dev)" && -d $dir/lib ]] || dir=
  if [[ -n ${propagatedBuildInputs:-}$dir ]]; then
    mkdir -p "$(outputOf dev)/nix-support"
    echo "${propagatedBuildInputs:-} $dir" >"$(outputOf dev)/nix-support/propagated-build-inputs"
  fi
  # The toolchain must not come along. The hash is what a reference is found by, so it is what is looked for.
  for path in ${disallowedReferences:-}; do
    hash=${path##*/}
    hash=${hash:0:32}
    for output in ${outputs:-out}; do
      found=$(grep -rlF -- "$hash" "${!output}" || true)
      [[ -z $found ]] || die "fixupPhase: the output refers to $path, which is only for building; it is named in:"$'\n'"$found"
    done
  done
  runHook postFixup
}

# runPhase NAME: the package's phase, or the one above.
runPhase() {
  echo "== $1"
  if [[ -n ${!1:-} ]]; then eval "${!1}"; else "$1"; fi
}

genericBuild() {
  local tool
  for tool in cmake meson; do
    if [[ " ${toolPhases:-} " == *" $tool "* && -z ${configurePhase:-} ]]; then configurePhase=${tool}ConfigurePhase; fi
  done
  cd "$NIX_BUILD_TOP"
  flag dontUnpack || runPhase unpackPhase
  flag dontPatch || runPhase patchPhase
  if flag autoreconf; then runPhase autoreconfPhase; fi
  flag dontConfigure || runPhase configurePhase
  flag dontBuild || runPhase buildPhase
  if flag doCheck; then runPhase checkPhase; fi
  flag dontInstall || runPhase installPhase
  flag dontFixup || runPhase fixupPhase
}
