//! What memory the machine has, as far as builds are concerned.

use std::collections::BTreeSet;
use std::fs;

use xbuild_sandbox::Hierarchy;
use xbuild_scheduler::Memory;

/// The share of time, in percent of the last ten seconds, that processes waited for memory, above which nothing more starts
/// (`some avg10` of `/proc/pressure/memory`), if memory is scarce as well.
const PRESSURE: f64 = 20.0;

/// Memory is scarce when less than one part in so many is left. As long as there is more, who waits does so for the page cache, or at the limit
/// of a control group that is none of this process's: to start fewer builds would help nobody.
const SCARCE: u64 = 4;

/// What there is now, in the machine and in what the control groups that this process is in (`groups`) leave it; `None` where the kernel does
/// not tell. What the builds use is looked up only if that is asked for: else it counts as nothing, so that less seems to be left than is.
pub(crate) fn measure(groups: Option<&Hierarchy>, with_used: bool) -> Option<Memory> {
    let machine = fs::read_to_string("/proc/meminfo").ok()?;
    let (free, total) = (available(&machine)?, field(&machine, "MemTotal:")?);
    let left = groups.and_then(Hierarchy::memory_left);
    let limit = groups.and_then(Hierarchy::memory_limit);
    let scarce = is_scarce(free, total) || left.zip(limit).is_some_and(|(l, of)| is_scarce(l, of));
    let free = left.map_or(free, |left| left.min(free));
    // A kernel without it knows no pressure.
    let pressure = fs::read_to_string("/proc/pressure/memory").unwrap_or_default();
    Some(Memory {
        free,
        used: if with_used {
            used_below(std::process::id())
        } else {
            0
        },
        pressure: is_short(scarce, &pressure),
    })
}

/// Whether so little of `total` is left that those who wait for memory do so because there is none.
const fn is_scarce(left: u64, total: u64) -> bool {
    left < total / SCARCE
}

/// Whether processes wait for memory, by the text of `/proc/pressure/memory`, because there is none.
fn is_short(scarce: bool, pressure: &str) -> bool {
    scarce && waiting(pressure).is_some_and(|share| share > PRESSURE)
}

/// How many processes the kernel has killed since it started because there was no memory, on the whole machine.
pub(crate) fn kills() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line?.trim().parse().ok()
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(text: &str) -> Option<u64> {
    field(text, "MemAvailable:")
}

/// A field of a file of `/proc` that is in kibibytes, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.split_ascii_whitespace().next()?;
    number.parse::<u64>().ok()?.checked_mul(1024)
}

/// The share of time in which some process waited, in percent of the last ten seconds.
fn waiting(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let share = line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("avg10="))?;
    share.parse().ok()
}

/// The memory of all processes that descend from `process`, in bytes: what would have to be written to swap.
fn used_below(process: u32) -> u64 {
    let mut used = 0_u64;
    let mut seen = BTreeSet::from([process]);
    let mut pending = vec![process];
    while let Some(process) = pending.pop() {
        let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
            continue; // It has ended.
        };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children
                .split_ascii_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok());
            for child in children {
                if !seen.insert(child) {
                    continue;
                }
                if let Ok(status) = fs::read_to_string(format!("/proc/{child}/status")) {
                    let part = |name| field(&status, name).unwrap_or(0);
                    used = used.saturating_add(part("RssAnon:") + part("RssShmem:"));
                }
                pending.push(child);
            }
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel() {
        let meminfo = "MemTotal:       24689764 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(available(meminfo), Some(20_000_000 * 1024));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        let pressure = "some avg10=12.50 avg60=0.00 avg300=0.00 total=9\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(waiting(pressure), Some(12.5));
        assert_eq!(waiting(""), None);
    }

    #[test]
    fn who_waits_while_there_is_memory_holds_nothing_up() {
        let waiting = "some avg10=21.57 avg60=12.77 avg300=4.67 total=444808326\n";
        let calm = "some avg10=3.00 avg60=12.77 avg300=4.67 total=444808326\n";
        let total = 24 << 30;
        assert!(!is_short(is_scarce(9 << 30, total), waiting));
        assert!(is_short(is_scarce(5 << 30, total), waiting));
        assert!(!is_short(is_scarce(5 << 30, total), calm));
        assert!(!is_short(is_scarce(0, total), ""));
    }

    #[test]
    fn this_machine_is_measured() {
        let memory = measure(Hierarchy::of_process().as_ref(), true).expect("Linux 3.14 or newer");
        assert!(memory.free > 0);
        assert!(kills().is_some(), "Linux 4.13 or newer");
    }

    #[test]
    fn memory_of_a_child_is_seen() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let used = used_below(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(used > 0);
    }
}
