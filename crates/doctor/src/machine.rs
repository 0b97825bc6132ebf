//! Memory, time and the way to the mirrors.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use xbuild_fetch::Fetcher;
use xbuild_sandbox::Hierarchy;

use crate::{Check, State};

const GIB: u64 = 1 << 30;

/// What one build is likely to want, in bytes.
const FOR_A_BUILD: u64 = GIB;

/// A small file that every Debian mirror has.
const ON_EVERY_MIRROR: &str = "mirror://debian/dists/bookworm/Release.gpg";

/// Whether the builds that run at once have the memory they are likely to want.
pub(crate) fn memory(max_jobs: usize) -> Check {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let groups = Hierarchy::of_process();
    let limit = groups.and_then(|groups| groups.memory_limit().zip(groups.memory_left()));
    judge_memory(&text, limit, max_jobs)
}

/// With the limit of the control groups and what it leaves.
fn judge_memory(meminfo: &str, limit: Option<(u64, u64)>, max_jobs: usize) -> Check {
    let name = "memory";
    let field = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    };
    let (Some(total), Some(available)) = (field("MemTotal:"), field("MemAvailable:")) else {
        return Check::bad(
            name,
            State::Warning,
            "/proc/meminfo does not say how much there is",
            "mount /proc",
        );
    };
    let (found, available) = match limit {
        Some((limit, left)) if left < available => (
            format!(
                "{} of the {} that the control group may have, on a machine with {}",
                gib(left),
                gib(limit),
                gib(total)
            ),
            left,
        ),
        _ => (
            format!("{} of {} available", gib(available), gib(total)),
            available,
        ),
    };
    let fits = (available / FOR_A_BUILD).max(1);
    if max_jobs as u64 > fits {
        return Check::bad(
            name,
            State::Warning,
            format!("{found}, for {max_jobs} builds at once"),
            format!("run fewer at once (`--max-jobs {fits}`), or free some memory"),
        );
    }
    Check::ok(name, found)
}

pub(crate) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}

/// The machine's `/dev/shm`, which programs outside of sandboxes use, QEMU among them. Builds have one of their own.
pub(crate) fn shared_memory() -> Check {
    let name = "shared memory";
    let path = Path::new("/dev/shm");
    let remedy = "run `sudo mount -t tmpfs -o mode=1777 shm /dev/shm`";
    match statvfs(path) {
        Err(error) => Check::bad(name, State::Warning, format!("/dev/shm: {error}"), remedy),
        Ok(_) if access(path, Access::WRITE_OK).is_err() => {
            Check::bad(name, State::Warning, "/dev/shm cannot be written", remedy)
        }
        Ok(found) if found.f_flag.contains(StatVfsMountFlags::RDONLY) => {
            Check::bad(name, State::Warning, "/dev/shm is read-only", remedy)
        }
        Ok(found) => Check::ok(
            name,
            format!("/dev/shm has {} free", gib(found.f_bavail * found.f_frsize)),
        ),
    }
}

/// A clock that is behind makes every certificate invalid. It cannot be earlier than this program.
pub(crate) fn clock() -> Check {
    let built = std::env::current_exe()
        .and_then(fs::metadata)
        .and_then(|program| program.modified());
    judge_clock(SystemTime::now(), built.ok())
}

fn judge_clock(now: SystemTime, built: Option<SystemTime>) -> Check {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let behind = built.is_some_and(|built| now + DAY < built);
    if behind {
        return Check::bad(
            "clock",
            State::Error,
            "the clock is behind: this program's file is from the future",
            "set the clock (`sudo timedatectl set-ntp true`)",
        );
    }
    Check::ok("clock", "the clock is not behind this program's file")
}

/// Whether the Debian mirror answers.
pub(crate) fn mirror(fetcher: &Fetcher, patience: Duration) -> Check {
    let name = "mirror";
    let remedy = "set `debian-mirror` to a mirror that this machine reaches (and `http_proxy`, `https_proxy` if it needs a proxy)";
    let Ok(scratch) = tempfile::tempdir() else {
        return Check::bad(
            name,
            State::Warning,
            "no temporary directory can be made",
            "set TMPDIR to a directory that can be written",
        );
    };
    let cancel = AtomicBool::new(false);
    let done = AtomicBool::new(false);
    let fetched = thread::scope(|scope| {
        scope.spawn(|| {
            let until = Instant::now() + patience;
            while !done.load(Ordering::SeqCst) && Instant::now() < until {
                thread::sleep(Duration::from_millis(10));
            }
            cancel.store(true, Ordering::SeqCst);
        });
        let fetched = fetcher.fetch(
            ON_EVERY_MIRROR,
            &scratch.path().join("answer"),
            None,
            &mut |_| {},
            &cancel,
        );
        done.store(true, Ordering::SeqCst);
        fetched
    });
    match fetched {
        Ok(_) => Check::ok(name, "the Debian mirror answers"),
        Err(_) if cancel.load(Ordering::SeqCst) && !done.load(Ordering::SeqCst) => Check::bad(
            name,
            State::Warning,
            format!(
                "the Debian mirror did not answer in {} s",
                patience.as_secs()
            ),
            remedy,
        ),
        Err(error) => Check::bad(name, State::Warning, error.to_string(), remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_weighed_against_the_builds() {
        let meminfo = "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    4194304 kB\n";
        let found = judge_memory(meminfo, None, 4);
        assert_eq!(
            (found.state, found.found.as_str()),
            (State::Ok, "4.0 GiB of 16.0 GiB available")
        );
        let found = judge_memory(meminfo, None, 5);
        assert_eq!(found.state, State::Warning);
        assert!(found.remedy.unwrap().contains("--max-jobs 4"));
        assert_eq!(judge_memory("", None, 1).state, State::Warning);
        // Limits of control groups count where they leave less.
        assert_eq!(
            judge_memory(meminfo, Some((8 * GIB, 5 * GIB)), 4).state,
            State::Ok
        );
        let found = judge_memory(meminfo, Some((3 * GIB, 2 * GIB)), 4);
        assert_eq!(
            found.found,
            "2.0 GiB of the 3.0 GiB that the control group may have, on a machine with 16.0 GiB, for 4 builds at once"
        );
        assert!(found.remedy.unwrap().contains("--max-jobs 2"));
    }

    #[test]
    fn a_clock_behind_the_program_is_wrong() {
        let now = SystemTime::now();
        let hours = |n: u64| Duration::from_secs(n * 3600);
        assert_eq!(judge_clock(now, None).state, State::Ok);
        assert_eq!(judge_clock(now, Some(now - hours(1000))).state, State::Ok);
        assert_eq!(judge_clock(now, Some(now + hours(2))).state, State::Ok);
        assert_eq!(judge_clock(now, Some(now + hours(48))).state, State::Error);
    }
}
