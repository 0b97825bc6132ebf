# The lock, as derivations, for builds on one machine: `layer NAME` is the list of a layer's fetched .debs, `layers NAMES`
# their union without duplicates, `version "NAME:ARCH"` a package's upstream version, `source NAME` an original tarball with
# its version.
{ machine }:
let
  lock = builtins.fromJSON (builtins.readFile ./lock.json);
  fetch = import ./fetch.nix;
  debs = builtins.mapAttrs (_: fetch) lock.packages;
  layerNames = name: lock.layers."${name}:${machine.debian}" or lock.layers.${name} or (throw "toolchains/lock.json has no layer `${name}'");
  # set [ NAME... ]: the names, as attributes.
  set = names: builtins.listToAttrs (map (name: { inherit name; value = null; }) names);
  # replacedBy "NAME/SUITE:ARCH": the main suite's "NAME:ARCH", whose place it takes; else [ ].
  replacedBy = member:
    let parts = builtins.match "([^/]*)/[^:]*(:.*)" member;
    in if parts == null then [ ] else [ (builtins.concatStringsSep "" parts) ];
in
rec {
  layers = names:
    let listed = set (builtins.concatMap layerNames names);
    in map (member: debs.${member})
      (builtins.attrNames (builtins.removeAttrs listed (builtins.concatMap replacedBy (builtins.attrNames listed))));
  layer = name: layers [ name ];

  # Upstream's part of a Debian version: without epoch and revision.
  version = member: builtins.elemAt (builtins.match "([0-9]+:)?([^-]*).*" lock.packages.${member}.version) 1;

  source = name: {
    inherit (lock.sources.${name}) version;
    src = fetch lock.sources.${name};
  };
}
