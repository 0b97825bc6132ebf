//! How much memory this process uses, and an end to it if that is too much.

use std::time::Duration;

/// The exit code of a worker that used too much memory in the middle of an evaluation.
pub const TOO_MUCH: u8 = 101;

/// How often a worker looks at its memory during an evaluation.
const INTERVAL: Duration = Duration::from_millis(50);

/// The memory in use (resident set size) in bytes; 0 if it cannot be found out.
#[must_use]
pub fn resident() -> u64 {
    // In kB, as proc_pid_status(5) says: independent of the page size.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Ends the process with [`TOO_MUCH`] when it uses more than `limit` bytes: of one attribute that eats memory without end,
/// no reply comes back.
///
/// # Errors
///
/// If there can be no thread to look.
pub fn watch(limit: u64) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("memory".into())
        .spawn(move || {
            loop {
                std::thread::sleep(INTERVAL);
                if resident() > limit {
                    std::process::exit(i32::from(TOO_MUCH));
                }
            }
        })?;
    Ok(())
}
