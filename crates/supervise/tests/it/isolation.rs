//! What a service finds when it starts: environment, descriptors, signals, limits, account, files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use haus_model::Secret;
use haus_supervise::account;
use haus_supervise::{FileSpec, FolderSpec, Limits, LinkSpec};

use crate::fixture::{House, eventually, skip_without_root, status_of};

#[test]
fn a_service_finds_a_clean_process() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let script = "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | sort; umask; pwd; for fd in /proc/self/fd/*; do echo ${fd##*/}; done; \
                  ulimit -c; ulimit -n; readlink /proc/self/fd/0; echo done; exec sleep 600";
    let mut spec = house.spec("api/1", 9, script);
    spec.env.insert(String::from("GREETING"), String::from("good morning"));
    let (pid, _) = core.spawn(spec);
    house.wait_for_log("api/1", "done");
    let mut log = house.log("api/1");
    let mark = log.iter().position(|line| line.starts_with("HAUS_RUN_ID=")).expect("mark");
    assert!(log.remove(mark).ends_with("-1"));
    // The shell that lists its descriptors has one more open for the list itself.
    log.retain(|line| line != "3");
    let expected = [
        "GREETING=good morning",
        "HAUS_INSTANCE=api/1",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "0027",
        "/",
        "0",
        "1",
        "2",
        "0",
        "8192",
        "/dev/null",
        "done",
    ];
    assert_eq!(log, expected);
    for field in ["SigBlk", "SigIgn"] {
        assert_eq!(status_of(pid, field), "0000000000000000", "{field}");
    }
    assert_eq!(status_of(pid, "NoNewPrivs"), "1");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("reads");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let own = pid.to_string();
    assert_eq!((fields[2], fields[3]), (own.as_str(), own.as_str()), "leads its group and its session");
}

#[test]
fn files_folders_and_links_are_there_before_the_program_runs() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let data = house.root().join("data");
    let mut spec = house.spec(
        "api/1",
        1,
        "cat credentials/key; echo; cat link; echo; stat -c %a credentials/key; echo done",
    );
    spec.folder = data.clone();
    spec.folders = ["", "credentials"]
        .map(|name| FolderSpec { path: data.join(name), mode: 0o750, owned: true })
        .to_vec();
    let content = Secret::from(String::from("hunter2"));
    spec.files = vec![FileSpec { path: data.join("credentials/key"), content, mode: 0o400, owned: true }];
    spec.links = vec![LinkSpec { path: data.join("link"), target: data.join("credentials/key") }];
    core.spawn(spec);
    house.wait_for_log("api/1", "done");
    assert_eq!(house.log("api/1"), ["hunter2", "hunter2", "400", "done"]);
    assert!(!house.said().contains("hunter2"));
}

struct OwnAccount(String);

impl Drop for OwnAccount {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(&self.0).output();
    }
}

#[test]
fn a_service_runs_under_its_own_account_which_is_made_when_absent() {
    if skip_without_root("accounts of services") {
        return;
    }
    let own = OwnAccount(account::own_name("supervise test", &format!("{}", std::process::id())));
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let data = house.root().join("data");
    let mut spec = house.spec(
        "api/1",
        1,
        "id -un; id -G | wc -w; cat key; echo; touch own && echo wrote; exec sleep 600",
    );
    spec.account = Some(own.0.clone());
    spec.folder = data.clone();
    spec.folders = vec![FolderSpec { path: data.clone(), mode: 0o750, owned: true }];
    let content = Secret::from(String::from("for its eyes only"));
    spec.files = vec![FileSpec { path: data.join("key"), content, mode: 0o400, owned: true }];
    let (pid, _) = core.spawn(spec);
    house.wait_for_log("api/1", "wrote");
    assert_eq!(house.log("api/1"), [own.0.as_str(), "1", "for its eyes only", "wrote"]);
    let account = account::lookup(&own.0).expect("reads").expect("made");
    let ids = format!("{0}\t{0}\t{0}\t{0}", account.uid);
    assert_eq!(status_of(pid, "Uid"), ids);
    assert_eq!(fs::metadata(data.join("key")).expect("exists").uid(), account.uid);
    assert_eq!(fs::metadata(house.log_path("api/1")).expect("exists").uid(), 0);
    core.stop("api/1", 5_000);
    core.exited();
}

#[test]
fn limits_are_set_where_the_machine_lets_us_and_noted_where_not() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let mut spec = house.spec("api/1", 1, "ulimit -n; exec sleep 600");
    spec.limits = Limits {
        memory_bytes: Some(64 << 20),
        cpu_milli: Some(500),
        tasks: Some(20),
        files: Some(64),
        core: 0,
    };
    let (pid, notes) = core.spawn(spec);
    house.wait_for_log("api/1", "64");
    let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("reads");
    let controllers = ["memory", "cpu", "pids"];
    let names = BTreeMap::from([("memory", "memory"), ("cpu", "processor"), ("pids", "task")]);
    let in_group = membership.contains("/api-1.");
    for controller in controllers {
        let noted =
            notes.iter().any(|note| note.starts_with(&format!("{} limit not enforced", names[controller])));
        assert!(noted || in_group, "{controller}: neither enforced nor noted: {notes:?} {membership}");
    }
    core.stop("api/1", 5_000);
    core.exited();
    let group =
        membership.lines().find_map(|line| line.split(':').nth(2).filter(|path| path.contains("/api-1.")));
    if let Some(path) = group {
        for hierarchy in ["", "memory", "cpu", "pids", "unified"] {
            let folder = format!("/sys/fs/cgroup/{hierarchy}{path}");
            eventually("the control group is removed", || !std::path::Path::new(&folder).exists());
        }
    }
}

#[test]
fn a_service_that_takes_more_memory_than_allowed_is_ended_by_the_kernel() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let mut spec = house.spec("api/1", 1, "exec head -c 200000000 /dev/zero | tail -c 190000000 >/dev/null");
    spec.limits = Limits { memory_bytes: Some(32 << 20), ..Limits::default() };
    let (_, notes) = core.spawn(spec);
    if !notes.is_empty() {
        eprintln!("SKIPPED, no writable control group: a limit of memory ({notes:?})");
        return;
    }
    let exit = core.exited();
    assert_ne!(exit.exit, haus_supervise::ExitKind::Code(0), "{exit:?}");
    assert_eq!(exit.notes, ["used more than its memory limit of 33554432 bytes"], "{exit:?}");
}
