//! A house as each of its hosts sees it.

use super::*;
use crate::fixture;
use haus_model::template::Template;

fn on(mut service: Service, hosts: &[&str]) -> Service {
    service.deployment = Some(Deployment {
        on: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        source: None,
        build: Vec::new(),
        keep: 3,
        overlap: haus_model::deployment::Overlap::Safe,
        unit: haus_model::deployment::UnitSettings::default(),
        asks: BTreeSet::new(),
    });
    service
}

fn house() -> House {
    let mut api = on(fixture::service("api", 1), &["web"]);
    api.runs_as = RunsAs::Systemd;
    let mut scanner = fixture::service("scanner", 1);
    scanner.runs_as = RunsAs::External;
    let worker = on(fixture::service("worker", 2), &["app"]);
    fixture::house(vec![api, fixture::service("local", 1), scanner, worker])
}

fn placed(instance: u32, host: &str) -> PlacedInstance {
    PlacedInstance {
        instance,
        host: host.parse().unwrap(),
        address: "10.0.0.7".into(),
        ports: [("http".parse().unwrap(), 20_123)].into(),
        unit: Some("haus-test-api.service".into()),
    }
}

fn whereabouts(host: Option<&str>) -> Whereabouts {
    Whereabouts {
        host: host.map(|host| host.parse().unwrap()),
        placed: [("api".parse().unwrap(), vec![placed(1, "web"), placed(2, "db")])].into(),
        file: Some("/p.json".into()),
        astray: BTreeMap::new(),
    }
}

/// Who runs what, seen from a host.
#[track_caller]
fn check(host: Option<&str>, expected: &[(&str, RunsAs, u32)], notes: &[&str]) {
    let mut house = house();
    assert_eq!(whereabouts(host).look(&mut house), notes);
    let found: Vec<_> = house
        .services
        .values()
        .map(|service| (service.name.as_str(), service.runs_as, service.instances))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_host_runs_its_own_and_only_looks_at_the_others() {
    let others =
        [("api", RunsAs::Systemd, 2), ("local", RunsAs::Process, 1), ("scanner", RunsAs::External, 1)];
    let worker = |runs_as, instances| [others.as_slice(), &[("worker", runs_as, instances)]].concat();
    let missing = "worker: the places file /p.json does not say where worker is; `haus apply` writes it";
    let api = "systemd on web looks after api, not this coordinator";
    let other = "another coordinator on app looks after worker, not this coordinator";
    check(Some("app"), &worker(RunsAs::Process, 2), &[api]);
    check(Some("web"), &worker(RunsAs::Systemd, 1), &[missing, other, api]);
    check(None, &worker(RunsAs::Systemd, 1), &[missing, other, api]);
}

#[test]
fn places_of_what_runs_here_are_told_and_left_alone() {
    let mut house = house();
    let mut whereabouts = whereabouts(Some("app"));
    whereabouts.placed.insert("worker".parse().unwrap(), vec![placed(1, "app")]);
    whereabouts.placed.insert("gone".parse().unwrap(), vec![placed(1, "app")]);
    let notes = whereabouts.look(&mut house);
    assert_eq!(notes[0], "/p.json tells of services that are not in the plan: gone");
}

#[test]
fn what_cannot_be_asked_over_the_network_is_asked_by_its_port_or_its_unit() {
    let mut service = fixture::service("api", 1);
    let asked = |service: &Service| question(service);
    assert_eq!(asked(&service).probe, ProbeKind::Tcp { port: None });
    assert_eq!((asked(&service).every, asked(&service).unhealthy_after), (EVERY, 3));
    let command = ProbeKind::Command { argv: vec![Template::literal("true")] };
    service.health =
        Some(HealthCheck { probe: command, every: Duration::from_secs(7), ..question(&service) });
    assert_eq!(asked(&service).probe, ProbeKind::Tcp { port: None });
    service.ports.clear();
    assert_eq!((asked(&service).probe, asked(&service).every), (ProbeKind::Process, Duration::from_secs(7)));
}

#[test]
fn a_place_says_who_keeps_it_or_why_nobody_can_be_asked() {
    let mut whereabouts = whereabouts(Some("web"));
    let id = |text: &str| text.parse::<InstanceId>().unwrap();
    whereabouts.astray.insert("api/2".into(), "its address is no address".into());
    let one = whereabouts.placed(&id("api/1")).unwrap();
    assert_eq!((whereabouts.by(one).as_str(), whereabouts.is_here(one)), ("systemd on web", true));
    assert_eq!(whereabouts.absent(&id("api/1")), None);
    assert_eq!(whereabouts.absent(&id("api/2")).as_deref(), Some("its address is no address"));
    assert!(whereabouts.absent(&id("api/3")).unwrap().contains("/p.json does not say"));
    whereabouts.file = None;
    assert!(whereabouts.absent(&id("db/1")).unwrap().contains("--places"));
    assert_eq!(whereabouts.ports_here(), [20_123].into());
}

#[test]
fn a_host_that_the_plan_lacks_is_refused_with_those_that_it_has() {
    let standpoint = Standpoint { host: Some("app".parse().unwrap()), places_file: None };
    let error = standpoint.look(&mut house()).unwrap_err();
    assert_eq!(error.to_string(), "the plan has no host `app`; its hosts are: none");
    assert!(error.remedy().contains("--host"));
}
