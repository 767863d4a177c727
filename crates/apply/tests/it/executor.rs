//! The executor over hosts in memory: what it does when all goes well, and what is left when anything fails
//! anywhere.

use crate::fake::{FakeHouse, Fault};
use haus_acts::wire::{Claim, Outcome};
use haus_apply::apply::{Options, Surroundings, WhenFailed, WhenStopped, apply};
use haus_apply::clock::{Cancel, Clock as _};
use haus_apply::observe::{Question, observe_all};
use haus_apply::outcome::{Event, HostOutcome};
use haus_apply::patience::Patience;
use haus_apply::sessions::Target;
use haus_apply::supply::{BlobSource, SecretError, SecretSource};
use haus_model::change::{ActKind, Change, ChangeSet, HostPlan, Outcome as Foreseen, Undo};
use haus_model::host::{Access, Connect, Elevation};
use haus_model::inventory::State;
use haus_model::resource::{Content, FileSpec, OnChange, ResourceId, SecretVersion, Spec, UnitSpec};
use haus_model::{Fingerprint, HostName, Secret};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Mutex;

const BLOB: &[u8] = b"the bytes of a picture";

fn name(host: &str) -> HostName {
    host.parse().expect("a name")
}

fn file(path: &str, content: Content) -> Spec {
    Spec::File(FileSpec { path: PathBuf::from(path), content, access: Access::root(0o644), check: None })
}

fn text(path: &str) -> Spec {
    file(path, Content::Text("new\n".to_owned()))
}

fn change(number: u32, spec: Spec, guarded: bool) -> Change {
    Change {
        number,
        resource: spec.id(),
        act: ActKind::Create,
        spec,
        before: State::Absent,
        service: None,
        why: "test".to_owned(),
        diff: Vec::new(),
        operations: Vec::new(),
        outcome: Foreseen::Known,
        undo: Undo::Exact,
        guarded,
    }
}

fn plan(changes: Vec<Change>) -> HostPlan {
    let mut plan = HostPlan {
        connect: Connect::Local,
        elevation: Elevation::Auto,
        observed: Fingerprint::of(b""),
        changes,
        unchanged: 0,
        blocked: Vec::new(),
        notes: Vec::new(),
        ports: BTreeMap::new(),
        needs: BTreeSet::new(),
    };
    plan.observed = plan.fingerprint_in(&BTreeMap::new());
    plan
}

/// A file, a blob, a secret, and two guarded ones in the middle.
fn everything() -> HostPlan {
    let of = SecretVersion { credential: "door".parse().expect("a name"), version: 3 };
    let blob = Content::Blob { hash: Fingerprint::of(BLOB), bytes: BLOB.len() as u64 };
    plan(vec![
        change(1, text("/etc/motd"), false),
        change(2, file("/srv/picture", blob), false),
        change(3, text("/etc/firewall"), true),
        change(4, text("/etc/sshd"), true),
        change(5, file("/etc/key", Content::Secret(of)), false),
    ])
}

fn set(hosts: &[(&str, HostPlan)], waves: &[&[&str]]) -> ChangeSet {
    ChangeSet {
        format: 1,
        house: "sample".parse().expect("a name"),
        stage: "production".parse().expect("a name"),
        hosts: hosts.iter().map(|(host, plan)| (name(host), plan.clone())).collect(),
        waves: waves.iter().map(|wave| wave.iter().map(|host| name(host)).collect()).collect(),
        hash: Fingerprint::of(b"plan"),
    }
}

struct Supply;

impl SecretSource for Supply {
    fn value(&self, of: &SecretVersion) -> Result<Secret, SecretError> {
        assert_eq!((of.credential.as_str(), of.version), ("door", 3));
        Ok(Secret::from("open sesame".to_owned()))
    }
}

impl BlobSource for Supply {
    fn open(&self, _hash: &Fingerprint) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(BLOB))
    }
}

fn options() -> Options {
    Options {
        apply: "20261130-1".to_owned(),
        claim: Claim { owner: "anna@desk".to_owned(), reason: None },
        at_once: 20,
        hosts: None,
        guard_s: 90,
        when_stopped: WhenStopped::TakeBack,
        when_failed: WhenFailed::GoOn,
        patience: Patience::default(),
    }
}

/// What came of it, and what was told.
struct Ran {
    outcomes: BTreeMap<HostName, HostOutcome>,
    told: Vec<String>,
}

fn run(house: &FakeHouse, changes: &ChangeSet, options: &Options) -> Ran {
    run_until(house, changes, options, |_| false)
}

/// The same; asks to stop as soon as an event is as wished.
fn run_until(
    house: &FakeHouse,
    changes: &ChangeSet,
    options: &Options,
    stop: impl Fn(&Event) -> bool + Sync,
) -> Ran {
    let (cancel, told) = (Cancel::default(), Mutex::new(Vec::new()));
    let events = |host: &HostName, event: Event| {
        if stop(&event) {
            cancel.wish();
        }
        told.lock().expect("no panic").push(format!("{host}: {event:?}"));
    };
    let around = Surroundings {
        sessions: house,
        secrets: &Supply,
        blobs: &Supply,
        clock: house.clock.as_ref(),
        cancel: &cancel,
        events: &events,
    };
    let outcomes = apply(changes, options, around);
    Ran { outcomes, told: told.into_inner().expect("no panic") }
}

/// The outcome in one word with the code of its fault.
fn word(outcome: &HostOutcome) -> String {
    match outcome {
        HostOutcome::Done { changes } => format!("done {changes}"),
        HostOutcome::Unchanged => "unchanged".to_owned(),
        HostOutcome::Refused(fault) => format!("refused {}", fault.finding.code),
        HostOutcome::RolledBack { fault, left } => format!("back {} {}", fault.finding.code, left.len()),
        HostOutcome::Stopped { done, of } => format!("stopped {done}/{of}"),
        HostOutcome::Unknown { fault, .. } => format!("unknown {}", fault.finding.code),
        HostOutcome::NotTried { .. } => "not tried".to_owned(),
    }
}

/// One host, prepared so, ends so.
fn check(
    prepare: impl FnOnce(&mut crate::fake::Machine),
    plan: HostPlan,
    expected: &str,
) -> (FakeHouse, Ran) {
    let house = FakeHouse::default();
    prepare(&mut house.machine(&name("web")).lock().expect("no panic"));
    let ran = run(&house, &set(&[("web", plan)], &[&["web"]]), &options());
    assert_eq!(word(&ran.outcomes[&name("web")]), expected, "{:#?}\n{:#?}", ran.outcomes, ran.told);
    (house, ran)
}

#[test]
fn all_kinds_of_changes_are_carried_out_with_what_they_need() {
    let (house, ran) = check(|_| {}, everything(), "done 5");
    let machine = house.machine(&name("web"));
    let machine = machine.lock().expect("no panic");
    assert_eq!((machine.states.len(), machine.blobs.len()), (5, 1));
    assert_eq!(machine.secrets_seen, ["open sesame"]);
    assert_eq!(machine.applies[0].outcome, Outcome::Committed);
    // One connection works, one more proves both guarded changes.
    assert_eq!(machine.opened, 2);
    assert_eq!(machine.asked.join(" "), "Observe Missing Put Begin Act Act Act Act Confirm Act Finish");
    let told = ran.told.join("\n");
    assert!(!told.contains("sesame"), "{told}");
}

/// What a unit does comes a moment after it is through; until then the old road proves itself.
#[test]
fn a_guarded_unit_has_time_before_it_is_proven() {
    let unit = UnitSpec {
        name: "systemd-networkd.service".to_owned(),
        enabled: None,
        running: None,
        on_change: OnChange::Restart,
        in_effect: None,
        inputs: UnitSpec::no_inputs(),
    };
    let since_start = |changes: Vec<Change>| check(|_| {}, plan(changes), "done 2").0.clock.now();
    let road = |number| change(number, text("/etc/systemd/network/05.network"), true);
    let files_only = since_start(vec![road(1), change(2, text("/etc/motd"), false)]);
    let with_unit = since_start(vec![road(1), change(2, Spec::Unit(unit), true)]);
    assert_eq!(with_unit, files_only + Patience::default().settle);
}

#[test]
fn nothing_to_do_opens_no_connection() {
    let (house, _) = check(|_| {}, plan(Vec::new()), "unchanged");
    assert_eq!(house.machine(&name("web")).lock().expect("no panic").opened, 0);
}

#[test]
fn what_is_refused_changes_nothing() {
    let blocked = || {
        let finding = haus_model::host_code::HostCode::NoSpace.finding("host web", "x", "y");
        HostPlan { blocked: vec![finding], ..everything() }
    };
    let somebody = |machine: &mut crate::fake::Machine| {
        machine.has(
            ResourceId::new(haus_model::resource::Kind::File, "/etc/motd"),
            State::Other("x".to_owned()),
        );
    };
    let cases = [
        check(|_| {}, blocked(), "refused HH0108"),
        check(|machine| machine.unreachable = 1, everything(), "refused HH0203"),
        check(somebody, everything(), "refused HH0211"),
        check(|machine| machine.locked_by_somebody(Fingerprint::of(b"")), everything(), "refused HH0210"),
        check(|machine| machine.fault = Some((3, Fault::Refused)), everything(), "refused HH0213"),
    ];
    for (house, ran) in cases {
        let machine = house.machine(&name("web"));
        let machine = machine.lock().expect("no panic");
        assert!(machine.is_as_before() && !machine.asked.contains(&"Act".to_owned()), "{:?}", machine.asked);
        assert!(!format!("{:?}", ran.outcomes).contains('\u{1b}'), "nothing of a host is shown raw");
    }
}

#[test]
fn what_moved_is_named() {
    let id = ResourceId::new(haus_model::resource::Kind::File, "/etc/sshd");
    let (_, ran) =
        check(|machine| machine.has(id, State::Other("x".to_owned())), everything(), "refused HH0211");
    assert!(format!("{:?}", ran.outcomes).contains("file:/etc/sshd changed since"));
}

#[test]
fn who_holds_the_lock_is_named() {
    let lock = |machine: &mut crate::fake::Machine| machine.locked_by_somebody(Fingerprint::of(b""));
    let (_, ran) = check(lock, everything(), "refused HH0210");
    let told = format!("{:?}", ran.outcomes);
    assert!(told.contains("bert@desk (new kernel)"), "{told}");
}

#[test]
fn an_apply_that_died_is_brought_into_order_first() {
    let died =
        |machine: &mut crate::fake::Machine| machine.dies_in_the_middle(Fingerprint::of(b""), Vec::new());
    let (house, ran) = check(died, everything(), "done 5");
    let machine = house.machine(&name("web"));
    let machine = machine.lock().expect("no panic");
    assert!(machine.asked.join(" ").starts_with("Observe Recover Observe Missing"), "{:?}", machine.asked);
    assert_eq!(machine.applies[0].outcome, Outcome::Interrupted);
    assert!(ran.told.iter().any(|line| line.contains("Recovered")));
}

#[test]
fn a_failure_at_any_point_leaves_the_old_or_the_new() {
    let (house, _) = check(|_| {}, everything(), "done 5");
    let requests = house.machine(&name("web")).lock().expect("no panic").asked.len();
    let mut words = BTreeSet::new();
    for fault in [Fault::Refused, Fault::LostBefore, Fault::LostAfter] {
        for at in 0..requests {
            for lingers in [0, 3] {
                let house = FakeHouse::default();
                let shared = house.machine(&name("web"));
                {
                    let mut machine = shared.lock().expect("no panic");
                    machine.fault = Some((at, fault));
                    machine.lingers = lingers;
                }
                let ran = run(&house, &set(&[("web", everything())], &[&["web"]]), &options());
                let outcome = word(&ran.outcomes[&name("web")]);
                let machine = shared.lock().expect("no panic");
                let place = format!("{fault:?} at {at}, lingers {lingers}: {outcome}, {:?}", machine.asked);
                let first = outcome.split(' ').next().expect("a word").to_owned();
                words.insert(first.clone());
                match first.as_str() {
                    "done" => assert_eq!(machine.states.len(), 5, "{place}"),
                    "refused" | "back" => assert!(machine.is_as_before(), "{place}"),
                    _ => panic!("{place}"),
                }
                assert!(machine.applies.iter().all(|apply| apply.outcome != Outcome::Open), "{place}");
            }
        }
    }
    assert_eq!(words.into_iter().collect::<Vec<_>>().join(" "), "back done refused");
}

#[test]
fn a_lost_answer_to_the_commit_is_asked_for_again() {
    let (house, _) = check(|machine| machine.fault = Some((10, Fault::LostAfter)), everything(), "done 5");
    let machine = house.machine(&name("web"));
    assert_eq!(machine.lock().expect("no panic").asked.last().map(String::as_str), Some("History"));
}

#[test]
fn a_host_that_stays_away_is_unknown_and_says_where_to_look() {
    // The first change cuts the session and takes the host away, and there is no dead-man for it.
    let house = FakeHouse::default();
    let shared = house.machine(&name("web"));
    {
        let mut machine = shared.lock().expect("no panic");
        machine.locks_out = Some(ResourceId::new(haus_model::resource::Kind::File, "/etc/motd"));
        machine.fault = Some((2, Fault::LostAfter));
    }
    let only = plan(vec![change(1, text("/etc/motd"), false)]);
    let ran = run(&house, &set(&[("web", only)], &[&["web"]]), &options());
    let outcome = &ran.outcomes[&name("web")];
    assert_eq!((word(outcome).as_str(), outcome.exit_code()), ("unknown HH0216", 5), "{outcome:?}");
    assert!(format!("{outcome:?}").contains("journal/20261130-1.jsonl"), "{outcome:?}");
}

#[test]
fn a_change_that_locks_us_out_is_taken_back_over_the_session_that_is_left() {
    let locks = |machine: &mut crate::fake::Machine| {
        machine.locks_out = Some(ResourceId::new(haus_model::resource::Kind::File, "/etc/firewall"));
    };
    let (house, _) = check(locks, everything(), "back HH0217 0");
    assert!(house.machine(&name("web")).lock().expect("no panic").is_as_before());
}

#[test]
fn without_any_session_the_dead_man_takes_it_back_and_that_is_proven() {
    let locks = |machine: &mut crate::fake::Machine| {
        machine.locks_out = Some(ResourceId::new(haus_model::resource::Kind::File, "/etc/firewall"));
        // The act that closes the door also cuts the session.
        machine.fault = Some((6, Fault::LostAfter));
    };
    let (house, _) = check(locks, everything(), "back HH0217 0");
    let machine = house.machine(&name("web"));
    let machine = machine.lock().expect("no panic");
    assert!(machine.is_as_before());
    assert_eq!(machine.applies[0].outcome, Outcome::Reverted);
    assert_eq!(machine.asked.last().map(String::as_str), Some("Observe"));
}

#[test]
fn asked_to_stop_it_finishes_the_act_and_takes_back_or_leaves() {
    let third = |event: &Event| matches!(event, Event::Acting { number: 2, .. });
    for (when_stopped, expected, states) in
        [(WhenStopped::TakeBack, "back HH0213 0", 0), (WhenStopped::Leave, "stopped 2/5", 2)]
    {
        let house = FakeHouse::default();
        let options = Options { when_stopped, ..options() };
        let changes = set(&[("web", everything()), ("later", everything())], &[&["web"], &["later"]]);
        let ran = run_until(&house, &changes, &options, third);
        assert_eq!(word(&ran.outcomes[&name("web")]), expected);
        assert_eq!(word(&ran.outcomes[&name("later")]), "not tried");
        assert_eq!(house.machine(&name("web")).lock().expect("no panic").states.len(), states);
    }
}

#[test]
fn a_failed_host_stops_those_that_need_it_and_nobody_else() {
    let house = FakeHouse::default();
    house.machine(&name("db")).lock().expect("no panic").unreachable = 1;
    let needs = HostPlan { needs: BTreeSet::from([name("db")]), ..everything() };
    let waves: &[&[&str]] = &[&["db", "other"], &["app", "lone"]];
    let hosts = [("db", everything()), ("other", everything()), ("app", needs), ("lone", everything())];
    let words = |ran: Ran| ran.outcomes.values().map(word).collect::<Vec<_>>().join(", ");
    // In the order of names: app, db, lone, other.
    let ran = run(&house, &set(&hosts, waves), &options());
    assert_eq!(words(ran), "not tried, refused HH0203, done 5, done 5");

    let house = FakeHouse::default();
    house.machine(&name("db")).lock().expect("no panic").unreachable = 1;
    let careful = Options { at_once: 1, when_failed: WhenFailed::BeginNoOther, ..options() };
    let ran = run(&house, &set(&hosts, waves), &careful);
    assert_eq!(words(ran), "not tried, refused HH0203, not tried, not tried");
}

#[test]
fn a_blocked_host_stops_those_that_need_it_also_when_it_was_not_chosen() {
    let finding = haus_model::host_code::HostCode::Unreachable.finding("host db", "x", "y");
    let blocked = HostPlan { blocked: vec![finding], ..plan(Vec::new()) };
    let needs = |host: &str, plan| HostPlan { needs: BTreeSet::from([name(host)]), ..plan };
    let hosts = [
        ("db", blocked),
        ("app", needs("db", everything())),
        ("behind", needs("app", everything())),
        ("idle", needs("db", plan(Vec::new()))),
        ("lone", everything()),
    ];
    let waves: &[&[&str]] = &[&["db"], &["app", "idle", "lone"], &["behind"]];
    let house = FakeHouse::default();
    let able = ["app", "behind", "idle", "lone"].map(name);
    let able = Options { hosts: Some(BTreeSet::from(able)), ..options() };
    let ran = run(&house, &set(&hosts, waves), &able);
    // In the order of names: app, behind, idle, lone.
    let words: Vec<String> = ran.outcomes.values().map(word).collect();
    assert_eq!(words.join(", "), "not tried, not tried, unchanged, done 5");
    assert_eq!(house.machine(&name("app")).lock().expect("no panic").opened, 0);
    let HostOutcome::NotTried { because, remedy } = &ran.outcomes[&name("app")] else { panic!("{words:?}") };
    assert!(because.contains("it needs host db") && remedy.contains("host db"), "{because}: {remedy}");
}

#[test]
fn only_chosen_hosts_are_touched_and_each_has_one_outcome() {
    let house = FakeHouse::default();
    let hosts: Vec<(String, HostPlan)> = (0..30).map(|number| (format!("h{number}"), everything())).collect();
    let hosts: Vec<(&str, HostPlan)> =
        hosts.iter().map(|(host, plan)| (host.as_str(), plan.clone())).collect();
    // Hosts that no wave names come last and are not forgotten.
    let changes = set(&hosts, &[&["h3", "h4"]]);
    let all = run(&house, &changes, &options());
    assert_eq!(all.outcomes.len(), 30);
    assert!(all.outcomes.values().all(HostOutcome::is_good));

    let house = FakeHouse::default();
    let chosen = Options { hosts: Some(BTreeSet::from([name("h7")])), ..options() };
    assert_eq!(run(&house, &changes, &chosen).outcomes.len(), 1);
    assert_eq!(house.machine(&name("h8")).lock().expect("no panic").opened, 0);
}

#[test]
fn a_credential_without_a_value_takes_the_host_back() {
    struct Nothing;
    impl SecretSource for Nothing {
        fn value(&self, of: &SecretVersion) -> Result<Secret, SecretError> {
            Err(SecretError { of: of.clone(), source: "the vault is closed".into() })
        }
    }
    let house = FakeHouse::default();
    let cancel = Cancel::default();
    let around = Surroundings {
        sessions: &house,
        secrets: &Nothing,
        blobs: &Supply,
        clock: house.clock.as_ref(),
        cancel: &cancel,
        events: &|_, _| {},
    };
    let outcomes = apply(&set(&[("web", everything())], &[&["web"]]), &options(), around);
    assert_eq!(word(&outcomes[&name("web")]), "back HH0213 0");
    assert!(
        format!("{outcomes:?}").contains("version 3 of credential door: the vault is closed"),
        "{outcomes:?}"
    );
    assert!(house.machine(&name("web")).lock().expect("no panic").is_as_before());
}

#[test]
fn many_are_observed_at_once_and_one_that_is_away_keeps_nobody() {
    let house = FakeHouse::default();
    house.machine(&name("h3")).lock().expect("no panic").unreachable = 1;
    let question = |number: u32| Question {
        target: Target {
            host: name(&format!("h{number}")),
            connect: Connect::Local,
            elevation: Elevation::Auto,
        },
        specs: vec![text("/etc/motd")],
    };
    let questions: Vec<Question> = (0..25).map(question).collect();
    let seen = observe_all(&house, &questions, 20);
    assert_eq!((seen.len(), seen.values().filter(|answer| answer.is_ok()).count()), (25, 24));
    assert_eq!(seen[&name("h3")].as_ref().expect_err("away").finding.code, "HH0203");
}
