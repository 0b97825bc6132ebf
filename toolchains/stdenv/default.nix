# The build environment of one target, and `mkDerivation`, which makes a package from phases (setup.sh has them).
#
# mkDerivation takes a set, or a function from the finished set to it. Attributes with a meaning of their own:
#   pname, version | name      the derivation is called PNAME-TARGET-VERSION
#   src, patches               unpackPhase and patchPhase
#   nativeBuildInputs          programs that run during the build: derivations (their bin/ comes into PATH) or layers of the
#                              tool tree, such as `cmake` and `ninja`
#   buildInputs                libraries for the target, already built: their headers and libraries are found
#   propagatedBuildInputs      the same, and so for every package that has this one among its buildInputs
#   outputs                    default [ "out" ]; `dev`, if there, gets headers and what only compilers read
#   meta, passthru             information that does not enter the derivation
# Every other attribute becomes an environment variable of the build.
{ target, machine, buildTools, baseLayers, boot, derivation, cc, crossGcc, glibc, gccRuntime }:
let
  isLayer = input: input ? layers && !(input ? outPath);
  dev = input: input.dev or input;
  unique = builtins.foldl' (done: name: if builtins.elem name done then done else done ++ [ name ]) [ ];

  mkDerivation = argument:
    let
      given = if builtins.isFunction argument then argument (attrs // { finalPackage = package; }) else argument;
      attrs =
        if given.__structuredAttrs or false then
          throw "mkDerivation of ${given.pname or given.name or "a package"}: __structuredAttrs is not supported: the phases read attributes as environment variables; flags with blanks go into the array configureFlagsArray (makeFlagsArray, …) in a hook"
        else given;
      inputs = builtins.partition isLayer (attrs.nativeBuildInputs or [ ]);
      toolLayers = inputs.right;
      parallel = attrs.enableParallelBuilding or true;
      tools = buildTools (unique (baseLayers ++ builtins.concatMap (layer: layer.layers) toolLayers));
      package = derivation (builtins.removeAttrs attrs [ "meta" "passthru" ] // {
        name = attrs.name or "${attrs.pname}-${target.name}-${attrs.version}";
        inherit (machine) system;
        buildTriplet = machine.triplet;
        builder = "${tools}/usr/bin/bash";
        args = attrs.args or [ ./build.sh ];
        setup = ./setup.sh;
        inherit cc;
        outputs = attrs.outputs or [ "out" ];
        sysroot = glibc.dev;
        sandboxRoot = tools;
        toolPhases = map (layer: layer.phases) toolLayers;
        nativeBuildInputs = inputs.wrong;
        buildInputs = map dev (attrs.buildInputs or [ ]);
        propagatedBuildInputs = map dev (attrs.propagatedBuildInputs or [ ]);
        enableParallelBuilding = parallel;
        # Debian's ninja (1.11) knows no jobserver.
        enableJobserver = attrs.enableJobserver or (parallel && !builtins.any (layer: builtins.elem layer.phases [ "ninja" "meson" ]) toolLayers);
        xbuildTarget = target.name;
        # An output that names one of these drags the toolchain into its closure.
        disallowedReferences = [ cc crossGcc glibc.dev tools boot ] ++ attrs.disallowedReferences or [ ];
      });
    in
    package // { meta = attrs.meta or { }; inherit stdenv; } // attrs.passthru or { };

  stdenv = {
    inherit mkDerivation target glibc gccRuntime;
    # `prefix` is what stands before the tools' names; `unwrapped` the compiler without the wrapper, for kernels.
    cc = cc // { prefix = "aarch64-linux-gnu-"; unwrapped = crossGcc; };
    hostPlatform = { system = "aarch64-linux"; config = "aarch64-linux-gnu"; isStatic = false; } // target;
    buildPlatform = { inherit (machine) system; config = machine.triplet; };
  };
in
stdenv
