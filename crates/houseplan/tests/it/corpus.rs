//! Inputs that the fuzzer found worth keeping, replayed without it.

use crate::arbitrary;
use std::fs;
use std::path::Path;

#[test]
fn the_corpus_is_borne() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/plan");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        arbitrary::check(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 20, "{replayed} files in {}", folder.display());
}
