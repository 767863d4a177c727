//! A session whose other end is gone without a word, as behind a cut cable: it does not keep others out for
//! long.

use super::talk::{Fault, Talk, changes, claim};
use super::world::World;
use haus_acts::wire::{Claim, Outcome, Recovered, Reply, Request};
use haus_model::host_code::HostCode;

/// A session in the middle of an apply with two changes, of which one is done.
fn in_the_middle(world: &World, silence_ms: &str) -> Talk {
    let specs = [world.file("/etc/one", "1"), world.file("/etc/two", "2")];
    let mut talk = Talk::start(world.command().env("HAUS_REMOTE_SILENCE_MS", silence_ms));
    let is = talk.observe(&specs).expect("observes");
    talk.begin("a1", changes(&specs, &is, None)).expect("begins");
    talk.act(1, Vec::new()).expect("acts");
    talk
}

fn roll_back(world: &World, owner: &str) -> Result<Reply, Fault> {
    let claim = Claim { owner: owner.to_owned(), reason: None };
    world.talk().ask(&Request::RollBack { claim, apply: Some("a1".to_owned()) })
}

#[test]
fn a_session_with_the_lock_that_hears_nothing_leaves() {
    let world = World::new();
    let mut silent = in_the_middle(&world, "3000");
    assert!(silent.child.wait().expect("waits").success());
    world.talk().recover().expect("nobody holds the lock any more");
}

#[test]
fn its_own_haus_takes_an_apply_back_over_a_new_road() {
    let world = World::new();
    let mut lost = in_the_middle(&world, "3600000");
    let refusal = roll_back(&world, "berta@desk").expect_err("it is somebody else's").refusal();
    assert_eq!(refusal.code, HostCode::Locked);
    let reply = roll_back(&world, &claim().owner).expect("takes back");
    let Reply::Finished(finished) = reply else { panic!("{reply:?}") };
    assert_eq!(finished.outcome, Outcome::RolledBack);
    assert!(!world.root().join("etc/one").exists());
    assert!(lost.child.wait().expect("waits").success());
}

#[test]
fn a_deserted_apply_is_brought_into_order_by_its_owner_only() {
    let world = World::new();
    let mut lost = in_the_middle(&world, "3600000");
    let recover = |owner: &str, apply: Option<&str>| {
        let claim = Claim { owner: owner.to_owned(), reason: None };
        world.talk().ask(&Request::Recover { claim, deserted: apply.map(str::to_owned) })
    };
    let own = claim().owner;
    for (owner, apply) in [("berta@desk", Some("a1")), (&own, None), (&own, Some("a0"))] {
        let refusal = recover(owner, apply).expect_err("nobody has left it").refusal();
        assert_eq!(refusal.code, HostCode::Locked, "{owner} {apply:?}");
    }
    let reply = recover(&own, Some("a1")).expect("it is brought into order");
    let Reply::Recovered(Recovered::Closed { apply, repaired }) = reply else { panic!("{reply:?}") };
    assert_eq!((apply.as_str(), repaired), ("a1", None));
    assert!(world.root().join("etc/one").exists(), "what was done stays");
    assert!(lost.child.wait().expect("waits").success());
}
