//! YAML's core schema: which plain scalar is a number, a boolean or nothing.
//!
//! Knows no parser. `no`, `on` and `yes` are texts, as YAML 1.2 says.

/// What a scalar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    Text,
    Null,
    Bool(bool),
    /// Digits with an optional sign; may be too large for any type of ours.
    Integer,
    Float,
}

impl ScalarKind {
    /// What a message calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ScalarKind::Text => "a text",
            ScalarKind::Null => "nothing",
            ScalarKind::Bool(_) => "a boolean",
            ScalarKind::Integer => "a number",
            ScalarKind::Float => "a number with a fraction",
        }
    }

    /// The kind of a scalar written without quotes.
    pub(crate) fn of_plain(text: &str) -> ScalarKind {
        let Some(&first) = text.as_bytes().first() else { return ScalarKind::Null };
        match first {
            b'0'..=b'9' | b'+' | b'-' | b'.' => number(text),
            b'~' | b'n' | b'N' if matches!(text, "~" | "null" | "Null" | "NULL") => ScalarKind::Null,
            b't' | b'T' if matches!(text, "true" | "True" | "TRUE") => ScalarKind::Bool(true),
            b'f' | b'F' if matches!(text, "false" | "False" | "FALSE") => ScalarKind::Bool(false),
            _ => ScalarKind::Text,
        }
    }
}

fn number(text: &str) -> ScalarKind {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return ScalarKind::Float;
    }
    // `007` is a number for YAML, but whoever writes it means the text.
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    if leading_zero || digits.is_empty() {
        return ScalarKind::Text;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return ScalarKind::Integer;
    }
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        None => (digits, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let has_digits = (!whole.is_empty() || !fraction.is_empty()) && !exponent.is_empty();
    if has_digits && all_digits(whole) && all_digits(fraction) && all_digits(exponent) {
        ScalarKind::Float
    } else {
        ScalarKind::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: ScalarKind) {
        assert_eq!(ScalarKind::of_plain(text), expected, "{text:?}");
    }

    #[test]
    fn words_that_older_yaml_took_for_booleans_are_texts() {
        for text in ["no", "on", "yes", "off", "y", "nil", "nothing", "truth", "1.2.3", "30s", "0644"] {
            check(text, ScalarKind::Text);
        }
    }

    #[test]
    fn the_core_schema_is_known() {
        check("", ScalarKind::Null);
        check("~", ScalarKind::Null);
        check("null", ScalarKind::Null);
        check("true", ScalarKind::Bool(true));
        check("FALSE", ScalarKind::Bool(false));
        check("0", ScalarKind::Integer);
        check("-12", ScalarKind::Integer);
        check("1.5", ScalarKind::Float);
        check("1e3", ScalarKind::Float);
        check(".5", ScalarKind::Float);
        check("-.inf", ScalarKind::Float);
        check("-", ScalarKind::Text);
        check("1e", ScalarKind::Text);
        check(".", ScalarKind::Text);
    }
}
