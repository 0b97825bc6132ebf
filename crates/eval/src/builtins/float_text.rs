//! Floating-point numbers as text, in the three ways the language shows them.

use super::shortest;

/// As `builtins.toString` does: C's `%f`.
pub(crate) fn fixed(value: f64) -> String {
    special(value).unwrap_or_else(|| format!("{value:.6}"))
}

/// As values are printed, also in XML: C's `%g`, six significant digits.
pub(crate) fn general(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        let digits = usize::try_from(5 - exponent).unwrap_or(0);
        return strip_zeros(&format!("{value:.digits$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!(
        "{}e{sign}{:02}",
        strip_zeros(mantissa),
        exponent.unsigned_abs()
    )
}

/// As `builtins.toJSON` does: digits that read back as the same number; `null` for what JSON cannot say.
pub(crate) fn json(value: f64) -> String {
    if !value.is_finite() {
        return "null".to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() {
            "-0.0"
        } else {
            "0.0"
        }
        .to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let (digits, point) = shortest::digits(value.abs());
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    match usize::try_from(point) {
        Ok(at) if count <= point && point <= 15 => {
            format!("{sign}{digits}{}.0", "0".repeat(at - digits.len()))
        }
        Ok(at) if 0 < point && point <= 15 => format!("{sign}{}.{}", &digits[..at], &digits[at..]),
        _ if -4 < point && point <= 0 => {
            format!(
                "{sign}0.{}{digits}",
                "0".repeat(point.unsigned_abs() as usize)
            )
        }
        _ => {
            let exponent = point - 1;
            let exponent_sign = if exponent < 0 { '-' } else { '+' };
            let exponent = exponent.unsigned_abs();
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{dot}{rest}e{exponent_sign}{exponent:02}")
        }
    }
}

fn special(value: f64) -> Option<String> {
    let name = if value.is_nan() {
        "nan"
    } else if value.is_infinite() {
        "inf"
    } else {
        return None;
    };
    let sign = if value.is_sign_negative() { "-" } else { "" };
    Some(format!("{sign}{name}"))
}

fn strip_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_printed() {
        let cases = [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e10, "1e+10"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23457e+08"),
            (1e-5, "1e-05"),
            (1.5e300, "1.5e+300"),
            (100_000.0, "100000"),
            (999_999.5, "1e+06"),
            (0.000_123_45, "0.00012345"),
            (-2.5, "-2.5"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in cases {
            assert_eq!(general(value), text);
        }
    }

    #[test]
    fn as_string() {
        assert_eq!(fixed(1.0), "1.000000");
        assert_eq!(fixed(-1.0 / 3.0), "-0.333333");
        assert_eq!(fixed(f64::INFINITY), "inf");
    }

    #[test]
    fn as_json() {
        let cases = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e10, "10000000000.0"),
            (1e15, "1e+15"),
            (1e14, "100000000000000.0"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-1e-7, "-1e-07"),
            (1.5e300, "1.5e+300"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1.0 / 3.0, "0.3333333333333333"),
            (123.456, "123.456"),
            (5e22, "4.9999999999999996e+22"),
            (f64::NAN, "null"),
        ];
        for (value, text) in cases {
            assert_eq!(json(value), text);
        }
    }
}
