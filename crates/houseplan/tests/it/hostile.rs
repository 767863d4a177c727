//! Files that no plan should be: huge, endless, of no encoding, missing.

use haus_houseplan::{DiskFiles, FILE_BYTES_MAX, Loaded, MemoryFiles, Style, load, render};
use std::fs::{self, File};
use std::path::Path;

fn codes(loaded: &Loaded) -> Vec<&str> {
    loaded.findings.iter().map(|finding| finding.code.as_str()).collect()
}

fn check(content: impl Into<Vec<u8>>, expected: &[&str]) -> Loaded {
    let files = MemoryFiles::new().with("house.yaml", content);
    let loaded = load(Path::new("house.yaml"), &files);
    assert_eq!(codes(&loaded), expected);
    loaded
}

#[test]
fn bytes_that_are_no_utf_8_are_refused_with_their_offset() {
    let loaded = check(b"haus: 1\nhouse: caf\xe9\n".to_vec(), &["HP0003"]);
    assert!(loaded.findings[0].message.contains("byte 18"), "{}", loaded.findings[0].message);
    check(b"\xff\xfeh\0a\0u\0s\0".to_vec(), &["HP0003"]);
}

#[test]
fn a_byte_order_mark_does_no_harm() {
    let plan = "\u{feff}haus: 1\nhouse: sample\nservices:\n  web:\n    run: sleep 60\n    health: { process: true }\n    limits: {}\n";
    let loaded = check(plan, &[]);
    assert!(loaded.plan.is_some());
}

#[test]
fn windows_line_ends_do_no_harm() {
    let plan = "haus: 1\r\nhouse: sample\r\nservices:\r\n  web:\r\n    run: sleep 60\r\n    health: { process: true }\r\n    limits: {}\r\n    color: 1\r\n";
    let loaded = check(plan, &["HP0012"]);
    let place = loaded.findings[0].place.as_ref().unwrap();
    assert_eq!((place.line, place.column), (8, 5));
    let drawn = render(&loaded.findings, &loaded.sources, Style::default());
    assert!(drawn.contains("    color: 1\n"), "{drawn}");
}

#[test]
fn a_file_with_nothing_in_it_is_empty() {
    check("", &["HP0006"]);
    check("---\n", &["HP0006"]);
    check("\u{feff}", &["HP0006"]);
}

#[test]
fn tabs_are_named_wherever_they_spoil_something() {
    check("haus: 1\n\thouse: sample\n", &["HP0005"]);
    check("haus: 1\nservices:\n\tweb:\n", &["HP0005"]);
    check("haus: 1\nhouse: sample\ninclude:\n\t- a\n", &["HP0005"]);
}

#[test]
fn a_large_file_is_refused() {
    let size = usize::try_from(FILE_BYTES_MAX).unwrap() + 1;
    let loaded = check(vec![b'#'; size], &["HP0002"]);
    assert!(loaded.sources.is_empty());
}

#[test]
fn a_hundred_megabytes_on_disk_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("house.yaml");
    File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let loaded = load(folder.path(), &DiskFiles);
    assert_eq!(codes(&loaded), ["HP0002"]);
    assert!(loaded.findings[0].message.contains("104857600"), "{}", loaded.findings[0].message);
}

#[test]
fn only_regular_files_are_read() {
    // Neither ever ends, so reaching the next line is the proof.
    assert_eq!(codes(&load(Path::new("/dev/zero"), &DiskFiles)), ["HP0001"]);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("house.yaml");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(codes(&load(&socket, &DiskFiles)), ["HP0001"]);
}

#[test]
fn an_included_device_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("endless.yaml")).unwrap();
    fs::write(folder.path().join("house.yaml"), "haus: 1\nhouse: a\ninclude: [endless.yaml]\n").unwrap();
    assert_eq!(codes(&load(folder.path(), &DiskFiles)), ["HP0001"]);
}

#[test]
fn a_missing_plan_names_what_may_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    let remedy = |folder: &Path| load(folder, &DiskFiles).findings.remove(0).remedy;
    assert!(remedy(folder.path()).contains("haus init"));
    fs::write(folder.path().join("plan.yml"), "haus: 1\n").unwrap();
    assert!(remedy(folder.path()).contains("plan.yml"));
    fs::write(folder.path().join("hous.yaml"), "haus: 1\n").unwrap();
    assert!(remedy(folder.path()).contains("hous.yaml`?"));
}

#[test]
fn a_plan_is_found_by_file_and_by_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("house.yaml"), haus_houseplan::starter("first")).unwrap();
    for path in [folder.path().to_owned(), folder.path().join("house.yaml")] {
        let loaded = load(&path, &DiskFiles);
        assert!(loaded.plan.is_some());
        assert_eq!(loaded.root, folder.path());
        assert_eq!(loaded.sources[0].path, folder.path().join("house.yaml"));
    }
}

#[test]
fn a_thousand_includes_are_enough() {
    let mut files = MemoryFiles::new();
    let mut names = Vec::new();
    for at in 0..1_100 {
        names.push(format!("{at}.yaml"));
        files = files.with(format!("{at}.yaml"), format!("vars: {{ v{at}: x }}\n"));
    }
    let plan = format!("haus: 1\nhouse: a\ninclude: [{}]\n", names.join(", "));
    let loaded = load(Path::new("house.yaml"), &files.with("house.yaml", plan));
    assert_eq!(loaded.sources.len(), 1_000);
    assert!(codes(&loaded).iter().all(|code| *code == "HP0009"));
}

#[test]
fn many_wrong_references_do_not_cost_the_square_of_their_number() {
    // Ten thousand times ten thousand comparisons would take minutes; the bound makes it a moment.
    let mut plan = String::from("haus: 1\nhouse: a\nservices:\n");
    for at in 0..10_000 {
        plan.push_str(&format!("  service-{at:05}: {{ run: a, needs: [servise-{at:05}], health: {{ process: true }}, limits: {{}} }}\n"));
    }
    let files = MemoryFiles::new().with("house.yaml", plan);
    let loaded = load(Path::new("house.yaml"), &files);
    assert_eq!(loaded.findings.len(), 10_000);
    let suggested =
        loaded.findings.iter().filter(|finding| finding.remedy.starts_with("did you mean")).count();
    assert!((3..50).contains(&suggested), "{suggested}");
}

#[test]
fn a_line_too_long_to_show_still_has_its_place() {
    let plan =
        format!("haus: 1\nhouse: a\nservices: {{ web: {{ run: {}, colour: red }} }}\n", "x".repeat(5_000));
    let files = MemoryFiles::new().with("house.yaml", plan);
    let loaded = load(Path::new("house.yaml"), &files);
    let drawn = render(&loaded.findings, &loaded.sources, Style::default());
    assert!(drawn.contains("--> house.yaml:3:5027"), "{drawn}");
    assert!(drawn.len() < 5_000, "{}", drawn.len());
}

#[test]
fn further_notes_of_one_kind_are_counted_instead_of_drawn() {
    let mut plan = String::from("haus: 1\nhouse: a\nservices:\n");
    for at in 0..50 {
        plan.push_str(&format!("  s{at}: {{ run: a, health: {{ process: true }} }}\n"));
    }
    let loaded = load(Path::new("house.yaml"), &MemoryFiles::new().with("house.yaml", plan));
    let drawn = render(&loaded.findings, &loaded.sources, Style::default());
    assert_eq!(drawn.matches("note[HP0106]").count(), 21, "{drawn}");
    assert!(drawn.contains("30 further ones"), "{drawn}");
}
