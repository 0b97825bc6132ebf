# Network protocols and what is common to drivers; each SoC's Ethernet is with the SoC.
{
  "sockets: local, IP version 4 and 6, packets for DHCP" = { NET = "y"; UNIX = "y"; INET = "y"; IPV6 = "y"; PACKET = "y"; };
  "mDNS and other multicast" = { IP_MULTICAST = "y"; };
  "floods of half-open connections do no harm" = { SYN_COOKIES = "y"; };
  "Ethernet" = { NETDEVICES = "y"; ETHERNET = "y"; PHYLIB = "y"; NET_CORE = "y"; };
  "clocks that Ethernet keeps in step (PTP)" = { PTP_1588_CLOCK = "y"; };
  "virtual networks of containers and tunnels" = { VETH = "y"; TUN = "y"; VLAN_8021Q = "y"; };
  "Realtek on PCIe (Jetson Orin NX and Nano developer kits)" = { NET_VENDOR_REALTEK = "y"; R8169 = "y"; REALTEK_PHY = "y"; };
}
