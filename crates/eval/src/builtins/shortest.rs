//! The digits of a floating-point number in JSON.
//!
//! Nix's JSON library finds them with Grisu2 (F. Loitsch, *Printing Floating-Point Numbers Quickly and Accurately with
//! Integers*, 2010). It always gives digits that read back as the same number, but one time in a thousand not the
//! fewest or not the nearest. They are part of derivations, so the same is done here.

/// `significand` · 2^`exponent`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scaled {
    significand: u64,
    exponent: i32,
}

impl Scaled {
    /// The same number with the highest bit of the significand set.
    fn normalized(self) -> Self {
        let shift = self.significand.leading_zeros();
        Self {
            significand: self.significand << shift,
            exponent: self.exponent - shift.cast_signed(),
        }
    }

    /// The product, rounded to 64 bits.
    #[allow(clippy::cast_possible_truncation)] // The upper half of 128 bits.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.significand) * u128::from(other.significand);
        Self {
            significand: ((product + (1 << 63)) >> 64) as u64,
            exponent: self.exponent + other.exponent + 64,
        }
    }
}

/// The powers of ten that are used are 10^(`FIRST_POWER` + 8 n).
const FIRST_POWER: i32 = -300;

/// 10^`power`, rounded to 64 bits; `power` is 4 more or less than a multiple of 8.
#[allow(clippy::cast_possible_truncation)] // Halves of 128 bits, and lengths below a thousand.
fn power_of_ten(power: i32) -> Scaled {
    // A whole number, the lowest limb first, and the power of two that it is multiplied by. Of a fraction, 128 bits
    // and more are computed.
    let factors = std::iter::once(10_000).chain(std::iter::repeat_n(
        100_000_000,
        power.unsigned_abs() as usize / 8,
    ));
    let mut limbs = vec![1u64];
    let mut exponent = 0;
    if power < 0 {
        let zeros = power.unsigned_abs() as usize * 4 / 64 + 2;
        limbs = vec![0; zeros];
        limbs.push(1);
        exponent = -64 * zeros as i32;
    }
    for factor in factors {
        let mut carry = 0;
        if power < 0 {
            for limb in limbs.iter_mut().rev() {
                let whole = carry << 64 | u128::from(*limb);
                *limb = (whole / factor) as u64;
                carry = whole % factor;
            }
        } else {
            for limb in &mut limbs {
                let product = u128::from(*limb) * factor + carry;
                *limb = product as u64;
                carry = product >> 64;
            }
            if carry > 0 {
                limbs.push(carry as u64);
            }
        }
    }
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
    let limb = |from_top: usize| {
        limbs
            .len()
            .checked_sub(from_top + 1)
            .map_or(0, |index| limbs[index])
    };
    let top = u128::from(limb(0)) << 64 | u128::from(limb(1));
    let shift = top.leading_zeros();
    let rounded = (((top << shift) >> 63) + 1) >> 1;
    Scaled {
        significand: rounded as u64,
        exponent: exponent + 64 * (limbs.len() as i32 - 1) - shift.cast_signed(),
    }
}

/// The digits of a positive, finite number, and where the decimal point goes, counted from before the first digit.
pub(super) fn digits(value: f64) -> (String, i32) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let biased = i32::try_from(bits >> 52).unwrap_or(0);
    let number = if biased == 0 {
        Scaled {
            significand: fraction,
            exponent: -1074,
        }
    } else {
        Scaled {
            significand: fraction | 1 << 52,
            exponent: biased - 1075,
        }
    };
    // Halfway to the numbers above and below; at a power of two, the one below is nearer.
    let above = Scaled {
        significand: 2 * number.significand + 1,
        exponent: number.exponent - 1,
    }
    .normalized();
    let (significand, exponent) = if fraction == 0 && biased > 1 {
        (4 * number.significand - 1, number.exponent - 2)
    } else {
        (2 * number.significand - 1, number.exponent - 1)
    };
    let below = Scaled {
        significand: significand << (exponent - above.exponent),
        exponent: above.exponent,
    };
    // A power of ten that brings the exponent between -60 and -32. 78913 / 2^18 is the logarithm of 2.
    let missing = -61 - above.exponent;
    let power = missing * 78913 / (1 << 18) + i32::from(missing > 0);
    let power = FIRST_POWER + (power - FIRST_POWER + 7) / 8 * 8;
    let scale = power_of_ten(power);
    let number = number.normalized().times(scale);
    let above = above.times(scale);
    let below = below.times(scale);
    // Both may be one off.
    let high = above.significand - 1;
    let low = below.significand + 1;
    generate(
        high,
        high - low,
        high - number.significand,
        -above.exponent,
        -power,
    )
}

/// The fewest digits of a number below `high` / 2^`point` by at most `width`, as near as can be to the one that is below
/// by `distance`, where the digits stand for that many times 10^`exponent`.
fn generate(high: u64, width: u64, distance: u64, point: i32, exponent: i32) -> (String, i32) {
    let one = 1u64 << point;
    let mut whole = high >> point;
    let mut rest = high & (one - 1);
    let mut digits = Vec::new();
    let mut place = 1u64;
    let mut places = 1;
    while whole / place >= 10 {
        place *= 10;
        places += 1;
    }
    let mut exponent = exponent;
    let (mut width, mut distance) = (width, distance);
    let mut done = false;
    while places > 0 {
        digits.push(b'0' + (whole / place) as u8);
        whole %= place;
        places -= 1;
        let left = (whole << point) + rest;
        if left <= width {
            exponent += places;
            round(&mut digits, distance, width, left, place << point);
            done = true;
            break;
        }
        place /= 10;
    }
    while !done {
        rest *= 10;
        width *= 10;
        distance *= 10;
        digits.push(b'0' + (rest >> point) as u8);
        rest &= one - 1;
        exponent -= 1;
        if rest <= width {
            round(&mut digits, distance, width, rest, one);
            done = true;
        }
    }
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let digits = digits.into_iter().map(char::from).collect();
    (digits, count + exponent)
}

/// Lowers the last digit, which is worth `unit`, as long as that brings the digits nearer to the number.
fn round(digits: &mut [u8], distance: u64, width: u64, left: u64, unit: u64) {
    let Some(last) = digits.last_mut() else {
        return;
    };
    let mut left = left;
    while left < distance
        && width - left >= unit
        && (left + unit < distance || distance - left > left + unit - distance)
    {
        *last -= 1;
        left += unit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_rounded() {
        let power = |power| {
            let Scaled {
                significand,
                exponent,
            } = power_of_ten(power);
            (significand, exponent)
        };
        assert_eq!(power(4), (10_000 << 50, -50));
        assert_eq!(power(12), (1_000_000_000_000 << 24, -24));
        assert_eq!(power(-4), (0xd1b7_1758_e219_652c, -77));
    }

    #[test]
    fn digits_read_back() {
        let mut bits = 0x0123_4567_89ab_cdefu64;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = f64::from_bits(bits >> 1);
            if !value.is_finite() || value == 0.0 {
                continue;
            }
            let (digits, point) = digits(value);
            assert!(digits.len() <= 17, "{value:e}: {digits}");
            let text = format!("0.{digits}e{point}");
            assert_eq!(text.parse(), Ok(value), "{text}");
        }
    }

    #[test]
    fn not_always_the_fewest() {
        assert_eq!(digits(5e22), ("49999999999999996".into(), 23));
        assert_eq!(digits(1e23), ("9999999999999999".into(), 23));
        assert_eq!(digits(1e22), ("1".into(), 23));
        assert_eq!(digits(5e-324), ("5".into(), -323));
        assert_eq!(digits(f64::MAX), ("17976931348623157".into(), 309));
    }
}
