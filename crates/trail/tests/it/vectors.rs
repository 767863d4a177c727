//! The vectors and the script of `docs/formats/trail.md`: the document, this crate and an independent program
//! say the same bytes.

use crate::anchors::{anchor_of, believed};
use crate::sample::{chain, new_entry};
use haus_model::Timestamp;
use haus_testkit::loud_skip_mandatory;
use haus_trail::{Action, Anchor, Entry, Head, NewEntry, Outcome, Verifier};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const DOCUMENT: &str = include_str!("../../../../docs/formats/trail.md");

/// The script of the document.
fn script() -> &'static str {
    let fence = "\n```python\n";
    let start = DOCUMENT.find(fence).unwrap() + fence.len();
    let length = DOCUMENT[start..].find("```\n").unwrap();
    &DOCUMENT[start..start + length]
}

/// A file beside the document, which must hold `expected`.
///
/// With `HAUS_GOLDEN=write` the file is written instead; read it before you keep it.
fn vector_file(name: &str, expected: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats").join(name);
    if std::env::var("HAUS_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(found, expected, "docs/formats/{name}; run with HAUS_GOLDEN=write when the format changed");
    found
}

/// The trail of the vectors.
fn vector_trail() -> Vec<Entry> {
    let at = Timestamp(1_795_230_000_123);
    chain(
        Head::GENESIS,
        vec![
            NewEntry::new(at, "house", Action::HouseStart, "house", Outcome::Allowed),
            NewEntry::new(
                at,
                "service:api/1",
                Action::CredentialRead,
                "credential:db-password",
                Outcome::Allowed,
            )
            .request("req-7f3a")
            .from_address("127.0.0.1")
            .detail("version", "3")
            .detail("field", "value"),
            NewEntry::new(
                Timestamp(-1),
                "anonymous",
                Action::TokenRefuse,
                "token:\"\\/\u{8}\t\n\u{c}\r\0\u{1f}\u{7f}",
                Outcome::Denied,
            )
            .because("ü € 😀 \u{2028} no token")
            .detail("z", "")
            .detail("ä", "after z: keys are ordered by their bytes")
            .detail("Z", "before z"),
            NewEntry::new(Timestamp(i64::MAX), "a".repeat(257), Action::Admin, "house", Outcome::Failed),
        ],
    )
}

fn lines(trail: &[Entry]) -> String {
    trail.iter().map(|entry| entry.to_line() + "\n").collect()
}

#[test]
fn the_vectors_are_what_this_crate_writes_and_believes() {
    let trail = vector_trail();
    let read = vector_file("trail-vectors.jsonl", &lines(&trail));
    let mut verifier = Verifier::new(Head::GENESIS);
    for line in read.split_terminator('\n') {
        assert_eq!(verifier.check(&Entry::from_line(line).unwrap()), None);
    }
    let written = anchor_of(trail[trail.len() - 1].head());
    let anchor = Anchor::from_text(&vector_file("trail-anchor.json", &written.to_text())).unwrap();
    let head = anchor.verify(&"zimmer".parse().unwrap(), believed).unwrap();
    assert_eq!(verifier.finish(Some(&head)).faults, []);
    let digest: String =
        Sha256::digest(anchor.signed_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(DOCUMENT.contains(&format!("SHA-256 of the signed bytes: `{digest}`")), "{digest}");
}

#[test]
fn every_action_and_outcome_stands_in_the_document() {
    let words =
        Action::ALL.iter().map(|word| word.as_str()).chain(Outcome::ALL.iter().map(|word| word.as_str()));
    let absent: Vec<&str> = words.filter(|word| !DOCUMENT.contains(&format!("`{word}`"))).collect();
    assert_eq!(absent, [""; 0]);
}

/// Runs the document's script over lines; nothing when there is no Python on this machine.
fn run_script(test: &str, lines: &str) -> Option<Output> {
    let spawned = Command::new("python3")
        .args(["-I", "-c", script()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            loud_skip_mandatory(test, &format!("python3 cannot be started: {error}"));
            return None;
        }
    };
    // A script that stops at a fault closes the pipe early; its answer is what counts.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    Some(child.wait_with_output().unwrap())
}

/// `expected` is what the script prints, on either stream, and whether it is content.
fn check(test: &str, trail: &[Entry], expected: (&str, bool)) {
    let Some(output) = run_script(test, &lines(trail)) else { return };
    let told = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!((told.trim_end(), output.status.success()), expected);
}

#[test]
fn the_documents_script_computes_the_same_hashes() {
    let test = "the_documents_script_computes_the_same_hashes";
    let trail = vector_trail();
    let head = trail[3].head();
    check(test, &trail, (&format!("4 entries, sound; head 4 {}", head.hash), true));
}

#[test]
fn the_documents_script_agrees_on_any_trail() {
    let mut runner = TestRunner::deterministic();
    let any_entry = || new_entry().new_tree(&mut runner).unwrap().current();
    let entries = std::iter::repeat_with(any_entry).take(300).collect();
    let trail = chain(Head::GENESIS, entries);
    let head = trail[trail.len() - 1].head();
    let expected = format!("{} entries, sound; head {} {}", head.seq, head.seq, head.hash);
    check("the_documents_script_agrees_on_any_trail", &trail, (&expected, true));
}

#[test]
fn the_documents_script_finds_a_change_a_gap_and_a_break() {
    let test = "the_documents_script_finds_a_change_a_gap_and_a_break";
    let mut changed = vector_trail();
    changed[1].entry.outcome = Outcome::Denied;
    check(test, &changed, ("line 2: the hash does not fit the content", false));
    let mut gap = vector_trail();
    gap.remove(1);
    check(test, &gap, ("line 2: does not continue the line before", false));
}
