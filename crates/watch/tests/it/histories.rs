//! Random histories of a house. What must hold at every step stands in [`crate::world`]; here stands
//! what must hold in the end.

use crate::world::World;
use haus_model::service::{Recover, Restart, Rollout, Stop};
use haus_model::{InstanceId, ServiceName};
use haus_watch::conductor::{Desired, DesiredService, Elsewhere, Keeper, Phase, ProbeRhythm, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

const SERVICES: usize = 5;

fn name(index: usize) -> ServiceName {
    format!("s{index}").parse().unwrap()
}

fn id(index: usize, ordinal: u32) -> InstanceId {
    InstanceId { service: name(index % SERVICES), ordinal: ordinal % 4 + 1 }
}

#[derive(Clone, Debug)]
enum Event {
    Desired(Desired),
    Adopt(usize, u32, u8),
    Pass(u64),
    FireNext,
    Spawned(usize, bool),
    Probed(usize, bool),
    Prepared(usize, bool),
    Stopped(usize),
    Exited(usize, bool),
    RestartService(usize),
    RestartInstance(usize, u32),
    Supplied(usize, bool),
    SignOfLife(usize, u32),
    StaleReports(usize, u32),
    Drain,
}

/// Mostly the conductor; one of the instances elsewhere moves with the spec, one cannot be asked or is
/// nowhere.
fn keeper(number: u32, instances: u32, spec: u8) -> Keeper {
    let place = |ordinal: u32| Elsewhere {
        by: "systemd on web".to_owned(),
        spec: if ordinal == 1 { "here".to_owned() } else { format!("there {spec}") },
        is_asked: ordinal != 2 || spec != 1,
        absent: (ordinal == 3 && spec == 2).then(|| "nobody said where it is".to_owned()),
    };
    match number {
        0 => Keeper::Itself,
        1 | 2 => Keeper::Elsewhere((1..=instances).map(|ordinal| (ordinal, place(ordinal))).collect()),
        _ => Keeper::Conductor,
    }
}

/// Services need only those before them, so no plan has a circle.
fn service(index: usize) -> impl Strategy<Value = DesiredService> {
    let restart =
        prop_oneof![4 => Just(Restart::Always), 1 => Just(Restart::OnFailure), 1 => Just(Restart::Never)];
    let rollout = prop_oneof![Just(Rollout::Rolling), Just(Rollout::Hold), Just(Rollout::Replace)];
    let probe = proptest::option::of((1_u32..3, 1_u32..4, 1_u64..20));
    let numbers = (0_u32..4, 1_u8..4, proptest::option::of(1_u8..3), 1_u32..5, 0_u32..10, 1_u64..4);
    (vec(any::<bool>(), index), numbers, restart, rollout, probe).prop_map(
        move |(needed, (instances, spec, prepare, tries, external, stop_s), restart, rollout, probe)| {
            DesiredService {
                needs: (0..index).filter(|need| needed[*need]).map(name).collect(),
                instances,
                spec: format!("v{spec}"),
                prepare: prepare.map(|number| format!("p{number}")),
                probe: probe.map(|(healthy_after, unhealthy_after, every_s)| ProbeRhythm {
                    every: Duration::from_secs(every_s),
                    timeout: Duration::from_secs(2),
                    start: Duration::from_secs(5),
                    healthy_after,
                    unhealthy_after,
                }),
                recover: Recover { restart, tries, within: Duration::from_secs(60), ..Recover::default() },
                rollout,
                stop: Stop { within: Duration::from_secs(stop_s), ..Stop::default() },
                keeper: keeper(external, instances, spec),
            }
        },
    )
}

fn desired() -> impl Strategy<Value = Desired> {
    let services: Vec<_> =
        (0..SERVICES).map(|index| (any::<bool>(), any::<bool>(), service(index)).boxed()).collect();
    services.prop_map(|services| {
        let named = services.into_iter().enumerate().filter(|(_, (one, other, _))| *one || *other);
        let mut desired =
            Desired { services: named.map(|(index, (_, _, service))| (name(index), service)).collect() };
        // A checked plan needs nothing that is not in it.
        let names: BTreeSet<ServiceName> = desired.services.keys().cloned().collect();
        desired.services.values_mut().for_each(|service| service.needs.retain(|need| names.contains(need)));
        desired
    })
}

/// Service, ordinal and spec of a process that an earlier core left behind.
fn adoption() -> impl Strategy<Value = (usize, u32, u8)> {
    (0..SERVICES, 0_u32..4, 1_u8..4)
}

fn event() -> impl Strategy<Value = Event> {
    let mostly = prop_oneof![4 => Just(true), 1 => Just(false)];
    let pick = 0_usize..16;
    let which = (0..SERVICES, 0_u32..4);
    prop_oneof![
        3 => desired().prop_map(Event::Desired),
        1 => adoption().prop_map(|(index, ordinal, spec)| Event::Adopt(index, ordinal, spec)),
        4 => (1_u64..20_000).prop_map(Event::Pass),
        8 => Just(Event::FireNext),
        14 => (pick.clone(), mostly.clone()).prop_map(|(pick, ok)| Event::Spawned(pick, ok)),
        14 => (pick.clone(), mostly.clone()).prop_map(|(pick, ok)| Event::Probed(pick, ok)),
        6 => (pick.clone(), mostly).prop_map(|(pick, ok)| Event::Prepared(pick, ok)),
        8 => pick.clone().prop_map(Event::Stopped),
        4 => (pick, any::<bool>()).prop_map(|(pick, success)| Event::Exited(pick, success)),
        1 => (0..SERVICES).prop_map(Event::RestartService),
        1 => which.clone().prop_map(|(index, ordinal)| Event::RestartInstance(index, ordinal)),
        2 => (0..SERVICES, any::<bool>()).prop_map(|(index, comes)| Event::Supplied(index, comes)),
        1 => which.clone().prop_map(|(index, ordinal)| Event::SignOfLife(index, ordinal)),
        1 => which.prop_map(|(index, ordinal)| Event::StaleReports(index, ordinal)),
    ]
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Desired(desired) => world.set_desired(desired),
        Event::Adopt(index, ordinal, spec) => world.adopt(&id(index, ordinal), &format!("v{spec}")),
        Event::Pass(ms) => world.pass(Duration::from_millis(ms)),
        Event::FireNext => {
            world.fire_next();
        }
        Event::Spawned(pick, ok) => world.answer_spawn(pick, ok),
        Event::Probed(pick, ok) => world.answer_probe(pick, ok),
        Event::Prepared(pick, ok) => world.answer_prepare(pick, ok),
        Event::Stopped(pick) => world.answer_stop(pick),
        Event::Exited(pick, success) => world.exit(pick, success),
        Event::RestartService(index) => world.restart(Target::Service(name(index))),
        Event::RestartInstance(index, ordinal) => world.restart(Target::Instance(id(index, ordinal))),
        Event::Supplied(index, comes) => world.supply(&name(index), comes),
        Event::SignOfLife(index, ordinal) => world.sign_of_life(&id(index, ordinal)),
        Event::StaleReports(index, ordinal) => world.stale_reports(&id(index, ordinal)),
        Event::Drain => world.drain(),
    }
}

fn config() -> ProptestConfig {
    let soak = std::env::var("HAUS_SOAK").is_ok_and(|value| value == "1");
    let cases = if soak { 5_000 } else { 300 };
    // The shrunken input is printed; a file beside the sources would have to be carried along.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// With good answers everybody gets well, except who was given up or has ended for good.
fn check_settled(world: &mut World, desired: &Desired) {
    world.settle();
    for name in desired.services.keys() {
        // Refused for what is not a process of ours.
        world.restart(Target::Service(name.clone()));
    }
    world.settle();
    world.go_on(Duration::from_secs(120));
    world.settle();
    for (name, service) in &desired.services {
        let view = world.conductor.service(name).unwrap();
        let wanted = match &service.keeper {
            Keeper::Conductor => service.instances,
            Keeper::Itself => service.instances.min(1),
            Keeper::Elsewhere(places) => u32::try_from(places.len()).unwrap(),
        };
        assert_eq!(view.instances.len(), usize::try_from(wanted).unwrap(), "{}", world.picture());
        for instance in view.instances {
            let waits = service
                .needs
                .iter()
                .any(|need| !world.conductor.service(need).is_some_and(|need| need.ready));
            let elsewhere = service.elsewhere(instance.id.ordinal);
            let expected = match elsewhere {
                Some(Elsewhere { absent: Some(_), .. }) => Phase::Offline,
                Some(place) if service.probe.is_none() || !place.is_asked => Phase::Unwatched,
                Some(_) | None => Phase::Healthy,
            };
            let fine = instance.phase == expected || (waits && instance.phase == Phase::Waiting);
            assert!(fine, "{} is {}: {}", instance.id, instance.phase, world.picture());
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_it_settles_and_drains(
        seed in any::<u64>(),
        first in desired(),
        events in vec(event(), 0..120),
        last in desired(),
    ) {
        let mut world = World::new(seed);
        world.set_desired(first);
        for event in events {
            happen(&mut world, event);
        }
        world.set_desired(last.clone());
        check_settled(&mut world, &last);
        world.finish_drain();
    }

    #[test]
    fn a_drain_in_the_middle_of_anything_ends(
        seed in any::<u64>(),
        adopted in vec(adoption(), 0..6),
        first in desired(),
        before in vec(event(), 0..80),
        after in vec(event(), 0..20),
    ) {
        let mut world = World::new(seed);
        for (index, ordinal, spec) in adopted {
            happen(&mut world, Event::Adopt(index, ordinal, spec));
        }
        world.set_desired(first);
        for event in before.into_iter().chain([Event::Drain]).chain(after) {
            happen(&mut world, event);
        }
        world.finish_drain();
    }

    #[test]
    fn the_same_history_gives_the_same_house(
        seed in any::<u64>(),
        first in desired(),
        events in vec(event(), 0..40),
    ) {
        let pictures = [(); 2].map(|()| {
            let mut world = World::new(seed);
            world.set_desired(first.clone());
            events.iter().cloned().for_each(|event| happen(&mut world, event));
            world.picture()
        });
        prop_assert_eq!(&pictures[0], &pictures[1]);
    }
}
