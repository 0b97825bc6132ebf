# The network: host name, addresses by DHCP or fixed, name servers.
{ lib, config, board, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.networking;

  octet = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])";
  ipv4 = types.strMatching "${octet}\\.${octet}\\.${octet}\\.${octet}" // {
    name = "ipv4 address";
    one = "an IPv4 address";
    many = "IPv4 addresses";
  };

  interface = {
    options = {
      useDHCP = mkOption {
        type = types.nullOr types.bool;
        default = null;
        description = "Whether the interface gets its address by DHCP. Without a value: if it has no fixed address.";
      };
      ipv4.addresses = mkOption {
        type = types.listOf (types.submodule {
          options = {
            address = mkOption { type = ipv4; description = "The address."; };
            prefixLength = mkOption { type = types.ints.between 0 32; description = "How many bits of it name the network."; };
          };
        });
        default = [ ];
        example = [ { address = "192.0.2.10"; prefixLength = 24; } ];
        description = "Fixed addresses.";
      };
    };
  };

  linesOf = name: interface:
    let useDHCP = if interface.useDHCP == null then interface.ipv4.addresses == [ ] else interface.useDHCP;
    in
    map (address: "address ${name} ${address.address}/${toString address.prefixLength}") interface.ipv4.addresses
    ++ [ (if useDHCP then "dhcp ${name}" else "fixed ${name}") ];
in
{
  options.networking = {
    hostName = mkOption {
      type = types.strMatching "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
      default = board.name;
      defaultText = "the board's name";
      description = "The host name, without a domain.";
    };
    domain = mkOption { type = types.nullOr types.nonEmptyStr; default = null; description = "The domain that names are looked up in."; };
    useDHCP = mkOption {
      type = types.bool;
      default = true;
      description = "Whether Ethernet interfaces that networking.interfaces does not name get an address by DHCP.";
    };
    interfaces = mkOption {
      type = types.attrsOf (types.submodule interface);
      default = { };
      example = { eth0.ipv4.addresses = [ { address = "192.0.2.10"; prefixLength = 24; } ]; };
      description = "Network interfaces, by name.";
    };
    defaultGateway = mkOption { type = types.nullOr ipv4; default = null; example = "192.0.2.1"; description = "The gateway, if none comes by DHCP."; };
    nameservers = mkOption {
      type = types.listOf types.nonEmptyStr;
      default = [ ];
      example = [ "192.0.2.1" ];
      description = "Name servers. Those that come by DHCP are used only if this list is empty.";
    };
    hosts = mkOption {
      type = types.attrsOf (types.listOf types.nonEmptyStr);
      default = { };
      example = { "192.0.2.7" = [ "camera" ]; };
      description = "Names of addresses, for /etc/hosts.";
    };
  };

  config = {
    runit.services.network = {
      description = "Addresses for the network interfaces";
      run = "exec /etc/network/network";
    };
    networking.hosts = {
      "127.0.0.1" = lib.mkBefore [ "localhost" ];
      "127.0.1.1" = lib.optional (cfg.domain != null) "${cfg.hostName}.${cfg.domain}" ++ [ cfg.hostName ];
      "::1" = [ "localhost" ];
    };
    environment.etc = {
      "hostname".text = "${cfg.hostName}\n";
      "hosts".text = lib.concatLines (lib.mapAttrsToList (address: names: "${address} ${lib.concatStringsSep " " names}") cfg.hosts);
      "network/network" = { source = ./network.sh; mode = "0755"; };
      "network/dhcp" = { source = ./dhcp.sh; mode = "0755"; };
      "network/interfaces".text = lib.concatLines (
        lib.concatLists (lib.mapAttrsToList linesOf cfg.interfaces)
        ++ lib.optional (cfg.defaultGateway != null) "gateway ${cfg.defaultGateway}"
        ++ lib.optional cfg.useDHCP "others"
      );
      # Kept apart: what comes by DHCP does not replace it.
      "network/resolv.conf".text = lib.concatLines (
        lib.optional (cfg.domain != null) "search ${cfg.domain}" ++ map (server: "nameserver ${server}") cfg.nameservers
      );
      "nsswitch.conf".text = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n";
      "services".text = "ssh 22/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\nntp 123/udp\nhttps 443/tcp\n";
      "protocols".text = "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\n";
    };
    selftest.checks.network = builtins.readFile ./check.sh;
  };
}
