let
  package = name: attributes: derivation ({ inherit name; system = "x86_64-linux"; builder = "/bin/sh"; } // attributes);
in
{
  environment.systemPackages = [
    (package "for-orin" { xbuildTarget = "cortex-a78ae"; })
    (package "for-imx8mp" { xbuildTarget = "cortex-a53"; })
    (package "for-any" { xbuildTarget = "aarch64-linux"; })
    # What does not say is looked at when it is built.
    (package "unknown" { })
  ];
  services.dropbear = { enable = true; package = package "ssh-for-orin" { xbuildTarget = "cortex-a78ae"; }; permitRootLogin = true; };
  boot.initrd = package "initrd-for-orin" { xbuildTarget = "cortex-a78ae"; };
}
