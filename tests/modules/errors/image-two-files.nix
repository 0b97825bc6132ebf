{ environment.etc."hostname".text = "x"; networking.interfaces.eth0.ipv4.addresses = [ { address = "300.0.2.1"; prefixLength = 24; } ]; }
