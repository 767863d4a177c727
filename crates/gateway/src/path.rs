//! Request paths made safe: one text to match routes by, one to pass on.
//!
//! Both are needed. Matching works on what a service will understand (`/%61pi` is `/api`), so that nothing
//! slips past a route by spelling; what is passed on keeps the client's own spelling, except that dot
//! segments are resolved here and never left to the service.

use std::borrow::Cow;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathFault {
    /// Not a path at all: `*` or nothing.
    Form,
    /// `%` without two hexadecimal digits.
    Escape,
    /// A control character, `%00` above all.
    Control,
    /// `..` that climbs above the root, or that hides behind an encoded slash or a backslash.
    Climb,
}

/// A path whose dot segments are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SafePath<'a> {
    /// Decoded, without empty segments: routes and files are matched by this. An encoded slash stays `%2F`.
    pub(crate) text: Cow<'a, str>,
    /// As the client spelled it: this is passed on.
    pub(crate) wire: Cow<'a, str>,
}

/// Resolves a raw path.
///
/// # Errors
/// The path cannot mean the same to us and to every service behind us.
pub(crate) fn safe_path(raw: &str) -> Result<SafePath<'_>, PathFault> {
    if !raw.starts_with('/') {
        return Err(PathFault::Form);
    }
    if is_plain(raw.as_bytes()) {
        return Ok(SafePath { text: Cow::Borrowed(raw), wire: Cow::Borrowed(raw) });
    }
    resolve(raw)
}

/// Whether `text` begins with `prefix` at a segment boundary; a prefix that ends in `/` means what lies
/// below.
pub(crate) fn has_prefix(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

/// Takes `strip` off the path that is passed on, when the path lies below it.
pub(crate) fn strip_prefix<'a>(path: &'a SafePath<'_>, strip: &str) -> Cow<'a, str> {
    let strip = strip.trim_end_matches('/');
    if strip.is_empty() || !has_prefix(&path.text, strip) {
        return Cow::Borrowed(&path.wire);
    }
    // By segments, not by bytes: the client may have spelled the prefix with escapes.
    let mut rest: &str = &path.wire;
    for _ in strip.split('/').filter(|segment| !segment.is_empty()) {
        rest = rest.trim_start_matches('/');
        rest = rest.find('/').map_or("", |at| &rest[at..]);
    }
    // `//` at the start would read as a host name in redirects made from it.
    let rest = rest.trim_start_matches('/');
    let from = path.wire.len() - rest.len();
    match path.wire.as_bytes().get(from.wrapping_sub(1)) {
        Some(b'/') => Cow::Borrowed(&path.wire[from - 1..]),
        _ => Cow::Borrowed("/"),
    }
}

/// No escape, no empty or dot segment, no backslash: nothing to resolve. Nearly every request.
fn is_plain(bytes: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in bytes {
        match byte {
            b'%' | b'\\' => return false,
            b'/' | b'.' if previous == b'/' => return false,
            0..=0x1f | 0x7f => return false,
            _ => previous = byte,
        }
    }
    true
}

fn resolve(raw: &str) -> Result<SafePath<'_>, PathFault> {
    let mut texts: Vec<String> = Vec::new();
    let mut wires: Vec<&str> = Vec::new();
    let mut dots = false;
    let mut is_folder = false;
    for segment in raw[1..].split('/') {
        let decoded = decode(segment)?;
        is_folder = matches!(&*decoded, b"" | b"." | b"..");
        match &*decoded {
            b"" => {}
            b"." => dots = true,
            b".." => {
                dots = true;
                texts.pop().ok_or(PathFault::Climb)?;
                wires.pop();
            }
            other => {
                if other.split(|byte| matches!(byte, b'/' | b'\\')).any(|piece| piece == b"..") {
                    return Err(PathFault::Climb);
                }
                texts.push(spell(other));
                wires.push(segment);
            }
        }
    }
    let join = |segments: &[&str]| {
        let mut joined = String::with_capacity(raw.len());
        for segment in segments {
            joined.push('/');
            joined.push_str(segment);
        }
        if is_folder || segments.is_empty() {
            joined.push('/');
        }
        joined
    };
    let text = join(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let wire = if dots { Cow::Owned(join(&wires)) } else { single_leading_slash(raw) };
    Ok(SafePath { text: Cow::Owned(text), wire })
}

fn single_leading_slash(raw: &str) -> Cow<'_, str> {
    let rest = raw.trim_start_matches('/');
    Cow::Borrowed(&raw[raw.len() - rest.len() - 1..])
}

fn decode(segment: &str) -> Result<Cow<'_, [u8]>, PathFault> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let mut byte = *first;
        if byte == b'%' {
            let [high, low, tail @ ..] = rest else { return Err(PathFault::Escape) };
            byte = hex(*high)? << 4 | hex(*low)?;
            rest = tail;
        }
        if byte < 0x20 || byte == 0x7f {
            return Err(PathFault::Control);
        }
        bytes.push(byte);
    }
    Ok(Cow::Owned(bytes))
}

fn hex(digit: u8) -> Result<u8, PathFault> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or(PathFault::Escape)
}

/// A decoded segment as text: a slash inside stays escaped, as does what is no UTF-8.
fn spell(decoded: &[u8]) -> String {
    let mut text = String::with_capacity(decoded.len());
    for chunk in decoded.utf8_chunks() {
        text.push_str(&chunk.valid().replace('/', "%2F"));
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: Result<(&str, &str), PathFault>) {
        let found = safe_path(raw);
        let found = found.as_ref().map(|path| (&*path.text, &*path.wire)).map_err(|fault| *fault);
        assert_eq!(found, expected, "{raw}");
    }

    #[test]
    fn plain_paths_stay_as_they_are() {
        check("/", Ok(("/", "/")));
        check("/a/b.c/d~e", Ok(("/a/b.c/d~e", "/a/b.c/d~e")));
        assert!(matches!(safe_path("/a/b").unwrap().text, Cow::Borrowed(_)));
    }

    #[test]
    fn dot_segments_are_resolved_in_both_texts() {
        check("/a/../b", Ok(("/b", "/b")));
        check("/a/./b/", Ok(("/a/b/", "/a/b/")));
        check("/a/%2e%2E/b", Ok(("/b", "/b")));
        check("/a/b/..", Ok(("/a/", "/a/")));
        check("/a%20b/../c%20d/.", Ok(("/c d/", "/c%20d/")));
    }

    #[test]
    fn escapes_are_read_for_matching_and_kept_for_passing_on() {
        check("/%61pi/x%3Fy", Ok(("/api/x?y", "/%61pi/x%3Fy")));
        check("/@scope%2fname", Ok(("/@scope%2Fname", "/@scope%2fname")));
        check("/caf%C3%A9/%ff", Ok(("/café/%FF", "/caf%C3%A9/%ff")));
    }

    #[test]
    fn empty_segments_do_not_hide_a_route() {
        check("//admin", Ok(("/admin", "/admin")));
        check("/a//b", Ok(("/a/b", "/a//b")));
        check("/a//", Ok(("/a/", "/a//")));
    }

    #[test]
    fn escapes_from_the_root_are_refused() {
        check("/..", Err(PathFault::Climb));
        check("/a/../../b", Err(PathFault::Climb));
        check("/a/..%2f..%2fetc", Err(PathFault::Climb));
        check("/a/..%5cb", Err(PathFault::Climb));
        check("/a/..\\b", Err(PathFault::Climb));
        check("/a%00b", Err(PathFault::Control));
        check("/a%0ab", Err(PathFault::Control));
        check("/a%zz", Err(PathFault::Escape));
        check("/a%2", Err(PathFault::Escape));
        check("*", Err(PathFault::Form));
        check("", Err(PathFault::Form));
    }

    #[test]
    fn prefixes_end_at_segments() {
        for (text, prefix, expected) in [
            ("/api", "/api", true),
            ("/api/x", "/api", true),
            ("/apix", "/api", false),
            ("/api", "/api/", false),
            ("/api/", "/api/", true),
            ("/api/x", "/api/", true),
            ("/x", "/", true),
        ] {
            assert_eq!(has_prefix(text, prefix), expected, "{text} {prefix}");
        }
    }

    #[test]
    fn stripping_counts_segments_and_leaves_one_leading_slash() {
        for (raw, strip, expected) in [
            ("/api/x", "/api", "/x"),
            ("/api", "/api", "/"),
            ("/api/", "/api/", "/"),
            ("/%61pi/x%20y", "/api", "/x%20y"),
            ("/api//evil.example", "/api", "/evil.example"),
            ("//api/x", "/api", "/x"),
            ("/apix", "/api", "/apix"),
            ("/a/b/c", "/a/b", "/c"),
            ("/x", "/", "/x"),
        ] {
            let path = safe_path(raw).unwrap();
            assert_eq!(strip_prefix(&path, strip), expected, "{raw} {strip}");
        }
    }
}
