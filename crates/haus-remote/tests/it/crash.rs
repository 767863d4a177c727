//! kill -9 at every step of an apply and of a rollback: each resource is old or new, and the next apply
//! finishes.

use super::talk::{Fault, Talk, changes, secret_version, secrets};
use super::world::{World, archive};
use haus_acts::wire::{Ending, Outcome, Recovered};
use haus_model::inventory::State;
use haus_model::resource::{Content, FileSpec, ResourceId, Spec};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A machine with something on it, and what is wanted.
fn begin() -> (World, Vec<Spec>, Vec<u8>) {
    let world = World::in_memory();
    fs::write(world.root().join("etc/old.conf"), "old\n").expect("writes");
    fs::create_dir(world.root().join("etc/empty")).expect("makes");
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    let archive = ARCHIVE.get_or_init(|| archive(&[("app.py", "1"), ("data/.gitkeep", "")])).clone();
    let release = world.release(&archive, &["sh", "-c", "cp app.py built"]);
    let secret = FileSpec {
        path: "/etc/app/key".into(),
        content: Content::Secret(secret_version()),
        access: world.access(0o600),
        check: None,
    };
    let specs = vec![
        world.folder("/etc/app/deep", 0o750),
        Spec::File(secret),
        world.checked("/etc/old.conf", "new\n", &["grep", "new", "{}"]),
        World::link("/etc/empty", "app"),
        world.keys(&["ssh-ed25519 AAAA anna"]),
        Spec::Release(release.clone()),
        World::switch(&release, 1),
    ];
    (world, specs, archive)
}

fn whole(talk: &mut Talk, specs: &[Spec], archive: &[u8], ending: Ending) -> Result<(), Fault> {
    let is = talk.observe(specs)?;
    talk.put(archive)?;
    let changes = changes(specs, &is, None);
    let numbers: Vec<u32> = changes.iter().map(|change| change.number).collect();
    talk.begin("a1", changes)?;
    for number in numbers {
        talk.act(number, secrets())?;
    }
    talk.finish(ending).map(drop)
}

/// What it is like when nobody dies.
fn reference(ending: Ending) -> (BTreeMap<PathBuf, String>, BTreeMap<ResourceId, State>) {
    let (world, specs, archive) = begin();
    let mut talk = world.talk();
    whole(&mut talk, &specs, &archive, ending).expect("applies");
    let is = talk.observe(&specs).expect("observes");
    (world.tree(), is.states)
}

/// A run that dies at this step; false when it came to its end before.
fn dies_at(world: &World, step: u32, run: impl FnOnce(&mut Talk) -> Result<(), Fault>) -> bool {
    let mut command = world.command();
    command.env("HAUS_REMOTE_DIE_AT", step.to_string());
    let outcome = Talk::try_start(&mut command).and_then(|mut talk| {
        let outcome = run(&mut talk);
        let _ = talk.child.kill();
        let _ = talk.child.wait();
        outcome
    });
    match outcome {
        Ok(()) => false,
        Err(Fault::Gone) => true,
        Err(Fault::Refused(refusal)) => panic!("step {step}: {refusal} {:?}", refusal.evidence),
    }
}

/// Each of so many tests takes its share of the steps.
const SHARES: u32 = 4;

#[test]
fn an_apply_may_die_at_the_first_share_of_its_steps() {
    apply_dies(1);
}

#[test]
fn an_apply_may_die_at_the_second_share_of_its_steps() {
    apply_dies(2);
}

#[test]
fn an_apply_may_die_at_the_third_share_of_its_steps() {
    apply_dies(3);
}

#[test]
fn an_apply_may_die_at_the_last_share_of_its_steps() {
    apply_dies(4);
}

fn apply_dies(share: u32) {
    let (tree, states) = reference(Ending::Commit);
    let (fresh, specs, _) = begin();
    let old = fresh.talk().observe(&specs).expect("observes").states;
    let mut steps = share;
    loop {
        let (world, specs, archive) = begin();
        if !dies_at(&world, steps, |talk| whole(talk, &specs, &archive, Ending::Commit)) {
            break;
        }
        let mut talk = world.talk();
        talk.recover().unwrap_or_else(|fault| panic!("step {steps}: {fault:?}"));
        let is = talk.observe(&specs).expect("observes");
        for (id, state) in &is.states {
            let known = state == &old[id] || state == &states[id] || is_release(state) || is_folder(state);
            assert!(known, "step {steps}: {id} is half done: {state:?}");
        }
        assert_eq!(is.open, None, "step {steps}");
        talk.put(&archive).expect("is stored");
        talk.apply("a2", changes(&specs, &is, Some(&states)))
            .unwrap_or_else(|fault| panic!("step {steps}: {fault:?}"));
        assert_eq!(world.tree(), tree, "step {steps}");
        steps += SHARES;
    }
    assert!(steps > 60, "only {steps} steps were found");
}

/// Release and switch see each other.
fn is_release(state: &State) -> bool {
    matches!(state, State::Releases { .. })
}

/// A folder counts the names in it, which come later.
fn is_folder(state: &State) -> bool {
    matches!(state, State::Directory { .. })
}

#[test]
fn a_rollback_may_die_anywhere() {
    let before = begin().0.tree();
    let mut steps = 0;
    loop {
        steps += 1;
        let (world, specs, archive) = begin();
        let mut talk = world.talk();
        whole(&mut talk, &specs, &archive, Ending::Stop).expect("applies");
        talk.close();
        if !dies_at(&world, steps, |talk| talk.roll_back().map(drop)) {
            break;
        }
        let mut talk = world.talk();
        match talk.recover().unwrap_or_else(|fault| panic!("step {steps}: {fault:?}")) {
            Recovered::TakenBack(finished) => assert_eq!(finished.outcome, Outcome::RolledBack),
            // It died before it had said what it is going to do, or after the end.
            Recovered::Nothing if world.tree() == before => continue,
            Recovered::Nothing => {
                drop(talk.roll_back().unwrap_or_else(|fault| panic!("step {steps}: {fault:?}")));
            }
            Recovered::Closed { .. } => panic!("step {steps}: it was not taken back"),
        }
        let mut tree = world.tree();
        // The former content of a file that held a secret is not kept after the end of an apply.
        tree.retain(|path, _| !path.ends_with("key"));
        assert_eq!(tree, before, "step {steps}");
    }
    assert!(steps > 20, "only {steps} steps were found");
}
