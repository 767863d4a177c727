//! The talk itself: versions, noise, damaged frames, its end.

use super::talk::{Fault, Talk};
use super::world::World;
use haus_acts::frame::{read_message, skip_noise, write_message};
use haus_acts::wire::{Hello, Recovered, Reply, Request, VERSION};
use haus_model::host_code::HostCode;
use haus_testkit::{Signal, wait_for};
use std::process::Stdio;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn another_version_is_one_clear_refusal_and_the_end() {
    let world = World::new();
    let mut child = world.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let (mut input, mut output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let hello = Hello { version: VERSION + 1, house: "zimmer".parse().expect("a name") };
    write_message(&mut input, &Request::Hello(hello)).expect("writes");
    skip_noise(&mut output).expect("ours");
    let Ok(Reply::Refused(refusal)) = read_message(&mut output) else { panic!("not refused") };
    assert_eq!(refusal.code, HostCode::Protocol);
    assert!(refusal.why.contains("speaks version 2") && refusal.why.contains("speaks 1"), "{refusal}");
    assert!(child.wait().expect("waits").success());
}

#[test]
fn a_damaged_frame_is_refused_without_quoting_it() {
    let world = World::new();
    let mut talk = world.talk();
    talk.write(b"\0\0\0\x0fJ{\"act\":hunter2");
    let refusal = talk.reply().expect_err("refused").refusal();
    assert_eq!(refusal.code, HostCode::Protocol);
    assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
    assert!(!talk.child.wait().expect("waits").success());
}

#[test]
fn the_talk_ends_with_its_stream_and_with_a_signal() {
    let world = World::new();
    world.talk().close();
    let mut talk = world.talk();
    let pid = rustix::process::Pid::from_raw(talk.child.id().cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, Signal::TERM).expect("signals");
    let status = wait_for("it ends", DEADLINE, || talk.child.try_wait().expect("waits"));
    assert!(status.success(), "{status}");
}

#[test]
fn blobs_are_checked_and_known_by_their_hash() {
    let world = World::new();
    let mut talk = world.talk();
    let content = vec![7; 130_000];
    let hash = haus_model::Fingerprint::of(&content);
    let other = haus_model::Fingerprint::of(b"other");
    talk.put(&content).expect("is stored");
    let Ok(Reply::Missing { blobs }) = talk.ask(&Request::Missing { blobs: [hash, other].into() }) else {
        panic!()
    };
    assert_eq!(blobs, [other].into());
    talk.send(&Request::Put { hash: other, bytes: 3 }).expect("sends");
    talk.write(b"\0\0\0\x04Babc");
    assert_eq!(talk.reply().expect_err("refused").refusal().code, HostCode::CopyFailed);
    // The talk goes on after a wrong blob.
    assert_eq!(talk.recover().expect("goes on"), Recovered::Nothing);
}

#[test]
fn only_one_session_changes_a_host() {
    let world = World::new();
    let (mut one, mut other) = (world.talk(), world.talk());
    one.begin("a1", Vec::new()).expect("begins");
    let refusal = other.begin("a2", Vec::new()).expect_err("refused").refusal();
    assert_eq!(refusal.code, HostCode::Locked);
    assert!(refusal.why.contains("anna@desk (a test)"), "{refusal}");
    assert!(other.observe(&[]).expect("looking is free").open.is_some_and(|open| open.alive));
    one.child.kill().expect("kills");
    one.child.wait().expect("waits");
    assert!(matches!(other.recover(), Ok(Recovered::Closed { apply, .. }) if apply == "a1"));
    other.begin("a2", Vec::new()).expect("the dead one holds nobody up");
}

#[test]
fn a_lock_file_of_somebody_else_is_left_alone() {
    let world = World::new();
    std::fs::create_dir_all(world.state()).expect("makes");
    std::fs::write(world.state().join("lock"), "keep out\n").expect("writes");
    let mut talk: Talk = world.talk();
    let refusal = talk.begin("a1", Vec::new()).expect_err("refused").refusal();
    assert_eq!(refusal.code, HostCode::LockUnreadable);
    assert!(
        matches!(talk.recover(), Err(Fault::Refused(refusal)) if refusal.code == HostCode::LockUnreadable)
    );
    assert_eq!(std::fs::read_to_string(world.state().join("lock")).expect("reads"), "keep out\n");
}
