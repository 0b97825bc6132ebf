# Fixed-output fetches. The derivation is the one that `import <nix/fetchurl.nix>` of stock Nix makes for the same
# arguments; only the URL's scheme is ours: `mirror://debian/PATH` is resolved against the mirror of the machine.
{ path, sha256, ... }:
let
  url = "mirror://debian/${path}";
in
derivation {
  # A store path's name may not contain `~`, which Debian uses in versions.
  name = builtins.replaceStrings [ "~" ] [ "-" ] (baseNameOf path);
  builder = "builtin:fetchurl";
  system = "builtin";

  outputHashMode = "flat";
  outputHashAlgo = "sha256";
  outputHash = sha256;

  inherit url;
  urls = [ url ];
  executable = false;
  unpack = false;

  preferLocalBuild = true;
  impureEnvVars = [ "http_proxy" "https_proxy" "ftp_proxy" "all_proxy" "no_proxy" ];
}
