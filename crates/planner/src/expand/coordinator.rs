//! Our own coordinator on a host: the program, the plan's folder, where other services are, one unit.
//! What it supervises there is its own business and makes no resources.

use super::collect::{Collector, UnitWish};
use super::service::Place;
use super::service_units;
use super::system::WRITTEN;
use crate::names::{Names, coordinator_unit, house_config, house_root, unit_path};
use haus_model::host::{Access, Architecture, Host, Protocol};
use haus_model::placement::PLACES_FILE;
use haus_model::resource::{
    Content, FileSpec, LinkSpec, ReleaseSource, ReleaseSpec, ResourceId, Spec, SwitchSpec,
};
use haus_model::service::{RunsAs, Service};
use haus_model::{PlacedHost, PlacedInstance, Placements};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const PROGRAMS: &str = "/usr/local/lib/haus";
const PROGRAM: &str = "/usr/local/bin/haus";

/// Releases of the plan that stay beside the current one.
const PLANS_KEPT: u32 = 3;

pub(crate) fn expand(collector: &mut Collector<'_>, service: &Service, steps: &BTreeSet<ResourceId>) {
    let Some(deployment) = &service.deployment else { return };
    let place = Place::new(collector.view, service, deployment);
    let mut reads = BTreeSet::new();
    reads.extend(program(collector, &place));
    reads.extend(plan_folder(collector, &place));
    reads.insert(places(collector, &place));
    let unit = coordinator_unit(place.names.house);
    let file = FileSpec {
        path: unit_path(&unit),
        content: Content::Text(unit_text(&place)),
        access: Access::root(0o644),
        check: None,
    };
    reads.insert(collector.add(place.wish(Spec::File(file), "").needs(reads.iter().cloned())));
    for name in service.ports.keys() {
        if let Some(port) = place.view.own_ports().get(service, 1, Some(name)) {
            collector.listens(crate::Listening {
                protocol: Protocol::Tcp,
                address: service
                    .address
                    .parse()
                    .ok()
                    .filter(|address: &std::net::IpAddr| !address.is_unspecified()),
                port,
                units: BTreeSet::from([unit.clone()]),
                subject: format!("service {}", service.name),
            });
        }
    }
    let wish = UnitWish {
        why: place.why.clone(),
        service: Some(service.name.clone()),
        enabled: Some(true),
        running: Some(true),
        // A new program needs a new start; for a new plan alone a reload would do, but a unit has one answer to changes.
        restart: true,
        reads,
        needs: steps.clone(),
        ..UnitWish::default()
    };
    let id = collector.unit(&unit, wish);
    if let Some(proof) = service_units::health(collector, &place, &place.variables(1), &unit) {
        collector.reads(&proof, [id]);
    }
}

/// The program under its hash, and the link by which people and the unit find it. The old one stays until the new one runs.
fn program(collector: &mut Collector<'_>, place: &Place<'_>) -> Vec<ResourceId> {
    let view = place.view;
    let learned = view.inputs.learned.get(&view.host.name).and_then(|learned| learned.architecture);
    let architecture = view.host.architecture.or(learned).unwrap_or(Architecture::Amd64);
    let Some(blob) = view.inputs.program.get(&architecture) else {
        let message = format!("{}: there is no haus for {}", place.why, architecture.machine());
        collector
            .missing(message, "build haus for this architecture, or run the coordinator on another host");
        return Vec::new();
    };
    let folder = PathBuf::from(PROGRAMS);
    collector.own_folders(&folder, &place.why);
    let path = folder.join(format!("haus-{}", blob.hash.short()));
    let spec =
        FileSpec { path: path.clone(), content: blob.content(), access: Access::root(0o755), check: None };
    let file = collector.add(place.wish(Spec::File(spec), ""));
    let link = LinkSpec { path: PROGRAM.into(), target: path };
    let link = collector.add(place.wish(Spec::Link(link), "").needs([file.clone()]));
    vec![file, link]
}

fn plan_folder(collector: &mut Collector<'_>, place: &Place<'_>) -> Option<ResourceId> {
    let Some(archive) = place.view.inputs.plan_archive else {
        collector
            .missing(format!("{}: the plan's folder was not packed", place.why), "run the command again");
        return None;
    };
    let root = house_root(place.names.house).join("plan");
    collector.own_folders(&root, &place.why);
    let spec = ReleaseSpec {
        root: root.clone(),
        source: ReleaseSource::Archive { hash: archive.hash, bytes: archive.bytes },
        build: Vec::new(),
        links: BTreeMap::new(),
        user: "root".to_owned(),
    };
    collector.add(place.wish(Spec::Release(spec), ""));
    let switch = SwitchSpec { root, release: None, keep: PLANS_KEPT };
    Some(collector.add(place.wish(Spec::Switch(switch), "")))
}

/// Where services under systemd are: the coordinator cannot choose their ports, so it is told.
fn places(collector: &mut Collector<'_>, place: &Place<'_>) -> ResourceId {
    let view = place.view;
    let mut placements = Placements::none(view.house.name.clone(), view.house.stage.clone());
    for host in view.house.hosts.values() {
        placements.hosts.insert(host.name.clone(), PlacedHost { address: host.address.clone() });
    }
    for service in view.house.services.values().filter(|service| service.runs_as == RunsAs::Systemd) {
        let hosts = service.deployment.iter().flat_map(|deployment| &deployment.on);
        let hosts = hosts.filter_map(|name| view.house.hosts.get(name));
        let copies = hosts.flat_map(|host| (1..=service.instances.max(1)).map(move |own| (host, own)));
        // Counted through all hosts, so that a number stands once in its service.
        let placed = (1..).zip(copies).map(|(number, (host, own))| placed(place, service, host, number, own));
        placements.services.insert(service.name.clone(), placed.collect());
    }
    let text = serde_json::to_string_pretty(&placements).expect("places are plain data with texts as keys");
    let folder = house_config(place.names.house);
    collector.own_folders(&folder, &place.why);
    let spec = FileSpec {
        path: folder.join(PLACES_FILE),
        content: Content::Text(format!("{text}\n")),
        access: Access::root(0o644),
        check: None,
    };
    collector.add(place.wish(Spec::File(spec), ""))
}

/// One copy of a service: its number through all hosts, and on its own host.
fn placed(place: &Place<'_>, service: &Service, host: &Host, number: u32, own: u32) -> PlacedInstance {
    let view = place.view;
    let address = if host.name == view.host.name {
        super::variables::near(&service.address)
    } else {
        super::variables::far(&service.address, host)
    };
    let port = |name| view.ports.get(&host.name)?.get(service, own, Some(name));
    PlacedInstance {
        instance: number,
        host: host.name.clone(),
        address,
        ports: service.ports.keys().filter_map(|name| Some((name.clone(), port(name)?))).collect(),
        unit: Some(format!("{}.service", Names::new(view.house, service).unit_stem(own))),
    }
}

fn unit_text(place: &Place<'_>) -> String {
    let (house, view) = (place.names.house, place.view);
    let plan = house_root(house).join("plan/current");
    let user = place.service.user.as_ref().map(|user| format!("User={user}\n")).unwrap_or_default();
    format!(
        "{WRITTEN}
[Unit]
Description=Coordinator of the house {house}
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
NotifyAccess=all
{user}ExecStart={PROGRAM} serve {plan} --stage {stage} --host {host}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1s
KillMode=mixed
TimeoutStopSec=300
Delegate=yes

[Install]
WantedBy=multi-user.target
",
        plan = plan.display(),
        stage = view.house.stage,
        host = view.host.name,
    )
}
