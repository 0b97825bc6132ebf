# Makes a tree of build tools out of .debs.
. "$unpack"

unpack_debs "$out" $debs

# The sanitizers are left out, so nothing stands behind their links.
for library in "$out"/usr/lib/gcc/*/*/*.so; do
  [ -e "$library" ] || rm -f "$library"
done

# Links that Debian's maintainer scripts make when a package is installed.
link() { # TARGET NAME: if there is such a target
  [ ! -e "$out/usr/bin/$1" ] || [ -e "$out/usr/bin/$2" ] || ln -s "$1" "$out/usr/bin/$2"
}
link gawk awk
link mawk awk
link dash sh
link which.debianutils which
for tool in gcc g++ cpp gcc-ar gcc-nm gcc-ranlib gcov; do link "$tool-12" "$tool"; done
link automake-1.16 automake
link aclocal-1.16 aclocal
link tclsh8.6 tclsh
link gcc cc
link g++ c++

# env and the interpreter that scripts name must be there, whatever the packages say.
for tool in sh bash env awk make; do
  [ -e "$out/usr/bin/$tool" ] || fail "the tree lacks /usr/bin/$tool"
done
