# The lock, as derivations: `layer NAME` is the list of a layer's fetched .debs, `layers NAMES` their union without
# duplicates, `version "NAME:ARCH"` a package's upstream version, `source NAME` an original tarball with its version.
let
  lock = builtins.fromJSON (builtins.readFile ./lock.json);
  fetch = import ./fetch.nix;
  debs = builtins.mapAttrs (_: fetch) lock.packages;
  layerNames = name: lock.layers.${name} or (throw "toolchains/lock.json has no layer `${name}'");
in
rec {
  layers = names:
    let members = builtins.concatMap layerNames names;
    in map (member: debs.${member}) (builtins.attrNames (builtins.listToAttrs (map (name: { inherit name; value = null; }) members)));
  layer = name: layers [ name ];

  # Upstream's part of a Debian version: without epoch and revision.
  version = member: builtins.elemAt (builtins.match "([0-9]+:)?([^-]*).*" lock.packages.${member}.version) 1;

  source = name: {
    inherit (lock.sources.${name}) version;
    src = fetch lock.sources.${name};
  };
}
