//! Commands: exits, signals, floods, children that stay.

use crate::{HASTY, PATIENT, ask, assert_bad, assert_good};
use haus_probe::{ProbeTarget, probe};
use haus_testkit::{is_root, is_running, loud_skip, wait_for, wait_for_end};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn command(argv: &[&str], folder: &Path) -> ProbeTarget {
    ProbeTarget::Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("TOKEN".to_owned(), "hunter2".to_owned()),
        ]),
        folder: folder.to_owned(),
        account: None,
    }
}

fn shell(script: &str) -> ProbeTarget {
    command(&["/bin/sh", "-c", script], Path::new("/"))
}

fn pid_in(file: &Path) -> u32 {
    let read = || std::fs::read_to_string(file).ok()?.trim().parse().ok();
    wait_for("a process number in the file", PATIENT, read)
}

#[tokio::test]
async fn the_exit_status_decides_and_the_last_line_is_shown() {
    let outcome = ask(&shell("echo first; echo all well; echo"), PATIENT).await;
    assert_good(&outcome, "command /bin/sh: exit 0, said: all well in ");
    let outcome = ask(&shell("echo out; echo broken >&2; exit 3"), PATIENT).await;
    assert_bad(&outcome, "command /bin/sh: exit 3, expected 0, said: broken");
    assert_bad(&ask(&shell("exit 1"), PATIENT).await, "command /bin/sh: exit 1, expected 0");
    assert_bad(&ask(&shell("kill -ABRT $$"), PATIENT).await, "ended by signal 6");
}

#[tokio::test]
async fn arguments_and_environment_are_not_shown() {
    let outcome = ask(&shell("echo postgres://me:$TOKEN@db/x refused; exit 1 # hunter3"), PATIENT).await;
    assert_bad(&outcome, "said: postgres://me:***@db/x refused");
    assert!(!outcome.evidence.contains("hunter"), "{outcome:?}");
    assert!(!format!("{:?}", shell("hunter3")).contains("hunter"));
}

#[tokio::test]
async fn the_environment_is_what_was_given() {
    let outcome = ask(
        &shell("env | grep -vE '^(PATH|TOKEN|HAUS_PROBE|PWD|OLDPWD|SHLVL|_)=' && exit 1; exit 0"),
        PATIENT,
    )
    .await;
    assert_good(&outcome, "exit 0");
}

#[tokio::test]
async fn the_folder_is_where_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mark"), "").unwrap();
    assert_good(&ask(&command(&["ls", "mark"], folder.path()), PATIENT).await, "said: mark");
}

#[tokio::test]
async fn long_and_wild_output_is_tamed() {
    let outcome =
        ask(&shell("printf '\\033[31m'; head -c 100000 /dev/zero | tr '\\0' x; exit 1"), PATIENT).await;
    assert_bad(&outcome, "xxx…");
    let outcome = ask(&shell("printf '\\377\\376 \\007 end\\r\\n'; exit 1"), PATIENT).await;
    assert_bad(&outcome, "end");
}

#[tokio::test]
async fn what_cannot_start_is_an_outcome() {
    let missing = ask(&command(&["no-such-program", "x"], Path::new("/")), PATIENT).await;
    assert_bad(&missing, "command no-such-program: could not be started: entity not found");
    let folder = ask(&command(&["true"], Path::new("/no/such/folder")), PATIENT).await;
    assert_bad(&folder, "(folder /no/such/folder)");
    assert_bad(&ask(&command(&[], Path::new("/")), PATIENT).await, "command (none): there is no program");
    assert_bad(&ask(&command(&["/etc/passwd"], Path::new("/")), PATIENT).await, "permission denied");
    assert_bad(&ask(&command(&["a\u{0}b"], Path::new("/")), PATIENT).await, "could not be started");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; sleep 600 & echo $! > child; echo $$ > leader; echo waiting; wait";
    let outcome = ask(&command(&["sh", "-c", script], folder.path()), Duration::from_secs(1)).await;
    assert_bad(&outcome, "command sh: no end within 1s, killed, said: waiting");
    for name in ["leader", "child"] {
        wait_for_end(pid_in(&folder.path().join(name)), PATIENT);
    }
}

#[tokio::test]
async fn a_command_that_leaves_a_child_with_the_pipe_is_neither_waited_for_nor_left() {
    let folder = tempfile::tempdir().unwrap();
    let outcome =
        ask(&command(&["sh", "-c", "sleep 600 & echo $! > child; echo done"], folder.path()), PATIENT).await;
    assert_good(&outcome, "said: done");
    assert!(outcome.took_ms < 10_000, "{outcome:?}");
    wait_for_end(pid_in(&folder.path().join("child")), PATIENT);
}

#[tokio::test]
async fn a_command_that_closes_its_output_is_still_waited_for() {
    assert_bad(&ask(&shell("exec >&- 2>&-; sleep 0.1; exit 7"), PATIENT).await, "exit 7");
    assert_bad(&ask(&shell("exec >&- 2>&-; sleep 600"), HASTY).await, "no end within 200ms");
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    let outcome = ask(&command(&["yes"], Path::new("/")), PATIENT).await;
    assert_bad(&outcome, "command yes: wrote more than 1 MiB, killed, said: y");
}

#[tokio::test]
async fn a_probe_that_is_dropped_ends_its_command() {
    let folder = tempfile::tempdir().unwrap();
    let target = command(&["sh", "-c", "sleep 600 & echo $! > child; wait"], folder.path());
    let task = tokio::spawn(async move { probe(&target, PATIENT).await });
    let file: PathBuf = folder.path().join("child");
    let pid = tokio::task::spawn_blocking(move || pid_in(&file)).await.unwrap();
    assert!(is_running(pid));
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    wait_for_end(pid, PATIENT);
}

#[tokio::test]
async fn what_left_the_process_group_is_ended() {
    for (script, timeout, good) in [
        ("setsid sleep 600 >/dev/null 2>&1 & echo $! > child; echo done", PATIENT, true),
        ("setsid sh -c 'sleep 600 & echo $! > child; wait' & wait", Duration::from_secs(1), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        // The number is there in any case before the command may end.
        let script = format!("{script}; until test -s child; do sleep 0.01; done");
        let outcome = ask(&command(&["sh", "-c", &script], folder.path()), timeout).await;
        assert_eq!(outcome.ok, good, "{outcome:?}");
        wait_for_end(pid_in(&folder.path().join("child")), PATIENT);
    }
}

#[tokio::test]
async fn what_left_the_process_group_of_a_dropped_probe_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let target =
        command(&["sh", "-c", "setsid sh -c 'echo $$ > child; exec sleep 600' & wait"], folder.path());
    let task = tokio::spawn(async move { probe(&target, PATIENT).await });
    let file: PathBuf = folder.path().join("child");
    let pid = tokio::task::spawn_blocking(move || pid_in(&file)).await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    tokio::task::spawn_blocking(move || wait_for_end(pid, PATIENT)).await.unwrap();
}

#[tokio::test]
async fn processes_of_others_stay() {
    let mut stranger = std::process::Command::new("sleep").arg("600").env("HAUS_PROBE", "1").spawn().unwrap();
    assert_good(&ask(&shell("setsid true"), PATIENT).await, "exit 0");
    assert!(is_running(stranger.id()));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_command_gains_no_rights_and_dumps_no_core() {
    let script = "grep -q '^NoNewPrivs:.*1$' /proc/self/status && test \"$(ulimit -Hc)\" = 0";
    assert_good(&ask(&shell(script), PATIENT).await, "exit 0");
}

#[tokio::test]
async fn the_account_is_taken_on() {
    if !is_root() {
        loud_skip("the_account_is_taken_on", "changing the account needs root");
        return;
    }
    let script = "test \"$(id -u):$(id -g):$(id -G)\" = 65534:65533:65533 || { id; exit 1; }";
    let ProbeTarget::Command { argv, env, folder, .. } = shell(script) else { unreachable!() };
    let target = ProbeTarget::Command { argv, env, folder, account: Some((65_534, 65_533)) };
    assert_good(&ask(&target, PATIENT).await, "exit 0");
}
