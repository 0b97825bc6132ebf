//! Programs for another processor: the kernel starts an emulator for them (`binfmt_misc`).
//!
//! Since Linux 6.7 each user namespace can have registrations of its own, without root. Emulated builds therefore enter a user namespace
//! that has one; other builds do not, since a build that can suddenly execute what it compiled for another processor (`configure`
//! tries) would make something else. The emulator is opened when it is registered (flag `F`), so that a build neither sees nor needs
//! its file, and it is told the program's own `argv[0]` (flag `P`).

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::Step;
use crate::namespace::Text;
use crate::spec::Machine;

/// Whether this kernel lets every user namespace register emulators of its own.
pub fn registers_own_emulators() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut version = release
        .split(['.', '-'])
        .map(|part| part.trim().parse().unwrap_or(0u32));
    (version.next().unwrap_or(0), version.next().unwrap_or(0)) >= (6, 7)
}

/// The program that the machine itself has registered for `machine`, if builds can use it: it must have been opened at its
/// registration (flag `F`), since they do not see its file.
pub fn registered_emulator(machine: Machine) -> Option<PathBuf> {
    let entries = std::fs::read_dir("/proc/sys/fs/binfmt_misc").ok()?;
    entries.flatten().find_map(|entry| {
        let text = std::fs::read_to_string(entry.path()).ok()?;
        registration_of(&text, machine)
    })
}

/// The interpreter of an entry of `binfmt_misc` (the kernel's documentation, "binfmt-misc"), if it is enabled and for `machine`.
fn registration_of(entry: &str, machine: Machine) -> Option<PathBuf> {
    let field = |name: &str| {
        entry
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let [low, high] = (machine as u16).to_le_bytes();
    let magic = field("magic ")?;
    let fits = entry.starts_with("enabled\n")
        && field("flags:").is_some_and(|flags| flags.contains('F'))
        && field("offset ") == Some("0")
        && magic.starts_with("7f454c460201")
        && magic.get(36..40) == Some(&format!("{low:02x}{high:02x}"));
    fits.then(|| field("interpreter "))?.map(PathBuf::from)
}

/// What a program begins with, up to the machine (System V ABI, "ELF Header"): 64-bit, little-endian, any ABI, executable or
/// position-independent.
const MAGIC: &str = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00";
const MASK: &str =
    r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";

/// Mounts `binfmt_misc` for this process's user namespace and registers the program that is open as `program`. The registration lasts as
/// long as the mount, which is returned, or something that has it open.
pub(crate) fn register(
    program: BorrowedFd<'_>,
    machine: Machine,
) -> Result<OwnedFd, (Step, Errno)> {
    let mount = || {
        let filesystem = fsopen(c"binfmt_misc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(filesystem.as_fd())?;
        fsmount(
            filesystem.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )
    };
    let mount = mount().map_err(|errno| (Step::MountEmulation, errno))?;
    let write = || {
        let register = openat(
            &mount,
            c"register",
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let [low, high] = (machine as u16).to_le_bytes();
        let line = Text::new(format_args!(
            r":xbuild:M:0:{MAGIC}\x{low:02x}\x{high:02x}:{MASK}:/proc/self/fd/{}:PF",
            program.as_raw_fd()
        ))?;
        rustix::io::write(&register, line.as_bytes()).map(drop)
    };
    write().map_err(|errno| (Step::RegisterEmulator, errno))?;
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_of_the_machine_are_understood() {
        let entry = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: PF\noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask \
                     ffffffffffffff00fffffffffffffffffeffffff\n";
        let found = |entry: &str| registration_of(entry, Machine::Aarch64);
        assert_eq!(found(entry), Some("/usr/bin/qemu-aarch64-static".into()));
        for (from, to) in [
            ("enabled", "disabled"),
            ("flags: PF", "flags: P"),
            ("0200b700", "0200f300"),
            ("7f454c46", "cafebabe"),
        ] {
            assert_eq!(found(&entry.replace(from, to)), None, "{to}");
        }
        assert_eq!(found("enabled\n"), None);
    }
}
