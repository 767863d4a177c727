//! How long the texts of an entry may be, and how they are cut. Knows no encoding.
//!
//! Callers choose what stands in an entry: a path, a header, a name that does not exist. The house refuses to
//! act when its trail cannot be written, so without limits one stranger with a long header could fill the
//! disk and stop every credential read. What was cut ends in `…`, so that nobody takes a part for the whole.

use crate::NewEntry;
use std::collections::BTreeMap;

/// Longest actor and longest subject, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest request id in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Longest address in bytes: an IPv6 address with zone and port fits.
pub const ADDRESS_BYTES_MAX: usize = 64;
/// Longest reason in bytes.
pub const WHY_BYTES_MAX: usize = 1024;
/// Most pairs in the details.
pub const DETAILS_MAX: usize = 16;
/// Longest key of a detail in bytes.
pub const DETAIL_KEY_BYTES_MAX: usize = 64;
/// Longest value of a detail in bytes.
pub const DETAIL_VALUE_BYTES_MAX: usize = 1024;

/// What ends a text that was cut, and the key that says how many details were left out.
const CUT_MARK: &str = "…";

/// Cuts at a character's border so that the text with its mark has at most `bytes_max` bytes.
fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max - CUT_MARK.len()));
        text.push_str(CUT_MARK);
        // What was cut off may be a megabyte of somebody's header; it is not kept alive by the entry.
        text.shrink_to_fit();
    }
}

/// Cuts keys and values, and drops the last pairs when there are too many. What was dropped is counted in a
/// pair of its own, also when two long keys became equal by being cut.
fn bound_details(details: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    let mut dropped = 0_usize;
    for (mut key, mut value) in details {
        cut(&mut key, DETAIL_KEY_BYTES_MAX);
        cut(&mut value, DETAIL_VALUE_BYTES_MAX);
        if kept.len() > DETAILS_MAX || kept.contains_key(&key) {
            dropped += 1;
        } else {
            kept.insert(key, value);
        }
    }
    if kept.len() > DETAILS_MAX || dropped > 0 {
        dropped += usize::from(kept.remove(CUT_MARK).is_some());
        while kept.len() >= DETAILS_MAX {
            kept.pop_last();
            dropped += 1;
        }
        kept.insert(CUT_MARK.to_owned(), format!("{dropped} more left out"));
    }
    kept
}

impl NewEntry {
    /// The entry with every text within its limit.
    pub(crate) fn bounded(mut self) -> NewEntry {
        cut(&mut self.actor, NAME_BYTES_MAX);
        cut(&mut self.subject, NAME_BYTES_MAX);
        for (text, bytes_max) in [
            (&mut self.request_id, REQUEST_ID_BYTES_MAX),
            (&mut self.address, ADDRESS_BYTES_MAX),
            (&mut self.why, WHY_BYTES_MAX),
        ] {
            if let Some(text) = text {
                cut(text, bytes_max);
            }
        }
        self.details = bound_details(self.details);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, bytes_max: usize, expected: &str) {
        let mut text = text.to_owned();
        cut(&mut text, bytes_max);
        assert_eq!(text, expected);
        assert!(text.len() <= bytes_max);
    }

    fn numbered(count: usize) -> BTreeMap<String, String> {
        (0..count).map(|at| (format!("key {at:02}"), at.to_string())).collect()
    }

    #[test]
    fn a_text_that_fits_is_left_alone() {
        check("", 8, "");
        check("12345678", 8, "12345678");
        check("ääää", 8, "ääää");
    }

    #[test]
    fn a_long_text_is_cut_and_marked() {
        check("123456789", 8, "12345…");
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        check("1234ä6789", 8, "1234…");
        check("😀😀😀", 8, "😀…");
        check("😀😀😀", 6, "…");
    }

    #[test]
    fn sixteen_details_stay() {
        assert_eq!(bound_details(numbered(16)), numbered(16));
    }

    #[test]
    fn of_more_details_the_last_are_counted() {
        let mut expected = numbered(15);
        expected.insert("…".into(), "5 more left out".into());
        assert_eq!(bound_details(numbered(20)), expected);
        assert_eq!(bound_details(numbered(20).into_iter().collect()).len(), DETAILS_MAX);
    }

    #[test]
    fn keys_that_became_equal_are_counted() {
        let long = |end: &str| (format!("{}{end}", "k".repeat(70)), end.to_owned());
        let bounded = bound_details([long("1"), long("2"), long("3")].into());
        let expected = [(format!("{}…", "k".repeat(61)), "1"), ("…".to_owned(), "2 more left out")];
        assert_eq!(bounded, expected.map(|(key, value)| (key, value.to_owned())).into());
    }

    #[test]
    fn a_detail_named_like_the_mark_is_counted_when_the_mark_replaces_it() {
        let mut details = numbered(16);
        details.insert("…".into(), "mine".into());
        let bounded = bound_details(details);
        assert_eq!(bounded["…"], "2 more left out");
        assert_eq!(bounded.len(), DETAILS_MAX);
    }

    #[test]
    fn bounding_twice_changes_nothing_more() {
        let once = bound_details(numbered(40));
        assert_eq!(bound_details(once.clone()), once);
    }
}
