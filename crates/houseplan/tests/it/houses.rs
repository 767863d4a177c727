//! The houses of this repository, and the plan that `haus init` writes, have no error and no warning.

use haus_houseplan::{DiskFiles, Loaded, MemoryFiles, Style, load, render, starter};
use haus_model::Severity;
use haus_model::route::RouteTarget;
use haus_model::service::RunsAs;
use std::path::{Path, PathBuf};

/// Every house whose plan is there.
pub(crate) fn houses() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../houses");
    ["zimmer", "lifetimecircle"].iter().map(|name| folder.join(name)).collect()
}

fn check(loaded: &Loaded) {
    let wrong = loaded.findings.iter().filter(|finding| finding.severity > Severity::Note);
    let wrong: Vec<_> = wrong.cloned().collect();
    assert!(wrong.is_empty(), "{}", render(&wrong, &loaded.sources, Style::default()));
    assert!(loaded.plan.is_some());
}

#[test]
fn the_houses_are_clean() {
    for house in houses() {
        check(&load(&house, &DiskFiles));
    }
}

#[test]
fn the_house_of_rooms_is_understood() {
    let loaded = load(&houses()[0], &DiskFiles);
    let plan = loaded.plan.unwrap();
    let house = plan.stages.values().next().unwrap();
    assert_eq!(house.name.as_str(), "zimmer");
    assert!(house.services.len() >= 19, "{}", house.services.len());
    assert!(house.services.values().any(|service| service.runs_as == RunsAs::Coordinator));
    assert!(house.services.values().filter(|service| service.instances > 1).count() >= 2);
}

#[test]
fn the_house_of_one_node_is_the_same_in_front_of_you_and_on_its_host() {
    let stages = load(&houses()[1], &DiskFiles).plan.unwrap().stages;
    let house = |stage: &str| &stages[&stage.parse::<haus_model::StageName>().unwrap()];
    let (local, production) = (house("local"), house("production"));
    let api = |house: &haus_model::House| {
        house.services[&"api".parse::<haus_model::ServiceName>().unwrap()].clone()
    };
    assert_eq!((local.hosts.len(), production.hosts.len()), (0, 1));
    assert_eq!((api(local).runs_as, api(production).runs_as), (RunsAs::Process, RunsAs::Systemd));
    assert_eq!((api(local).folder, api(production).folder), (PathBuf::from("."), PathBuf::from(".")));
    assert_eq!((api(local).run, api(local).env), (api(production).run, api(production).env));
    let root = |house: &haus_model::House| {
        let routes = house.routes.values().next().unwrap();
        match &routes["/"].target {
            RouteTarget::Files { root, .. } => root.clone(),
            RouteTarget::Service { .. } | RouteTarget::Coordinator => panic!("files"),
        }
    };
    assert_eq!(root(local), Path::new("packages/web/dist"));
    assert_eq!(root(production), Path::new("/srv/lifetimecircle/api/current/packages/web/dist"));
}

#[test]
fn the_first_plan_has_no_findings_at_all() {
    let files = MemoryFiles::new().with("house.yaml", starter("my-house"));
    let loaded = load(Path::new("house.yaml"), &files);
    assert_eq!(loaded.findings, []);
    let house = loaded.plan.unwrap().stages.into_values().next().unwrap();
    assert_eq!(house.domain, "my-house.localhost");
    assert!(house.routes.contains_key("web.my-house.localhost"));
}
