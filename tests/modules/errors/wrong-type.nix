{ lib, ... }: {
  options.networking.hostName = lib.mkOption { type = lib.types.strMatching "[a-z]+"; };
  config.networking.hostName = "Board 1";
}
