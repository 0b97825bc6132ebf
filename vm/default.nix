# What virtual machines are run with, on the machine where xbuild runs: that is x86_64, also for images that were built on AArch64.
let
  toolchains = import ../toolchains { };
  bundle = import ./bundle.nix { inherit (toolchains) lock boot machine; };
in
import ./qemu.nix { inherit bundle; } // {
  inherit (toolchains) boot;
}
