# Serial consoles. There is no console on a screen.
{
  "a console, early as well" = { TTY = "y"; SERIAL_EARLYCON = "y"; UNIX98_PTYS = "y"; LEGACY_PTYS = "n"; };
  "PL011: qemu's `virt` (ttyAMA0), and Orin's second console" = { SERIAL_AMBA_PL011 = "y"; SERIAL_AMBA_PL011_CONSOLE = "y"; };
  "16550: Tegra's plain serial ports" = { SERIAL_8250 = "y"; SERIAL_8250_CONSOLE = "y"; SERIAL_OF_PLATFORM = "y"; SERIAL_8250_TEGRA = "y"; };
}
