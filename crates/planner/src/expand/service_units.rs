//! Units of a service and the proofs that it works: service, timer, socket, health, news of credentials.
//! What a unit reads decides when it is restarted.

use super::collect::{Collector, UnitWish, file_id, unit_id};
use super::hardening::{DIRECTIVES, writes_code};
use super::service::{Place, of_words};
use super::source::program_folders;
use super::unit_file::{self, Context, UnitFile, fill, literal, quoted};
use super::variables::{CredentialFolder, InstanceVariables, join, near};
use crate::desired::Listening;
use crate::names::Names;
use haus_model::deployment::{BuildTool, UnitType};
use haus_model::health::ProbeKind;
use haus_model::host::{Access, Protocol};
use haus_model::host_path::unit_path;
use haus_model::resource::{
    CommandSpec, Content, FileSpec, HealthQuestion, HealthSpec, Kind, ResourceId, SecretVersion, Spec,
};
use haus_model::service::{NewCredential, ReloadSignal, Restart, Rollout, RunsAs, Service, StopSignal};
use haus_model::template::Variable;
use haus_model::{Fingerprint, ServiceName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a service without a health check may take until it must run.
const START_MS: u64 = 30_000;
const QUESTION_MS: u64 = 5_000;
/// The first systemd with pauses that grow.
const GROWING_PAUSES: u32 = 254;

/// What the parts of a service before its units have brought.
#[derive(Default)]
pub(crate) struct Ready {
    /// Must be there before a start.
    pub needs: BTreeSet<ResourceId>,
    /// Is read by every instance at its start.
    pub reads: BTreeSet<ResourceId>,
    /// Is read by one instance.
    pub own: BTreeMap<u32, BTreeSet<ResourceId>>,
    /// Current versions of the service's credentials, by file name.
    pub versions: BTreeMap<String, SecretVersion>,
}

impl Ready {
    pub(crate) fn read_by(&mut self, ordinal: u32) -> &mut BTreeSet<ResourceId> {
        self.own.entry(ordinal).or_default()
    }
}

pub(crate) fn expand(collector: &mut Collector<'_>, place: &Place<'_>, ready: &Ready) {
    let mut last: Option<ResourceId> = None;
    for ordinal in place.instances() {
        let after = last.take().filter(|_| place.service.rollout == Rollout::Rolling);
        last = instance(collector, place, ready, ordinal, after);
    }
}

/// One instance; the id of its proof.
fn instance(
    collector: &mut Collector<'_>,
    place: &Place<'_>,
    ready: &Ready,
    ordinal: u32,
    after: Option<ResourceId>,
) -> Option<ResourceId> {
    let variables = place.variables(ordinal);
    let stem = place.names.unit_stem(ordinal);
    let service_unit = format!("{stem}.service");
    let settings = &place.deployment.unit;
    let mut reads: BTreeSet<ResourceId> = ready.reads.clone();
    reads.extend(ready.own.get(&ordinal).into_iter().flatten().cloned());
    let mut needs = ready.needs.clone();
    needs.extend(after);
    needs.extend(services_here(place).flat_map(proofs));
    let text = match service_file(place, &variables) {
        Ok(text) => text,
        Err(variable) => {
            collector.no_value(&variable.to_string(), &place.why);
            return None;
        }
    };
    // The check looks for the program, which a release brings.
    let file = unit_file(collector, place, &service_unit, text, &ready.reads);
    listens(collector, place, ordinal, &stem);
    if let Some(calendar) = &settings.calendar {
        let timer = format!("{stem}.timer");
        let text = timer_file(place, calendar);
        unit_file(collector, place, &timer, text, &BTreeSet::from([file.clone()]));
        // What a service reads at each of its runs needs no restart of anything.
        needs.extend(reads);
        needs.insert(file);
        collector.unit(&timer, UnitWish { needs, ..running(place, BTreeSet::new()) });
        return None;
    }
    if settings.socket {
        let socket = format!("{stem}.socket");
        if let Some(text) = socket_file(place, &variables) {
            unit_file(collector, place, &socket, text, &BTreeSet::from([file.clone()]));
            let wish = UnitWish { needs: BTreeSet::from([file.clone()]), ..running(place, BTreeSet::new()) };
            needs.insert(collector.unit(&socket, wish));
        }
    }
    let unit = collector.unit(&service_unit, UnitWish { needs, ..running(place, reads) });
    let proof = health(collector, place, &variables, &service_unit)?;
    collector.reads(&proof, [unit]);
    new_credentials(collector, place, ready, &service_unit, &proof);
    Some(proof)
}

fn running(place: &Place<'_>, reads: BTreeSet<ResourceId>) -> UnitWish {
    UnitWish {
        why: format!("{}.run", place.why),
        service: Some(place.service.name.clone()),
        enabled: Some(true),
        running: Some(true),
        restart: true,
        reads,
        ..UnitWish::default()
    }
}

fn unit_file(
    collector: &mut Collector<'_>,
    place: &Place<'_>,
    unit: &str,
    text: String,
    needs: &BTreeSet<ResourceId>,
) -> ResourceId {
    let path = unit_path(unit);
    let check = Some(unit_file::check(&path));
    let spec = FileSpec { path, content: Content::Text(text), access: Access::root(0o644), check };
    collector.add(place.wish(Spec::File(spec), "run").needs(needs.iter().cloned()))
}

/// Services of the same host that this one needs.
fn services_here<'a>(place: &Place<'a>) -> impl Iterator<Item = Names<'a>> {
    let view = place.view;
    let here = move |name: &ServiceName| {
        let service = view.house.services.get(name)?;
        let is_here = crate::ports::is_on(service, &view.host.name) && service.runs_as == RunsAs::Systemd;
        is_here.then(|| Names::new(view.house, service))
    };
    place.service.needs.iter().filter_map(here)
}

/// The ids of the proofs that a service works.
fn proofs(names: Names<'_>) -> Vec<ResourceId> {
    let ordinals = 1..=names.service.instances.max(1);
    ordinals.map(|ordinal| ResourceId::new(Kind::Health, proof_name(names.service, ordinal))).collect()
}

fn proof_name(service: &Service, ordinal: u32) -> String {
    if service.instances > 1 { format!("{}/{ordinal}", service.name) } else { service.name.to_string() }
}

/// Where programs are searched: what the build made, then the system's.
pub(crate) fn search_path(place: &Place<'_>) -> String {
    let current = place.names.root().join("current");
    let built = program_folders(place.deployment)
        .into_iter()
        .map(|folder| current.join(folder).display().to_string());
    built.chain([SEARCH_PATH.to_owned()]).collect::<Vec<_>>().join(":")
}

/// What an instance finds in its environment besides `PATH` and its credentials.
pub(crate) fn environment(variables: &InstanceVariables<'_>) -> Result<BTreeMap<String, String>, Variable> {
    let mut environment = own_environment(variables);
    for (name, value) in &variables.service.env {
        environment.insert(name.clone(), variables.fill(value)?);
    }
    Ok(environment)
}

fn own_environment(variables: &InstanceVariables<'_>) -> BTreeMap<String, String> {
    let names = variables.names();
    let mut environment = BTreeMap::from([
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("HOME".to_owned(), names.data(variables.ordinal).display().to_string()),
        ("HAUS_HOUSE".to_owned(), names.house.to_string()),
        ("HAUS_SERVICE".to_owned(), variables.service.name.to_string()),
    ]);
    if let Some(port) = variables.port(None) {
        environment.insert("PORT".to_owned(), port.to_string());
    }
    if variables.service.config.is_some() {
        environment.insert("HAUS_CONFIG".to_owned(), names.config(variables.ordinal).display().to_string());
    }
    environment
}

fn service_file(place: &Place<'_>, variables: &InstanceVariables<'_>) -> Result<String, Variable> {
    let (service, settings) = (place.service, &place.deployment.unit);
    let mut file = UnitFile::new();
    file.section("Unit");
    let about = service
        .about
        .clone()
        .unwrap_or_else(|| format!("{} of the house {}", service.name, place.names.house));
    file.set("Description", literal(&about.replace('\n', " "), Context::Environment));
    let mut others = vec!["network-online.target".to_owned()];
    others.extend(services_here(place).map(|other| format!("{}.service", other.unit_stem(1))));
    if settings.socket {
        // Only wanted: each of the two files names the other, and systemd's check of the first one refuses
        // what it requires and does not find.
        others.push(format!("{}.socket", variables.unit_stem()));
    }
    file.set("Wants", others.join(" "));
    file.set("After", others.join(" "));
    let restarts = service.recover.restart != Restart::Never && settings.calendar.is_none();
    if restarts {
        file.set("StartLimitIntervalSec", seconds(service.recover.within));
        file.set("StartLimitBurst", service.recover.tries);
    }
    file.section("Service");
    kind(&mut file, place);
    file.set("User", &place.account);
    if service.user.is_none() {
        file.set("Group", &place.account);
    }
    file.set("WorkingDirectory", literal(&place.names.folder().display().to_string(), Context::Environment));
    commands(&mut file, place, variables)?;
    if restarts {
        restart(&mut file, place);
    }
    file.set("KillSignal", signal(service.stop.signal));
    file.set("TimeoutStopSec", seconds(service.stop.within));
    limits(&mut file, service);
    hardening(&mut file, place, variables);
    if settings.calendar.is_none() {
        file.section("Install");
        file.set("WantedBy", "multi-user.target");
    }
    Ok(file.finish())
}

fn kind(file: &mut UnitFile, place: &Place<'_>) {
    let settings = &place.deployment.unit;
    match (settings.kind, &settings.calendar) {
        (UnitType::Notify, None) => file.set("Type", "notify"),
        (UnitType::Exec, None) => file.set("Type", "exec"),
        (UnitType::Oneshot, None) => {
            file.set("Type", "oneshot");
            file.set("RemainAfterExit", "yes");
        }
        // A timer wakes it, it does its work and ends.
        (UnitType::Notify | UnitType::Exec | UnitType::Oneshot, Some(_)) => file.set("Type", "oneshot"),
    }
}

fn commands(
    file: &mut UnitFile,
    place: &Place<'_>,
    variables: &InstanceVariables<'_>,
) -> Result<(), Variable> {
    let service = place.service;
    let value = |variable: &Variable| variables.value(variable, CredentialFolder::Specifier);
    let set = |file: &mut UnitFile, name: &str, value: &str| {
        file.set("Environment", quoted(&format!("{name}={value}")));
    };
    let path = search_path(place);
    file.set("ExecSearchPath", &path);
    set(file, "PATH", &path);
    for (name, value) in own_environment(variables) {
        set(file, &name, &literal(&value, Context::Environment));
    }
    let folder = variables.credential_folder(CredentialFolder::Specifier);
    for name in service.credentials.keys() {
        set(file, &format!("{name}_FILE"), &format!("{folder}/{name}"));
        if !variables.own_credentials {
            let path = place.names.credentials().join(name);
            file.set("LoadCredential", format!("{name}:{}", path.display()));
        }
    }
    if variables.own_credentials && !service.credentials.is_empty() {
        set(file, "CREDENTIALS_DIRECTORY", &folder);
    }
    for (name, template) in &service.env {
        set(file, name, &fill(template, Context::Environment, &value)?);
    }
    let mut words = Vec::new();
    for (at, template) in service.run.iter().enumerate() {
        let word = fill(template, Context::Command, &value)?;
        // systemd takes a program by its full path or by its name alone.
        let is_relative = at == 0 && word.contains('/') && !word.starts_with('/');
        let word = if is_relative {
            let path: std::path::PathBuf = place.names.folder().join(word).components().collect();
            path.display().to_string()
        } else {
            word
        };
        words.push(quoted(&word));
    }
    file.set("ExecStart", words.join(" "));
    Ok(())
}

/// A systemd without growing pauses gets one in the middle: short enough to be useful, long enough that a
/// restart of a database does not use up all tries.
fn restart(file: &mut UnitFile, place: &Place<'_>) {
    let recover = &place.service.recover;
    let word = match recover.restart {
        Restart::Always => "always",
        Restart::OnFailure => "on-failure",
        Restart::Never => return,
    };
    // A unit that does its work and ends would never be done.
    let oneshot = place.deployment.unit.kind == UnitType::Oneshot;
    file.set("Restart", if oneshot { "on-failure" } else { word });
    let learned = place.view.inputs.learned.get(&place.view.host.name);
    if learned.and_then(|learned| learned.systemd).is_some_and(|version| version >= GROWING_PAUSES) {
        file.set("RestartSec", seconds(recover.first));
        file.set("RestartSteps", 8);
        file.set("RestartMaxDelaySec", seconds(recover.most));
    } else {
        let middle = recover.most.min(Duration::from_secs(5)).max(recover.first);
        file.set("RestartSec", seconds(middle));
    }
}

fn limits(file: &mut UnitFile, service: &Service) {
    let limits = &service.limits;
    file.set_some("MemoryMax", limits.memory_bytes);
    file.set_some("CPUQuota", limits.cpu_milli.map(|milli| format!("{}%", milli.div_ceil(10))));
    file.set_some("TasksMax", limits.tasks);
    file.set_some("LimitNOFILE", limits.files);
}

fn hardening(file: &mut UnitFile, place: &Place<'_>, variables: &InstanceVariables<'_>) {
    let settings = &place.deployment.unit;
    for directive in DIRECTIVES {
        let given_back = settings.without.contains(directive.name)
            || (directive.name == "MemoryDenyWriteExecute" && compiles(place));
        if !given_back {
            file.set(directive.name, directive.value);
        }
    }
    let capabilities: Vec<&str> = settings.capabilities.iter().map(String::as_str).collect();
    if !settings.without.contains("CapabilityBoundingSet") {
        file.set("CapabilityBoundingSet", capabilities.join(" "));
    }
    if !capabilities.is_empty() {
        file.set("AmbientCapabilities", capabilities.join(" "));
    }
    let data = variables.names().data(variables.ordinal);
    let writable =
        std::iter::once(data.as_path()).chain(settings.writable.iter().map(std::path::PathBuf::as_path));
    let writable: Vec<String> = writable.map(|path: &Path| quoted(&path.display().to_string())).collect();
    file.set("ReadWritePaths", writable.join(" "));
}

/// Whether the program writes code while it runs, as engines of JavaScript do.
fn compiles(place: &Place<'_>) -> bool {
    let program = place.service.run.first().map(ToString::to_string).unwrap_or_default();
    let uses = |wanted: fn(&BuildTool) -> bool| place.deployment.build.iter().any(|step| wanted(&step.tool));
    let only_npm = uses(|tool| matches!(tool, BuildTool::Npm { .. }))
        && !uses(|tool| matches!(tool, BuildTool::Python { .. }));
    writes_code(&program) || only_npm
}

fn timer_file(place: &Place<'_>, calendar: &str) -> String {
    let mut file = UnitFile::new();
    file.section("Unit");
    file.set("Description", format!("When {} of the house {} runs", place.service.name, place.names.house));
    file.section("Timer");
    file.set("OnCalendar", literal(calendar, Context::Environment));
    // A machine that was off at that time does it when it is back.
    file.set("Persistent", "true");
    file.section("Install");
    file.set("WantedBy", "timers.target");
    file.finish()
}

fn socket_file(place: &Place<'_>, variables: &InstanceVariables<'_>) -> Option<String> {
    let port = variables.port(None)?;
    let mut file = UnitFile::new();
    file.section("Unit");
    file.set("Description", format!("Port of {} of the house {}", place.service.name, place.names.house));
    file.section("Socket");
    let address = &place.service.address;
    let everywhere = matches!(address.as_str(), "*" | "" | "::" | "[::]");
    let stream = if everywhere { port.to_string() } else { join(address, port) };
    file.set("ListenStream", stream);
    file.section("Install");
    file.set("WantedBy", "sockets.target");
    Some(file.finish())
}

fn listens(collector: &mut Collector<'_>, place: &Place<'_>, ordinal: u32, stem: &str) {
    for name in place.service.ports.keys() {
        if let Some(port) = place.view.own_ports().get(place.service, ordinal, Some(name)) {
            collector.listens(Listening {
                protocol: Protocol::Tcp,
                address: place
                    .service
                    .address
                    .parse()
                    .ok()
                    .filter(|address: &std::net::IpAddr| !address.is_unspecified()),
                port,
                units: BTreeSet::from([format!("{stem}.service"), format!("{stem}.socket")]),
                subject: format!("service {}", place.service.name),
            });
        }
    }
}

/// The proof that an instance works. Without a check in the plan it is that its unit stays active.
pub(crate) fn health(
    collector: &mut Collector<'_>,
    place: &Place<'_>,
    variables: &InstanceVariables<'_>,
    unit: &str,
) -> Option<ResourceId> {
    let service = place.service;
    let unit_question = || HealthQuestion::Unit { name: unit.to_owned() };
    let question = match &service.health {
        None => Ok(unit_question()),
        Some(check) => question(place, variables, &check.probe, unit_question),
    };
    let question = match question {
        Ok(question) => question,
        Err(variable) => {
            collector.no_value(&variable, &format!("{}.health", place.why));
            return None;
        }
    };
    let bytes = serde_json::to_vec(&question).expect("a question is plain JSON");
    let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let spec = HealthSpec {
        name: proof_name(service, variables.ordinal),
        question,
        timeout_ms: service.health.as_ref().map_or(QUESTION_MS, |check| milliseconds(check.timeout)),
        within_ms: service.health.as_ref().map_or(START_MS, |check| milliseconds(check.start)),
        inputs: Fingerprint::of(&bytes),
    };
    Some(collector.add(place.wish(Spec::Health(spec), "health").needs([unit_id(unit)])))
}

fn question(
    place: &Place<'_>,
    variables: &InstanceVariables<'_>,
    probe: &ProbeKind,
    unit: impl FnOnce() -> HealthQuestion,
) -> Result<HealthQuestion, String> {
    let address = |port: &Option<haus_model::PortName>| {
        let number = variables.port(port.as_ref()).ok_or_else(|| "port".to_owned())?;
        Ok::<String, String>(join(&near(&place.service.address), number))
    };
    let told = |variable: Variable| variable.to_string();
    Ok(match probe {
        ProbeKind::Http { get, port, expect } => HealthQuestion::Http {
            address: address(port)?,
            path: variables.fill(get).map_err(told)?,
            status: expect.status,
            json: expect.json.clone(),
            text: expect.text.clone(),
        },
        ProbeKind::Tcp { port } => HealthQuestion::Tcp { address: address(port)? },
        ProbeKind::Command { argv } => HealthQuestion::Command {
            argv: argv.iter().map(|word| variables.fill(word)).collect::<Result<_, _>>().map_err(told)?,
            user: place.account.clone(),
            folder: place.names.folder(),
        },
        ProbeKind::Process => unit(),
    })
}

/// A signal for a service that reads new values by itself, once it works: before, the signal could end it.
fn new_credentials(
    collector: &mut Collector<'_>,
    place: &Place<'_>,
    ready: &Ready,
    unit: &str,
    proof: &ResourceId,
) {
    let signal = match place.service.new_credential {
        NewCredential::Restart | NewCredential::Reread => return,
        NewCredential::Signal(ReloadSignal::Hup) => "HUP",
        NewCredential::Signal(ReloadSignal::Usr1) => "USR1",
        NewCredential::Signal(ReloadSignal::Usr2) => "USR2",
    };
    let versions = ready.versions.iter();
    let words: Vec<String> =
        versions.map(|(file, secret)| format!("{file}={}/{}", secret.credential, secret.version)).collect();
    if words.is_empty() {
        return;
    }
    let signal = format!("--signal={signal}");
    let run = ["systemctl", "kill", &signal, unit].map(str::to_owned).to_vec();
    let spec = CommandSpec {
        name: format!("{}-new-credentials", unit.trim_end_matches(".service")),
        run,
        unless: None,
        user: "root".to_owned(),
        folder: "/".into(),
        credentials: BTreeMap::new(),
        inputs: of_words(&words),
    };
    let files = ready.versions.keys().map(|file| file_id(&place.names.credentials().join(file)));
    collector.add(place.wish(Spec::Command(spec), "credentials").needs([proof.clone()]).needs(files));
}

fn signal(signal: StopSignal) -> &'static str {
    match signal {
        StopSignal::Term => "SIGTERM",
        StopSignal::Int => "SIGINT",
        StopSignal::Quit => "SIGQUIT",
        StopSignal::Hup => "SIGHUP",
    }
}

/// A duration as systemd reads it.
fn seconds(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}
