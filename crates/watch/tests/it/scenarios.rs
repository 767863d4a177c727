//! Every script in `scenarios/` and `alerts/` against the transcript beside it.

use crate::{alert_scenario, scenario};
use std::path::{Path, PathBuf};

/// From a script to its transcript.
type Play = fn(&str) -> String;

/// The folders with what plays their scripts.
const FOLDERS: [(&str, Play); 2] = [("scenarios", scenario::play), ("alerts", alert_scenario::play)];

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

fn scripts() -> Vec<(PathBuf, Play)> {
    let of = |(folder, play)| files(folder, "txt").into_iter().map(move |script| (script, play));
    FOLDERS.into_iter().flat_map(of).collect()
}

/// The first line that differs, with what is before it.
fn difference(expected: &str, played: &str) -> String {
    let same = expected.lines().zip(played.lines()).take_while(|(left, right)| left == right).count();
    let before: Vec<&str> = played.lines().take(same).collect();
    let before = before[same.saturating_sub(8)..].join("\n");
    let line = |text: &str| text.lines().nth(same).unwrap_or("(the end)").to_owned();
    format!("line {}:\n{before}\nexpected: {}\nplayed:   {}", same + 1, line(expected), line(played))
}

/// With `HAUS_GOLDEN=write` the transcripts are written instead; read them before you keep them.
#[test]
fn every_scenario_plays_as_its_transcript_says() {
    let write = std::env::var("HAUS_GOLDEN").is_ok_and(|value| value == "write");
    let mut wrong = Vec::new();
    for (script, play) in scripts() {
        let played = play(&std::fs::read_to_string(&script).unwrap());
        let golden = script.with_extension("golden");
        if write {
            std::fs::write(&golden, &played).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if expected != played {
            let name = script.file_name().unwrap().to_string_lossy().into_owned();
            wrong.push(format!("{name}, {}", difference(&expected, &played)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_transcript_has_its_script() {
    for (folder, _) in FOLDERS {
        let scripts = files(folder, "txt");
        assert!(scripts.len() >= 10, "only {} scenarios in {folder}", scripts.len());
        for golden in files(folder, "golden") {
            assert!(scripts.contains(&golden.with_extension("txt")), "{} has no script", golden.display());
        }
    }
}

#[test]
fn a_scenario_plays_the_same_twice() {
    for (script, play) in scripts() {
        let text = std::fs::read_to_string(&script).unwrap();
        assert_eq!(play(&text), play(&text), "{}", script.display());
    }
}
