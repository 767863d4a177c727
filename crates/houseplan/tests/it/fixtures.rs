//! Text in, text out: each plan under `tests/plans` beside the findings that it must give.
//!
//! `UPDATE=1` writes the expected texts anew; read the difference before you keep it.

use haus_houseplan::{DiskFiles, Files, Loaded, MemoryFiles, Style, codes, load, render};
use haus_model::Severity;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn plans_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans")
}

/// Every fixture by name, sorted.
pub(crate) fn names() -> Vec<String> {
    let names: BTreeSet<String> = DiskFiles
        .names(&plans_folder())
        .into_iter()
        .filter(|name| !name.ends_with(".txt"))
        .map(|name| name.trim_end_matches(".yaml").to_owned())
        .collect();
    names.into_iter().collect()
}

/// Loads a fixture as if it lay in the current folder, so that no path of this machine shows.
pub(crate) fn load_fixture(name: &str) -> Loaded {
    let folder = plans_folder();
    let single = folder.join(format!("{name}.yaml"));
    if single.is_file() {
        let files = MemoryFiles::new().with(format!("{name}.yaml"), fs::read(single).unwrap());
        return load(Path::new(&format!("{name}.yaml")), &files);
    }
    let mut files = MemoryFiles::new();
    let mut open = vec![PathBuf::from(name)];
    while let Some(at) = open.pop() {
        for entry in DiskFiles.names(&folder.join(&at)) {
            let path = at.join(entry);
            if folder.join(&path).is_dir() {
                open.push(path);
            } else {
                files = files.with(&path, fs::read(folder.join(&path)).unwrap());
            }
        }
    }
    load(Path::new(name), &files)
}

fn report(loaded: &Loaded) -> String {
    let drawn = render(&loaded.findings, &loaded.sources, Style { color: false, width: 120 });
    let count = |severity| loaded.count(severity);
    format!(
        "{drawn}{} errors, {} warnings, {} notes, plan: {}\n",
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Note),
        if loaded.plan.is_some() { "yes" } else { "no" }
    )
}

#[test]
fn every_fixture_gives_the_findings_beside_it() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut different = Vec::new();
    for name in names() {
        let expected_file = plans_folder().join(format!("{name}.txt"));
        let found = report(&load_fixture(&name));
        if update {
            fs::write(&expected_file, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected_file).unwrap_or_default();
        if found != expected {
            different.push(format!("=== {name}: found\n{found}=== {name}: expected\n{expected}"));
        }
    }
    assert!(different.is_empty(), "set UPDATE=1 when these are right:\n{}", different.join("\n"));
}

/// Codes that need files which cannot lie in a folder of fixtures; `hostile` has their tests.
const ELSEWHERE: [&str; 2] = ["HP0002", "HP0003"];

#[test]
fn every_code_is_given_by_a_fixture() {
    let seen: BTreeSet<String> =
        names().iter().flat_map(|name| load_fixture(name).findings).map(|finding| finding.code).collect();
    let missing: Vec<&str> = codes()
        .iter()
        .map(|info| info.code)
        .filter(|code| !seen.contains(*code) && !ELSEWHERE.contains(code))
        .collect();
    assert!(missing.is_empty(), "no fixture gives {missing:?}");
}

#[test]
fn every_finding_says_what_to_do() {
    for name in names() {
        for finding in load_fixture(&name).findings {
            assert!(!finding.remedy.is_empty(), "{name}: {finding:?}");
            assert!(!finding.message.ends_with('.'), "{name}: {}", finding.message);
            assert!(!finding.message.contains('\n'), "{name}: {}", finding.message);
            assert!(finding.place.is_none() || !finding.label.is_empty(), "{name}: {finding:?}");
        }
    }
}

#[test]
fn no_output_repeats_a_secret() {
    // Every secret that a fixture plants begins with this.
    const PLANTED: &str = "hunter2";
    let mut planted = 0;
    for name in names() {
        let loaded = load_fixture(&name);
        planted += loaded.sources.iter().map(|source| source.text.matches(PLANTED).count()).sum::<usize>();
        for style in [Style { color: false, width: 120 }, Style { color: true, width: 60 }] {
            let drawn = render(&loaded.findings, &loaded.sources, style);
            assert!(!drawn.contains(PLANTED), "{name}:\n{drawn}");
        }
        let json = haus_houseplan::to_json(&loaded).to_string();
        assert!(!json.contains(PLANTED), "{name}: {json}");
    }
    assert!(planted > 10, "the fixtures plant secrets");
}

#[test]
fn sorted_by_file_and_line() {
    for name in names() {
        let loaded = load_fixture(&name);
        let order = |path: &Path| loaded.sources.iter().position(|source| source.path == path);
        let places: Vec<_> = loaded
            .findings
            .iter()
            .map(|finding| finding.place.as_ref().map(|place| (order(&place.file), place.start)))
            .collect();
        assert!(places.is_sorted(), "{name}");
    }
}

/// Whoever writes a plan saves it half done: no line is so important that its absence is not understood.
#[test]
fn every_fixture_without_one_of_its_lines_is_borne() {
    let mut checked = 0;
    for name in names() {
        let Ok(text) = fs::read_to_string(plans_folder().join(format!("{name}.yaml"))) else { continue };
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for left_out in (0..lines.len()).filter(|_| lines.len() < 200) {
            let rest = lines.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line);
            crate::arbitrary::check(rest.collect::<String>().as_bytes());
            checked += 1;
        }
    }
    assert!(checked > 1_000, "{checked}");
}
