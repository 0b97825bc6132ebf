# A kernel's configuration: Kconfig's own resolution of the wanted options (everything else is off unless something needs it),
# and then the check that every wanted option got its value. `$out` is the `.config`.
{ stdenv, source, version, compiler, tools, options }:
let
  # What is asked for, a line an option: what it is, a tab, the value. Reasons stay out, so that editing one rebuilds nothing.
  wanted = builtins.concatStringsSep "" (map
    (name: let inherit (options.${name}) value; in
      "${name}\t${if builtins.isInt value then "number" else "text"}\t${toString value}\n")
    (builtins.attrNames options));
in
stdenv.mkDerivation {
  name = "linux-config-${version}";
  src = source;
  inherit compiler version;
  inherit (source) missing;
  wanted = builtins.toFile "linux-options" wanted;
  nativeBuildInputs = [ tools ];
  environment = ./environment.sh;
  script = ./kconfig;
  dontUnpack = true;

  configurePhase = ''
    . "$environment"
    python3 "$script" fragment "$wanted" >fragment
    kbuild KCONFIG_ALLCONFIG="$PWD/fragment" allnoconfig
  '';
  buildPhase = ''python3 "$script" check "$wanted" "$src" .config "$version" $missing'';
  installPhase = ''cp .config "$out"'';
  dontFixup = true;
}
