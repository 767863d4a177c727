//! Tests of a delivery: what stands afterwards, and what is said when it was refused.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use haus_model::Secret;

use super::*;
use crate::wire::FolderSpec;

/// A folder `in` that the run was started with, holding `key` and `old`, beside a file `outside`.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        let home = Home(tempfile::tempdir().expect("folder"));
        fs::create_dir_all(home.path("in/sub")).expect("makes");
        for name in ["in/key", "in/old", "outside"] {
            fs::write(home.path(name), "former").expect("writes");
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|_| String::from("-"))
    }

    fn deliver(&self, files: &[&str], remove: &[&str]) -> Result<(), Failure> {
        let folders = [("", false), ("in", true)]
            .map(|(name, owned)| FolderSpec { path: self.path(name), mode: 0o750, owned })
            .to_vec();
        let ground = Ground::new(&SpawnSpec { folders, ..SpawnSpec::default() }, None);
        let file = |name: &&str| FileSpec {
            path: self.path(name),
            content: Secret::from(String::from("hunter2")),
            mode: 0o400,
            owned: true,
        };
        let files: Vec<FileSpec> = files.iter().map(file).collect();
        let remove: Vec<PathBuf> = remove.iter().map(|name| self.path(name)).collect();
        ground.deliver(&files, &remove)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("in")).expect("lists");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Delivers, expects a refusal that says `expected`, and finds everything as it was.
fn check_refused(prepare: impl Fn(&Home), files: &[&str], remove: &[&str], expected: &str) {
    let home = Home::new();
    prepare(&home);
    let before = home.names();
    let Failure { error, hint, .. } = home.deliver(files, remove).expect_err("refused");
    let said = format!("{error} | {}", hint.unwrap_or_default());
    assert!(said.contains(expected), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(home.names(), before);
    for name in ["in/key", "in/old", "outside"] {
        if !home.path(name).is_symlink() {
            assert_eq!(home.text(name), "former", "{name}");
        }
    }
}

#[test]
fn files_are_replaced_with_their_mode_and_named_ones_are_removed() {
    let home = Home::new();
    home.deliver(&["in/key", "in/sub/new"], &["in/old", "in/never-there"]).expect("delivers");
    assert_eq!((home.text("in/key"), home.text("in/sub/new")), ("hunter2".into(), "hunter2".into()));
    assert_eq!(fs::metadata(home.path("in/key")).expect("exists").mode() & 0o7777, 0o400);
    assert_eq!(home.names(), ["key", "sub"]);
    home.deliver(&["in/key"], &[]).expect("again");
}

#[test]
fn nothing_is_touched_outside_the_folders_of_the_start() {
    let nothing = |_: &Home| {};
    check_refused(
        nothing,
        &["outside"],
        &[],
        "below no folder of its own that the instance was started with",
    );
    check_refused(nothing, &["in/key", "outside"], &[], "cannot write file");
    check_refused(nothing, &[], &["outside"], "cannot remove file");
    check_refused(nothing, &["in/key"], &["outside"], "cannot remove file");
    check_refused(nothing, &["in/../outside"], &[], "below no folder");
    check_refused(nothing, &["in/sub/../../outside"], &[], "below no folder");
    check_refused(nothing, &["in"], &[], "below no folder");
    check_refused(nothing, &["in-and-out"], &[], "below no folder");
}

#[test]
fn a_link_that_the_service_laid_is_not_passed() {
    let elsewhere = tempfile::tempdir().expect("folder");
    let to_folder = |home: &Home| {
        fs::remove_dir(home.path("in/sub")).expect("removes");
        symlink(elsewhere.path(), home.path("in/sub")).expect("links");
    };
    check_refused(to_folder, &["in/key", "in/sub/key"], &[], "in/sub, a link to");
    check_refused(to_folder, &["in/key"], &["in/sub/key"], "in/sub, a link to");
    let whole = |home: &Home| {
        fs::rename(home.path("in"), home.path("moved")).expect("moves");
        symlink(home.path("moved"), home.path("in")).expect("links");
    };
    check_refused(whole, &["in/key"], &[], "/in, a link to");
    assert_eq!(fs::read_dir(elsewhere.path()).expect("lists").count(), 0);
}

#[test]
fn a_link_in_the_place_of_a_file_or_beside_it_is_replaced_and_not_written_through() {
    let home = Home::new();
    fs::remove_file(home.path("in/key")).expect("removes");
    for name in ["in/key", "in/.key.new"] {
        symlink(home.path("outside"), home.path(name)).expect("links");
    }
    home.deliver(&["in/key"], &[]).expect("delivers");
    assert_eq!((home.text("in/key"), home.text("outside")), ("hunter2".into(), "former".into()));
    assert!(!home.path("in/key").is_symlink());
    fs::remove_file(home.path("in/old")).expect("removes");
    symlink(home.path("outside"), home.path("in/old")).expect("links");
    home.deliver(&[], &["in/old"]).expect("removes the link");
    assert_eq!((home.text("in/old"), home.text("outside")), ("-".into(), "former".into()));
}

#[test]
fn a_folder_in_the_place_of_a_file_leaves_all_former_ones_whole() {
    check_refused(|_| {}, &["in/key", "in/sub"], &[], "move the folder away");
    check_refused(|_| {}, &["in/key"], &["in/sub"], "cannot remove file");
    let beside = |home: &Home| fs::create_dir(home.path("in/.old.new")).expect("makes");
    check_refused(beside, &["in/key", "in/old"], &[], ".old.new beside it cannot be removed");
}

#[test]
fn a_file_that_is_named_twice_is_refused() {
    check_refused(|_| {}, &["in/key", "in/key"], &[], "it is named twice");
    check_refused(|_| {}, &["in/key"], &["in/./key"], "it is named twice");
    check_refused(|_| {}, &["in/key", "in/.key.new"], &[], "it is named twice");
}
