//! Checks of numbers and of quantities with units.

use super::site::Site;
use crate::code::Code;
use crate::tree::Text;
use haus_model::unit::{self, UnitError};
use std::time::Duration;

/// Longest duration that a plan may name; longer is a slip.
pub(super) const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

/// A family of quantities.
struct Family {
    units: &'static [(&'static str, u64)],
    /// The unit that a bare number most often means.
    usual: &'static str,
    example: &'static str,
}

const DURATIONS: Family = Family { units: &unit::DURATION_UNITS, usual: "s", example: "30s" };
const SIZES: Family = Family { units: &unit::SIZE_UNITS, usual: "MiB", example: "10MiB" };

/// A whole number within its bounds.
pub(super) fn whole(site: Site<'_, '_>, value: Text<'_>, least: i64, most: i64) {
    if !value.text.parse::<i64>().is_ok_and(|number| (least..=most).contains(&number)) {
        let message = format!("`{}` must be between {least} and {most}", site.key());
        let fault = site.fault(Code::Range, value.span, message);
        site.report(fault.label("out of its range").remedy("choose another number"));
    }
}

/// A number of cores.
pub(super) fn cores(site: Site<'_, '_>, value: Text<'_>) {
    if parse_cores(value.text).is_none() {
        let message = format!("`{}` must be between 0.001 and 1024 cores", site.key());
        let fault = site.fault(Code::Range, value.span, message);
        site.report(fault.label("out of its range").remedy("write a number such as `0.5`"));
    }
}

/// A port number; `auto` never comes here.
pub(super) fn port(site: Site<'_, '_>, value: Text<'_>) {
    if !value.text.parse::<u16>().is_ok_and(|port| port > 0) {
        let fault = site.fault(Code::PortRange, value.span, format!("{} is not a port", value.text));
        site.report(fault.label("not a port").remedy("write a number from 1 to 65535, or `auto`"));
    }
}

/// The format version.
pub(super) fn version(site: Site<'_, '_>, value: Text<'_>) {
    if value.text != "1" {
        let message = format!("format version {} is not known to this release", value.text);
        let fault = site.fault(Code::Version, value.span, message);
        site.report(fault.label("unknown version").remedy("write `haus: 1`"));
    }
}

/// A duration that is neither too short to be carried out nor longer than what can be meant.
pub(super) fn duration(site: Site<'_, '_>, value: Text<'_>, least: Duration, most: Duration) {
    match unit::parse_duration(value.text) {
        Err(error) => wrong_unit(site, value, &error, &DURATIONS),
        Ok(duration) if duration < least || duration > most => {
            let (least, most) = (unit::format_duration(least), unit::format_duration(most));
            let message = format!("`{}` must be between {least} and {most}", site.key());
            let fault = site.fault(Code::Range, value.span, message);
            site.report(fault.label("out of its range").remedy("choose another duration"));
        }
        Ok(_) => {}
    }
}

/// A size in bytes that is not too small to be of use.
pub(super) fn size(site: Site<'_, '_>, value: Text<'_>, least: u64) {
    match unit::parse_size(value.text) {
        Err(error) => wrong_unit(site, value, &error, &SIZES),
        Ok(size) if size < least => {
            let message = format!("`{}` must be at least {}", site.key(), written(least));
            let fault = site.fault(Code::Range, value.span, message);
            site.report(fault.label("too small to work").remedy("choose a larger size"));
        }
        Ok(_) => {}
    }
}

/// A size in the largest unit that says it exactly.
fn written(bytes: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    let largest = SIZES.units.iter().rev().find(fits);
    largest.map_or_else(|| format!("{bytes}B"), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

/// Why a text is no quantity, and how to write it.
fn wrong_unit(site: Site<'_, '_>, value: Text<'_>, error: &UnitError, family: &Family) {
    let all = || family.units.iter().map(|(unit, _)| *unit).collect::<Vec<_>>().join(", ");
    let mut message = format!("`{}`: {error}", site.key());
    let (code, remedy) = match error {
        UnitError::TooLarge => (Code::Range, "write a smaller quantity".to_owned()),
        UnitError::NoUnit(number) => {
            (Code::Unit, format!("write `{number}{}`, or another unit of {}", family.usual, all()))
        }
        UnitError::NoNumber => {
            (Code::Unit, format!("write a number with a unit, such as `{}`", family.example))
        }
        // `1.5s`: the model reads whole numbers, so the fraction looks like a part of the unit.
        UnitError::Unknown(unit) if unit.starts_with('.') => {
            message = format!("`{}`: fractions are not known here", site.key());
            (Code::Unit, "write a whole number with a smaller unit".to_owned())
        }
        UnitError::Unknown(unit) => match nearest_unit(unit.trim(), family) {
            Some(near) => (Code::Unit, format!("did you mean `{near}`? known are {}", all())),
            None => (Code::Unit, format!("write one of {} after the number", all())),
        },
    };
    site.report(site.fault(code, value.span, message).label("not understood").remedy(remedy));
}

/// `mb` → `MB`, `sec` → `s`.
fn nearest_unit(unit: &str, family: &Family) -> Option<&'static str> {
    let known = || family.units.iter().map(|(known, _)| *known);
    let same_letters = known().find(|known| known.eq_ignore_ascii_case(unit));
    same_letters.or_else(|| known().find(|known| known.len() == 1 && unit.starts_with(*known)))
}

/// Reads cores as thousandths.
pub(crate) fn parse_cores(text: &str) -> Option<u32> {
    let cores: f64 = text.parse().ok()?;
    let milli = (cores * 1000.0).round();
    // The bounds make the conversion exact.
    (1.0..=1_024_000.0).contains(&milli).then_some(milli as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u32>) {
        assert_eq!(parse_cores(text), expected, "{text}");
    }

    #[test]
    fn cores_are_thousandths_within_reason() {
        check("0.5", Some(500));
        check("2", Some(2_000));
        check("0.001", Some(1));
        check("0", None);
        check("-1", None);
        check("1e9", None);
        check("nan", None);
    }
}
