//! Programs for another processor: the kernel starts an emulator for them (`binfmt_misc`).
//!
//! Since Linux 6.7 each user namespace can have registrations of its own, without root. Emulated builds therefore enter a user namespace
//! that has one; other builds do not, since a build that can suddenly execute what it compiled for another processor (`configure`
//! tries) would make something else. The emulator is opened when it is registered (flag `F`), so that a build neither sees nor needs
//! its file, and it is told the program's own `argv[0]` (flag `P`).

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::Step;
use crate::namespace::Text;
use crate::spec::Machine;

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
