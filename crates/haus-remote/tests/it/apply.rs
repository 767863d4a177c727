//! Applies on a machine in a folder: what is made, what is refused, what is taken back.

use super::talk::{SECRET, Talk, change, changes, secret_version, secrets};
use super::world::{World, archive};
use haus_acts::wire::{Ending, Outcome, Recovered, Reply, Request};
use haus_model::Fingerprint;
use haus_model::change::ActKind;
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::resource::{Content, FileSpec, HealthQuestion, HealthSpec, Spec};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

/// Makes these true and gives the session back.
fn made(world: &World, specs: &[Spec]) -> Talk {
    let mut talk = world.talk();
    let is = talk.observe(specs).expect("observes");
    let Ok(Reply::History(past)) = talk.ask(&Request::History { last: 10 }) else { panic!("no history") };
    talk.apply(&format!("a{}", past.len() + 1), changes(specs, &is, None)).expect("applies");
    talk
}

/// Tries one change, which must be refused and leave everything as it was.
fn refused(world: &World, spec: Spec) -> haus_acts::wire::Refusal {
    let before = world.tree();
    let mut talk = world.talk();
    let is = talk.observe(std::slice::from_ref(&spec)).expect("observes");
    let Ok(Reply::History(past)) = talk.ask(&Request::History { last: 10 }) else { panic!("no history") };
    talk.begin(&format!("a{}", past.len() + 1), changes(&[spec], &is, None)).expect("begins");
    let refusal = talk.act(1, secrets()).expect_err("refused").refusal();
    talk.finish(Ending::Stop).expect("stops");
    assert_eq!(world.tree(), before);
    refusal
}

#[test]
fn a_second_apply_changes_nothing() {
    let world = World::new();
    let specs = [
        world.folder("/etc/app", 0o750),
        world.file("/etc/app/a.conf", "a = 1\n"),
        World::link("/etc/app/current", "a.conf"),
        world.keys(&["ssh-ed25519 AAAA anna"]),
    ];
    let mut talk = made(&world, &specs);
    let is = talk.observe(&specs).expect("observes");
    let again = talk.apply("a2", changes(&specs, &is, None)).expect("applies");
    assert!(again.iter().all(|done| !done.changed), "{again:?}");
    assert_eq!(is.manifest.entries.len(), 4);
    assert!(is.manifest.entries.values().all(|entry| entry.made));
    assert_eq!(is.manifest.ports.get("api/1/http"), Some(&8001));
    let keys = world.root().join("home/tester/.ssh/authorized_keys");
    assert_eq!(fs::metadata(keys).expect("is there").permissions().mode() & 0o7777, 0o600);
}

#[test]
fn everything_comes_back_when_an_apply_is_taken_back_at_its_end_or_later() {
    for later in [false, true] {
        let world = World::new();
        fs::write(world.root().join("etc/old.conf"), "old\n").expect("writes");
        fs::create_dir(world.root().join("etc/empty")).expect("makes");
        let before = world.tree();
        let specs = [
            world.folder("/etc/app/deep", 0o750),
            world.file("/etc/old.conf", "new\n"),
            World::link("/etc/empty", "app"),
            world.keys(&["ssh-ed25519 AAAA anna"]),
        ];
        let mut talk = world.talk();
        let is = talk.observe(&specs).expect("observes");
        talk.begin("a1", changes(&specs, &is, None)).expect("begins");
        for number in 1..=4 {
            assert!(talk.act(number, Vec::new()).expect("acts").changed);
        }
        let finished = if later {
            talk.finish(Ending::Commit).expect("commits");
            world.talk().roll_back().expect_err("the first session still has the lock");
            talk.close();
            world.talk().roll_back().expect("rolls back")
        } else {
            talk.finish(Ending::RollBack).expect("rolls back")
        };
        assert_eq!((finished.outcome, finished.left), (Outcome::RolledBack, Vec::new()));
        assert_eq!(world.tree(), before);
        assert!(world.talk().observe(&[]).expect("observes").manifest.entries.is_empty());
    }
}

#[test]
fn what_somebody_changed_since_is_not_rolled_back() {
    let world = World::new();
    made(&world, &[world.file("/etc/a", "1")]).close();
    fs::write(world.root().join("etc/a"), "by hand").expect("writes");
    let refusal = world.talk().roll_back().expect_err("refused").refusal();
    assert_eq!((refusal.code, refusal.evidence), (HostCode::Moved, vec!["file:/etc/a".to_owned()]));
}

#[test]
fn a_host_that_moved_is_refused_at_the_beginning_and_in_the_middle() {
    let world = World::new();
    let specs = [world.file("/etc/a", "1"), world.file("/etc/b", "1")];
    let mut talk = world.talk();
    let is = talk.observe(&specs).expect("observes");
    fs::write(world.root().join("etc/b"), "by hand").expect("writes");
    let refusal = talk.begin("a1", changes(&specs, &is, None)).expect_err("refused").refusal();
    assert_eq!((refusal.code, refusal.evidence), (HostCode::Moved, vec!["file:/etc/b".to_owned()]));
    let is = talk.observe(&specs).expect("observes");
    talk.begin("a2", changes(&specs, &is, None)).expect("begins");
    talk.act(1, Vec::new()).expect("acts");
    fs::write(world.root().join("etc/b"), "by hand again").expect("writes");
    assert_eq!(talk.act(2, Vec::new()).expect_err("refused").refusal().code, HostCode::Moved);
    assert_eq!(fs::read_to_string(world.root().join("etc/b")).expect("reads"), "by hand again");
}

#[test]
fn an_apply_from_a_desk_whose_clock_is_behind_does_not_begin() {
    let world = World::new();
    let mut talk = world.talk();
    talk.apply("20260102T000000-2", Vec::new()).expect("applies");
    let refusal = talk.begin("20260101T000000-9", Vec::new()).expect_err("refused").refusal();
    assert_eq!(refusal.code, HostCode::ClockSkew);
    assert!(refusal.why.contains("20260102T000000-2") && refusal.remedy.contains("clocks"), "{refusal:?}");
    let refusal = talk.begin("20260102T000000-2", Vec::new()).expect_err("is taken").refusal();
    assert_eq!(refusal.code, HostCode::ActFailed);
    talk.apply("20260102T000000-3", Vec::new()).expect("a later one begins");
}

#[test]
fn data_is_never_replaced_by_a_link() {
    let world = World::new();
    fs::create_dir(world.root().join("srv/data")).expect("makes");
    fs::write(world.root().join("srv/data/photo"), "mine").expect("writes");
    assert_eq!(refused(&world, World::link("/srv/data", "/elsewhere")).code, HostCode::DataInPlaceOfLink);
    assert_eq!(
        refused(&world, World::link("/srv/data/photo", "/elsewhere")).code,
        HostCode::DataInPlaceOfLink
    );
    assert_eq!(refused(&world, world.file("/srv/data", "x")).code, HostCode::OtherInPlace);
    assert_eq!(refused(&world, world.folder("/srv/data/photo", 0o755)).code, HostCode::OtherInPlace);
}

#[test]
fn a_file_that_its_check_refuses_does_not_stay() {
    let world = World::new();
    fs::write(world.root().join("etc/a.conf"), "good\n").expect("writes");
    let candidate = refused(&world, world.checked("/etc/a.conf", "bad\n", &["grep", "good", "{}"]));
    assert_eq!(candidate.code, HostCode::ActFailed);
    assert!(candidate.what.contains("check /etc/a.conf"), "{candidate}");
    let place = world.root().join("etc/a.conf");
    let whole =
        refused(&world, world.checked("/etc/a.conf", "bad\n", &["grep", "good", &place.to_string_lossy()]));
    assert_eq!(whole.code, HostCode::ActFailed);
    made(&world, &[world.checked("/etc/a.conf", "also good\n", &["grep", "good", "{}"])]).close();
}

#[test]
fn releases_are_built_switched_and_pruned() {
    check_releases(true);
}

/// What does all of an apply and not its end leaves nothing to do, so nothing else would prune.
#[test]
fn releases_are_pruned_by_who_finds_a_whole_apply_without_an_end() {
    check_releases(false);
}

/// Three releases of which two are kept; the last apply has its end, or is found without it.
fn check_releases(has_end: bool) {
    let world = World::new();
    let mut talk = world.talk();
    let mut first = None;
    for version in ["1", "2", "3"] {
        let archive = archive(&[("server/app.py", version), ("data/.gitkeep", "")]);
        let release =
            world.release(&archive, &["sh", "-c", "cat server/app.py >built; test \"$HOME\" != /root"]);
        let specs = [Spec::Release(release.clone()), World::switch(&release, 1)];
        talk.put(&archive).expect("is stored");
        let is = talk.observe(&specs).expect("observes");
        let (apply, changes) = (format!("a{version}"), changes(&specs, &is, None));
        if has_end || version != "3" {
            talk.apply(&apply, changes).expect("applies");
        } else {
            talk.begin(&apply, changes).expect("begins");
            (1..=2).for_each(|number| drop(talk.act(number, Vec::new()).expect("acts")));
            std::mem::replace(&mut talk, world.talk()).end();
            let recovered = talk.recover().expect("finds it");
            assert!(matches!(recovered, Recovered::Closed { repaired: None, .. }), "{recovered:?}");
        }
        let current = world.root().join("srv/api/current");
        assert_eq!(fs::read_to_string(current.join("built")).expect("reads"), version);
        assert_eq!(
            fs::read_link(current.join("data")).expect("is a link").to_string_lossy(),
            "/srv/api/data"
        );
        first.get_or_insert(release.release_id().expect("known"));
    }
    let root = world.root().join("srv/api/releases");
    let names: Vec<String> = fs::read_dir(&root)
        .expect("lists")
        .map(|entry| entry.expect("one").file_name().to_string_lossy().into())
        .collect();
    // Two releases, each with its note; of the first nothing is left.
    let first = first.expect("built");
    assert_eq!(names.iter().filter(|name| name.ends_with(".json")).count(), 2, "{names:?}");
    assert!(names.len() == 4 && !names.iter().any(|name| name.contains(&first)), "{names:?}");
    talk.close();
    let finished = world.talk().roll_back().expect("rolls back");
    assert_eq!(finished.left, []);
    assert_eq!(fs::read_to_string(world.root().join("srv/api/current/built")).expect("reads"), "2");
}

#[test]
fn a_build_that_fails_leaves_nothing_and_tells_its_last_lines() {
    let world = World::new();
    let archive = archive(&[("a", "1")]);
    world.talk().put(&archive).expect("is stored");
    let release = world.release(&archive, &["sh", "-c", "echo working; echo no such module >&2; exit 3"]);
    let refusal = refused(&world, Spec::Release(release));
    assert!(refusal.evidence.contains(&"no such module".to_owned()), "{refusal:?}");
    assert_eq!(refusal.why, "it ended with 3");
}

#[test]
fn a_secret_becomes_a_file_and_stands_nowhere_else() {
    let world = World::new();
    let content = Content::Secret(secret_version());
    let file = FileSpec { path: "/etc/key".into(), content, access: world.access(0o640), check: None };
    let mut step =
        world.step("use", &["sh", "-c", "cat $CREDENTIALS_DIRECTORY/key; ls -l $CREDENTIALS_DIRECTORY >&2"]);
    step.credentials.insert("key".to_owned(), secret_version());
    let specs = [Spec::File(file.clone()), Spec::Command(step)];
    let mut talk = made(&world, &specs);
    assert_eq!(fs::read_to_string(world.root().join("etc/key")).expect("reads"), SECRET);
    assert!(!format!("{:?}", talk.progress).contains(SECRET), "{:?}", talk.progress);
    assert!(format!("{:?}", talk.progress).contains("-r--------"), "{:?}", talk.progress);
    let is = talk.observe(&specs).expect("observes");
    let State::File { hash: None, text: None, secret, .. } = &is.states[&specs[0].id()] else {
        panic!("{is:?}")
    };
    assert_eq!(*secret, Some(secret_version()));
    // Somebody changes it: then it is not that version any longer.
    fs::write(world.root().join("etc/key"), "other").expect("writes");
    let is = talk.observe(&specs).expect("observes");
    assert!(matches!(&is.states[&specs[0].id()], State::File { secret: None, .. }));
    talk.close();
    let found = std::process::Command::new("grep")
        .args(["-r", "-l", SECRET])
        .arg(world.state())
        .output()
        .expect("runs");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn a_command_runs_once_for_the_same_inputs_or_until_its_question_is_answered() {
    let world = World::new();
    let root = world.root().to_string_lossy().into_owned();
    let mut step = world.step("count", &["sh", "-c", &format!("echo x >>{root}/count")]);
    let spec = Spec::Command(step.clone());
    let mut talk = made(&world, std::slice::from_ref(&spec));
    let is = talk.observe(std::slice::from_ref(&spec)).expect("observes");
    assert_eq!(is.states[&spec.id()], State::Command { satisfied: None, done: Some(step.inputs) });
    step.unless = Some(vec!["test".to_owned(), "-e".to_owned(), format!("{root}/count")]);
    let is = talk.observe(&[Spec::Command(step.clone())]).expect("observes");
    assert!(matches!(is.states[&spec.id()], State::Command { satisfied: Some(true), .. }));
    assert_eq!(fs::read_to_string(world.root().join("count")).expect("reads"), "x\n");
}

#[test]
fn what_is_ours_is_removed_and_what_is_not_empty_stays() {
    let world = World::new();
    let specs =
        [world.folder("/etc/app", 0o755), world.file("/etc/app/a", "1"), World::link("/etc/l", "app")];
    let mut talk = made(&world, &specs);
    fs::write(world.root().join("etc/app/other"), "by somebody").expect("writes");
    let is = talk.observe(&specs).expect("observes");
    let removals = specs.iter().rev().enumerate().map(|(at, spec)| {
        change(
            u32::try_from(at).expect("few") + 1,
            ActKind::Remove,
            spec.clone(),
            is.states[&spec.id()].clone(),
        )
    });
    let done = talk.apply("a2", removals.collect()).expect("applies");
    assert!(done[2].notes[0].contains("not empty"), "{done:?}");
    assert!(!world.root().join("etc/app/a").exists() && world.root().join("etc/app/other").exists());
    assert!(talk.observe(&[]).expect("observes").manifest.entries.is_empty());
}

#[test]
fn health_is_proven_or_refused_with_what_was_answered() {
    let world = World::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = server.local_addr().expect("has one").to_string();
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"ok\":true}");
        }
    });
    let health = |status, json: &str| {
        let json = Some(serde_json::from_str(json).expect("JSON"));
        let question =
            HealthQuestion::Http { address: address.clone(), path: "/".to_owned(), status, json, text: None };
        let inputs = Fingerprint::of(b"inputs");
        Spec::Health(HealthSpec {
            name: "api".to_owned(),
            question,
            timeout_ms: 5000,
            within_ms: 300,
            inputs,
        })
    };
    let refusal = refused(&world, health(200, r#"{"ok":false}"#));
    assert_eq!(refusal.code, HostCode::NotProven);
    assert!(refusal.why.contains(r#"{"ok":true}"#), "{refusal}");
    let world = World::new();
    let spec = health(200, r#"{"ok":true}"#);
    let is =
        made(&world, std::slice::from_ref(&spec)).observe(std::slice::from_ref(&spec)).expect("observes");
    assert_eq!(is.states[&spec.id()], State::Health { proven: Some(Fingerprint::of(b"inputs")) });
}

#[test]
fn history_tells_who_why_and_how_it_ended() {
    let world = World::new();
    let mut talk = made(&world, &[world.file("/etc/a", "1")]);
    let is = talk.observe(&[]).expect("observes");
    talk.begin("a2", changes(&[world.file("/etc/a", "2")], &is, None)).expect("begins");
    let Ok(Reply::History(past)) = talk.ask(&Request::History { last: 5 }) else { panic!("no history") };
    let told: Vec<_> = past.iter().map(|one| (one.apply.as_str(), one.outcome, one.done, one.of)).collect();
    assert_eq!(told, [("a2", Outcome::Open, 0, 1), ("a1", Outcome::Committed, 1, 1)]);
    assert_eq!(past[1].claim.owner, "anna@desk");
}

#[test]
fn guarded_changes_need_systemd() {
    let world = World::new();
    let mut talk = world.talk();
    let mut guarded = change(1, ActKind::Create, world.file("/etc/a", "1"), State::Absent);
    guarded.guarded = true;
    talk.begin("a1", vec![guarded]).expect("begins");
    assert_eq!(talk.act(1, Vec::new()).expect_err("refused").refusal().code, HostCode::NoSystemd);
    assert!(!world.root().join("etc/a").exists());
}
