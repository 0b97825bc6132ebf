{ boot.kernel.options."instruments" = { USB_TMC = true; }; }
