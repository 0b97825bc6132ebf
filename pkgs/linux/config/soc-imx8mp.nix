# NXP i.MX 8M Plus. What its device tree names and 6.12 has a driver for, less sound, graphics, cameras and video.
{
  "the SoC" = { ARCH_NXP = "y"; ARCH_MXC = "y"; SOC_IMX8M = "y"; };
  "clocks, pins, power domains, the bus between them" = {
    CLK_IMX8MP = "y"; PINCTRL_IMX8MP = "y"; IMX_GPCV2_PM_DOMAINS = "y"; IMX8M_BLK_CTRL = "y"; RESET_IMX7 = "y";
    # Tegra's memory controller switches the framework on, and then devices wait for this SoC's part of it.
    INTERCONNECT_IMX = "y"; INTERCONNECT_IMX8MP = "y"; PM_DEVFREQ = "y"; ARM_IMX_BUS_DEVFREQ = "y";
  };
  "the console" = { SERIAL_IMX = "y"; SERIAL_IMX_CONSOLE = "y"; SERIAL_IMX_EARLYCON = "y"; };
  "pins and buses" = { GPIO_MXC = "y"; GPIO_PCA953X = "y"; GPIO_PCA953X_IRQ = "y"; I2C_IMX = "y"; SPI_IMX = "y"; PWM_IMX27 = "y"; IMX_SDMA = "y"; };
  "the board's power supply" = { REGULATOR_PCA9450 = "y"; };
  "eMMC and SD" = { MMC_SDHCI_ESDHC_IMX = "y"; };
  "both Ethernet controllers, and the EVK's PHYs (Realtek)" = { NET_VENDOR_FREESCALE = "y"; FEC = "y"; DWMAC_IMX8 = "y"; };
  "USB" = { USB_DWC3 = "y"; USB_DWC3_HOST = "y"; USB_DWC3_IMX8MP = "y"; PHY_FSL_IMX8MQ_USB = "y"; };
  "PCIe" = { PCI_IMX6_HOST = "y"; PHY_FSL_IMX8M_PCIE = "y"; };
  "CAN" = { CAN = "y"; CAN_RAW = "y"; CAN_DEV = "y"; CAN_NETLINK = "y"; CAN_FLEXCAN = "y"; };
  "fuses (addresses of Ethernet, speed grade), clocks and temperature" = { NVMEM_IMX_OCOTP = "y"; CPUFREQ_DT = "y"; ARM_IMX_CPUFREQ_DT = "y"; IMX8MM_THERMAL = "y"; };
  "watchdog, time, power button" = { IMX2_WDT = "y"; RTC_DRV_SNVS = "y"; KEYBOARD_SNVS_PWRKEY = "y"; };
}
