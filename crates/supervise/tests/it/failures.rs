//! Starts that fail say what was attempted, why it failed and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use haus_model::Secret;
use haus_supervise::{FileSpec, FolderSpec, LinkSpec, SpawnSpec};

use crate::fixture::{Core, House, is_root, skip_without_root};

fn check(change: impl Fn(&House, &mut SpawnSpec), expected: &[&str]) {
    let house = House::start();
    let mut core: Core = house.core();
    core.hello();
    let mut spec = house.spec("api/1", 1, "exec sleep 600");
    change(&house, &mut spec);
    let failure = core.spawn_failure(spec);
    for part in expected {
        assert!(failure.contains(part), "{failure} lacks {part}");
    }
    assert!(!failure.contains("hunter2"), "{failure}");
    // The key is free again, and the parent goes on.
    core.spawn(house.spec("api/1", 2, "exec sleep 600"));
}

#[test]
fn a_missing_program_is_named_with_the_path_searched() {
    check(
        |_, spec| spec.argv = vec![String::from("no-such-program")],
        &[
            "exec: there is no program `no-such-program` in /usr/local/bin:/usr/bin:/bin",
            "install `no-such-program`",
        ],
    );
    check(|_, spec| spec.argv = vec![String::from("/opt/x/y")], &["exec: there is no program /opt/x/y"]);
    check(|_, spec| spec.argv.clear(), &["exec: there is no program to run"]);
}

#[test]
fn a_file_that_is_no_program_is_told_from_a_missing_one() {
    let script = |house: &House, content: &str, mode: u32| {
        let path = house.root().join("program");
        fs::write(&path, content).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("sets");
        vec![path.to_string_lossy().into_owned()]
    };
    check(|house, spec| spec.argv = script(house, "#!/opt/no/python3\n", 0o755), &["needs /opt/no/python3"]);
    check(
        |house, spec| spec.argv = script(house, "text", 0o755),
        &["neither a program of this machine nor a script"],
    );
    check(|house, spec| spec.argv = script(house, "text", 0o644), &["may not run", "chmod a+rx"]);
}

#[test]
fn a_missing_working_folder_is_named() {
    check(
        |_, spec| spec.folder = PathBuf::from("/nowhere"),
        &["folder: working folder /nowhere does not exist"],
    );
}

#[test]
fn a_folder_that_the_account_cannot_enter_is_named_with_mode_and_remedy() {
    let closed_house = |house: &House, spec: &mut SpawnSpec, mode: u32| {
        let closed = house.root().join("closed");
        fs::create_dir_all(closed.join("inner")).expect("makes");
        fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).expect("closes");
        spec.folder = closed.join("inner");
    };
    if is_root() {
        let change = |house: &House, spec: &mut SpawnSpec| {
            spec.account = Some(String::from("nobody"));
            closed_house(house, spec, 0o700);
        };
        check(change, &["folder: account nobody cannot enter", "/closed has mode 0700", "chmod o+x"]);
    } else {
        check(|house, spec| closed_house(house, spec, 0o600), &["cannot enter", "/closed has mode 0600"]);
    }
}

#[test]
fn an_account_that_does_not_exist_is_named_with_the_command_that_creates_it() {
    if skip_without_root("a missing account") {
        return;
    }
    check(
        |_, spec| spec.account = Some(String::from("ltc-missing")),
        &["account: there is no account ltc-missing", "useradd --system", "ltc-missing"],
    );
}

#[test]
fn a_file_that_cannot_be_written_is_named_without_its_content() {
    check(
        |_, spec| {
            let content = Secret::from(String::from("hunter2"));
            spec.files =
                vec![FileSpec { path: PathBuf::from("/proc/key"), content, mode: 0o400, owned: true }];
        },
        &["file: cannot write file /proc/key"],
    );
}

#[test]
fn a_folder_that_cannot_be_made_and_a_link_that_is_taken_are_named() {
    check(
        |_, spec| {
            spec.folders = vec![FolderSpec { path: PathBuf::from("/proc/x/y"), mode: 0o750, owned: true }];
        },
        &["folder: cannot make folder /proc/x/y"],
    );
    check(
        |house, spec| {
            fs::create_dir(house.root().join("data")).expect("makes");
            spec.links =
                vec![LinkSpec { path: house.root().join("data"), target: PathBuf::from("/srv/data") }];
        },
        &["link: cannot link", "a folder stands there", "move its content to /srv/data"],
    );
}

#[test]
fn a_link_is_not_made_through_a_folder_that_the_service_swapped() {
    let elsewhere = tempfile::tempdir().expect("folder");
    check(
        |house, spec| {
            spec.folder = house.root().join("app");
            fs::create_dir(&spec.folder).expect("makes");
            std::os::unix::fs::symlink(elsewhere.path(), spec.folder.join("server")).expect("links");
            let path = spec.folder.join("server/motd");
            spec.links = vec![LinkSpec { path, target: PathBuf::from("/srv/data") }];
        },
        &["link: cannot link", "app/server, a link to", "remove it with `rm"],
    );
    assert_eq!(fs::read_dir(elsewhere.path()).expect("lists").count(), 0);
}
