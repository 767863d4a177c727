//! Our own coordinator on a host: the program, the plan's folder, where other services are, one unit.
//! What it supervises there is its own business and makes no resources.

use super::View;
use super::collect::{Collector, UnitWish};
use super::hardening::{Directive, OF_COORDINATOR};
use super::service::Place;
use super::service_units;
use super::system::{WRITTEN, numeric_address};
use super::unit_file;
use super::variables::near;
use crate::names::{Names, coordinator_unit, house_config, house_root};
use haus_model::host::{Access, Architecture, Host, Protocol};
use haus_model::host_path::unit_path;
use haus_model::placement::{PLACES_FILE, PlacedHost, PlacedInstance, Placements};
use haus_model::resource::{
    Content, FileSpec, LinkSpec, ReleaseSource, ReleaseSpec, ResourceId, Spec, SwitchSpec,
};
use haus_model::service::{PortNumber, RunsAs, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

const PROGRAMS: &str = "/usr/local/lib/haus";
const PROGRAM: &str = "/usr/local/bin/haus";

/// Under a new plan the coordinator goes on; as an old program it ends and is started again as the new one.
const RELOAD: &str = "/bin/sh -c 'if [ /proc/${MAINPID}/exe -ef /usr/local/bin/haus ]; \
    then kill -HUP ${MAINPID}; else kill -TERM ${MAINPID}; fi'";

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
    let path = unit_path(&unit);
    let file = FileSpec {
        check: Some(unit_file::check(&path)),
        path,
        content: Content::Text(unit_text(&place)),
        access: Access::root(0o644),
    };
    // The check looks for the program.
    reads.insert(collector.add(place.wish(Spec::File(file), "").needs(reads.iter().cloned())));
    for name in service.ports.keys() {
        if let Some(port) = place.view.own_ports().get(service, 1, Some(name)) {
            collector.listens(crate::Listening {
                protocol: Protocol::Tcp,
                address: service.address.parse().ok().filter(|address: &IpAddr| !address.is_unspecified()),
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
        // A new plan is read while the services go on; a new program is started by the reload itself.
        restart: false,
        reads,
        needs: steps.clone(),
        ..UnitWish::default()
    };
    let id = collector.unit(&unit, wish);
    if let Some(proof) = service_units::health(collector, &place, &place.variables(1), &unit) {
        collector.reads(&proof, [id]);
    }
}

/// The program under its hash, and the link by which people and the unit find it. The old one stays until the
/// new one runs.
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

/// Where services are that this coordinator does not start itself: it cannot choose their ports, so it is
/// told.
fn places(collector: &mut Collector<'_>, place: &Place<'_>) -> ResourceId {
    let view = place.view;
    let mut placements = Placements::none(view.house.name.clone(), view.house.stage.clone());
    for service in view.house.services.values() {
        let instances = placed(view, service);
        for instance in &instances {
            if let Some(host) = view.house.hosts.get(&instance.host) {
                let address = host.address.clone();
                placements.hosts.insert(host.name.clone(), PlacedHost { address });
            }
        }
        if !instances.is_empty() {
            placements.services.insert(service.name.clone(), instances);
        }
    }
    let text = serde_json::to_string_pretty(&placements).expect("places are plain JSON");
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

/// Instances of a service that something else keeps running: systemd anywhere, or the coordinator of another
/// host.
fn placed(view: View<'_>, service: &Service) -> Vec<PlacedInstance> {
    let is_systemd = match service.runs_as {
        RunsAs::Systemd => true,
        RunsAs::Process => false,
        RunsAs::Coordinator | RunsAs::External => return Vec::new(),
    };
    let on = service.deployment.iter().flat_map(|deployment| &deployment.on);
    let elsewhere = on.filter(|host| is_systemd || **host != view.host.name);
    let hosts: Vec<&Host> = elsewhere.filter_map(|name| view.house.hosts.get(name)).collect();
    let mut placed = Vec::new();
    for host in hosts {
        let is_here = host.name == view.host.name;
        // What listens on one address is reached there; a name would have to be looked up.
        let far = || match service.address.parse::<IpAddr>() {
            Ok(own) if !own.is_unspecified() && !own.is_loopback() => own.to_string(),
            Ok(_) | Err(_) => {
                numeric_address(view.host, host).map_or(host.address.clone(), |ip| ip.to_string())
            }
        };
        let address = if is_here { near(&service.address) } else { far() };
        for ordinal in 1..=service.instances.max(1) {
            let port = |name| match service.ports.get(name)? {
                PortNumber::Fixed(number) => Some(*number),
                // Another coordinator chooses and tells nobody.
                PortNumber::Auto => view.ports.get(&host.name)?.get(service, ordinal, Some(name)),
            };
            let ports = service.ports.keys().filter_map(|name| Some((name.clone(), port(name)?)));
            let unit = format!("{}.service", Names::new(view.house, service).unit_stem(ordinal));
            placed.push(PlacedInstance {
                // Counted through all hosts.
                instance: u32::try_from(placed.len() + 1).unwrap_or(u32::MAX),
                host: host.name.clone(),
                address: address.clone(),
                ports: ports.collect(),
                unit: is_systemd.then_some(unit),
            });
        }
    }
    placed
}

fn unit_text(place: &Place<'_>) -> String {
    let (house, view) = (place.names.house, place.view);
    let plan = house_root(house).join("plan/current");
    let protections: String =
        OF_COORDINATOR.iter().map(|Directive { name, value, .. }| format!("{name}={value}\n")).collect();
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
ExecReload={RELOAD}
Restart=always
RestartSec=1s
KillMode=mixed
TimeoutStopSec=300
Delegate=yes
{protections}
[Install]
WantedBy=multi-user.target
",
        plan = plan.display(),
        stage = view.house.stage,
        host = view.host.name,
    )
}
