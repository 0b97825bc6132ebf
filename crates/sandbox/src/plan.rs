//! The plan: everything a build's processes must know, in one memory file that they map and use in place.
//!
//! It is written by [`PlanWriter`] and read by [`Plan`] of the same program, and never stored. It is an array of 64-bit
//! words: [`HEADER_WORDS`] header words, the mounts (three words each), the `argv` and `envp` tables, then the strings, each
//! ended by NUL and referred to by its offset in bytes. [`Plan::map`] turns the tables' offsets into pointers, so
//! that `execve` takes them as they are and nothing is allocated after the fork.

use std::ffi::{CStr, OsStr, c_char};
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{MemfdFlags, fstat, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};

const HEADER_WORDS: usize = 12;
const FLAGS: usize = 0;
const MOUNTS_AT: usize = 1;
const MOUNT_COUNT: usize = 2;
const ARGV_AT: usize = 3;
const ARGV_COUNT: usize = 4;
const ENVP_AT: usize = 5;
const ENVP_COUNT: usize = 6;
const BUILDER: usize = 7;
const WORK_DIR: usize = 8;
const HOSTNAME: usize = 9;
const MAX_PROCESSES: usize = 10;

/// The build keeps the machine's network.
pub(crate) const FLAG_NETWORK: u64 = 1;
/// `uname` says a 32-bit machine.
pub(crate) const FLAG_LINUX32: u64 = 1 << 1;
/// Addresses stay randomised.
pub(crate) const FLAG_RANDOMISE: u64 = 1 << 2;
/// The build may make user namespaces.
pub(crate) const FLAG_NAMESPACES: u64 = 1 << 4;
/// No builder: only try the set-up.
pub(crate) const FLAG_PROBE: u64 = 1 << 3;

/// One action of the set-up. Targets are relative to the root inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum MountKind {
    /// Show an input, read-only.
    Input = 0,
    /// Show a part of the FHS root, read-only.
    Fhs = 1,
    /// Show a sandbox path, as it is outside.
    Extra = 2,
    /// Make a directory unless there is one.
    Directory = 3,
    /// Make a file with the source as its content.
    File = 4,
    /// Make a symlink to the source.
    Symlink = 5,
}

/// Collects a plan.
#[derive(Debug, Default)]
pub(crate) struct PlanWriter {
    pub(crate) flags: u64,
    pub(crate) max_processes: u64,
    mounts: Vec<(MountKind, u64, u64)>,
    argv: Vec<u64>,
    envp: Vec<u64>,
    strings: Vec<u8>,
    builder: u64,
    work_dir: u64,
    hostname: u64,
}

impl PlanWriter {
    pub(crate) fn new(builder: &Path, work_dir: &Path, hostname: &str) -> PlanWriter {
        let mut plan = PlanWriter::default();
        plan.builder = plan.string(&[builder.as_os_str().as_bytes()]);
        plan.work_dir = plan.string(&[work_dir.as_os_str().as_bytes()]);
        plan.hostname = plan.string(&[hostname.as_bytes()]);
        plan
    }

    fn string(&mut self, parts: &[&[u8]]) -> u64 {
        let at = self.strings.len() as u64;
        for part in parts {
            self.strings.extend_from_slice(part);
        }
        self.strings.push(0);
        at
    }

    /// Adds an action; they are done in this order, but sandbox paths last.
    pub(crate) fn mount(&mut self, kind: MountKind, source: impl AsRef<OsStr>, target: &Path) {
        let source = self.string(&[source.as_ref().as_bytes()]);
        let target = self.string(&[target.as_os_str().as_bytes()]);
        self.mounts.push((kind, source, target));
    }

    pub(crate) fn argument(&mut self, value: &OsStr) {
        let at = self.string(&[value.as_bytes()]);
        self.argv.push(at);
    }

    pub(crate) fn variable(&mut self, name: &OsStr, value: &OsStr) {
        let at = self.string(&[name.as_bytes(), b"=", value.as_bytes()]);
        self.envp.push(at);
    }

    /// Lays the plan out in a new memory file.
    pub(crate) fn finish(&self) -> std::io::Result<OwnedFd> {
        let mounts_at = HEADER_WORDS;
        let argv_at = mounts_at + 3 * self.mounts.len();
        let envp_at = argv_at + self.argv.len() + 1;
        let strings_at = 8 * (envp_at + self.envp.len() + 1) as u64;
        let mut words = vec![0; HEADER_WORDS];
        words[FLAGS] = self.flags;
        words[MOUNTS_AT] = mounts_at as u64;
        words[MOUNT_COUNT] = self.mounts.len() as u64;
        words[ARGV_AT] = argv_at as u64;
        words[ARGV_COUNT] = self.argv.len() as u64;
        words[ENVP_AT] = envp_at as u64;
        words[ENVP_COUNT] = self.envp.len() as u64;
        words[BUILDER] = strings_at + self.builder;
        words[WORK_DIR] = strings_at + self.work_dir;
        words[HOSTNAME] = strings_at + self.hostname;
        words[MAX_PROCESSES] = self.max_processes;
        for (kind, source, target) in &self.mounts {
            words.extend([*kind as u64, strings_at + source, strings_at + target]);
        }
        for table in [&self.argv, &self.envp] {
            words.extend(table.iter().map(|at| strings_at + at));
            words.push(0);
        }
        let mut bytes: Vec<u8> = Vec::with_capacity(8 * words.len() + self.strings.len() + 8);
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend_from_slice(&self.strings);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let file = memfd_create(c"xbuild-plan", MemfdFlags::CLOEXEC)?;
        let mut file = std::fs::File::from(file);
        file.write_all(&bytes)?;
        Ok(file.into())
    }
}

/// One action of a plan.
pub(crate) struct PlannedMount {
    pub(crate) kind: MountKind,
    /// A physical path, a content, or where a symlink leads.
    pub(crate) source: &'static CStr,
    /// Relative to the root inside.
    pub(crate) target: &'static CStr,
}

/// A mapped plan. It is never unmapped: the process that maps it serves one build.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    words: &'static [u64],
    bytes: &'static [u8],
}

impl Plan {
    /// Maps the memory file and makes its tables pointers. Damaged offsets are EINVAL, never a wild pointer.
    #[allow(unsafe_code)]
    pub(crate) fn map(file: impl AsFd) -> Result<Plan, Errno> {
        let length = usize::try_from(fstat(file.as_fd())?.st_size).map_err(|_| Errno::INVAL)?;
        if length < 8 * HEADER_WORDS || length % 8 != 0 {
            return Err(Errno::INVAL);
        }
        // SAFETY: a new private mapping at an address of the kernel's choice; the file was written completely before it
        // was sent, and nobody shrinks it.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
                file,
                0,
            )?
        };
        // SAFETY: the mapping is page-aligned, `length` bytes long, private to this process, and referred to by this slice alone.
        let words = unsafe { std::slice::from_raw_parts_mut(base.cast::<u64>(), length / 8) };
        for (at, count) in [(ARGV_AT, ARGV_COUNT), (ENVP_AT, ENVP_COUNT)] {
            let (at, count) = (words[at] as usize, words[count] as usize);
            let end = at.checked_add(count).ok_or(Errno::INVAL)?;
            for word in words.get_mut(at..end).ok_or(Errno::INVAL)? {
                if *word >= length as u64 {
                    return Err(Errno::INVAL);
                }
                *word += base as u64;
            }
        }
        if words[words.len() - 1].to_ne_bytes()[7] != 0 {
            // Every string must end inside; PlanWriter always ends with NUL.
            return Err(Errno::INVAL);
        }
        let words: &'static [u64] = words;
        // SAFETY: the same memory seen as bytes; both views are shared from here on and nobody writes any more.
        let bytes = unsafe { std::slice::from_raw_parts(base.cast::<u8>(), length) };
        Ok(Plan { words, bytes })
    }

    pub(crate) fn has(self, flag: u64) -> bool {
        self.words[FLAGS] & flag != 0
    }

    fn text(self, at: u64) -> Result<&'static CStr, Errno> {
        let bytes = self.bytes.get(at as usize..).ok_or(Errno::INVAL)?;
        CStr::from_bytes_until_nul(bytes).map_err(|_| Errno::INVAL)
    }

    pub(crate) fn builder(self) -> Result<&'static CStr, Errno> {
        self.text(self.words[BUILDER])
    }

    pub(crate) fn work_dir(self) -> Result<&'static CStr, Errno> {
        self.text(self.words[WORK_DIR])
    }

    pub(crate) fn hostname(self) -> Result<&'static CStr, Errno> {
        self.text(self.words[HOSTNAME])
    }

    /// The limit of processes, if there is one.
    pub(crate) fn max_processes(self) -> Option<u64> {
        Some(self.words[MAX_PROCESSES]).filter(|limit| *limit != 0)
    }

    pub(crate) fn mounts(self) -> impl Iterator<Item = Result<PlannedMount, Errno>> {
        let at = self.words[MOUNTS_AT] as usize;
        let words = self.words.get(at..).unwrap_or_default();
        words
            .chunks_exact(3)
            .take(self.words[MOUNT_COUNT] as usize)
            .map(move |words| {
                Ok(PlannedMount {
                    kind: match words[0] {
                        0 => MountKind::Input,
                        1 => MountKind::Fhs,
                        2 => MountKind::Extra,
                        3 => MountKind::Directory,
                        4 => MountKind::File,
                        5 => MountKind::Symlink,
                        _ => return Err(Errno::INVAL),
                    },
                    source: self.text(words[1])?,
                    target: self.text(words[2])?,
                })
            })
    }

    /// `argv` as `execve` takes it.
    pub(crate) fn argv(self) -> *const *const c_char {
        self.words[self.words[ARGV_AT] as usize..].as_ptr().cast()
    }

    /// `envp` as `execve` takes it.
    pub(crate) fn envp(self) -> *const *const c_char {
        self.words[self.words[ENVP_AT] as usize..].as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code)]
    fn a_plan_is_read_as_it_was_written() {
        let mut writer = PlanWriter::new(Path::new("/bin/sh"), Path::new("/scratch"), "localhost");
        writer.flags = FLAG_NETWORK;
        writer.max_processes = 7;
        writer.mount(MountKind::Extra, Path::new("/a"), Path::new("b/c"));
        writer.argument(OsStr::new("sh"));
        writer.argument(OsStr::new(""));
        writer.variable(OsStr::new("PATH"), OsStr::new("/x"));
        let plan = Plan::map(writer.finish().unwrap()).unwrap();
        assert!(plan.has(FLAG_NETWORK) && !plan.has(FLAG_LINUX32));
        assert_eq!(plan.builder().unwrap(), c"/bin/sh");
        assert_eq!(plan.work_dir().unwrap(), c"/scratch");
        assert_eq!(plan.hostname().unwrap(), c"localhost");
        assert_eq!(plan.max_processes(), Some(7));
        let mounts: Vec<_> = plan.mounts().map(Result::unwrap).collect();
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].kind, MountKind::Extra);
        assert_eq!((mounts[0].source, mounts[0].target), (c"/a", c"b/c"));
        let table = |mut at: *const *const c_char| {
            let mut all = Vec::new();
            // SAFETY: the tables end with a null pointer and point to strings.
            unsafe {
                while !(*at).is_null() {
                    all.push(CStr::from_ptr(*at).to_str().unwrap());
                    at = at.add(1);
                }
            }
            all
        };
        assert_eq!(table(plan.argv()), ["sh", ""]);
        assert_eq!(table(plan.envp()), ["PATH=/x"]);
    }
}
