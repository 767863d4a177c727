//! The acts of a rotation: telling the server, bringing files to instances, proving, retiring. Each finds
//! its work done or half done when it is asked for again.
//!
//! It decides no order and keeps nothing; that is `haus_vault::rotation` and the driver. Values exist here
//! for the time of one act.

use super::consumers;
use crate::desk::Desk;
use crate::engine::{Ask, DeliverError, Delivery, Errand, Input, Instance};
use haus_api::{Problem, ProblemCode};
use haus_model::credential::{Credential, Rotator};
use haus_model::health::ProbeKind;
use haus_model::house::House;
use haus_model::service::{NewCredential, RunsAs, Service};
use haus_model::{InstanceId, Secret, ServiceName};
use haus_rotator::{Account, RotateError, Server};
use haus_store::{CredentialRow, VersionRow};
use haus_vault::rotation::{Act, Failure, Rotation};
use haus_watch::conductor::Phase;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// One step with a server.
const SERVER_WITHIN: Duration = Duration::from_secs(15);

/// How long a server that is starting is waited for.
const SERVER_READY_WITHIN: Duration = Duration::from_secs(60);

/// How long the parent may take to replace files.
const DELIVER_WITHIN: Duration = Duration::from_secs(20);

/// How often instances are looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Bounds of the time in which consumers must be well with a new value.
const PROVE_WITHIN_MIN: Duration = Duration::from_secs(5);
const PROVE_WITHIN_MAX: Duration = Duration::from_secs(600);

/// The same for a service without a probe, which is well as soon as it runs: some of its restarts fall into
/// this time.
const PROVE_UNPROBED_WITHIN: Duration = Duration::from_secs(30);

/// How long a service without a probe must run on with a new value: nothing but its end would tell.
const STEADY_FOR: Duration = Duration::from_secs(5);

/// Bound of a restart of one service.
const RESTART_WITHIN_MAX: Duration = Duration::from_secs(1_800);

/// Why an act did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It failed.
    Failed(Failure),
    /// The house is ending; the next start goes on.
    Halted,
    /// The credential is gone, and the rotation with it.
    Gone,
}

type Done = Result<(), Stop>;

/// A failure that trying again may mend.
fn passing(why: impl Into<String>) -> Stop {
    Stop::Failed(Failure { why: why.into(), retry: true })
}

/// A failure that trying again does not mend.
fn lasting(why: impl Into<String>) -> Stop {
    Stop::Failed(Failure { why: why.into(), retry: false })
}

/// Everything about one act.
struct Job<'a> {
    desk: &'a Desk,
    house: std::sync::Arc<House>,
    rotation: &'a Rotation,
    row: CredentialRow,
    versions: Vec<VersionRow>,
}

/// Which value consumers get.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    New,
    Old,
}

/// Does it.
pub(super) async fn perform(desk: &Desk, rotation: &Rotation, act: Act) -> Done {
    let id = rotation.credential.clone();
    let read = desk.registrar.read(move |ledger| {
        let Some(row) = ledger.credential(&id)? else { return Ok(None) };
        Ok(Some((row, ledger.versions(&id)?)))
    });
    let (row, versions) = read.await.map_err(|problem| passing(problem.detail))?.ok_or(Stop::Gone)?;
    let job = Job { desk, house: desk.house(), rotation, row, versions };
    match act {
        Act::TellServer => {
            let (server, login, old, new) = job.server().await?;
            told(haus_rotator::tell_new(&server, &account(&login), &old, &new).await)
        }
        // The same the other way round: the server takes the old value again, and keeps the new one if it
        // can.
        Act::TellServerOld => {
            let (server, login, old, new) = job.server().await?;
            told(haus_rotator::tell_new(&server, &account(&login), &new, &old).await)
        }
        Act::DeliverNew => job.deliver(Way::New).await,
        Act::DeliverOld => job.deliver(Way::Old).await,
        Act::ProveNew => job.prove().await,
        Act::RetireOld => {
            if rotation.has_server {
                let (server, login, old, new) = job.server().await?;
                told(haus_rotator::retire_old(&server, &account(&login), &new, &old).await)?;
            }
            job.remove_previous().await
        }
        Act::RetireNew => {
            let (server, login, old, new) = job.server().await?;
            told(haus_rotator::retire_old(&server, &account(&login), &old, &new).await)
        }
    }
}

fn told(outcome: Result<(), RotateError>) -> Done {
    outcome.map_err(|error| {
        Stop::Failed(Failure { why: crate::chain(&error), retry: error.is_worth_retrying() })
    })
}

fn account(rotator: &Rotator) -> Account<'_> {
    match rotator {
        Rotator::Postgres { role, database, .. } => Account::Postgres { role, database },
        Rotator::Redis { user, .. } => Account::Redis { user },
    }
}

/// The service that is the server.
pub(super) fn server_of(rotator: &Rotator) -> &ServiceName {
    match rotator {
        Rotator::Postgres { service, .. } | Rotator::Redis { service, .. } => service,
    }
}

/// Asks the engine; a reply that is dropped means that the house is ending.
pub(super) async fn errand<T>(
    desk: &Desk,
    make: impl FnOnce(oneshot::Sender<T>) -> Errand,
) -> Result<T, Stop> {
    let (reply, answer) = oneshot::channel();
    desk.inputs.send(Input::Ask(Ask::Errand(make(reply)))).map_err(|_| Stop::Halted)?;
    answer.await.map_err(|_| Stop::Halted)
}

/// The instances of a service.
pub(super) async fn instances(desk: &Desk, service: &ServiceName) -> Result<Vec<Instance>, Stop> {
    errand(desk, |reply| Errand::Instances { service: service.clone(), reply }).await
}

impl Job<'_> {
    /// The credential in the plan; none for one that was made over the API.
    fn planned(&self) -> Option<&Credential> {
        if self.row.owner.is_some() {
            return None;
        }
        self.house.credentials.get(self.row.name.as_str())
    }

    fn value(&self, version: u64) -> Result<Secret, Stop> {
        let sealed = self.versions.iter().find(|one| one.version == version);
        let sealed = sealed.ok_or_else(|| lasting(format!("version {version} is not there any more")))?;
        self.desk.vaulting.unseal(&self.row, sealed).map_err(|problem| {
            // The key may have been exchanged since these rows were read; the next try reads them again.
            if problem.code == ProblemCode::VaultSealed {
                passing(problem.detail)
            } else {
                lasting(problem.detail)
            }
        })
    }

    /// The server, its account, the old and the new value.
    async fn server(&self) -> Result<(Server, Rotator, Secret, Secret), Stop> {
        let rotator = self.planned().and_then(|credential| credential.rotator.clone());
        let rotator = rotator.ok_or_else(|| {
            lasting(format!("the plan names no server for credential `{}` any more", self.row.name))
        })?;
        let service = server_of(&rotator);
        let until = Instant::now() + SERVER_READY_WITHIN;
        let address = loop {
            let first = instances(self.desk, service).await?.into_iter().next();
            let Some(first) = first else {
                return Err(lasting(format!("the server {service} is not a service of this house")));
            };
            let Some(address) = first.address else {
                return Err(lasting(format!("{service} has no port at which one can log in")));
            };
            let ours = self.house.services.get(service).is_some_and(|one| one.runs_as == RunsAs::Process);
            let coming = is_coming(first.phase);
            match no_login(&first, coming || ours) {
                None => break address,
                Some(why) if !coming || Instant::now() >= until => return Err(passing(why)),
                Some(_) => sleep(LOOK_EVERY).await,
            }
        };
        let (old, new) = (self.value(self.rotation.from_version)?, self.value(self.rotation.to_version)?);
        Ok((Server { address, within: SERVER_WITHIN }, rotator, old, new))
    }

    /// The files that this credential has in a service.
    fn files_of<'s>(&'s self, service: &'s Service) -> impl Iterator<Item = &'s String> {
        let files = service.credentials.iter();
        files.filter(|(_, name)| name.as_str() == self.row.name).map(|(file, _)| file)
    }

    /// Brings a value to everybody who has it in a file.
    async fn deliver(&self, way: Way) -> Done {
        let mut restarting = Vec::new();
        for service in consumers(&self.house, &self.row) {
            if service.runs_as == RunsAs::Systemd {
                self.leave_to_apply(service)?;
                continue;
            }
            match service.new_credential {
                NewCredential::Restart => restarting.push(self.begin_restart(service).await?),
                NewCredential::Reread => self.replace_files(service, way, None, &mut restarting).await?,
                NewCredential::Signal(signal) => {
                    self.replace_files(service, way, Some(signal.number()), &mut restarting).await?;
                }
            }
        }
        for (service, before) in restarting {
            self.await_restart(service, &before).await?;
        }
        match way {
            Way::New => Ok(()),
            // A process that was started with the old value may find files of the start before it.
            Way::Old => self.remove_previous().await,
        }
    }

    /// A service on a host gets its files from `haus apply` alone. Where the old value ends with the rotation
    /// it would stand there without a valid one, so the rotation ends instead.
    fn leave_to_apply(&self, service: &Service) -> Done {
        if self.rotation.has_server {
            return Err(lasting(format!(
                "{} runs on a host, and only `haus apply` brings it another value; take it out of the scope, or change \
                 the password by hand and give it with `haus credential create`",
                service.name
            )));
        }
        self.desk.note(&format!(
            "credential {} has another value; `haus apply` brings it to {}",
            self.row.name, service.name
        ));
        Ok(())
    }

    /// New files for every running instance. One that is started meanwhile gets them at its start.
    async fn replace_files<'s>(
        &self,
        service: &'s Service,
        way: Way,
        signal: Option<i32>,
        restarting: &mut Vec<(&'s Service, BTreeMap<InstanceId, u64>)>,
    ) -> Done {
        let all = self.settled(service).await?;
        let has_failed = all.iter().any(|one| one.phase == Phase::GivenUp);
        if way == Way::Old && has_failed {
            // Given up because of the new value; the start brings the old one.
            restarting.push(self.begin_restart(service).await?);
            return Ok(());
        }
        for instance in all.into_iter().filter(|one| one.runs) {
            let files = self.desk.vaulting.files_for(self.desk, service, &instance.id).await;
            let mut files = files.map_err(|problem| self.not_delivered(&instance.id, &problem))?;
            let mut remove = Vec::new();
            for file in self.files_of(service) {
                let previous = format!("{file}.previous");
                if way == Way::Old {
                    files.remove(&previous);
                }
                if !files.contains_key(&previous) {
                    remove.push(previous);
                }
            }
            let mine: Vec<String> = self.files_of(service).cloned().collect();
            files.retain(|name, _| {
                mine.iter().any(|file| name == file || name.strip_suffix(".previous") == Some(file))
            });
            let delivery = Delivery { id: instance.id.clone(), run: instance.run, files, remove, signal };
            match self.hand_over(delivery).await? {
                Ok(()) => {}
                Err(DeliverError::OtherParent) => {
                    restarting.push(self.begin_restart(service).await?);
                    return Ok(());
                }
                Err(DeliverError::Failed(why)) => {
                    let again = instances(self.desk, &service.name).await?;
                    let same =
                        again.iter().any(|one| one.id == instance.id && one.run == instance.run && one.runs);
                    if same {
                        return Err(passing(format!("{} does not get its files: {why}", instance.id)));
                    }
                }
            }
        }
        Ok(())
    }

    fn not_delivered(&self, id: &InstanceId, problem: &Problem) -> Stop {
        passing(format!("{id} does not get credential `{}`: {}", self.row.name, problem.detail))
    }

    async fn hand_over(&self, delivery: Delivery) -> Result<Result<(), DeliverError>, Stop> {
        let asked = errand(self.desk, |reply| Errand::Deliver(Box::new(delivery), reply));
        match timeout(DELIVER_WITHIN, asked).await {
            Ok(answered) => answered,
            Err(_) => {
                let why = format!("the supervisor did not answer within {} s", DELIVER_WITHIN.as_secs());
                Ok(Err(DeliverError::Failed(why)))
            }
        }
    }

    /// The instances, none of them between having its files and being a process: those files may be of the
    /// step before, and nobody could replace them.
    async fn settled(&self, service: &Service) -> Result<Vec<Instance>, Stop> {
        let until = Instant::now() + DELIVER_WITHIN;
        loop {
            let all = instances(self.desk, &service.name).await?;
            let is_between = |one: &Instance| one.phase == Phase::Starting && !one.runs;
            if !all.iter().any(is_between) || Instant::now() >= until {
                return Ok(all);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Begins a restart by the service's rollout; gives the runs before it.
    async fn begin_restart<'s>(
        &self,
        service: &'s Service,
    ) -> Result<(&'s Service, BTreeMap<InstanceId, u64>), Stop> {
        let all = self.settled(service).await?;
        // Who was given up because of a bad value starts with the good one.
        let has_failed = all.iter().any(|one| matches!(one.phase, Phase::GivenUp | Phase::BackingOff));
        let before: BTreeMap<InstanceId, u64> =
            all.into_iter().filter(|one| one.runs).map(|one| (one.id, one.run)).collect();
        if has_failed || !before.is_empty() {
            let why = format!("credential {} has another value", self.row.name);
            let name = service.name.clone();
            let begun = errand(self.desk, |reply| Errand::Restart { service: name, why, reply }).await?;
            begun.map_err(|why| passing(format!("{} cannot be restarted: {why}", service.name)))?;
        }
        Ok((service, before))
    }

    /// Waits until no process of before is left that has the other value.
    async fn await_restart(&self, service: &Service, before: &BTreeMap<InstanceId, u64>) -> Done {
        let each = service.stop.within + patience(service);
        let count = u32::try_from(before.len().max(1)).unwrap_or(u32::MAX);
        let until = Instant::now() + each.saturating_mul(count).min(RESTART_WITHIN_MAX);
        loop {
            let now = instances(self.desk, &service.name).await?;
            let old = now.iter().find(|one| one.runs && before.get(&one.id) == Some(&one.run));
            let given_up = |one: &&Instance| one.phase == Phase::GivenUp && before.contains_key(&one.id);
            if let Some(failed) = now.iter().find(given_up) {
                return Err(lasting(format!("{} was given up: {}", failed.id, failed.why)));
            }
            let Some(old) = old else { return Ok(()) };
            if Instant::now() >= until {
                return Err(lasting(format!(
                    "{} still runs as it was started before, {} s after its restart was asked for: {}",
                    old.id,
                    each.saturating_mul(count).min(RESTART_WITHIN_MAX).as_secs(),
                    old.why
                )));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Every consumer is well with the new value, and a login with it works.
    async fn prove(&self) -> Done {
        for name in &self.rotation.consumers {
            // What has no new value has nothing to prove.
            let has_it = |service: &&Service| service.runs_as != RunsAs::Systemd;
            if let Some(service) = self.house.services.get(name.as_str()).filter(has_it) {
                self.prove_service(service).await?;
            }
        }
        if !self.rotation.has_server {
            return Ok(());
        }
        let (server, login, _, new) = self.server().await?;
        told(haus_rotator::prove(&server, &account(&login), &new).await)
    }

    async fn prove_service(&self, service: &Service) -> Done {
        let within = patience(service);
        let until = Instant::now() + within;
        let mut steady: Option<(Vec<(InstanceId, u64)>, Instant)> = None;
        loop {
            let all = instances(self.desk, &service.name).await?;
            let ill = all.iter().find(|one| !is_well(one.phase)).map(|one| (one.id.clone(), one.why.clone()));
            if let Some(failed) = all.iter().find(|one| one.phase == Phase::GivenUp) {
                return Err(lasting(format!(
                    "{} was given up with the new value: {}",
                    failed.id, failed.why
                )));
            }
            let ill = match ill {
                Some(ill) => Some(ill),
                // What the last probe saw may be older than the new value.
                None => self.probe_all(&all).await?,
            };
            let Some((id, why)) = ill else {
                let runs: Vec<_> = all.iter().map(|one| (one.id.clone(), one.run)).collect();
                let since = match &steady {
                    Some((before, since)) if *before == runs => *since,
                    Some(_) | None => Instant::now(),
                };
                if is_probed(service) || all.is_empty() || since.elapsed() >= STEADY_FOR {
                    return Ok(());
                }
                steady = Some((runs, since));
                sleep(LOOK_EVERY).await;
                continue;
            };
            steady = None;
            if Instant::now() >= until {
                let seconds = within.as_secs();
                return Err(lasting(format!(
                    "{id} is not well {seconds} s after it got the new value: {why}"
                )));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The first instance whose probe is bad.
    async fn probe_all(&self, all: &[Instance]) -> Result<Option<(InstanceId, String)>, Stop> {
        for instance in all.iter().filter(|one| one.runs) {
            let id = instance.id.clone();
            let seen = errand(self.desk, |reply| Errand::Probe { id, reply }).await?;
            if let Some(seen) = seen.filter(|seen| !seen.ok) {
                return Ok(Some((instance.id.clone(), seen.evidence)));
            }
        }
        Ok(None)
    }

    /// No file has the old value any more. Nobody is told: the value in use stays.
    async fn remove_previous(&self) -> Done {
        for service in consumers(&self.house, &self.row) {
            let remove: Vec<String> = self.files_of(service).map(|file| format!("{file}.previous")).collect();
            for instance in self.settled(service).await?.into_iter().filter(|one| one.runs) {
                let delivery = Delivery {
                    id: instance.id.clone(),
                    run: instance.run,
                    files: BTreeMap::new(),
                    remove: remove.clone(),
                    signal: None,
                };
                match self.hand_over(delivery).await? {
                    // Files that such a parent cannot remove end with the instance; the server has
                    // forgotten the value.
                    Ok(()) | Err(DeliverError::OtherParent) => {}
                    Err(DeliverError::Failed(why)) => {
                        let again = instances(self.desk, &service.name).await?;
                        if again
                            .iter()
                            .any(|one| one.id == instance.id && one.run == instance.run && one.runs)
                        {
                            return Err(passing(format!(
                                "{} keeps a file with the old value: {why}",
                                instance.id
                            )));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// In which phases an instance has nothing against a new value.
pub(super) fn is_well(phase: Phase) -> bool {
    match phase {
        Phase::Healthy | Phase::Unwatched | Phase::Completed | Phase::Stopped => true,
        Phase::Waiting
        | Phase::Preparing
        | Phase::Starting
        | Phase::Degraded
        | Phase::Offline
        | Phase::BackingOff
        | Phase::GivenUp
        | Phase::Stopping => false,
    }
}

/// In which phases a server is about to take logins, so that waiting helps. One that was stopped or given up
/// is told of at once instead: nobody is starting it.
fn is_coming(phase: Phase) -> bool {
    match phase {
        Phase::Waiting | Phase::Preparing | Phase::Starting | Phase::BackingOff | Phase::Stopping => true,
        Phase::Healthy
        | Phase::Unwatched
        | Phase::Degraded
        | Phase::Offline
        | Phase::Completed
        | Phase::Stopped
        | Phase::GivenUp => false,
    }
}

/// Why nobody logs in at a server of ours now. While its process is not there, somebody else may sit on its
/// port and collect the values that are shown.
fn no_login(first: &Instance, must_run: bool) -> Option<String> {
    let is_up = first.runs && !is_coming(first.phase);
    (must_run && !is_up).then(|| {
        let Instance { id, phase, why, .. } = first;
        format!("nobody logs in at {id} while it is {}: {why}", phase.as_str())
    })
}

/// Whether somebody asks a service how it does.
fn is_probed(service: &Service) -> bool {
    service.health.as_ref().is_some_and(|check| match check.probe {
        ProbeKind::Http { .. } | ProbeKind::Tcp { .. } | ProbeKind::Command { .. } => true,
        ProbeKind::Process => false,
    })
}

/// How long a service may take to be well again.
fn patience(service: &Service) -> Duration {
    match &service.health {
        Some(check) if is_probed(service) => {
            let needed = check.start + check.timeout + check.every * 2;
            needed.clamp(PROVE_WITHIN_MIN, PROVE_WITHIN_MAX)
        }
        Some(_) | None => PROVE_UNPROBED_WITHIN,
    }
}
