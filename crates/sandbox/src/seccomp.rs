//! The system-call filter of builders: what a build has no business with.
//!
//! As in Nix, a builder cannot make setuid or setgid files (the store would refuse them, and on disk they would hand the
//! build user's rights to others) and sees no extended attributes (a NAR cannot hold them). Beyond Nix:
//!
//! | refused | with | because |
//! |---|---|---|
//! | key rings | ENOSYS | no namespace separates them: a build could leave a message for another |
//! | `io_uring`, `openat2` | ENOSYS | they make files without showing their modes to this filter |
//! | `bpf`, `perf_event_open`, `userfaultfd` | ENOSYS | they look at the machine, or serve to win races in the kernel |
//! | `mount` and its family, `setns`, new namespaces | EPERM | a build has its namespaces; what it finds does not depend on whether the machine allows more. See [`Filter::namespaces`] |
//! | `open_by_handle_at` | EPERM | it opens files without a path, past all mounts |
//! | clocks, modules, swap, accounting, quotas, `reboot`, the kernel's log, I/O ports | EPERM | the machine's, as the kernel itself would answer |
//! | sockets but `AF_UNIX`, `AF_INET`, `AF_INET6`, `NETLINK_ROUTE` | EAFNOSUPPORT | `AF_VSOCK` reaches out of a virtual machine past every network namespace; the others are the kernel's dustier corners |
//!
//! Calls that ask for nothing new (reading clocks, tracing own processes, `seccomp`, Landlock) are allowed. A 32-bit program that makes
//! sockets through `socketcall` (before Linux 4.3) is told that there is no such call, since its arguments cannot be seen.
//!
//! The filter is two programs of classic BPF over `struct seccomp_data` (seccomp(2)); the stricter answer holds. What a build's init
//! has no business with either is in the first, which the spawner loads once for itself and all that it starts: the kernel translates a
//! program anew each time it is loaded, which was a tenth of a sandbox's set-up. The second is what the builder must not do, but init does before.
//! They are generated here because each must answer for two architectures: 64-bit and, on x86, 32-bit calls. Calls that no rule
//! names take the kernel's fast path.

use libc::{EAFNOSUPPORT, ENOSYS, ENOTSUP, EPERM, EPROTONOSUPPORT, sock_filter};

/// What differs between the filters of builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Whether the build may make user namespaces, and mount in them.
    pub(crate) namespaces: bool,
    /// Whether it may make sockets of `AF_UNIX`, other than pairs.
    pub(crate) unix_sockets: bool,
}

impl Filter {
    /// All filters, each at its [`Filter::index`].
    pub(crate) const ALL: [Filter; 4] = [
        Filter {
            namespaces: false,
            unix_sockets: false,
        },
        Filter {
            namespaces: true,
            unix_sockets: false,
        },
        Filter {
            namespaces: false,
            unix_sockets: true,
        },
        Filter {
            namespaces: true,
            unix_sockets: true,
        },
    ];

    pub(crate) fn index(self) -> usize {
        usize::from(self.namespaces) | usize::from(self.unix_sockets) << 1
    }
}

/// One of the two programs of a build's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What the spawner loads, for all builds.
    Spawner,
    /// What a builder loads before it is executed.
    Builder(Filter),
}

/// What happens to one system call.
#[derive(Clone, Copy)]
enum Rule {
    /// It fails with this error.
    Deny(i32),
    /// It fails with this error, in the builder; init does it.
    DenyBuilder(i32),
    /// It fails with EPERM if the mode in this argument has a setuid or setgid bit.
    Mode(u32),
    /// The same, if the flags in the first argument say that a file is created.
    Create { flags: u32, mode: u32 },
    /// It fails with this error, unless the build may make namespaces.
    Namespaces(i32),
    /// It fails with EPERM if its first argument has one of these flags, unless the build may make namespaces.
    NewNamespaces(u32),
    /// It fails unless its first argument is a family of sockets that builds may use.
    Socket,
    /// The same; a pair of `AF_UNIX` is always allowed.
    SocketPair,
    /// It fails with ENOSYS if its first argument is one of these.
    Among(&'static [u32]),
}

/// The setuid and setgid bits.
const SET_ID: u32 = 0o6000;
/// `O_CREAT` and the bit of `O_TMPFILE`, the same on x86 and ARM.
const CREATES: u32 = 0o100 | 0o20_000_000;
/// The flags of new namespaces in `clone`, whose lowest byte is a signal.
const NEW: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;
/// The flag of a new time namespace, in `unshare`.
const NEW_TIME: u32 = 0x80;
/// Numbers at and above this on x86_64 are the x32 ABI.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64
#[cfg(target_arch = "x86_64")]
const I386: u32 = 0x4000_0003; // AUDIT_ARCH_I386

/// Where an architecture does not have a call.
const NONE: u32 = u32::MAX;

/// A call's name, its numbers on x86_64, i386 and AArch64 (`arch/x86/entry/syscalls/syscall_*.tbl` and
/// `include/uapi/asm-generic/unistd.h` of Linux), and its rule.
type Call = (&'static str, [u32; 3], Rule);

/// A call whose number is the same everywhere, as all have from 424 on.
const fn new(name: &'static str, number: u32, rule: Rule) -> Call {
    (name, [number, number, number], rule)
}

const CALLS: &[Call] = &[
    ("open", [2, 5, NONE], Rule::Create { flags: 1, mode: 2 }),
    ("openat", [257, 295, 56], Rule::Create { flags: 2, mode: 3 }),
    new("openat2", 437, Rule::DenyBuilder(ENOSYS)),
    ("creat", [85, 8, NONE], Rule::Mode(1)),
    ("chmod", [90, 15, NONE], Rule::Mode(1)),
    ("fchmod", [91, 94, 52], Rule::Mode(1)),
    ("fchmodat", [268, 306, 53], Rule::Mode(2)),
    new("fchmodat2", 452, Rule::Mode(2)),
    ("mknod", [133, 14, NONE], Rule::Mode(1)),
    ("mknodat", [259, 297, 33], Rule::Mode(2)),
    ("setxattr", [188, 226, 5], Rule::Deny(ENOTSUP)),
    ("lsetxattr", [189, 227, 6], Rule::Deny(ENOTSUP)),
    ("fsetxattr", [190, 228, 7], Rule::Deny(ENOTSUP)),
    ("getxattr", [191, 229, 8], Rule::Deny(ENOTSUP)),
    ("lgetxattr", [192, 230, 9], Rule::Deny(ENOTSUP)),
    ("fgetxattr", [193, 231, 10], Rule::Deny(ENOTSUP)),
    ("listxattr", [194, 232, 11], Rule::Deny(ENOTSUP)),
    ("llistxattr", [195, 233, 12], Rule::Deny(ENOTSUP)),
    ("flistxattr", [196, 234, 13], Rule::Deny(ENOTSUP)),
    ("removexattr", [197, 235, 14], Rule::Deny(ENOTSUP)),
    ("lremovexattr", [198, 236, 15], Rule::Deny(ENOTSUP)),
    ("fremovexattr", [199, 237, 16], Rule::Deny(ENOTSUP)),
    new("setxattrat", 463, Rule::Deny(ENOTSUP)),
    new("getxattrat", 464, Rule::Deny(ENOTSUP)),
    new("listxattrat", 465, Rule::Deny(ENOTSUP)),
    new("removexattrat", 466, Rule::Deny(ENOTSUP)),
    ("add_key", [248, 286, 217], Rule::Deny(ENOSYS)),
    ("request_key", [249, 287, 218], Rule::Deny(ENOSYS)),
    ("keyctl", [250, 288, 219], Rule::Deny(ENOSYS)),
    new("io_uring_setup", 425, Rule::Deny(ENOSYS)),
    new("io_uring_enter", 426, Rule::Deny(ENOSYS)),
    new("io_uring_register", 427, Rule::Deny(ENOSYS)),
    ("bpf", [321, 357, 280], Rule::Deny(ENOSYS)),
    ("perf_event_open", [298, 336, 241], Rule::Deny(ENOSYS)),
    ("userfaultfd", [323, 374, 282], Rule::Deny(ENOSYS)),
    ("open_by_handle_at", [304, 342, 265], Rule::Deny(EPERM)),
    ("mount", [165, 21, 40], Rule::Namespaces(EPERM)),
    ("umount", [NONE, 22, NONE], Rule::Namespaces(EPERM)),
    ("umount2", [166, 52, 39], Rule::Namespaces(EPERM)),
    ("pivot_root", [155, 217, 41], Rule::Namespaces(EPERM)),
    new("open_tree", 428, Rule::Namespaces(EPERM)),
    new("move_mount", 429, Rule::Namespaces(EPERM)),
    new("fsopen", 430, Rule::Namespaces(EPERM)),
    new("fsconfig", 431, Rule::Namespaces(EPERM)),
    new("fsmount", 432, Rule::Namespaces(EPERM)),
    new("fspick", 433, Rule::Namespaces(EPERM)),
    new("mount_setattr", 442, Rule::Namespaces(EPERM)),
    new("open_tree_attr", 467, Rule::Namespaces(EPERM)),
    ("setns", [308, 346, 268], Rule::Namespaces(EPERM)),
    (
        "unshare",
        [272, 310, 97],
        Rule::NewNamespaces(NEW | NEW_TIME),
    ),
    ("clone", [56, 120, 220], Rule::NewNamespaces(NEW)),
    // Its flags are in memory, out of sight; every libc falls back to `clone`.
    new("clone3", 435, Rule::Namespaces(ENOSYS)),
    ("quotactl", [179, 131, 60], Rule::Deny(EPERM)),
    new("quotactl_fd", 443, Rule::Deny(EPERM)),
    ("reboot", [169, 88, 142], Rule::Deny(EPERM)),
    ("kexec_load", [246, 283, 104], Rule::Deny(EPERM)),
    ("kexec_file_load", [320, NONE, 294], Rule::Deny(EPERM)),
    ("init_module", [175, 128, 105], Rule::Deny(EPERM)),
    ("finit_module", [313, 350, 273], Rule::Deny(EPERM)),
    ("delete_module", [176, 129, 106], Rule::Deny(EPERM)),
    ("swapon", [167, 87, 224], Rule::Deny(EPERM)),
    ("swapoff", [168, 115, 225], Rule::Deny(EPERM)),
    ("acct", [163, 51, 89], Rule::Deny(EPERM)),
    ("syslog", [103, 103, 116], Rule::Deny(EPERM)),
    ("settimeofday", [164, 79, 170], Rule::Deny(EPERM)),
    ("stime", [NONE, 25, NONE], Rule::Deny(EPERM)),
    ("clock_settime", [227, 264, 112], Rule::Deny(EPERM)),
    ("clock_settime64", [NONE, 404, NONE], Rule::Deny(EPERM)),
    ("iopl", [172, 110, NONE], Rule::Deny(EPERM)),
    ("ioperm", [173, 101, NONE], Rule::Deny(EPERM)),
    ("vhangup", [153, 111, 58], Rule::Deny(EPERM)),
    ("socket", [41, 359, 198], Rule::Socket),
    ("socketpair", [53, 360, 199], Rule::SocketPair),
    // SYS_SOCKET and SYS_SOCKETPAIR.
    ("socketcall", [NONE, 102, NONE], Rule::Among(&[1, 8])),
];

// The instructions used, by their codes in classic BPF (linux/filter.h).
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// The layout of `struct seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;

/// The lower half of an argument; both architectures are little-endian.
fn argument_at(index: u32) -> u32 {
    16 + 8 * index
}

fn instruction(code: u16, k: u32, if_true: u8, if_false: u8) -> sock_filter {
    sock_filter {
        code,
        jt: if_true,
        jf: if_false,
        k,
    }
}

fn load(at: u32) -> sock_filter {
    instruction(LOAD, at, 0, 0)
}

fn allow() -> sock_filter {
    instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0)
}

fn fail(errno: i32) -> sock_filter {
    instruction(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0)
}

/// The architectures that the program answers for: the number of each, and its column in [`CALLS`].
#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: &[(u32, usize)] = &[(NATIVE, 0), (I386, 1)];
#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: &[(u32, usize)] = &[(NATIVE, 2)];

/// The program that the spawner loads.
pub(crate) fn shared_program() -> Vec<sock_filter> {
    program(Part::Spawner)
}

/// The program that a builder loads besides.
pub(crate) fn own_program(filter: Filter) -> Vec<sock_filter> {
    program(Part::Builder(filter))
}

fn program(part: Part) -> Vec<sock_filter> {
    let mut program = Vec::with_capacity(512);
    for (architecture, column) in ARCHITECTURES {
        let body = rules_for(*architecture, *column, part);
        program.push(load(ARCHITECTURE_AT));
        // A body can be longer than a conditional jump reaches, so the jump over it is an unconditional one.
        program.push(instruction(JUMP_EQUAL, *architecture, 1, 0));
        program.push(instruction(JUMP, body.len() as u32, 0, 0));
        program.extend(body);
    }
    program.push(fail(ENOSYS));
    program
}

fn rules_for(architecture: u32, column: usize, part: Part) -> Vec<sock_filter> {
    let mut body = vec![load(NUMBER_AT)];
    #[cfg(target_arch = "x86_64")]
    if architecture == NATIVE {
        body.push(instruction(JUMP_AT_LEAST, X32, 0, 1));
        body.push(fail(ENOSYS));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = architecture;
    let mut named: Vec<Range> = CALLS
        .iter()
        .map(|(_, numbers, rule)| Range {
            first: numbers[column],
            last: numbers[column],
            block: block(*rule, part),
        })
        .filter(|range| range.first != NONE && !range.block.is_empty())
        .collect();
    named.sort_by_key(|range| range.first);
    named.dedup_by(|next, range| {
        let joined = next.first == range.last + 1 && same(&next.block, &range.block);
        if joined {
            range.last = next.last;
        }
        joined
    });
    body.extend(choose(&named));
    body
}

/// Calls with numbers in a row, to which the same happens.
struct Range {
    first: u32,
    last: u32,
    block: Vec<sock_filter>,
}

fn same(one: &[sock_filter], other: &[sock_filter]) -> bool {
    let fields = |it: &sock_filter| (it.code, it.jt, it.jf, it.k);
    one.iter().map(fields).eq(other.iter().map(fields))
}

/// Finds the block of a number by halving. The kernel asks the program about every number when it is loaded, to know which calls need
/// not be asked about: with one comparison after the other, that was a seventh of a sandbox's set-up.
fn choose(named: &[Range]) -> Vec<sock_filter> {
    if named.len() <= 2 {
        let mut body = Vec::new();
        for Range { first, last, block } in named {
            let skip = block.len() as u8;
            if first == last {
                body.push(instruction(JUMP_EQUAL, *first, 0, skip));
            } else {
                body.push(instruction(JUMP_AT_LEAST, *first, 0, skip + 1));
                body.push(instruction(JUMP_AT_LEAST, last + 1, skip, 0));
            }
            body.extend(block);
        }
        body.push(allow());
        return body;
    }
    let (low, high) = named.split_at(named.len() / 2);
    let (first, low) = (high[0].first, choose(low));
    let mut body = vec![
        instruction(JUMP_AT_LEAST, first, 0, 1),
        instruction(JUMP, low.len() as u32, 0, 0),
    ];
    body.extend(low);
    body.extend(choose(high));
    body
}

/// What is done when the number is a rule's; nothing if it does not apply, or is the other part's.
fn block(rule: Rule, part: Part) -> Vec<sock_filter> {
    match part {
        Part::Spawner => shared_block(rule),
        Part::Builder(filter) => own_block(rule, filter),
    }
}

fn shared_block(rule: Rule) -> Vec<sock_filter> {
    match rule {
        Rule::Deny(errno) => vec![fail(errno)],
        Rule::Mode(mode) => vec![
            load(argument_at(mode)),
            instruction(JUMP_SET, SET_ID, 0, 1),
            fail(EPERM),
            allow(),
        ],
        Rule::Create { flags, mode } => vec![
            load(argument_at(flags)),
            instruction(JUMP_SET, CREATES, 0, 3),
            load(argument_at(mode)),
            instruction(JUMP_SET, SET_ID, 0, 1),
            fail(EPERM),
            allow(),
        ],
        Rule::Socket | Rule::SocketPair => {
            let mut block = vec![load(argument_at(0))];
            for family in [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX] {
                block.push(instruction(JUMP_EQUAL, family as u32, 0, 1));
                block.push(allow());
            }
            block.extend([
                instruction(JUMP_EQUAL, libc::AF_NETLINK as u32, 1, 0),
                fail(EAFNOSUPPORT),
                load(argument_at(2)),
                instruction(JUMP_EQUAL, libc::NETLINK_ROUTE as u32, 0, 1),
                allow(),
                fail(EPROTONOSUPPORT),
            ]);
            block
        }
        Rule::Among(values) => {
            let mut block = vec![load(argument_at(0))];
            for value in values {
                block.push(instruction(JUMP_EQUAL, *value, 0, 1));
                block.push(fail(ENOSYS));
            }
            block.push(allow());
            block
        }
        Rule::DenyBuilder(_) | Rule::Namespaces(_) | Rule::NewNamespaces(_) => Vec::new(),
    }
}

fn own_block(rule: Rule, filter: Filter) -> Vec<sock_filter> {
    match rule {
        Rule::DenyBuilder(errno) => vec![fail(errno)],
        Rule::Namespaces(errno) if !filter.namespaces => vec![fail(errno)],
        Rule::NewNamespaces(flags) if !filter.namespaces => vec![
            load(argument_at(0)),
            instruction(JUMP_SET, flags, 0, 1),
            fail(EPERM),
            allow(),
        ],
        Rule::Socket if !filter.unix_sockets => vec![
            load(argument_at(0)),
            instruction(JUMP_EQUAL, libc::AF_UNIX as u32, 0, 1),
            fail(EAFNOSUPPORT),
            allow(),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Filter = Filter {
        namespaces: false,
        unix_sockets: true,
    };

    /// What both programs together say.
    fn decide_with(filter: Filter, architecture: u32, number: u32, arguments: [u32; 4]) -> u32 {
        match run(&shared_program(), architecture, number, arguments) {
            ALLOW => run(&own_program(filter), architecture, number, arguments),
            refused => refused,
        }
    }

    /// Runs a program on one call as the kernel would (bpf(4), the instructions above alone).
    fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u32; 4]) -> u32 {
        let (mut at, mut accumulator) = (0usize, 0u32);
        loop {
            let now = program[at];
            at += 1;
            let jump = |yes: bool| {
                if yes {
                    now.jt as usize
                } else {
                    now.jf as usize
                }
            };
            match now.code {
                LOAD => {
                    accumulator = match now.k {
                        NUMBER_AT => number,
                        ARCHITECTURE_AT => architecture,
                        other => arguments[(other as usize - 16) / 8],
                    }
                }
                JUMP => at += now.k as usize,
                JUMP_EQUAL => at += jump(accumulator == now.k),
                JUMP_SET => at += jump(accumulator & now.k != 0),
                JUMP_AT_LEAST => at += jump(accumulator >= now.k),
                RETURN => return now.k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    fn decide(architecture: u32, number: u32, arguments: [u32; 4]) -> u32 {
        decide_with(PLAIN, architecture, number, arguments)
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    fn errno(code: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | code as u32
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn rules_hold_for_both_architectures() {
        let eperm = errno(EPERM);
        for (architecture, chmod, openat, getxattr, read) in
            [(NATIVE, 90, 257, 191, 0), (I386, 15, 295, 229, 3)]
        {
            assert_eq!(decide(architecture, chmod, [0, 0o755, 0, 0]), ALLOW);
            assert_eq!(decide(architecture, chmod, [0, 0o1777, 0, 0]), ALLOW);
            assert_eq!(decide(architecture, chmod, [0, 0o4755, 0, 0]), eperm);
            assert_eq!(decide(architecture, chmod, [0, 0o2755, 0, 0]), eperm);
            assert_eq!(decide(architecture, 452, [0, 0, 0o4755, 0]), eperm);
            assert_eq!(decide(architecture, openat, [0, 0, 0o101, 0o644]), ALLOW);
            assert_eq!(decide(architecture, openat, [0, 0, 0o101, 0o4644]), eperm);
            assert_eq!(decide(architecture, openat, [0, 0, 0, 0o4644]), ALLOW);
            assert_eq!(decide(architecture, getxattr, [0; 4]), errno(ENOTSUP));
            assert_eq!(decide(architecture, read, [0; 4]), ALLOW);
            assert_eq!(decide(architecture, 425, [0; 4]), errno(ENOSYS));
        }
        assert_eq!(decide(NATIVE, X32 | 1, [0; 4]), errno(ENOSYS));
        assert_eq!(decide(0x1234, 1, [0; 4]), errno(ENOSYS));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn namespaces_are_a_choice_of_the_filter() {
        let open = Filter {
            namespaces: true,
            ..PLAIN
        };
        let user = libc::CLONE_NEWUSER as u32;
        for (architecture, clone, unshare, mount) in [(NATIVE, 56, 272, 165), (I386, 120, 310, 21)]
        {
            for number in [clone, unshare] {
                assert_eq!(decide(architecture, number, [user, 0, 0, 0]), errno(EPERM));
                assert_eq!(
                    decide_with(open, architecture, number, [user, 0, 0, 0]),
                    ALLOW
                );
                // A thread, and files of one's own.
                assert_eq!(decide(architecture, number, [0x0000_0f00, 0, 0, 0]), ALLOW);
            }
            assert_eq!(decide(architecture, clone, [0x0000_00ff, 0, 0, 0]), ALLOW);
            assert_eq!(decide(architecture, mount, [0; 4]), errno(EPERM));
            assert_eq!(decide_with(open, architecture, mount, [0; 4]), ALLOW);
            assert_eq!(decide(architecture, 435, [0; 4]), errno(ENOSYS));
            assert_eq!(decide_with(open, architecture, 435, [0; 4]), ALLOW);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn sockets_are_those_of_networks_and_processes() {
        let closed = Filter {
            unix_sockets: false,
            ..PLAIN
        };
        for (architecture, socket, pair) in [(NATIVE, 41, 53), (I386, 359, 360)] {
            let of = |family: i32, protocol: u32| [family as u32, 0, protocol, 0];
            for family in [
                libc::AF_UNIX,
                libc::AF_INET,
                libc::AF_INET6,
                libc::AF_NETLINK,
            ] {
                assert_eq!(decide(architecture, socket, of(family, 0)), ALLOW);
            }
            for family in [libc::AF_VSOCK, libc::AF_ALG, libc::AF_PACKET, 0, 45] {
                assert_eq!(
                    decide(architecture, socket, of(family, 0)),
                    errno(EAFNOSUPPORT)
                );
            }
            let audit = of(libc::AF_NETLINK, libc::NETLINK_AUDIT as u32);
            assert_eq!(decide(architecture, socket, audit), errno(EPROTONOSUPPORT));
            let unix = of(libc::AF_UNIX, 0);
            assert_eq!(
                decide_with(closed, architecture, socket, unix),
                errno(EAFNOSUPPORT)
            );
            assert_eq!(decide_with(closed, architecture, pair, unix), ALLOW);
        }
        assert_eq!(decide(I386, 102, [1, 0, 0, 0]), errno(ENOSYS));
        assert_eq!(decide(I386, 102, [3, 0, 0, 0]), ALLOW);
    }

    /// The numbers of the table against those that the `libc` crate knows.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_numbers_are_the_kernels() {
        let known = [
            ("openat2", libc::SYS_openat2),
            ("removexattr", libc::SYS_removexattr),
            ("llistxattr", libc::SYS_llistxattr),
            ("keyctl", libc::SYS_keyctl),
            ("bpf", libc::SYS_bpf),
            ("perf_event_open", libc::SYS_perf_event_open),
            ("userfaultfd", libc::SYS_userfaultfd),
            ("open_by_handle_at", libc::SYS_open_by_handle_at),
            ("mount", libc::SYS_mount),
            ("umount2", libc::SYS_umount2),
            ("pivot_root", libc::SYS_pivot_root),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("setns", libc::SYS_setns),
            ("unshare", libc::SYS_unshare),
            ("clone", libc::SYS_clone),
            ("clone3", libc::SYS_clone3),
            ("quotactl", libc::SYS_quotactl),
            ("reboot", libc::SYS_reboot),
            ("kexec_load", libc::SYS_kexec_load),
            ("kexec_file_load", libc::SYS_kexec_file_load),
            ("init_module", libc::SYS_init_module),
            ("finit_module", libc::SYS_finit_module),
            ("delete_module", libc::SYS_delete_module),
            ("swapon", libc::SYS_swapon),
            ("swapoff", libc::SYS_swapoff),
            ("acct", libc::SYS_acct),
            ("syslog", libc::SYS_syslog),
            ("settimeofday", libc::SYS_settimeofday),
            ("clock_settime", libc::SYS_clock_settime),
            ("iopl", libc::SYS_iopl),
            ("ioperm", libc::SYS_ioperm),
            ("vhangup", libc::SYS_vhangup),
            ("socket", libc::SYS_socket),
            ("socketpair", libc::SYS_socketpair),
        ];
        for (name, number) in known {
            let (_, numbers, _) = CALLS.iter().find(|(call, ..)| *call == name).unwrap();
            assert_eq!(i64::from(numbers[0]), number, "{name}");
        }
    }

    /// The neighbours of a row of calls are not taken for its own.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_number_has_the_rule_of_the_table() {
        for (architecture, column) in [(NATIVE, 0), (I386, 1)] {
            for number in 0..600 {
                let rule = CALLS
                    .iter()
                    .find(|(_, numbers, _)| numbers[column] == number);
                let expected = match rule {
                    Some((
                        _,
                        _,
                        Rule::Deny(code) | Rule::DenyBuilder(code) | Rule::Namespaces(code),
                    )) => errno(*code),
                    Some((_, _, Rule::Socket | Rule::SocketPair)) => errno(EAFNOSUPPORT),
                    _ => ALLOW,
                };
                assert_eq!(decide(architecture, number, [0; 4]), expected, "{number}");
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn init_may_do_what_a_sandbox_is_made_with() {
        let mount = [libc::SYS_mount, libc::SYS_open_tree, libc::SYS_move_mount];
        let others = [libc::SYS_openat2, libc::SYS_setns, libc::SYS_clone3];
        for number in mount.into_iter().chain(others) {
            let number = u32::try_from(number).unwrap();
            assert_eq!(run(&shared_program(), NATIVE, number, [0; 4]), ALLOW);
            assert_ne!(decide(NATIVE, number, [0; 4]), ALLOW);
        }
    }

    #[test]
    fn filters_are_found_again() {
        for (index, filter) in Filter::ALL.into_iter().enumerate() {
            assert_eq!(filter.index(), index);
        }
    }
}
