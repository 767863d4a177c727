//! New files for a service that goes on: replaced whole, told to the leader, refused where they may not lie.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use haus_model::Secret;
use haus_supervise::account;
use haus_supervise::{FileSpec, FolderSpec, Order, Report, SpawnSpec};

use crate::fixture::{
    Core, House, eventually, is_running, say_skipped, signal, skip_without_root, status_of,
};

/// Says what it reads, at its start and at each SIGHUP. Its companion, in the same group, would say if it
/// heard the signal as well.
const READER: &str = "sh -c 'trap \"echo companion was told\" HUP; echo companion; while :; do sleep 0.05; done' & \
                      say() { echo read $(cat credentials/key); }; trap say HUP; say; while :; do sleep 0.05; done";

fn file(path: PathBuf, content: &str) -> FileSpec {
    FileSpec { path, content: Secret::from(content.to_owned()), mode: 0o400, owned: true }
}

/// A service that has read `first`.
fn reader(house: &House, core: &mut Core, change: impl Fn(&mut SpawnSpec)) -> u32 {
    let data = house.root().join("data");
    let mut spec = house.spec("api/1", 5, READER);
    spec.folder = data.clone();
    spec.folders = [data.clone(), data.join("credentials")]
        .map(|path| FolderSpec { path, mode: 0o750, owned: true })
        .to_vec();
    spec.files = vec![file(data.join("credentials/key"), "first")];
    change(&mut spec);
    let (pid, _) = core.spawn(spec);
    house.wait_for_log("api/1", "read first");
    house.wait_for_log("api/1", "companion");
    pid
}

fn key(house: &House) -> PathBuf {
    house.root().join("data/credentials/key")
}

fn order(run: u64, files: Vec<FileSpec>, remove: &[&Path]) -> Order {
    let remove = remove.iter().map(|path| path.to_path_buf()).collect();
    Order::Deliver { key: String::from("api/1"), run, files, remove, signal: Some(libc::SIGHUP) }
}

fn delivered(core: &mut Core) {
    assert_eq!(core.next(), Report::Delivered { key: String::from("api/1"), run: 5 });
}

/// Expects a refusal and returns error and hint as one text.
fn refused(core: &mut Core) -> String {
    let report = core.next();
    let Report::DeliverFailed { error, hint, .. } = report else {
        panic!("expected a refusal, got {report:?}")
    };
    assert!(!error.contains("hunter2"), "{error}");
    format!("{error} | {}", hint.unwrap_or_default())
}

#[test]
fn a_service_reads_its_new_credential_at_the_signal_and_only_its_leader_is_told() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let pid = reader(&house, &mut core, |_| {});
    let old = house.root().join("data/credentials/old");
    fs::write(&old, "former").expect("writes");
    core.send(&order(5, vec![file(key(&house), "second")], &[&old]));
    delivered(&mut core);
    assert!(!old.exists());
    house.wait_for_log("api/1", "read second");
    assert_eq!(fs::metadata(key(&house)).expect("exists").mode() & 0o7777, 0o400);
    assert!(is_running(pid));
    core.send(&order(5, vec![file(key(&house), "third")], &[]));
    delivered(&mut core);
    house.wait_for_log("api/1", "read third");
    assert!(!house.log("api/1").contains(&String::from("companion was told")));
    assert!(!house.said().contains("second"));
}

#[test]
fn delivered_files_are_gone_after_the_house_and_after_a_parent_that_was_killed() {
    for is_killed in [false, true] {
        let mut house = House::start();
        let mut core = house.core();
        core.hello();
        reader(&house, &mut core, |_| {});
        let new = house.root().join("data/credentials/new");
        // As a program may demand it; the start would have let a file of this mode stay.
        let files = vec![FileSpec { mode: 0o600, ..file(new.clone(), "hunter2") }];
        core.send(&order(5, files, &[]));
        delivered(&mut core);
        assert!(new.exists());
        if is_killed {
            house.kill_parent();
            house.start_again();
            house.core().hello();
        } else {
            core.send(&Order::Drained { exit_code: 0 });
            core.exit(0);
            assert_eq!(house.wait_for_end().code(), Some(0));
        }
        assert!(!new.exists() && !key(&house).exists());
    }
}

#[test]
fn what_a_run_was_given_and_the_next_is_not_is_taken_back() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    reader(&house, &mut core, |_| {});
    let previous = house.root().join("data/credentials/key.previous");
    core.send(&order(5, vec![file(key(&house), "second"), file(previous.clone(), "first")], &[]));
    delivered(&mut core);
    assert!(previous.exists());
    core.stop("api/1", 5_000);
    core.exited();
    assert!(previous.exists(), "what a stopped instance leaves stays until somebody starts it anew");
    let mut spec = house.spec("api/1", 6, "cat data/credentials/key; exec sleep 60");
    let data = house.root().join("data");
    spec.folders = [data.clone(), data.join("credentials")]
        .map(|path| FolderSpec { path, mode: 0o750, owned: true })
        .to_vec();
    spec.files = vec![file(key(&house), "third")];
    core.spawn(spec);
    assert!(key(&house).exists() && !previous.exists());
}

#[test]
fn a_delivery_that_is_refused_says_why_and_changes_nothing() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    reader(&house, &mut core, |_| {});
    let good = || vec![file(key(&house), "hunter2")];
    let mut check = |order: Order, expected: &str| {
        core.send(&order);
        let said = refused(&mut core);
        assert!(said.contains(expected), "{said}");
        assert_eq!(fs::read_to_string(key(&house)).expect("reads"), "first");
    };
    check(order(4, good(), &[]), "cannot deliver to run 4 of api/1: it is at run 5");
    let outside = house.root().join("state/children.json");
    check(order(5, vec![file(outside.clone(), "hunter2")], &[]), "below no folder of its own");
    check(order(5, good(), &[&outside]), "below no folder of its own");
    let stranger =
        Order::Deliver { key: "web/1".into(), run: 5, files: good(), remove: vec![], signal: None };
    check(stranger, "cannot deliver to run 5 of web/1: it does not run");
    for number in [0, -1, libc::SIGKILL, libc::SIGSTOP, 65] {
        let order = Order::Deliver {
            key: "api/1".into(),
            run: 5,
            files: good(),
            remove: vec![],
            signal: Some(number),
        };
        check(order, &format!("{number} is no signal it can handle"));
    }
}

#[test]
fn a_run_that_is_being_stopped_gets_nothing_more() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let stubborn = format!("trap '' TERM; {READER}");
    reader(&house, &mut core, |spec| spec.argv[2] = stubborn.clone());
    core.stop("api/1", 60_000);
    core.send(&order(5, vec![file(key(&house), "hunter2")], &[]));
    let said = refused(&mut core);
    assert!(said.contains("cannot deliver to run 5 of api/1: it is ending"), "{said}");
    assert_eq!(fs::read_to_string(key(&house)).expect("reads"), "first");
    core.send(&Order::Kill { key: String::from("api/1") });
    core.exited();
}

#[test]
fn a_link_that_the_service_laid_leads_nowhere() {
    if skip_without_root("a service with an account of its own") {
        return;
    }
    let house = House::start();
    let mut core = house.core();
    core.hello();
    reader(&house, &mut core, |_| {});
    let credentials = house.root().join("data/credentials");
    let elsewhere = house.root().join("elsewhere");
    fs::create_dir(&elsewhere).expect("makes");
    fs::write(elsewhere.join("key"), "untouched").expect("writes");
    // As the service itself could do it: the folder is its own.
    fs::rename(&credentials, house.root().join("data/moved")).expect("moves");
    symlink(&elsewhere, &credentials).expect("links");
    core.send(&order(5, vec![file(key(&house), "hunter2")], &[]));
    let said = refused(&mut core);
    assert!(said.contains("credentials, a link to") && said.contains("remove it with `rm"), "{said}");
    core.send(&order(5, Vec::new(), &[&key(&house)]));
    refused(&mut core);
    assert_eq!(fs::read_to_string(elsewhere.join("key")).expect("reads"), "untouched");

    fs::remove_file(&credentials).expect("removes");
    fs::rename(house.root().join("data/moved"), &credentials).expect("moves back");
    fs::remove_file(key(&house)).expect("removes");
    for name in ["key", ".key.new"] {
        symlink(elsewhere.join("key"), credentials.join(name)).expect("links");
    }
    core.send(&order(5, vec![file(key(&house), "second")], &[]));
    delivered(&mut core);
    assert_eq!(fs::read_to_string(elsewhere.join("key")).expect("reads"), "untouched");
    assert!(!key(&house).is_symlink());
    house.wait_for_log("api/1", "read second");
}

#[test]
fn a_delivered_file_belongs_to_the_account_of_the_service() {
    if skip_without_root("accounts of services") {
        return;
    }
    let nobody = account::lookup("nobody").expect("reads");
    let Some(nobody) = nobody else {
        say_skipped("there is no account nobody: the owner of a delivered file");
        return;
    };
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let pid = reader(&house, &mut core, |spec| spec.account = Some(String::from("nobody")));
    assert!(status_of(pid, "Uid").starts_with(&nobody.uid.to_string()));
    // What lies there already, and whose it is, has no say.
    fs::write(house.root().join("data/credentials/.key.new"), "left").expect("writes");
    chown(house.root().join("data/credentials/.key.new"), Some(0), Some(0)).expect("gives");
    core.send(&order(5, vec![file(key(&house), "second")], &[]));
    delivered(&mut core);
    let metadata = fs::metadata(key(&house)).expect("exists");
    assert_eq!((metadata.uid(), metadata.gid()), (nobody.uid, nobody.gid));
    house.wait_for_log("api/1", "read second");
}

struct Mount<'path>(&'path Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_all_former_files_whole() {
    if skip_without_root("a small file system of our own") {
        return;
    }
    let house = House::start();
    let small = house.root().join("data");
    fs::create_dir(&small).expect("makes");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&small).status();
    if !mounted.is_ok_and(|status| status.success()) {
        say_skipped("cannot mount a tmpfs: a full disk under a delivery");
        return;
    }
    let _mount = Mount(&small);
    let mut core = house.core();
    core.hello();
    let other = small.join("credentials/other");
    reader(&house, &mut core, |spec| spec.files.push(file(small.join("credentials/other"), "former")));
    let large = "x".repeat(100 << 10);
    // The first one fits; it must not be replaced when the second one does not.
    core.send(&order(5, vec![file(key(&house), "second"), file(other.clone(), &large)], &[]));
    let said = refused(&mut core);
    assert!(said.contains("cannot write file") && said.contains("No space left on device"), "{said}");
    assert_eq!(fs::read_to_string(key(&house)).expect("reads"), "first");
    assert_eq!(fs::read_to_string(&other).expect("reads"), "former");
    assert_eq!(fs::read_dir(small.join("credentials")).expect("lists").count(), 2, "nothing is left beside");
    core.send(&order(5, vec![file(key(&house), "second"), file(other.clone(), "small")], &[]));
    delivered(&mut core);
    house.wait_for_log("api/1", "read second");
    assert!(!house.log("api/1").iter().any(|line| line.contains("xxx")));
}

#[test]
fn an_order_of_a_core_that_was_killed_is_carried_out_and_told_to_the_next_one() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let pid = reader(&house, &mut core, |_| {});
    // The parent is held, so that the order still waits for it when the core is gone.
    signal(house.parent_pid(), libc::SIGSTOP);
    eventually("the parent is held", || status_of(house.parent_pid(), "State").starts_with('T'));
    core.send(&order(5, vec![file(key(&house), "second")], &[]));
    // The line back to the test ends with the core; what it had taken from us by then, it has passed on.
    core.exit(1);
    eventually("the core is gone", || !is_running(core.pid));
    signal(house.parent_pid(), libc::SIGCONT);
    let mut next = house.core();
    let hello = next.hello();
    assert_eq!((hello.core_start, hello.children[0].pid), (2, pid));
    delivered(&mut next);
    house.wait_for_log("api/1", "read second");
    // Giving it again is harmless; the answer to the first one may come a second time.
    signal(next.pid, libc::SIGKILL);
    let mut last = house.core();
    last.hello();
    last.send(&order(5, vec![file(key(&house), "third")], &[]));
    delivered(&mut last);
    house.wait_for_log("api/1", "read third");
    assert!(is_running(pid));
}
