//! "Did you mean": the nearest known word, with a bound on the work.
//!
//! A plan with ten thousand wrong references must not cost ten thousand times ten thousand
//! comparisons, so one load may compare only so many words and then stops suggesting.

use std::cell::Cell;

const COMPARISONS_MAX: u32 = 60_000;

/// Suggests words within one load.
pub(crate) struct Suggest {
    left: Cell<u32>,
}

impl Suggest {
    pub(crate) fn new() -> Suggest {
        Suggest { left: Cell::new(COMPARISONS_MAX) }
    }

    /// The candidate nearest to `word`, when one is near enough to be a slip of the finger.
    pub(crate) fn nearest<'a>(
        &self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        let length = word.chars().count();
        if length > 80 {
            return None;
        }
        let lower = word.to_lowercase();
        let farthest = (length / 3).max(1);
        let mut best: Option<(usize, &str)> = None;
        for candidate in candidates {
            let left = self.left.get().checked_sub(1)?;
            self.left.set(left);
            if candidate.eq_ignore_ascii_case(word) && candidate != word {
                return Some(candidate);
            }
            if candidate.len().abs_diff(word.len()) > farthest * 2 || candidate == word {
                continue;
            }
            let distance = strsim::damerau_levenshtein(&lower, candidate);
            if distance <= farthest && distance < length && best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, candidate));
            }
        }
        best.map(|(_, candidate)| candidate)
    }

    /// `did you mean …?`, or what else to do.
    pub(crate) fn remedy<'a>(
        &self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
        otherwise: impl FnOnce() -> String,
    ) -> String {
        match self.nearest(word, candidates) {
            Some(near) => format!("did you mean `{near}`?"),
            None => otherwise(),
        }
    }
}

/// A name made from a text that is none: `My_Service` → `my-service`.
pub(crate) fn corrected_name(text: &str) -> Option<String> {
    // Without its letters a word is no longer the word that was meant.
    if text.chars().any(|c| !c.is_ascii() && c.is_alphanumeric()) {
        return None;
    }
    let mut name = String::new();
    for c in text.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let name: String = name.chars().take(haus_model::id::NAME_BYTES_MAX).collect();
    let name = name.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(Suggest::new().nearest(word, ["needs", "health", "env"]), expected, "{word}");
    }

    #[test]
    fn slips_of_the_finger_are_found_and_other_words_are_not() {
        check("neds", Some("needs"));
        check("helath", Some("health"));
        check("ENV", Some("env"));
        check("Needs", Some("needs"));
        check("replicas", None);
        check("", None);
    }

    #[test]
    fn suggesting_ends_when_the_work_is_used_up() {
        let suggest = Suggest { left: Cell::new(2) };
        assert_eq!(suggest.nearest("neds", ["a", "needs"]), Some("needs"));
        assert_eq!(suggest.nearest("neds", ["needs"]), None);
    }

    #[test]
    fn names_are_corrected_when_something_is_left_of_them() {
        assert_eq!(corrected_name("My_Service").as_deref(), Some("my-service"));
        assert_eq!(corrected_name("01 web--app-").as_deref(), Some("web-app"));
        assert_eq!(corrected_name("größe"), None);
        assert_eq!(corrected_name("--"), None);
    }
}
