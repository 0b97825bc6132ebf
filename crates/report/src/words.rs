//! Numbers for people.

use std::time::Duration;

/// Bytes in binary units: `1.5 KiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A duration: `12 ms`, `3.4 s`, `5 m 06 s`, `2 h 03 m`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.is_zero() {
        "0 s".to_owned()
    } else if duration < Duration::from_millis(1) {
        format!("{} µs", duration.as_micros())
    } else if duration < Duration::from_millis(995) {
        format!("{} ms", duration.as_millis())
    } else if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else if seconds < 3600 {
        format!("{} m {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60)
    }
}

/// The same in whole seconds, short, for what changes every second: `4s`, `1m04s`, `2h03m`.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{seconds}s")
    } else if seconds < 3600 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60)
    }
}

/// `1 file`, `2 files`: a number with its noun.
#[must_use]
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A moment, as the calendar has it in UTC: `2026-11-27 22:45:10`. `unix_ms` is in milliseconds since 1970.
#[must_use]
pub fn moment(unix_ms: u64) -> String {
    let (year, month, day, second) = calendar(unix_ms);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month, day (proleptic Gregorian calendar, UTC), and the second of the day.
pub(crate) fn calendar(unix_ms: u64) -> (u64, u64, u64, u64) {
    // The year 9999 is far enough for whatever a file says.
    let seconds = unix_ms.min(253_402_300_799_999) / 1000;
    let mut day = seconds / 86_400;
    let mut year = 1970;
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    loop {
        let length = 365 + u64::from(is_leap(year));
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1, seconds % 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
    }

    #[test]
    fn durations() {
        let both = |ms| {
            let duration = Duration::from_millis(ms);
            (super::duration(duration), seconds(duration))
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(duration(Duration::from_micros(7)), "7 µs");
        assert_eq!(both(994), pair("994 ms", "0s"));
        assert_eq!(both(996), pair("1.0 s", "0s"));
        assert_eq!(both(59_949), pair("59.9 s", "59s"));
        assert_eq!(both(59_960), pair("60.0 s", "59s"));
        assert_eq!(both(3_599_999), pair("59 m 59 s", "59m59s"));
        assert_eq!(both(7_384_000), pair("2 h 03 m", "2h03m"));
    }

    #[test]
    fn moments() {
        assert_eq!(moment(0), "1970-01-01 00:00:00");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(moment(1_735_689_599_999), "2024-12-31 23:59:59");
        assert_eq!(moment(1_795_819_510_000), "2026-11-27 22:45:10");
    }
}
