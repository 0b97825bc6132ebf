# An image, evaluated: the values of all options of the modules below and of those given.
#   name         the target's name
#   board        facts about the board, as in boards/
#   pkgs         the packages for it
#   modules      what the image is made of: profiles, files of the user
#   crossTarget  for an image that is built on AArch64: the name of the target that is the same, built on x86_64
# -> { config; options; }
{ name, board, pkgs, modules ? [ ], crossTarget ? null }:
let
  lib = import ./lib;
  evaluated = lib.evalModules {
    modules = import ./all.nix ++ [
      {
        _file = ./default.nix;
        system = { inherit name crossTarget; };
      }
    ] ++ modules;
    specialArgs = { inherit pkgs board; };
  };
in
{
  inherit (evaluated) options;
  config = lib.checkAssertions evaluated.config evaluated.config;
}
