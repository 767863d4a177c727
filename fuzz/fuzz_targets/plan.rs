//! Any bytes as a plan: no panic, places inside the text, no plan beside an error.
//!
//! `cargo +nightly fuzz run plan` from the root. Inputs worth keeping go to `fuzz/corpus/plan`;
//! `crates/houseplan/tests/it/corpus.rs` replays them in every test run.

#![no_main]

use haus_houseplan::{MemoryFiles, Style, load, render, to_json};
use haus_model::Severity;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|content: &[u8]| {
    let files = MemoryFiles::new().with("house.yaml", content);
    let loaded = load(Path::new("house.yaml"), &files);
    for finding in &loaded.findings {
        for place in finding.place.iter().chain(finding.related.iter().map(|(place, _)| place)) {
            let source = loaded.sources.iter().find(|source| source.path == place.file).expect("a known file");
            assert!(source.text.get(place.start..place.end).is_some(), "{place:?}");
        }
    }
    assert_eq!(loaded.plan.is_none(), loaded.count(Severity::Error) > 0);
    let _ = render(&loaded.findings, &loaded.sources, Style::default());
    let _ = to_json(&loaded);
});
