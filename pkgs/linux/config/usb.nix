# USB host: the controllers' common part and what is plugged in.
{
  "host controllers" = { USB_SUPPORT = "y"; USB = "y"; USB_PCI = "y"; USB_ANNOUNCE_NEW_DEVICES = "y"; USB_XHCI_HCD = "y"; USB_XHCI_PCI = "y"; USB_XHCI_PLATFORM = "y"; };
  "disks and memory sticks" = { USB_STORAGE = "y"; USB_UAS = "y"; };
  "Ethernet adapters and telephones" = { USB_NET_DRIVERS = "y"; USB_RTL8152 = "y"; USB_USBNET = "y"; USB_NET_CDCETHER = "y"; };
  "serial adapters and modems" = { USB_ACM = "y"; USB_SERIAL = "y"; USB_SERIAL_FTDI_SIO = "y"; USB_SERIAL_CP210X = "y"; };
}
