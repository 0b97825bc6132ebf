//! The system-call filter of builders.
//!
//! As in Nix, a builder cannot make setuid or setgid files (the store would refuse them, and on disk they would hand the
//! build user's rights to others) and sees no extended attributes (a NAR cannot hold them). The kernel's key rings,
//! which no namespace separates, and `io_uring` and `openat2`, which would go round these rules, look as on a kernel without
//! them. Everything else is allowed: builds may make namespaces of their own, trace themselves, and mount in there.
//!
//! The filter is classic BPF over `struct seccomp_data` (seccomp(2)). It is generated here because it must answer for
//! two architectures in one program: 64-bit and, on x86, 32-bit calls. Calls that no rule names take the kernel's fast path.

use libc::sock_filter;

/// What happens to one system call.
#[derive(Clone, Copy)]
enum Rule {
    /// It fails with this error.
    Deny(i32),
    /// It fails with EPERM if the mode in this argument has a setuid or setgid bit.
    Mode(u32),
    /// The same, if the flags in the first argument say that a file is created.
    Create { flags: u32, mode: u32 },
}

/// The setuid and setgid bits.
const SET_ID: u32 = 0o6000;
/// `O_CREAT` and the bit of `O_TMPFILE`, the same on x86 and ARM.
const CREATES: u32 = 0o100 | 0o20_000_000;
/// Numbers at and above this on x86_64 are the x32 ABI.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64
#[cfg(target_arch = "x86_64")]
const I386: u32 = 0x4000_0003; // AUDIT_ARCH_I386

/// The rules for calls of this program's own architecture.
fn native_rules() -> Vec<(u32, Rule)> {
    let mut rules = vec![
        (libc::SYS_openat, Rule::Create { flags: 2, mode: 3 }),
        (libc::SYS_openat2, Rule::Deny(libc::ENOSYS)),
        (libc::SYS_fchmod, Rule::Mode(1)),
        (libc::SYS_fchmodat, Rule::Mode(2)),
        (452, Rule::Mode(2)), // fchmodat2
        (libc::SYS_mknodat, Rule::Mode(2)),
        (463, Rule::Deny(libc::ENOTSUP)), // setxattrat
        (464, Rule::Deny(libc::ENOTSUP)), // getxattrat
    ];
    #[cfg(target_arch = "x86_64")]
    rules.extend([
        (libc::SYS_open, Rule::Create { flags: 1, mode: 2 }),
        (libc::SYS_creat, Rule::Mode(1)),
        (libc::SYS_chmod, Rule::Mode(1)),
        (libc::SYS_mknod, Rule::Mode(1)),
    ]);
    for number in [
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_getxattr,
        libc::SYS_lgetxattr,
        libc::SYS_fgetxattr,
    ] {
        rules.push((number, Rule::Deny(libc::ENOTSUP)));
    }
    for number in [
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_io_uring_setup,
    ] {
        rules.push((number, Rule::Deny(libc::ENOSYS)));
    }
    rules
        .into_iter()
        .map(|(number, rule)| (number as u32, rule))
        .collect()
}

/// The rules for 32-bit calls (arch/x86/entry/syscalls/syscall_32.tbl of Linux).
#[cfg(target_arch = "x86_64")]
const I386_RULES: &[(u32, Rule)] = &[
    (5, Rule::Create { flags: 1, mode: 2 }),   // open
    (295, Rule::Create { flags: 2, mode: 3 }), // openat
    (437, Rule::Deny(libc::ENOSYS)),           // openat2
    (8, Rule::Mode(1)),                        // creat
    (15, Rule::Mode(1)),                       // chmod
    (94, Rule::Mode(1)),                       // fchmod
    (306, Rule::Mode(2)),                      // fchmodat
    (452, Rule::Mode(2)),                      // fchmodat2
    (14, Rule::Mode(1)),                       // mknod
    (297, Rule::Mode(2)),                      // mknodat
    (226, Rule::Deny(libc::ENOTSUP)),          // setxattr
    (227, Rule::Deny(libc::ENOTSUP)),          // lsetxattr
    (228, Rule::Deny(libc::ENOTSUP)),          // fsetxattr
    (229, Rule::Deny(libc::ENOTSUP)),          // getxattr
    (230, Rule::Deny(libc::ENOTSUP)),          // lgetxattr
    (231, Rule::Deny(libc::ENOTSUP)),          // fgetxattr
    (463, Rule::Deny(libc::ENOTSUP)),          // setxattrat
    (464, Rule::Deny(libc::ENOTSUP)),          // getxattrat
    (286, Rule::Deny(libc::ENOSYS)),           // add_key
    (287, Rule::Deny(libc::ENOSYS)),           // request_key
    (288, Rule::Deny(libc::ENOSYS)),           // keyctl
    (425, Rule::Deny(libc::ENOSYS)),           // io_uring_setup
];

// The instructions used, by their codes in classic BPF (linux/filter.h).
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
#[cfg(target_arch = "x86_64")]
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

/// The filter for builders.
pub(crate) fn program() -> Vec<sock_filter> {
    #[cfg(target_arch = "x86_64")]
    let more: &[(u32, &[(u32, Rule)])] = &[(I386, I386_RULES)];
    #[cfg(not(target_arch = "x86_64"))]
    let more: &[(u32, &[(u32, Rule)])] = &[];
    let native = native_rules();
    let mut program = Vec::with_capacity(256);
    for (architecture, rules) in [(NATIVE, native.as_slice())].iter().chain(more) {
        let body = rules_for(*architecture, rules);
        program.push(load(ARCHITECTURE_AT));
        // A block can be longer than a conditional jump reaches, so the jump over it is an unconditional one.
        program.push(instruction(JUMP_EQUAL, *architecture, 1, 0));
        program.push(instruction(0x05, body.len() as u32, 0, 0)); // BPF_JMP | BPF_JA
        program.extend(body);
    }
    program.push(fail(libc::ENOSYS));
    program
}

fn rules_for(architecture: u32, rules: &[(u32, Rule)]) -> Vec<sock_filter> {
    let mut body = vec![load(NUMBER_AT)];
    #[cfg(target_arch = "x86_64")]
    if architecture == NATIVE {
        body.push(instruction(JUMP_AT_LEAST, X32, 0, 1));
        body.push(fail(libc::ENOSYS));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = architecture;
    for (number, rule) in rules {
        let block = match *rule {
            Rule::Deny(errno) => vec![fail(errno)],
            Rule::Mode(mode) => vec![
                load(argument_at(mode)),
                instruction(JUMP_SET, SET_ID, 0, 1),
                fail(libc::EPERM),
                allow(),
            ],
            Rule::Create { flags, mode } => vec![
                load(argument_at(flags)),
                instruction(JUMP_SET, CREATES, 0, 3),
                load(argument_at(mode)),
                instruction(JUMP_SET, SET_ID, 0, 1),
                fail(libc::EPERM),
                allow(),
            ],
        };
        body.push(instruction(JUMP_EQUAL, *number, 0, block.len() as u8));
        body.extend(block);
    }
    body.push(allow());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program on one call as the kernel would (bpf(4), the instructions above alone).
    fn decide(architecture: u32, number: u32, arguments: [u32; 4]) -> u32 {
        let program = program();
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
                0x05 => at += now.k as usize,
                JUMP_EQUAL => at += jump(accumulator == now.k),
                JUMP_SET => at += jump(accumulator & now.k != 0),
                JUMP_AT_LEAST => at += jump(accumulator >= now.k),
                RETURN => return now.k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    fn errno(code: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | code as u32
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn rules_hold_for_both_architectures() {
        let eperm = errno(libc::EPERM);
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
            assert_eq!(decide(architecture, getxattr, [0; 4]), errno(libc::ENOTSUP));
            assert_eq!(decide(architecture, read, [0; 4]), ALLOW);
            assert_eq!(decide(architecture, 425, [0; 4]), errno(libc::ENOSYS));
        }
        assert_eq!(decide(NATIVE, X32 | 1, [0; 4]), errno(libc::ENOSYS));
        assert_eq!(decide(0x1234, 1, [0; 4]), errno(libc::ENOSYS));
    }
}
