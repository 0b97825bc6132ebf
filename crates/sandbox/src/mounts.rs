//! The mounts of a build, made by its init before it gives up its rights.
//!
//! The working directory is the new root all the time, so targets are relative.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat, openat2, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind,
    mount_bind_recursive, move_mount, open_tree, unmount,
};

use crate::error::Step;
use crate::init::Failure;
use crate::plan::{MountKind, Plan};
use crate::sys::mount_setattr;

/// The devices a build sees.
const DEVICES: [(&CStr, &CStr); 6] = [
    (c"/dev/null", c"dev/null"),
    (c"/dev/zero", c"dev/zero"),
    (c"/dev/full", c"dev/full"),
    (c"/dev/random", c"dev/random"),
    (c"/dev/urandom", c"dev/urandom"),
    (c"/dev/tty", c"dev/tty"),
];

/// The links in `/dev`.
const LINKS: [(&CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"dev/fd"),
    (c"/proc/self/fd/0", c"dev/stdin"),
    (c"/proc/self/fd/1", c"dev/stdout"),
    (c"/proc/self/fd/2", c"dev/stderr"),
    (c"/dev/pts/ptmx", c"dev/ptmx"),
];

/// What in `/proc` asks for uid 0 alone.
const MACHINE_WIDE: [&CStr; 7] = [
    c"proc/sys",
    c"proc/sysrq-trigger",
    c"proc/irq",
    c"proc/bus",
    c"proc/fs",
    c"proc/acpi",
    c"proc/scsi",
];

fn failed(step: Step, path: &'static CStr) -> impl Fn(Errno) -> Failure {
    move |errno| Failure {
        step,
        errno,
        path: Some(path),
    }
}

/// The parts of the root that are on disk: their directories in the scratch directory, and their places inside.
const ON_DISK: [(&CStr, &CStr); 3] = [
    (c"store", c"nix/store"),
    (c"build", c"build"),
    (c"tmp", c"tmp"),
];

/// Makes a root directory in memory and enters it; puts into it what is on disk, the inputs and the FHS root. Then all
/// is read-only but `/nix/store` itself, `/build` and `/tmp`.
pub(crate) fn mount_inputs(plan: Plan) -> Result<(), Failure> {
    let work_dir = plan.work_dir().map_err(failed(Step::Plan, c""))?;
    let root_failed = || failed(Step::MountRoot, work_dir);
    rustix::process::chdir(work_dir).map_err(root_failed())?;
    // The root covers the scratch directory, so what is taken from there is taken first.
    let take = |(directory, _)| {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        open_tree(CWD, directory, flags).map_err(root_failed())
    };
    let trees = [take(ON_DISK[0])?, take(ON_DISK[1])?, take(ON_DISK[2])?];
    mount(
        c"tmpfs",
        work_dir,
        c"tmpfs",
        MountFlags::empty(),
        Some(c"mode=755"),
    )
    .map_err(root_failed())?;
    rustix::process::chdir(work_dir).map_err(root_failed())?;
    // Modes inside are not the caller's umask's affair.
    rustix::process::umask(Mode::from(0o022));
    for directory in [
        c"nix",
        c"nix/store",
        c"build",
        c"tmp",
        c"etc",
        c"dev",
        c"proc",
    ] {
        rustix::fs::mkdirat(CWD, directory, Mode::from(0o755)).map_err(root_failed())?;
    }
    for (tree, (_, place)) in trees.iter().zip(ON_DISK) {
        attach(tree, CWD, place).map_err(root_failed())?;
    }
    for planned in plan.mounts() {
        let planned = planned.map_err(failed(Step::Plan, c""))?;
        match planned.kind {
            MountKind::Input => mount_bind(planned.source, planned.target)
                .map_err(failed(Step::MountInput, planned.source))?,
            MountKind::Fhs => mount_bind(planned.source, planned.target)
                .map_err(failed(Step::MountFhs, planned.source))?,
            MountKind::Extra => {}
            MountKind::Directory => {
                match rustix::fs::mkdirat(CWD, planned.target, Mode::from(0o755)) {
                    Err(Errno::EXIST) => {}
                    other => other.map_err(failed(Step::MountRoot, planned.target))?,
                }
            }
            MountKind::File => write_file(planned.target, planned.source.to_bytes())
                .map_err(failed(Step::MountRoot, planned.target))?,
            MountKind::Symlink => symlinkat(planned.source, CWD, planned.target)
                .map_err(failed(Step::MountRoot, planned.target))?,
        }
    }
    for directory in [c"etc", c"."] {
        rustix::fs::chmodat(
            CWD,
            directory,
            Mode::from(0o555),
            rustix::fs::AtFlags::empty(),
        )
        .map_err(root_failed())?;
    }
    // One call for the whole tree, then three places are made writable again.
    let inputs = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    let protect_failed = || failed(Step::ProtectMounts, work_dir);
    mount_setattr(c".", true, inputs, 0, true).map_err(protect_failed())?;
    for (_, place) in ON_DISK {
        mount_setattr(place, false, 0, libc::MOUNT_ATTR_RDONLY, false).map_err(protect_failed())?;
    }
    Ok(())
}

fn write_file(path: &CStr, content: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::from(0o644))?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Mounts a detached tree at a path below `directory`, or at `directory` itself if the path is empty.
fn attach(tree: impl AsFd, directory: impl AsFd, path: &CStr) -> Result<(), Errno> {
    let mut flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    if path.is_empty() {
        flags |= MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    }
    move_mount(tree, c"", directory, path, flags)
}

/// Mounts the sandbox paths with all that is mounted below them. Their targets may lie behind symlinks of the new root, which must not
/// lead out of it.
pub(crate) fn mount_extra(plan: Plan) -> Result<(), Failure> {
    for planned in plan.mounts() {
        let planned = planned.map_err(failed(Step::Plan, c""))?;
        if planned.kind != MountKind::Extra {
            continue;
        }
        let place = || {
            let root = open(
                c".",
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            let target = openat2(
                root,
                planned.target,
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT,
            )?;
            let tree = open_tree(
                CWD,
                planned.source,
                OpenTreeFlags::OPEN_TREE_CLONE
                    | OpenTreeFlags::OPEN_TREE_CLOEXEC
                    | OpenTreeFlags::AT_RECURSIVE,
            )?;
            attach(tree, target, c"")
        };
        place().map_err(failed(Step::MountExtra, planned.source))?;
    }
    Ok(())
}

/// Fills `/dev` on a filesystem of its own, in memory.
pub(crate) fn mount_dev() -> Result<(), Failure> {
    let fail = |path| failed(Step::MountDev, path);
    mount(
        c"tmpfs",
        c"dev",
        c"tmpfs",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        Some(c"mode=755"),
    )
    .map_err(fail(c"/dev"))?;
    for (source, target) in DEVICES {
        let file = openat(
            CWD,
            target,
            OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::from(0o666),
        );
        drop(file.map_err(fail(source))?);
        mount_bind(source, target).map_err(fail(source))?;
    }
    for (destination, link) in LINKS {
        symlinkat(destination, CWD, link).map_err(fail(link))?;
    }
    rustix::fs::mkdirat(CWD, c"dev/shm", Mode::from(0o1777)).map_err(fail(c"/dev/shm"))?;
    rustix::fs::chmodat(
        CWD,
        c"dev/shm",
        Mode::from(0o1777),
        rustix::fs::AtFlags::empty(),
    )
    .map_err(fail(c"/dev/shm"))?;
    rustix::fs::mkdirat(CWD, c"dev/pts", Mode::from(0o755)).map_err(fail(c"/dev/pts"))?;
    mount(
        c"devpts",
        c"dev/pts",
        c"devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        Some(c"newinstance,ptmxmode=0666,mode=620"),
    )
    .map_err(fail(c"/dev/pts"))
}

/// Mounts a `/proc` of the build's own processes.
pub(crate) fn mount_proc() -> Result<(), Failure> {
    mount_new(c"proc", c"proc").map_err(failed(Step::MountProc, c"/proc"))
}

fn mount_new(kind: &CStr, target: &CStr) -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(kind, target, kind, flags, None)
}

/// Makes the machine-wide parts of `/proc` read-only, for a builder whose host uid is 0.
pub(crate) fn mask_proc() -> Result<(), Failure> {
    for path in MACHINE_WIDE {
        match mount_bind_recursive(path, path) {
            Err(Errno::NOENT) => continue,
            other => other.map_err(failed(Step::MaskProc, path))?,
        }
        mount_setattr(path, true, libc::MOUNT_ATTR_RDONLY, 0, false)
            .map_err(failed(Step::MaskProc, path))?;
    }
    Ok(())
}

/// Makes the working directory the root directory and drops everything else from sight.
pub(crate) fn enter_root() -> Result<(), Failure> {
    let fail = || failed(Step::PivotRoot, c"/");
    // With both arguments the same directory, the old root is stacked on the new one (pivot_root(2)).
    rustix::process::pivot_root(c".", c".").map_err(fail())?;
    unmount(c".", UnmountFlags::DETACH).map_err(fail())?;
    rustix::process::chdir(c"/").map_err(fail())
}
