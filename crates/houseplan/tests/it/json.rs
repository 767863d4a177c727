//! The JSON form of findings holds what `docs/formats/findings.md` promises.

use crate::fixtures::{load_fixture, names};
use haus_houseplan::to_json;
use serde_json::Value;

const KEYS: [&str; 8] = ["format", "root", "files", "stages", "errors", "warnings", "notes", "findings"];
const FINDING_KEYS: [&str; 10] =
    ["code", "severity", "subject", "message", "place", "label", "related", "remedy", "accepted", "stages"];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_finding_has_every_key() {
    let sorted = |keys: &[&'static str]| {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys
    };
    for name in names() {
        let json = to_json(&load_fixture(&name));
        let mut found = keys(&json);
        found.sort_unstable();
        assert_eq!(found, sorted(&KEYS));
        for finding in json["findings"].as_array().unwrap() {
            let mut found = keys(finding);
            found.sort_unstable();
            assert_eq!(found, sorted(&FINDING_KEYS));
        }
    }
}

#[test]
fn the_form_is_described_key_by_key() {
    let page = include_str!("../../../../docs/formats/findings.md");
    for key in KEYS.iter().chain(&FINDING_KEYS).chain(&["file", "line", "column", "start", "end"]) {
        assert!(page.contains(&format!("`{key}`")), "docs/formats/findings.md does not name `{key}`");
    }
}

#[test]
fn counts_and_accepted_reasons_are_told() {
    let json = to_json(&load_fixture("accept-errors"));
    assert_eq!((json["errors"].as_u64(), json["notes"].as_u64()), (Some(0), Some(1)));
    assert_eq!(json["findings"][0]["accepted"], "the name of a column, no secret");
    assert_eq!(json["findings"][0]["severity"], "note");
    assert_eq!(json["stages"][0], "default");
}
