//! Every script in `tests/scenarios/` against the transcript beside it.

use crate::scenario::play;
use haus_model::host_code::HostCode;
use haus_model::resource::Kind;
use std::path::{Path, PathBuf};

fn files(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
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
    for script in files("txt") {
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
    let scripts = files("txt");
    assert!(scripts.len() >= 25, "only {} scenarios", scripts.len());
    for golden in files("golden") {
        assert!(scripts.contains(&golden.with_extension("txt")), "{} has no script", golden.display());
    }
}

fn all_transcripts() -> String {
    files("golden").iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_finding_of_planning_is_shown_by_a_scenario() {
    let transcripts = all_transcripts();
    let planning = HostCode::ALL.iter().map(|code| code.code()).filter(|code| code.starts_with("HH01"));
    let unseen: Vec<&str> = planning.filter(|code| !transcripts.contains(&format!(" {code}: "))).collect();
    assert!(unseen.is_empty(), "no scenario shows {unseen:?}");
}

#[test]
fn every_kind_is_made_and_what_can_be_removed_is_removed_in_a_scenario() {
    let transcripts = all_transcripts();
    let kinds = [
        Kind::Packages,
        Kind::Holds,
        Kind::Group,
        Kind::User,
        Kind::Keys,
        Kind::Directory,
        Kind::File,
        Kind::Link,
        Kind::Release,
        Kind::Switch,
        Kind::Sysctl,
        Kind::Command,
        Kind::Unit,
        Kind::Health,
    ];
    for kind in kinds {
        let made = [format!(" create {}:", kind.as_str()), format!(" update {}:", kind.as_str())];
        assert!(made.iter().any(|text| transcripts.contains(text)), "no scenario makes {kind:?}");
        let gone = [format!(" remove {}:", kind.as_str()), format!(" forget {}:", kind.as_str())];
        assert!(gone.iter().any(|text| transcripts.contains(text)), "no scenario ends {kind:?}");
    }
}
