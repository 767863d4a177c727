//! Entries as text: what was written comes back, everything else is refused, and nothing panics.

use crate::sample::{new_entry, text};
use haus_model::Timestamp;
use haus_trail::{Action, Entry, Hash, Head, LINE_BYTES_MAX, LineError, NewEntry, Outcome, seal};
use proptest::prelude::*;
use std::error::Error as _;

fn sample() -> Entry {
    let entry =
        NewEntry::new(Timestamp(1), "house", Action::HouseStart, "house", Outcome::Allowed).detail("a", "b");
    seal(&Head::GENESIS, entry)
}

/// Changes the sample's line; `expected` is the error with its causes.
fn check(change: impl FnOnce(String) -> String, expected: &str) {
    let error = Entry::from_line(&change(sample().to_line())).unwrap_err();
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    assert_eq!(format!("{error}{cause}"), expected);
}

#[test]
fn a_line_is_the_body_between_number_and_hashes() {
    let entry = sample();
    let body = entry.body();
    let expected = r#"{"at":1,"actor":"house","action":"house-start","subject":"house","outcome":"allowed","details":{"a":"b"}}"#;
    assert_eq!(body, expected);
    let inner = &body[1..body.len() - 1];
    let line = format!(r#"{{"seq":1,{inner},"prev":"{}","hash":"{}"}}"#, Hash::GENESIS, entry.hash);
    assert_eq!(entry.to_line(), line);
}

#[test]
fn texts_that_are_no_entry_say_so() {
    let no_entry = |cause: &str| format!("the text is not an entry of the trail: {cause}");
    check(|_| String::new(), &no_entry("EOF while parsing a value at line 1 column 0"));
    check(|_| "{}".into(), &no_entry("missing field `seq` at line 1 column 2"));
    check(
        |line| line[..line.len() - 1].into(),
        &no_entry("EOF while parsing an object at line 1 column 260"),
    );
    check(|line| format!("{line}{line}"), &no_entry("trailing characters at line 1 column 262"));
}

#[test]
fn the_same_entry_in_another_form_is_refused_with_the_place() {
    let other = |at: usize| {
        format!("the entry is not in the form in which it was written, it differs from byte {at} on")
    };
    check(|line| line.replace(":1,", ": 1,"), &other(7));
    check(|line| format!(" {line}"), &other(0));
    check(|line| format!("{line}\r"), &other(261));
    check(|line| line.replace("house-start", "house\\u002dstart"), &other(47));
    check(|line| line.replace(r#"{"a":"b"}"#, "{}"), &other(94));
    check(|line| line.replace(r#""outcome""#, r#""why":null,"outcome""#), &other(74));
    check(|line| line.replace(r#""outcome""#, r#""more":1,"outcome""#), &other(74));
}

#[test]
fn a_line_beyond_the_limit_is_not_looked_at() {
    let error = Entry::from_line(&"[".repeat(LINE_BYTES_MAX + 1)).unwrap_err();
    assert!(matches!(error, LineError::TooLong { bytes } if bytes == LINE_BYTES_MAX + 1));
    assert!(matches!(Entry::from_line(&"[".repeat(LINE_BYTES_MAX)), Err(LineError::NotAnEntry(_))));
}

#[test]
fn the_largest_entry_that_can_be_sealed_fits_a_line() {
    let long = "\u{1}".repeat(4096);
    let mut entry =
        NewEntry::new(Timestamp(i64::MIN), &long, Action::ServiceDeregister, &long, Outcome::Allowed)
            .request(&long)
            .from_address(&long)
            .because(&long);
    for at in 0..16_u8 {
        entry = entry.detail(format!("{}{long}", char::from(at + 2)), &long);
    }
    let entry = seal(&Head { seq: u64::MAX - 1, hash: Hash([255; 32]) }, entry);
    assert_eq!(entry.entry.details.len(), 16);
    let line = entry.to_line();
    assert!(line.len() > 100_000 && line.len() < LINE_BYTES_MAX, "{}", line.len());
    assert_eq!(Entry::from_line(&line).unwrap(), entry);
}

#[test]
fn what_was_cut_is_marked() {
    let entry = NewEntry::new(Timestamp(0), "a".repeat(300), Action::Admin, "house", Outcome::Failed);
    let sealed = seal(&Head::GENESIS, entry.because("w".repeat(2000)));
    assert_eq!(sealed.entry.actor, format!("{}…", "a".repeat(253)));
    assert_eq!(sealed.entry.why.as_deref(), Some(format!("{}…", "w".repeat(1021)).as_str()));
}

proptest! {
    #[test]
    fn lines_come_back_as_they_were(entry in new_entry()) {
        let entry = seal(&Head::GENESIS, entry);
        let line = entry.to_line();
        prop_assert!(!line.contains(['\n', '\r']));
        prop_assert_eq!(Entry::from_line(&line).unwrap(), entry);
    }

    #[test]
    fn bodies_come_back_as_they_were(entry in new_entry()) {
        let entry = seal(&Head::GENESIS, entry);
        let read = Entry::from_body(entry.seq, &entry.body(), entry.prev, entry.hash).unwrap();
        prop_assert_eq!(read, entry);
    }

    #[test]
    fn serde_writes_the_same_bytes(entry in new_entry()) {
        let entry = seal(&Head::GENESIS, entry);
        prop_assert_eq!(serde_json::to_string(&entry).unwrap(), entry.to_line());
        prop_assert_eq!(serde_json::to_string(&entry.entry).unwrap(), entry.body());
    }

    #[test]
    fn sealing_what_was_sealed_changes_nothing(entry in new_entry()) {
        let entry = seal(&Head::GENESIS, entry);
        prop_assert_eq!(seal(&Head::GENESIS, entry.entry.clone()), entry);
    }

    #[test]
    fn a_line_with_any_other_byte_is_refused_or_has_another_hash(
        entry in new_entry(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let entry = seal(&Head::GENESIS, entry);
        let mut bytes = entry.to_line().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Some(read) = String::from_utf8(bytes).ok().and_then(|line| Entry::from_line(&line).ok()) {
            prop_assert_ne!(read.computed_hash(), read.hash);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(
        noise in any::<String>(), start in text(), entry in new_entry(), cut in any::<prop::sample::Index>(),
    ) {
        let line = seal(&Head::GENESIS, entry).to_line();
        let cut = line.floor_char_boundary(cut.index(line.len()));
        let (cut_behind, cut_before) = (format!("{}{noise}", &line[..cut]), format!("{start}{}", &line[cut..]));
        for hostile in [noise, start, cut_behind, cut_before] {
            if let Ok(entry) = Entry::from_line(&hostile) {
                prop_assert_eq!(entry.to_line(), hostile.clone());
            }
            if let Ok(entry) = Entry::from_body(7, &hostile, Hash::GENESIS, Hash::GENESIS) {
                prop_assert_eq!(entry.body(), hostile);
            }
        }
    }

    #[test]
    fn json_of_the_right_shape_with_wild_values_never_panics(values in prop::collection::vec(
        prop::sample::select(vec!["0", "-1", "1e99", "null", "\"\"", "[]", "{}", "\"admin\"", "\"allowed\"",
            "18446744073709551615", "18446744073709551616", "\"\\ud800\"", "{\"a\":1}", "{\"a\":\"b\",\"a\":\"c\"}"]), 11)) {
        let names = ["seq", "at", "actor", "action", "subject", "outcome", "request_id", "why", "details", "prev", "hash"];
        let members: Vec<String> = names.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let line = ["{", &members.join(","), "}"].concat();
        prop_assert!(Entry::from_line(&line).is_err(), "{line}");
    }
}
