{ imports = ./parts/hostname.nix; }
