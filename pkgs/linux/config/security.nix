# What makes faults of the kernel harder to use, and programs easier to confine. Where a measure costs time, it is one that
# distributions switch on as well.
{
  "programs confine themselves" = { SECCOMP = "y"; SECCOMP_FILTER = "y"; SECURITY = "y"; SECURITY_NETWORK = "y"; SECURITY_PATH = "y"; SECURITY_LANDLOCK = "y"; SECURITY_YAMA = "y"; LSM = "landlock,yama"; };
  "code is not writable, data does not run" = { STRICT_KERNEL_RWX = "y"; RODATA_FULL_DEFAULT_ENABLED = "y"; };
  "addresses are not known" = {
    RELOCATABLE = "y"; RANDOMIZE_BASE = "y"; RANDOMIZE_KSTACK_OFFSET = "y"; RANDOMIZE_KSTACK_OFFSET_DEFAULT = "y"; SLAB_FREELIST_RANDOM = "y"; SHUFFLE_PAGE_ALLOCATOR = "y"; COMPAT_BRK = "n";
    SECURITY_DMESG_RESTRICT = "y";
  };
  "overflows are noticed" = {
    STACKPROTECTOR = "y"; STACKPROTECTOR_STRONG = "y"; VMAP_STACK = "y"; FORTIFY_SOURCE = "y"; HARDENED_USERCOPY = "y"; SLAB_FREELIST_HARDENED = "y"; SLAB_MERGE_DEFAULT = "n";
    BUG_ON_DATA_CORRUPTION = "y"; LIST_HARDENED = "y";
  };
  "no memory is used before it is set" = { INIT_ON_ALLOC_DEFAULT_ON = "y"; INIT_STACK_ALL_ZERO = "y"; };
  "pointers and branches are checked where the processor can" = { ARM64_PAN = "y"; ARM64_EPAN = "y"; ARM64_PTR_AUTH = "y"; ARM64_PTR_AUTH_KERNEL = "y"; ARM64_BTI = "y"; ARM64_E0PD = "y"; };
  "speculation does not cross the border" = { CPU_MITIGATIONS = "y"; UNMAP_KERNEL_AT_EL0 = "y"; MITIGATE_SPECTRE_BRANCH_HISTORY = "y"; };
  "physical memory is not a file" = { DEVMEM = "n"; };
}
