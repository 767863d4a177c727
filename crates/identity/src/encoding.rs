//! Hexadecimal and base64url as the tokens use them: one text for each value, no padding, lower case.
//! Both readers refuse every other spelling, so that a token has no second text that would mean the same.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Base64url without padding (RFC 4648, section 5).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads what [`base64url`] writes; none for padding, other alphabets, or unused bits that are set.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Reads exactly `N` bytes of lower-case hexadecimal.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<[u8; 2]>) {
        assert_eq!(from_hex::<2>(text), expected, "{text:?}");
    }

    #[test]
    fn hexadecimal_has_one_spelling() {
        check("00ff", Some([0, 255]));
        check("00FF", None);
        check("00f", None);
        check("00ff0", None);
        check("é0f", None);
        assert_eq!(hex(&[0, 255, 122]), "00ff7a");
    }

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(from_base64url("_-A").as_deref(), Some(&[0xff, 0xe0][..]));
        for other in ["_-A=", "/+A", "_-B", "_-A\n", " _-A", "_"] {
            assert_eq!(from_base64url(other), None, "{other:?}");
        }
    }
}
