//! What the spawner, and with it the first process of each build, shows in `/proc` that xbuild must not: its command line, which a
//! build can read and in which there may be access tokens; and how dear it is to the kernel when memory runs out.
//!
//! What runs after the fork allocates nothing. Nothing here is needed for a build, so what fails is passed over.

use std::ops::Range;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The name that is shown instead of the command line.
const NAME: &[u8] = b"xbuild-spawner\0";

/// How much sooner than xbuild itself a build is killed when memory runs out, in thousandths of all memory
/// (`/proc/PID/oom_score_adj`, proc(5)).
const OOM_SCORE: i32 = 500;

/// Where in the memory of this process, and of those that are forked from it, the kernel finds the command line: `arg_start` and
/// `arg_end` of `/proc/self/stat` (proc(5)).
pub(crate) fn arguments() -> Option<Range<u64>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    parse_arguments(&stat)
}

fn parse_arguments(stat: &str) -> Option<Range<u64>> {
    // The second field, a name in parentheses, may have blanks and parentheses in it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let start = fields.nth(48 - 3)?.parse().ok()?;
    let end = fields.next()?.parse().ok()?;
    (start < end).then_some(start..end)
}

/// Writes over this process's own copy of the command line, which nothing here reads any more.
pub(crate) fn hide_arguments(place: Range<u64>) {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let Ok(memory) = rustix::fs::open(c"/proc/self/mem", flags, Mode::empty()) else {
        return;
    };
    let zeros = [0; 4096];
    let mut at = place.start;
    while at < place.end {
        let left = usize::try_from(place.end - at).unwrap_or(usize::MAX);
        match rustix::io::pwrite(&memory, &zeros[..left.min(zeros.len())], at) {
            Err(Errno::INTR) => {}
            Ok(written @ 1..) => at += written as u64,
            _ => return,
        }
    }
    // The last byte stays NUL: with another there, the kernel takes what follows, the environment, for more of the command line.
    if NAME.len() as u64 <= place.end - place.start {
        let _ = rustix::io::pwrite(&memory, NAME, place.start);
    }
}

/// Lets the kernel kill builds, which inherit this, before xbuild.
pub(crate) fn offer_to_oom_killer() {
    let file = c"/proc/self/oom_score_adj";
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(file, flags, Mode::empty()) else {
        return;
    };
    let mut now = [0; 16];
    let length = rustix::io::read(&file, &mut now).unwrap_or(0);
    let now = std::str::from_utf8(&now[..length]).map(str::trim);
    if now.is_ok_and(|now| now.parse::<i32>().is_ok_and(|now| now < OOM_SCORE)) {
        let _ = rustix::io::pwrite(&file, b"500", 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_found() {
        let rest = (3..=52).map(|field| format!(" {field}"));
        let stat = format!("7 (a ) b){}\n", rest.collect::<String>());
        assert_eq!(parse_arguments(&stat), Some(48..49));
        assert_eq!(parse_arguments("7 (short) S 1"), None);
        assert_eq!(parse_arguments(""), None);
        let own = arguments().unwrap();
        let length = std::fs::read("/proc/self/cmdline").unwrap().len();
        assert_eq!(own.end - own.start, length as u64);
    }
}
