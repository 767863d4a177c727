//! The table step by step, and a model: a server, consumers and a driver that is killed, against every
//! pattern of failures.

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn order(has_server: bool, overlap_s: u64) -> Order {
    Order {
        id: String::from("r-1"),
        credential: String::from("c-1"),
        from_version: 3,
        to_version: 4,
        overlap: Duration::from_secs(overlap_s),
        has_server,
        consumers: vec![String::from("api")],
    }
}

fn rotation(has_server: bool, overlap_s: u64) -> Rotation {
    Rotation::new(order(has_server, overlap_s), NOW).unwrap()
}

fn failure(retry: bool) -> Failure {
    Failure { why: String::from("the server refused"), retry }
}

/// Runs a rotation to its end. `script` says of each act in turn whether it works (`.`), fails and may be
/// tried again (`r`) or fails for good (`x`); after its end everything works. Writes down the steps.
fn check(has_server: bool, overlap_s: u64, script: &str, expected: &str) -> Rotation {
    let mut rotation = rotation(has_server, overlap_s);
    let (mut now, mut script, mut steps) = (NOW, script.chars(), vec![rotation.step]);
    loop {
        match rotation.next(now) {
            Next::Ended => break,
            Next::WaitUntil(until) => now = until,
            Next::Act(_) => rotation.record(
                now,
                match script.next() {
                    Some('r') => Err(failure(true)),
                    Some('x') => Err(failure(false)),
                    _ => Ok(()),
                },
            ),
        }
        if steps.last() != Some(&rotation.step) {
            steps.push(rotation.step);
        }
    }
    let words: Vec<&str> = steps.iter().map(|step| step.as_str()).collect();
    assert_eq!(words.join(" "), expected);
    rotation
}

#[test]
fn a_rotation_without_failures_goes_straight_through() {
    check(true, 60, "", "tell deliver prove overlap done");
    check(true, 0, "", "tell deliver prove retire done");
    check(false, 60, "", "deliver prove overlap done");
    check(false, 0, "", "deliver prove retire done");
}

#[test]
fn a_failure_that_passes_is_forgotten() {
    let done = check(true, 0, "rr.rrr.", "tell deliver prove retire done");
    assert_eq!((done.why.as_deref(), done.promoted(), done.serving()), (None, 4, 4));
}

#[test]
fn a_failure_for_good_turns_back_at_once_and_keeps_why() {
    let undone = check(true, 60, "x", "tell undo-tell undo-retire undone");
    assert_eq!(undone.why.as_deref(), Some("the server refused"));
    check(true, 60, ".x", "tell deliver undo-tell undo-deliver undo-retire undone");
    let undone = check(true, 60, "..x", "tell deliver prove undo-tell undo-deliver undo-retire undone");
    assert_eq!((undone.promoted(), undone.serving()), (3, 3));
    check(false, 60, "x", "deliver undo-deliver undone");
    check(false, 60, ".x", "deliver prove undo-deliver undone");
}

#[test]
fn six_failures_of_one_step_turn_back_too() {
    check(true, 0, "rrrrr", "tell deliver prove retire done");
    check(true, 0, "rrrrrr", "tell undo-tell undo-retire undone");
    check(true, 0, "...rrrrrr", "tell deliver prove retire done");
}

#[test]
fn an_undo_that_fails_for_good_is_stuck_and_says_both_reasons() {
    let stuck = check(true, 0, "..xx", "tell deliver prove undo-tell stuck");
    let why = stuck.why.clone().unwrap();
    assert_eq!(why, "the server refused; it was being undone because: the server refused");
    assert_eq!((stuck.stuck_at, stuck.serving(), stuck.promoted()), (Some(StuckAt::UndoTell), 4, 3));
    let stuck = check(true, 0, "..x.x", "tell deliver prove undo-tell undo-deliver stuck");
    assert_eq!((stuck.stuck_at, stuck.serving()), (Some(StuckAt::UndoDeliver), 3));
    let stuck = check(true, 0, "xx", "tell undo-tell stuck");
    assert_eq!(stuck.serving(), 3);
}

#[test]
fn a_proven_value_is_never_undone_because_the_old_one_stays() {
    let stuck = check(true, 0, "...x", "tell deliver prove retire stuck");
    assert_eq!((stuck.stuck_at, stuck.promoted(), stuck.serving()), (Some(StuckAt::Retire), 4, 4));
}

#[test]
fn a_stuck_rotation_goes_on_where_it_stood() {
    let mut stuck = check(true, 0, "..x.x", "tell deliver prove undo-tell undo-deliver stuck");
    stuck.resume(NOW).unwrap();
    assert_eq!(
        (stuck.step, stuck.tries, stuck.next(NOW)),
        (Step::UndoDeliver, 0, Next::Act(Act::DeliverOld))
    );
    assert!(stuck.resume(NOW).is_err());
}

#[test]
fn tries_wait_longer_each_time_up_to_ten_minutes() {
    let waits: Vec<u64> = (1..=12).map(|tries| back_off(tries).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
    assert_eq!(back_off(u32::MAX), BACK_OFF_MAX);
    let mut rotation = rotation(true, 0);
    rotation.record(NOW, Err(failure(true)));
    assert_eq!(rotation.next(NOW), Next::WaitUntil(Timestamp(NOW.0 + 1_000)));
    // A clock that was set back by an hour does not stop it for an hour.
    assert_eq!(rotation.next(Timestamp(NOW.0 - 3_600_000)), Next::Act(Act::TellServer));
}

#[test]
fn the_overlap_lasts_as_long_as_it_was_ordered_and_nothing_is_recorded_in_it() {
    let mut rotation = rotation(false, 60);
    rotation.record(NOW, Ok(()));
    rotation.record(NOW, Ok(()));
    let until = Timestamp(NOW.0 + 60_000);
    assert_eq!(rotation.next(NOW), Next::WaitUntil(until));
    rotation.record(Timestamp(until.0 - 1), Err(failure(false)));
    assert_eq!(rotation.step, Step::Overlap { until });
    assert_eq!(rotation.next(until), Next::Act(Act::RetireOld));
    rotation.record(until, Err(failure(true)));
    assert_eq!((rotation.step, rotation.tries), (Step::Retire, 1));
}

#[test]
fn a_person_may_undo_until_the_overlap_is_over_or_end_it_early() {
    let mut rotation = rotation(true, 60);
    for _ in 0..3 {
        rotation.record(NOW, Ok(()));
    }
    let mut shortened = rotation.clone();
    shortened.end_overlap(NOW).unwrap();
    assert_eq!(shortened.next(NOW), Next::Act(Act::RetireOld));
    let refused = shortened.undo(NOW, "too late").unwrap_err();
    assert_eq!(refused.to_string(), "rotation r-1 stands at `retire` and cannot be undone there");
    assert!(rotation.clone().undo(Timestamp(NOW.0 + 60_000), "too late").is_err());
    rotation.undo(NOW, "the new one is known to others").unwrap();
    assert_eq!((rotation.step, rotation.serving(), rotation.promoted()), (Step::UndoTell, 4, 3));
    assert!(rotation.end_overlap(NOW).is_err());
}

#[test]
fn an_act_that_ends_its_driver_each_time_is_undone() {
    let mut rotation = rotation(false, 0);
    let mut now = NOW;
    for _ in 0..FORWARD_TRIES_MAX {
        assert_eq!(rotation.next(now), Next::Act(Act::DeliverNew));
        rotation.interrupted(now);
        now = now.after(BACK_OFF_MAX);
    }
    assert_eq!(rotation.step, Step::UndoDeliver);
    assert_eq!(rotation.why.as_deref(), Some("the coordinator ended during DeliverNew"));
}

#[test]
fn versions_must_go_up() {
    for (from, to) in [(0, 1), (3, 3), (4, 3)] {
        let refused = Rotation::new(Order { from_version: from, to_version: to, ..order(true, 0) }, NOW);
        assert_eq!(refused, Err(RotationError::Versions { from, to }));
    }
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let mut rotation = rotation(true, 0);
    rotation.record(NOW, Err(Failure { why: "ä".repeat(5_000), retry: true }));
    let why = rotation.why.unwrap();
    assert!(why.len() <= WHY_BYTES_MAX + 3 && why.ends_with('…'));
}

#[test]
fn the_stored_form_is_what_the_document_says() {
    let mut rotation = rotation(false, 60);
    rotation.record(NOW, Ok(()));
    rotation.record(NOW, Ok(()));
    let json = serde_json::to_value(&rotation).unwrap();
    assert_eq!(json["step"], serde_json::json!({"overlap": {"until": 1_060_000}}));
    assert_eq!(json["overlap"], serde_json::json!({"secs": 60, "nanos": 0}));
    assert_eq!(serde_json::from_value::<Rotation>(json).unwrap(), rotation);
}

/// What the world looks like: which values the server accepts, which one the consumers have.
#[derive(Clone, Copy, Debug, PartialEq)]
struct World {
    holds_two: bool,
    old: bool,
    new: bool,
    consumers_new: bool,
}

impl World {
    fn take(&mut self, act: Act) {
        match act {
            Act::TellServer => (self.old, self.new) = (self.holds_two && self.old, true),
            Act::TellServerOld => (self.old, self.new) = (true, self.holds_two && self.new),
            Act::DeliverNew => self.consumers_new = true,
            Act::DeliverOld => self.consumers_new = false,
            Act::RetireOld => (self.old, self.new) = (false, true),
            Act::RetireNew => (self.old, self.new) = (true, false),
            Act::ProveNew => {}
        }
    }
}

/// What happens to one act.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Works,
    /// Fails; whether it took effect all the same, whether it may be tried again.
    Fails {
        effect: bool,
        retry: bool,
    },
    /// The driver is killed before it could record; whether the act took effect.
    Killed {
        effect: bool,
    },
    /// A person wants it undone just before.
    Undo,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Works),
        4 => (any::<bool>(), prop::bool::weighted(0.7))
            .prop_map(|(effect, retry)| Fate::Fails { effect, retry }),
        3 => any::<bool>().prop_map(|effect| Fate::Killed { effect }),
        1 => Just(Fate::Undo),
    ]
}

/// Runs a rotation against a world until it ends; every stored state goes through JSON, as over a restart.
fn live(mut rotation: Rotation, world: &mut World, fates: &[Fate], restarts_count: bool) -> Rotation {
    let (mut now, mut fates) = (NOW, fates.iter());
    for _ in 0..10_000 {
        let act = match rotation.next(now) {
            Next::Ended => return rotation,
            Next::WaitUntil(until) => {
                assert!(until > now, "waiting must lead somewhere");
                now = until;
                continue;
            }
            Next::Act(act) => act,
        };
        let proves = world.consumers_new && (!rotation.has_server || world.new);
        match fates.next().copied().unwrap_or(Fate::Works) {
            Fate::Works if act == Act::ProveNew && !proves => rotation.record(now, Err(failure(true))),
            Fate::Works => {
                world.take(act);
                rotation.record(now, Ok(()));
            }
            Fate::Fails { effect, retry } => {
                if effect {
                    world.take(act);
                }
                rotation.record(now, Err(failure(retry)));
            }
            Fate::Killed { effect } => {
                if effect {
                    world.take(act);
                }
                let stored = serde_json::to_string(&rotation).unwrap();
                rotation = serde_json::from_str(&stored).unwrap();
                if restarts_count {
                    rotation.interrupted(now);
                }
            }
            Fate::Undo => {
                let _ = rotation.undo(now, "a person wants so");
            }
        }
        let is_safe = match rotation.step {
            // From the proof on the server accepts what is promoted, whatever failed before.
            Step::Overlap { .. } | Step::Retire | Step::Done => world.new || !rotation.has_server,
            Step::UndoDeliver | Step::UndoRetire | Step::Undone => world.old || !rotation.has_server,
            Step::Tell | Step::Deliver | Step::Prove | Step::UndoTell | Step::Stuck => true,
        };
        assert!(is_safe, "{:?} with {world:?}", rotation.step);
    }
    panic!("it never ended: {rotation:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_rotation_ends_and_server_consumers_and_vault_then_agree(
        has_server in any::<bool>(), holds_two in any::<bool>(), overlap_s in 0u64..3,
        restarts_count in any::<bool>(),
        fates in prop::collection::vec(fate(), 0..80),
    ) {
        let mut world = World { holds_two, old: true, new: false, consumers_new: false };
        let ended = live(rotation(has_server, overlap_s), &mut world, &fates, restarts_count);
        let server = has_server.then_some((world.old, world.new));
        match ended.step {
            Step::Done => {
                prop_assert!(server.is_none_or(|server| server == (false, true)), "{world:?}");
                prop_assert!(world.consumers_new);
                prop_assert_eq!((ended.promoted(), ended.serving()), (4, 4));
            }
            Step::Undone => {
                prop_assert!(server.is_none_or(|server| server == (true, false)), "{world:?}");
                prop_assert!(!world.consumers_new);
                prop_assert_eq!((ended.promoted(), ended.serving()), (3, 3));
                prop_assert!(ended.why.is_some());
            }
            Step::Stuck => {
                prop_assert!(ended.why.is_some() && ended.stuck_at.is_some());
                // Once a person has mended the cause, going on leads to an end where all agree.
                let at = ended.stuck_at;
                let mut resumed = ended;
                resumed.resume(NOW).unwrap();
                let ended = live(resumed, &mut world, &[], true);
                let new = at == Some(StuckAt::Retire);
                prop_assert_eq!(ended.step, if new { Step::Done } else { Step::Undone });
                prop_assert!(!has_server || (world.old, world.new) == (!new, new), "{world:?}");
                prop_assert_eq!(world.consumers_new, new);
            }
            Step::Tell
            | Step::Deliver
            | Step::Prove
            | Step::Overlap { .. }
            | Step::Retire
            | Step::UndoTell
            | Step::UndoDeliver
            | Step::UndoRetire => prop_assert!(false, "{} is no end", ended.step),
        }
    }
}
