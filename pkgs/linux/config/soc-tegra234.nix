# NVIDIA Tegra234 (Jetson Orin). What its device tree names and 6.12 has a driver for, less sound, graphics and video.
{
  # The PCIe host and GPIO drivers of Tegra194, which Orin's are, depend on that SoC.
  "the SoC" = { ARCH_TEGRA = "y"; ARCH_TEGRA_194_SOC = "y"; ARCH_TEGRA_234_SOC = "y"; };
  "its power and clock processor, and the memory that it is spoken to through" = { TEGRA_BPMP = "y"; TEGRA_HSP_MBOX = "y"; TEGRA_IVC = "y"; SRAM = "y"; };
  "errors of its buses are told apart" = { SOC_TEGRA_CBB = "y"; };
  "memory controller and IOMMU" = { MEMORY = "y"; TEGRA_MC = "y"; IOMMU_SUPPORT = "y"; ARM_SMMU = "y"; ARM_SMMU_DISABLE_BYPASS_BY_DEFAULT = "y"; };
  "the console, which the board's processors share" = { SERIAL_TEGRA_TCU = "y"; SERIAL_TEGRA_TCU_CONSOLE = "y"; };
  "its fast serial ports (ttyTHS)" = { TEGRA20_APB_DMA = "y"; SERIAL_TEGRA = "y"; };
  "pins and buses" = { GPIO_TEGRA186 = "y"; I2C_TEGRA = "y"; I2C_TEGRA_BPMP = "y"; SPI_TEGRA210_QUAD = "y"; SPI_TEGRA114 = "y"; TEGRA186_GPC_DMA = "y"; PWM_TEGRA = "y"; };
  "PCIe: NVMe, and Ethernet of the NX and Nano kits" = { PCIE_TEGRA194_HOST = "y"; PHY_TEGRA194_P2U = "y"; };
  "eMMC (AGX) and SD" = { MMC_SDHCI_TEGRA = "y"; };
  "10-Gigabit Ethernet (AGX)" = { NET_VENDOR_STMICRO = "y"; STMMAC_ETH = "y"; STMMAC_PLATFORM = "y"; DWMAC_TEGRA = "y"; AQUANTIA_PHY = "y"; };
  "USB" = { PHY_TEGRA_XUSB = "y"; USB_XHCI_TEGRA = "y"; };
  "temperature, clocks, watchdog, time" = { TEGRA_BPMP_THERMAL = "y"; ARM_TEGRA194_CPUFREQ = "y"; TEGRA186_TIMER = "y"; RTC_DRV_TEGRA = "y"; };
}
