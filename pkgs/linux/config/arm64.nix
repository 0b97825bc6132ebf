# The processors: Cortex-A53 (i.MX 8M Plus), Cortex-A78AE (Orin), and those that qemu emulates.
{
  "addresses as on every other AArch64 Linux: some run times reserve more than 39 bits have" = { ARM64_VA_BITS_48 = "y"; };
  "twelve cores at most (Jetson AGX Orin)" = { NR_CPUS = 16; SCHED_MC = "y"; };
  "clocks that follow the load" = {
    PM = "y"; CPU_IDLE = "y"; ARM_PSCI_CPUIDLE = "y"; CPU_FREQ = "y"; CPU_FREQ_STAT = "y"; CPU_FREQ_DEFAULT_GOV_SCHEDUTIL = "y";
    CPU_FREQ_GOV_PERFORMANCE = "y"; CPU_FREQ_GOV_POWERSAVE = "y";
  };
  "atomic instructions where the processor has them" = { ARM64_USE_LSE_ATOMICS = "y"; };
  "features that cost nothing where they are missing" = {
    ARM64_HW_AFDBM = "y"; ARM64_CNP = "y"; ARM64_TLB_RANGE = "y"; ARM64_RAS_EXTN = "y"; ARM64_TAGGED_ADDR_ABI = "y";
  };
  "errors of Cortex-A53" = { ARM64_ERRATUM_819472 = "y"; ARM64_ERRATUM_824069 = "y"; ARM64_ERRATUM_826319 = "y"; ARM64_ERRATUM_827319 = "y"; ARM64_ERRATUM_843419 = "y"; };
  "errors of Cortex-A78AE" = { ARM64_ERRATUM_3194386 = "y"; ARM64_ERRATUM_4118414 = "y"; };
  "errors of Cortex-A76, which stands in for it in qemu" = { ARM64_ERRATUM_1165522 = "y"; ARM64_ERRATUM_1463225 = "y"; };
}
