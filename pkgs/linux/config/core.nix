# What every program expects of a kernel: scheduling, memory, processes and their system calls.
{
  "time that idles and is exact when it matters" = { NO_HZ_IDLE = "y"; HIGH_RES_TIMERS = "y"; HZ_250 = "y"; };
  "boards control things: latency comes before throughput" = { PREEMPT = "y"; };
  "the names of the release are ours, not a repository's" = { LOCALVERSION_AUTO = "n"; };
  "no loadable modules: what a board needs is in the image it boots, and nothing can be added to it" = { MODULES = "n"; };

  "programs and scripts" = { BINFMT_ELF = "y"; BINFMT_SCRIPT = "y"; ELF_CORE = "y"; COREDUMP = "y"; };
  "fast paths that are switched by patching code" = { JUMP_LABEL = "y"; };
  "users other than root" = { MULTIUSER = "y"; };
  "inter-process communication of POSIX and System V" = { SYSVIPC = "y"; POSIX_MQUEUE = "y"; CROSS_MEMORY_ATTACH = "y"; };
  "what busybox, C libraries and language run times call" = { AIO = "y"; FHANDLE = "y"; };

  "container run times, and services that are kept apart" = {
    NAMESPACES = "y"; UTS_NS = "y"; IPC_NS = "y"; USER_NS = "y"; PID_NS = "y"; NET_NS = "y"; TIME_NS = "y";
    CGROUPS = "y"; MEMCG = "y"; BLK_CGROUP = "y"; CGROUP_SCHED = "y"; FAIR_GROUP_SCHED = "y"; CFS_BANDWIDTH = "y"; CGROUP_PIDS = "y"; CGROUP_FREEZER = "y";
    CPUSETS = "y"; CGROUP_DEVICE = "y"; CGROUP_CPUACCT = "y";
  };
  "what htop and a service's limits go by" = { TASKSTATS = "y"; TASK_DELAY_ACCT = "y"; TASK_XACCT = "y"; TASK_IO_ACCOUNTING = "y"; PSI = "y"; };

  "memory that does not fragment and is reclaimed where it is idle, large pages for who asks" = {
    SPARSEMEM_VMEMMAP = "y"; SLUB_CPU_PARTIAL = "y"; COMPACTION = "y"; LRU_GEN = "y"; LRU_GEN_ENABLED = "y";
    TRANSPARENT_HUGEPAGE = "y"; TRANSPARENT_HUGEPAGE_MADVISE = "y";
  };
  "swap, for who has a disk for it" = { SWAP = "y"; };

  "an initial file system, where an image has one" = {
    BLK_DEV_INITRD = "y"; RD_GZIP = "y"; RD_ZSTD = "y"; RD_BZIP2 = "n"; RD_LZMA = "n"; RD_XZ = "n"; RD_LZO = "n"; RD_LZ4 = "n";
  };
  "messages with their time, and what they were about" = { PRINTK = "y"; PRINTK_TIME = "y"; LOG_BUF_SHIFT = 17; BUG = "y"; KALLSYMS = "y"; SYMBOLIC_ERRNAME = "y"; };
  "a board that hangs can still be asked to write its disks and start again" = { MAGIC_SYSRQ = "y"; MAGIC_SYSRQ_SERIAL = "y"; };
  "a board that cannot start tries again" = { PANIC_TIMEOUT = 10; };
  "a running kernel tells its configuration in /proc/config.gz" = { IKCONFIG = "y"; IKCONFIG_PROC = "y"; };
  "a place for drivers to show their state, root's alone and only where an image mounts it" = { DEBUG_FS = "y"; };
}
