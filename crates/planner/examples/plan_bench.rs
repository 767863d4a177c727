//! How long it takes to plan 1,000 hosts with 100 resources each: nothing to do, everything to do, one file
//! in ten changed. Run it with `--release`; it prints milliseconds and ends with 1 when a plan takes a second
//! or more.

#![allow(clippy::print_stdout, reason = "it is a bench")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a bench names only what it makes")]

use haus_model::change::{ActKind, ChangeSet, HostPlan};
use haus_model::host::{Access, Connect, Elevation};
use haus_model::inventory::{Facts, Inventory, Manifest, ManifestEntry, State};
use haus_model::resource::{
    Content, DirectorySpec, FileSpec, HealthQuestion, HealthSpec, Kind, LinkSpec, OnChange, PackagesSpec,
    Resource, ResourceId, Spec, UnitSpec,
};
use haus_model::{Finding, Fingerprint, HostName, Timestamp};
use haus_planner::{Desired, DesiredHost, PlanSettings, plan, verify_hash};
use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const HOSTS: u32 = 1_000;
const LIMIT: Duration = Duration::from_secs(1);

type Inventories = BTreeMap<HostName, Result<Inventory, Finding>>;

/// One host's hundred: packages, 20 folders, 50 files in them, 9 links, 10 units that read two files each, 10
/// proofs.
fn host(number: u32) -> DesiredHost {
    let mut resources = Vec::new();
    let mut reads = BTreeMap::new();
    let mut add = |spec: Spec, needs: BTreeSet<ResourceId>| {
        let id = spec.id();
        let why = format!("hosts.host-{number}.{id}");
        resources.push(Resource { id: id.clone(), spec, needs, service: None, why, guarded: false });
        id
    };
    let names = (0..10).map(|n| format!("package-{n}")).collect();
    let packages = add(Spec::Packages(PackagesSpec { names }), BTreeSet::new());
    let folders: Vec<ResourceId> = (0..20)
        .map(|n| {
            let path = format!("/opt/folder-{n}").into();
            let spec = DirectorySpec { path, access: Access::root(0o755) };
            add(Spec::Directory(spec), BTreeSet::from([packages.clone()]))
        })
        .collect();
    let files: Vec<ResourceId> = (0..50)
        .map(|n| {
            let path = format!("/opt/folder-{}/file-{n}", n % 20).into();
            // Twenty lines, as a unit or a small configuration has them.
            let text = (0..20).map(|line| format!("setting-{line} = value {n} of host {number}\n")).collect();
            let spec =
                FileSpec { path, content: Content::Text(text), access: Access::root(0o644), check: None };
            add(Spec::File(spec), BTreeSet::from([folders[n % 20].clone()]))
        })
        .collect();
    for (n, folder) in folders.iter().enumerate().take(9) {
        let (path, target) = (format!("/opt/link-{n}").into(), format!("/opt/folder-{n}").into());
        add(Spec::Link(LinkSpec { path, target }), BTreeSet::from([folder.clone()]));
    }
    for n in 0..10 {
        let read = BTreeSet::from([files[n].clone(), files[n + 10].clone()]);
        let unit = UnitSpec {
            name: format!("service-{n}.service"),
            enabled: Some(true),
            running: Some(true),
            on_change: OnChange::Restart,
            in_effect: None,
            inputs: UnitSpec::no_inputs(),
        };
        let unit = add(Spec::Unit(unit), read.clone());
        reads.insert(unit.clone(), read);
        let question = HealthQuestion::Tcp { address: format!("127.0.0.1:{}", 8000 + n) };
        let spec = HealthSpec {
            name: format!("service-{n}"),
            question,
            timeout_ms: 1000,
            within_ms: 10_000,
            inputs: Fingerprint::of(b""),
        };
        let health = add(Spec::Health(spec), BTreeSet::from([unit.clone()]));
        reads.insert(health, BTreeSet::from([unit]));
    }
    DesiredHost {
        connect: Connect::Local,
        elevation: Elevation::Auto,
        os: None,
        architecture: None,
        resources,
        reads,
        ports: BTreeMap::new(),
        listens: Vec::new(),
        needs: BTreeSet::new(),
        firewall: None,
        sshd: None,
        faults: Vec::new(),
    }
}

fn facts() -> Facts {
    Facts { is_root: true, systemd: Some(252), ..Facts::default() }
}

/// Hosts on which nothing is yet.
fn bare(desired: &Desired) -> Inventories {
    let hosts = desired.hosts.iter().map(|(name, host)| {
        let states = host.resources.iter().map(|resource| {
            let state = match resource.spec.kind() {
                Kind::Packages => State::Packages { installed: BTreeMap::new(), unknown: BTreeSet::new() },
                _ => State::Absent,
            };
            (resource.id.clone(), state)
        });
        let states = states.collect();
        (name.clone(), Ok(Inventory { facts: facts(), states, manifest: Manifest::default(), open: None }))
    });
    hosts.collect()
}

/// Hosts on which a plan was carried out.
fn done(changes: &ChangeSet) -> Inventories {
    changes.hosts.iter().map(|(name, plan)| (name.clone(), Ok(after(plan)))).collect()
}

fn after(plan: &HostPlan) -> Inventory {
    let mut states = BTreeMap::new();
    let mut manifest = Manifest::default();
    for change in &plan.changes {
        states.insert(change.resource.clone(), state(&change.spec));
        let inputs = match &change.spec {
            Spec::Unit(spec) => Some(spec.inputs),
            Spec::Health(spec) => Some(spec.inputs),
            _ => None,
        };
        let entry = ManifestEntry { spec: change.spec.clone(), made: change.act == ActKind::Create, inputs };
        manifest.entries.insert(change.resource.clone(), entry);
    }
    Inventory { facts: facts(), states, manifest, open: None }
}

fn state(spec: &Spec) -> State {
    match spec {
        Spec::Packages(spec) => State::Packages {
            installed: spec.names.iter().map(|name| (name.clone(), "1.0".to_owned())).collect(),
            unknown: BTreeSet::new(),
        },
        Spec::Directory(spec) => State::Directory { access: spec.access.clone(), entries: 3 },
        Spec::File(spec) => {
            let text = match &spec.content {
                Content::Text(text) => text.clone(),
                Content::Blob { .. } | Content::Secret(_) => String::new(),
            };
            State::File {
                hash: Some(spec.content.fingerprint()),
                bytes: text.len() as u64,
                access: spec.access.clone(),
                text: Some(text),
                secret: None,
            }
        }
        Spec::Link(spec) => State::Link(spec.target.clone()),
        Spec::Unit(spec) => State::Unit {
            enabled: "enabled".to_owned(),
            active: "active".to_owned(),
            inputs: Some(spec.inputs),
            in_effect: None,
            needs_reload: false,
        },
        Spec::Health(spec) => State::Health { proven: Some(spec.inputs) },
        _ => State::Absent,
    }
}

/// The best of five runs is what the work costs, whatever else the machine does; the median is told beside
/// it.
fn measure(name: &str, desired: &Desired, inventories: &Inventories) -> (Duration, ChangeSet) {
    let settings = PlanSettings { now: Timestamp(0), ..PlanSettings::default() };
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..5 {
        // What the run before left behind is not this one's cost.
        drop(last.take());
        let begun = Instant::now();
        let changes = black_box(plan(black_box(desired), black_box(inventories), &settings));
        times.push(begun.elapsed());
        last = Some(changes);
    }
    let changes = last.expect("five runs");
    times.sort();
    let (best, median) = (times[0], times[times.len() / 2]);
    let count: usize = changes.hosts.values().map(|host| host.changes.len()).sum();
    let blocked = changes.hosts.values().filter(|host| !host.blocked.is_empty()).count();
    assert_eq!(blocked, 0, "no host of the bench is blocked");
    println!("{name}: {count} changes, best {} ms, median {} ms", best.as_millis(), median.as_millis());
    (best, changes)
}

/// The same hundred thousand on one host: work that grows with the square of a host's size would show here.
fn one_large_host(small: &Desired) -> (Duration, ChangeSet) {
    let mut large = host(0);
    large.resources = (0..HOSTS * 100)
        .map(|number| {
            let path = format!("/opt/{}/{number}", number / 100).into();
            let spec = Spec::Directory(DirectorySpec { path, access: Access::root(0o755) });
            let (id, needs) = (spec.id(), BTreeSet::new());
            Resource { id, spec, needs, service: None, why: "bench".to_owned(), guarded: false }
        })
        .collect();
    let hosts = BTreeMap::from([("large".parse().expect("a name"), large)]);
    let desired = Desired { hosts, ..small.clone() };
    measure("everything on one host", &desired, &bare(&desired))
}

fn main() -> ExitCode {
    let hosts: BTreeMap<HostName, DesiredHost> =
        (0..HOSTS).map(|number| (format!("host-{number}").parse().expect("a name"), host(number))).collect();
    let resources: usize = hosts.values().map(|host| host.resources.len()).sum();
    println!("{HOSTS} hosts, {resources} resources");
    let mut desired = Desired {
        house: "bench".parse().expect("a name"),
        stage: "production".parse().expect("a name"),
        hosts,
    };
    let (everything, changes) = measure("everything to do", &desired, &bare(&desired));
    assert!(verify_hash(&changes));
    let inventories = done(&changes);
    let (nothing, changes) = measure("nothing to do", &desired, &inventories);
    assert!(changes.hosts.values().all(|host| host.changes.is_empty()));
    for resource in desired.hosts.values_mut().flat_map(|host| &mut host.resources) {
        if let Spec::File(FileSpec { content: Content::Text(text), path, .. }) = &mut resource.spec
            && path.to_string_lossy().ends_with('0')
        {
            text.push_str("one = more\n");
        }
    }
    let (some, _) = measure("one file in ten changed", &desired, &inventories);
    let (one, _) = one_large_host(&desired);
    if everything.max(nothing).max(some).max(one) < LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
