//! From the plan to what the conductor wants to know, and the difference of two plans.

use crate::addresses::Addresses;
use crate::fingerprint;
use haus_api::control::Reloaded;
use haus_model::deployment::UnitType;
use haus_model::health::{HealthCheck, ProbeKind};
use haus_model::house::House;
use haus_model::service::{RunsAs, Service};
use haus_model::{InstanceId, ServiceName};
use haus_watch::conductor::{Desired, DesiredService, Elsewhere, Keeper, ProbeRhythm};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the conductor is asked to keep running.
///
/// A service that registers itself is nothing to start: while somebody can use it (`present`) it is there for
/// those who need it, otherwise they wait for it. One that was put on a host is asked there.
pub(crate) fn desired(house: &House, addresses: &Addresses, present: &BTreeSet<ServiceName>) -> Desired {
    let services = house.services.values().map(|service| {
        let mut wanted = one(service, addresses);
        if service.runs_as.registers_itself() {
            wanted.instances = u32::from(present.contains(&service.name));
        }
        (service.name.clone(), wanted)
    });
    Desired { services: services.collect() }
}

/// The fingerprint of a service's process.
pub(crate) fn spec(service: &Service, addresses: &Addresses) -> String {
    fingerprint::process_fingerprint(service, &addresses.told_to(service))
}

fn one(service: &Service, addresses: &Addresses) -> DesiredService {
    let keeper = match service.runs_as {
        RunsAs::Process => Keeper::Conductor,
        RunsAs::Coordinator | RunsAs::External => Keeper::Itself,
        RunsAs::Systemd => Keeper::Elsewhere(elsewhere(service, addresses)),
    };
    // A process check asks nothing that the parent does not tell anyway. Elsewhere systemd is asked.
    let is_asked = |check: &&HealthCheck| {
        matches!(keeper, Keeper::Elsewhere(_)) || !matches!(check.probe, ProbeKind::Process)
    };
    let probe = service.health.as_ref().filter(is_asked);
    DesiredService {
        needs: service.needs.clone(),
        instances: service.instances,
        spec: spec(service, addresses),
        prepare: fingerprint::prepare_fingerprint(service),
        probe: probe.map(ProbeRhythm::from),
        recover: service.recover,
        rollout: service.rollout,
        stop: service.stop,
        keeper,
    }
}

/// Where the instances of a service are that something else keeps running.
fn elsewhere(service: &Service, addresses: &Addresses) -> BTreeMap<u32, Elsewhere> {
    let whereabouts = addresses.whereabouts();
    let over_the_network = service.health.as_ref().is_some_and(|check| match check.probe {
        ProbeKind::Http { .. } | ProbeKind::Tcp { .. } => true,
        ProbeKind::Command { .. } | ProbeKind::Process => false,
    });
    // What a timer starts, or what ends with its work, is rightly inactive most of the time.
    let stays = service.deployment.as_ref().is_none_or(|deployment| {
        deployment.unit.calendar.is_none() && deployment.unit.kind != UnitType::Oneshot
    });
    let one = |ordinal| {
        let id = InstanceId { service: service.name.clone(), ordinal };
        let (placed, absent) = (whereabouts.placed(&id), whereabouts.absent(&id));
        let has_unit_here = placed.is_some_and(|one| one.unit.is_some() && whereabouts.is_here(one));
        let place = Elsewhere {
            by: placed.map_or_else(|| "systemd".to_owned(), |placed| whereabouts.by(placed)),
            spec: fingerprint::digest(&(placed, &absent)),
            is_asked: over_the_network || (has_unit_here && stays),
            absent,
        };
        (ordinal, place)
    };
    (1..=service.instances).map(one).collect()
}

/// What changes between a running house and a new plan of it.
pub(crate) fn difference(old: (&House, &Addresses), new: (&House, &Addresses)) -> Reloaded {
    let mut reloaded = Reloaded::default();
    let (before, after) = (specs(old), specs(new));
    for (name, (spec, whole)) in &after {
        match before.get(name) {
            None => reloaded.added.push(name.to_string()),
            Some((old_spec, _)) if old_spec != spec => reloaded.restarted.push(name.to_string()),
            Some((_, old_whole)) if old_whole != whole => reloaded.adjusted.push(name.to_string()),
            Some(_) => {}
        }
    }
    reloaded.removed =
        before.keys().filter(|name| !after.contains_key(*name)).map(ToString::to_string).collect();
    reloaded.routes_changed =
        fingerprint::routes_fingerprint(old.0) != fingerprint::routes_fingerprint(new.0);
    reloaded
}

/// Puts the listeners of the running house back into a new plan of it, since they move only
/// with a new `up`; returns what the plan says otherwise.
pub(crate) fn keep_listeners(old: &House, new: &mut House) -> Vec<String> {
    let mut needs_up = Vec::new();
    if old.gateway.listen != new.gateway.listen {
        needs_up.push(format!("gateway.listen {} → {}", old.gateway.listen, new.gateway.listen));
        new.gateway.listen = old.gateway.listen;
    }
    if old.gateway.access_log != new.gateway.access_log {
        needs_up.push("gateway.access_log".to_owned());
        new.gateway.access_log = old.gateway.access_log;
    }
    let is_own = |service: &&Service| service.runs_as == RunsAs::Coordinator;
    for service in old.services.values().filter(is_own) {
        let Some(now) = new.services.get_mut(&service.name) else {
            needs_up.push(format!("{}: the API's own port stays open", service.name));
            continue;
        };
        if (&now.ports, &now.address) != (&service.ports, &service.address) {
            needs_up.push(format!("{}: the API's own port", service.name));
            (now.ports, now.address) = (service.ports.clone(), service.address.clone());
        }
    }
    let added =
        new.services.values().filter(is_own).filter(|service| !old.services.contains_key(&service.name));
    needs_up.extend(added.map(|service| format!("{}: the API's own port opens", service.name)));
    needs_up
}

/// How long a drain of this house may take: open requests, then the longest chain of needs,
/// each link with its own patience, and a little for the machine.
pub(crate) fn drain_budget(house: &House, requests: Duration) -> Duration {
    const MARGIN: Duration = Duration::from_secs(10);
    let mut costs = BTreeMap::new();
    let longest = house.services.keys().map(|name| chain_cost(house, name, &mut costs)).max();
    requests + longest.unwrap_or_default() + MARGIN
}

/// The check lets no cycle through, so this ends; every service is computed once.
fn chain_cost<'h>(
    house: &'h House,
    name: &'h ServiceName,
    costs: &mut BTreeMap<&'h ServiceName, Duration>,
) -> Duration {
    if let Some(cost) = costs.get(name) {
        return *cost;
    }
    let Some(service) = house.services.get(name) else { return Duration::ZERO };
    let below = service.needs.iter().map(|need| chain_cost(house, need, costs)).max();
    // What is not ours is not waited for.
    let own = if service.runs_as.is_elsewhere() { Duration::ZERO } else { service.stop.within };
    let cost = own + below.unwrap_or_default();
    costs.insert(name, cost);
    cost
}

fn specs((house, addresses): (&House, &Addresses)) -> BTreeMap<ServiceName, (String, String)> {
    let services = house.services.values();
    services
        .map(|service| {
            // A place that moves restarts nobody there.
            let placed = addresses.whereabouts().placed.get(&service.name);
            let whole =
                format!("{} {}", fingerprint::service_fingerprint(service), fingerprint::digest(&placed));
            let started =
                if service.runs_as.is_elsewhere() { String::new() } else { spec(service, addresses) };
            (service.name.clone(), (started, whole))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::whereabouts::Whereabouts;
    use haus_model::service::Recover;
    use haus_model::template::Template;

    fn check(change: impl FnOnce(&mut House), expected: &Reloaded) {
        let mut api = fixture::service("api", 1);
        api.needs = vec!["db".parse().unwrap()];
        api.env.insert("DB".into(), Template::from_display("${db.port}"));
        let mut late = fixture::service("late", 1);
        late.needs = vec!["db".parse().unwrap()];
        let old = fixture::house(vec![api, fixture::service("db", 1), late]);
        let mut new = old.clone();
        change(&mut new);
        let addresses =
            |house: &House| Addresses::new(house, &fixture::ports(house), &Whereabouts::default());
        assert_eq!(&difference((&old, &addresses(&old)), (&new, &addresses(&new))), expected);
    }

    fn service<'a>(house: &'a mut House, name: &str) -> &'a mut Service {
        house.services.get_mut(name).unwrap()
    }

    #[test]
    fn an_external_service_is_waited_for_and_never_started_or_stopped() {
        use haus_model::Timestamp;
        use haus_watch::conductor::{Action, Conductor};
        let mut scanner = fixture::service("scanner", 1);
        scanner.runs_as = RunsAs::External;
        let mut api = fixture::service("api", 1);
        api.needs = vec!["scanner".parse().unwrap()];
        let house = fixture::house(vec![api, scanner]);
        let addresses = Addresses::new(&house, &fixture::ports(&house), &Whereabouts::default());
        let mut conductor = Conductor::new(1, 1, BTreeMap::new());
        let mut orders = |now: i64, present: &[&str]| -> Vec<String> {
            let present = present.iter().map(|name| name.parse().unwrap()).collect();
            conductor.set_desired(Timestamp(now), desired(&house, &addresses, &present));
            let actions = std::iter::from_fn(|| conductor.poll_action());
            let told = |action| match action {
                Action::Spawn { id, .. } => Some(format!("spawn {id}")),
                Action::Stop { id, .. } => Some(format!("stop {id}")),
                Action::Prepare { .. } | Action::Probe { .. } | Action::Changed(_) | Action::Drained => None,
            };
            actions.filter_map(told).collect()
        };
        assert_eq!(orders(0, &[]), [""; 0]);
        assert_eq!(orders(1, &["scanner"]), ["spawn api/1"]);
        assert_eq!(orders(2, &[]), [""; 0], "who runs already runs on");
        assert_eq!(orders(3, &["scanner"]), [""; 0]);
    }

    #[test]
    fn of_a_unit_on_this_machine_systemd_is_asked_unless_it_rightly_rests() {
        use haus_model::deployment::{Deployment, Overlap, UnitSettings};
        use haus_model::placement::PlacedInstance;
        let asked = |host: &str, unit: UnitSettings| {
            let mut job = fixture::service("job", 2);
            job.runs_as = RunsAs::Systemd;
            let on = vec!["app".parse().unwrap()];
            let (source, build, overlap) = (None, Vec::new(), Overlap::Safe);
            job.deployment =
                Some(Deployment { on, source, build, keep: 3, overlap, unit, asks: BTreeSet::new() });
            let placed = PlacedInstance {
                instance: 1,
                host: "app".parse().unwrap(),
                address: "127.0.0.1".into(),
                ports: BTreeMap::new(),
                unit: Some("haus-test-job.service".into()),
            };
            let whereabouts = Whereabouts {
                host: Some(host.parse().unwrap()),
                placed: [(job.name.clone(), vec![placed])].into(),
                ..Whereabouts::default()
            };
            let house = fixture::house(vec![job]);
            let addresses = Addresses::new(&house, &fixture::ports(&house), &whereabouts);
            let places = elsewhere(&house.services["job"], &addresses);
            assert!(places[&2].absent.is_some(), "nobody said where the second is");
            (places[&1].is_asked, places[&1].by.clone())
        };
        let timer = UnitSettings { calendar: Some("daily".into()), ..UnitSettings::default() };
        let once = UnitSettings { kind: UnitType::Oneshot, ..UnitSettings::default() };
        assert_eq!(asked("app", UnitSettings::default()), (true, "systemd on app".to_owned()));
        assert!(!asked("web", UnitSettings::default()).0 && !asked("app", timer).0 && !asked("app", once).0);
    }

    #[test]
    fn the_same_plan_is_no_difference() {
        check(|_| {}, &Reloaded::default());
    }

    #[test]
    fn another_command_replaces_the_process_and_only_that_one() {
        let expected = Reloaded { restarted: vec!["db".into()], ..Reloaded::default() };
        check(|house| service(house, "db").run.push(Template::literal("-v")), &expected);
    }

    #[test]
    fn how_a_service_is_looked_after_changes_without_a_restart() {
        let expected = Reloaded { adjusted: vec!["api".into()], ..Reloaded::default() };
        check(|house| service(house, "api").recover = Recover { tries: 3, ..Recover::default() }, &expected);
    }

    #[test]
    fn another_port_of_a_need_replaces_whoever_was_told_the_old_one() {
        let fixed = haus_model::service::PortNumber::Fixed(6379);
        let expected = Reloaded { restarted: vec!["api".into(), "db".into()], ..Reloaded::default() };
        check(|house| service(house, "db").ports = [("http".parse().unwrap(), fixed)].into(), &expected);
    }

    #[test]
    fn a_listener_moves_only_with_a_new_up() {
        let mut own = fixture::service("api", 1);
        own.runs_as = RunsAs::Coordinator;
        let old = fixture::house(vec![own]);
        let mut new = old.clone();
        new.gateway.listen.set_port(9090);
        service(&mut new, "api").address = "127.0.0.2".into();
        let expected = ["gateway.listen 127.0.0.1:8080 → 127.0.0.1:9090", "api: the API's own port"];
        assert_eq!(keep_listeners(&old, &mut new), expected);
        assert_eq!(new, old);
        assert!(keep_listeners(&old, &mut new).is_empty());
    }

    #[test]
    fn a_drain_may_take_as_long_as_its_longest_chain() {
        let mut api = fixture::service("api", 1);
        api.needs = vec!["db".parse().unwrap()];
        api.stop.within = Duration::from_secs(30);
        let mut db = fixture::service("db", 1);
        db.stop.within = Duration::from_secs(60);
        let house = fixture::house(vec![api, db, fixture::service("web", 1)]);
        assert_eq!(drain_budget(&house, Duration::from_secs(10)), Duration::from_secs(110));
    }
}
