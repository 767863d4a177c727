//! Quantities with units: durations and sizes as people write them, and back.

use std::fmt;
use std::time::Duration;

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// A number without a unit; carries the number.
    NoUnit(String),
    /// A unit that is not known; carries the unit.
    Unknown(String),
    /// No number in front.
    NoNumber,
    /// Larger than can be held.
    TooLarge,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnitError::NoUnit(number) => write!(f, "`{number}` has no unit"),
            UnitError::Unknown(unit) => write!(f, "`{unit}` is no known unit"),
            UnitError::NoNumber => write!(f, "there is no number in front"),
            UnitError::TooLarge => write!(f, "the quantity is too large"),
        }
    }
}

impl std::error::Error for UnitError {}

/// The units of a duration, shortest first, with their milliseconds.
pub const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The units of a size with their bytes (IEC 80000-13 for the binary ones).
pub const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

fn parse_quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    if number.is_empty() {
        return Err(UnitError::NoNumber);
    }
    if unit.is_empty() {
        return Err(UnitError::NoUnit(number.to_owned()));
    }
    let factor =
        units.iter().find(|(name, _)| *name == unit).ok_or_else(|| UnitError::Unknown(unit.to_owned()))?.1;
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    number.checked_mul(factor).ok_or(UnitError::TooLarge)
}

/// Reads a duration such as `250ms`, `30s`, `10m`, `2h`, `1d`.
///
/// # Errors
/// When the number or the unit is missing, unknown or too large.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse_quantity(text, &DURATION_UNITS).map(Duration::from_millis)
}

/// Reads a size in bytes such as `512B`, `10KiB`, `10MiB`, `1GiB`, `10MB`.
///
/// # Errors
/// When the number or the unit is missing, unknown or too large.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse_quantity(text, &SIZE_UNITS)
}

/// Writes a duration the way [`parse_duration`] reads it, in the largest unit that divides it.
pub fn format_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, factor) =
        DURATION_UNITS.iter().rev().find(|(_, factor)| ms % factor == 0 && ms > 0).unwrap_or(&("s", 1_000));
    format!("{}{unit}", ms / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected_ms: Result<u64, UnitError>) {
        assert_eq!(parse_duration(text), expected_ms.map(Duration::from_millis), "{text:?}");
    }

    #[test]
    fn durations_need_a_number_and_a_known_unit() {
        check("250ms", Ok(250));
        check("30s", Ok(30_000));
        check("10m", Ok(600_000));
        check("2h", Ok(7_200_000));
        check("1d", Ok(86_400_000));
        check("30", Err(UnitError::NoUnit("30".into())));
        check("30sec", Err(UnitError::Unknown("sec".into())));
        check("s", Err(UnitError::NoNumber));
        check("99999999999999999999s", Err(UnitError::TooLarge));
        check("18446744073709551615d", Err(UnitError::TooLarge));
    }

    #[test]
    fn sizes_know_binary_and_decimal_units() {
        assert_eq!(parse_size("10MiB"), Ok(10 << 20));
        assert_eq!(parse_size("10MB"), Ok(10_000_000));
        assert_eq!(parse_size("10mb"), Err(UnitError::Unknown("mb".into())));
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["250ms", "30s", "10m", "2h", "1d", "90s", "1500ms"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }
}
