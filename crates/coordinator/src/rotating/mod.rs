//! Rotations, from the first step to the last, also over a restart. Which step comes when is decided by
//! `haus_vault::rotation`; here are its driver and the acts.
//!
//! Threat: a value that one side knows and the other does not. So a new value is sealed on disk before
//! anybody hears of it, every step is on disk before the next one begins, and what was begun is finished or
//! taken back, whatever ends in between. Nobody brings in a value without its entry in the trail.

mod act;
mod drive;
mod due;
mod kept;

use crate::api::{Caller, Who};
use crate::desk::Desk;
use crate::vaulting::{fresh_id, keep_sealed, subject};
use act::{Stop, instances, is_well};
use haus_api::credential::RotationView;
use haus_api::{Problem, ProblemCode};
use haus_model::credential::{Credential, CredentialSource, Rotator};
use haus_model::house::House;
use haus_model::service::Service;
use haus_model::{CredentialName, Secret, Timestamp};
use haus_store::{Batch, CredentialQuery, CredentialRow, RotationRow, VersionRow, Write};
use haus_trail::{Action, Outcome};
use haus_vault::SystemEntropy;
use haus_vault::rotation::{Order, Rotation, Step};
use haus_watch::alert::{ROTATION_FAILED, ROTATION_STUCK};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Characters of a generated value where the plan says nothing.
const LENGTH_DEFAULT: u32 = 48;

/// How long the old value of a credential that was made over the API stays valid (plan's default).
const OVERLAP_DEFAULT: Duration = Duration::from_secs(600);

/// Bytes of a value at most, as in the API's own documents.
const VALUE_BYTES_MAX: usize = 65_536;

/// How often the ledger is asked for what is due.
const TICK: Duration = Duration::from_secs(30);

/// So long an emergency waits for the end of the overlap before.
const ENDS_WITHIN: Duration = Duration::from_secs(8);

/// How often it looks meanwhile.
const ENDS_LOOK: Duration = Duration::from_millis(50);

/// A rotation that could not go on is left alone for so long.
const LEFT_FOR: Duration = Duration::from_secs(30);

/// What is asked of a rotation under way.
pub(super) enum Wish {
    /// The old value is to end now.
    EndOverlap,
}

/// The driver of rotations.
#[derive(Default)]
pub(crate) struct Rotating {
    /// Rotations that have a task, by id.
    driven: Mutex<BTreeMap<String, mpsc::Sender<Wish>>>,
    /// Somebody began one.
    begun: Notify,
}

/// What the ledger has of one credential.
struct Known {
    row: CredentialRow,
    versions: Vec<VersionRow>,
    open: Option<Rotation>,
}

/// A rotation that is to begin.
struct Start {
    known: Known,
    value: Secret,
    overlap: Duration,
    has_server: bool,
    consumers: Vec<String>,
}

impl Rotating {
    /// Begins a rotation and returns when its first step is on disk. Without a value one is made, or read
    /// from the file that the plan names. A rotation that is stuck is resumed instead, unless there is a
    /// value or an emergency: then it is given up for the new one. In an emergency there is no overlap, and
    /// services that are not well do not hold it up.
    ///
    /// # Errors
    /// There is no such credential, a rotation is under way, the value cannot be used, a consumer is not
    /// well, or the trail cannot be written.
    pub(crate) async fn begin(
        &self,
        desk: &Arc<Desk>,
        caller: &Caller,
        credential_id: &str,
        value: Option<Secret>,
        emergency: bool,
    ) -> Result<RotationView, Problem> {
        let mut known = read(desk, credential_id).await?;
        let mut first = Vec::new();
        if let Some(open) = &known.open
            && emergency
            && matches!(open.step, Step::Overlap { .. })
        {
            self.end_overlap(desk, open).await?;
            known = read(desk, credential_id).await?;
        }
        if let Some(open) = known.open.clone() {
            if open.step != Step::Stuck {
                return Err(under_way(&known.row, &open, emergency));
            }
            if value.is_none() && !emergency {
                return self.resume(desk, caller, &known.row, open).await;
            }
            first = kept::abandon(&open, desk.clock.wall());
        }
        let house = desk.house();
        let planned = planned(&house, &known.row).cloned();
        let value = choose_value(desk, caller, &known, planned.as_ref(), value).await?;
        let overlap = match &planned {
            _ if emergency => Duration::ZERO,
            Some(Credential { rotator: Some(Rotator::Postgres { .. }), .. }) => Duration::ZERO,
            Some(credential) => credential.overlap,
            None => OVERLAP_DEFAULT,
        };
        let has_server = planned.as_ref().is_some_and(|credential| credential.rotator.is_some());
        let consumers = ready(desk, &house, &known.row, planned.as_ref(), emergency).await?;
        let start = Start { known, value, overlap, has_server, consumers };
        let rotation = self.commit(desk, caller, start, first).await?;
        self.begun.notify_one();
        Ok(view(&rotation, None))
    }

    /// Seals the value and keeps it with the rotation and its entry.
    async fn commit(
        &self,
        desk: &Desk,
        caller: &Caller,
        start: Start,
        first: Vec<Write>,
    ) -> Result<Rotation, Problem> {
        let Start { known: Known { row, versions, .. }, value, overlap, has_server, consumers } = start;
        let now = desk.clock.wall();
        let next = versions.iter().map(|version| version.version).max().unwrap_or(row.version) + 1;
        let order = Order {
            id: fresh_id()?,
            credential: row.id.clone(),
            from_version: row.version,
            to_version: next,
            overlap,
            has_server,
            consumers,
        };
        let rotation = Rotation::new(order, now)
            .map_err(|error| Problem::new(ProblemCode::Internal, crate::chain(&error)))?;
        let entry = desk.registrar.entry(caller, Action::CredentialRotate, subject(&row), Outcome::Allowed);
        let entry = entry
            .detail("id", row.id.clone())
            .detail("rotation", rotation.id.clone())
            .detail("step", rotation.step.as_str())
            .detail("from_version", rotation.from_version.to_string())
            .detail("to_version", next.to_string());
        keep_sealed(desk, || {
            let sealed = desk.vaulting.seal_version(&row, next, &value, now)?;
            let mut writes = first.clone();
            writes.push(Write::VersionAdd(Box::new(sealed)));
            writes.push(Write::RotationPut(Box::new(kept::row(&rotation, now))));
            Ok(Batch::of(writes, entry.clone()))
        })
        .await?;
        Ok(rotation)
    }

    /// Has the old value of an overlap retired now, by the one who drives it: its server and the files of its
    /// services have to forget it first. Returns when that is done, or takes too long.
    async fn end_overlap(&self, desk: &Desk, open: &Rotation) -> Result<(), Problem> {
        let begun = Instant::now();
        loop {
            self.hurry(&open.id);
            sleep(ENDS_LOOK).await;
            let (id, credential) = (open.id.clone(), open.credential.clone());
            let read = desk.registrar.read(move |ledger| ledger.rotations(Some(&credential)));
            if !read.await?.iter().any(|row| row.id == id && row.ended_at.is_none()) {
                return Ok(());
            }
            if begun.elapsed() > ENDS_WITHIN {
                return Ok(());
            }
        }
    }

    /// Tells the driver of a rotation that its overlap is to end now; also when its credential is gone, so
    /// that it finds out.
    pub(crate) fn hurry(&self, rotation: &str) {
        match self.driven().get(rotation) {
            // One whose wishes wait knows already; one that ended meanwhile has ended its overlap as well.
            Some(driver) => drop(driver.try_send(Wish::EndOverlap)),
            None => self.begun.notify_one(),
        }
    }

    /// A credential is gone, with its rotation if it had an open one.
    pub(crate) fn forget(&self, desk: &Desk, row: &CredentialRow, rotation: Option<&str>) {
        if let Some(rotation) = rotation {
            self.hurry(rotation);
        }
        let (now, subject) = (desk.clock.wall(), format!("credential:{}", alert_name(row)));
        for kind in [ROTATION_FAILED, ROTATION_STUCK] {
            desk.alarms.clear(now, &subject, kind, "the credential was deleted");
        }
    }

    /// Lets a stuck one go on, with all its tries.
    async fn resume(
        &self,
        desk: &Desk,
        caller: &Caller,
        row: &CredentialRow,
        mut rotation: Rotation,
    ) -> Result<RotationView, Problem> {
        let now = desk.clock.wall();
        let stuck = |error| Problem::new(ProblemCode::Conflict, crate::chain(&error));
        rotation.resume(now).map_err(stuck)?;
        let entry = desk.registrar.entry(caller, Action::CredentialRotate, subject(row), Outcome::Allowed);
        let entry = entry
            .because("a stuck rotation is resumed")
            .detail("id", row.id.clone())
            .detail("rotation", rotation.id.clone())
            .detail("step", rotation.step.as_str());
        let writes = vec![Write::RotationPut(Box::new(kept::row(&rotation, now)))];
        desk.registrar.commit(Batch::of(writes, entry)).await?;
        self.begun.notify_one();
        Ok(view(&rotation, None))
    }

    /// Resumes what an earlier core left, drives what is begun, begins what is due; works until it is
    /// dropped.
    pub(crate) async fn run(desk: Arc<Desk>) {
        let mut drivers = JoinSet::new();
        let mut is_first = true;
        // After a mistake of ours this begins anew in the same core: the tasks of before ended with it.
        desk.rotating.driven().clear();
        let mut schedule = due::Schedule::default();
        let mut is_told = false;
        loop {
            // The patrol tells of a database that cannot be used.
            if let Ok(rows) = open(&desk).await {
                for row in rows {
                    desk.rotating.take_on(&desk, row, is_first, &mut drivers).await;
                }
                is_first = false;
                is_told = is_told || tell_again(&desk).await.is_ok();
                schedule.look(&desk).await;
            }
            tokio::select! {
                () = desk.rotating.begun.notified() => {}
                Some(ended) = drivers.join_next() => {
                    if let Ok(id) = ended {
                        desk.rotating.driven().remove(&id);
                    }
                }
                () = sleep(TICK) => {}
            }
        }
    }

    /// Gives an open rotation its task. One that is stuck has none: it waits for a person.
    async fn take_on(
        &self,
        desk: &Arc<Desk>,
        row: RotationRow,
        is_first: bool,
        drivers: &mut JoinSet<String>,
    ) {
        if self.driven().contains_key(&row.id) {
            return;
        }
        let mut rotation = match serde_json::from_str::<Rotation>(&row.state) {
            Ok(rotation) => rotation,
            Err(error) => {
                if is_first {
                    desk.note(&format!(
                        "rotation {} of before is not understood and stands still: {error}",
                        row.id
                    ));
                }
                return;
            }
        };
        if is_first {
            let before = rotation.clone();
            rotation.interrupted(desk.clock.wall());
            if rotation != before && !drive::keep(desk, &before, &rotation).await {
                return;
            }
        }
        if rotation.step == Step::Stuck {
            if is_first && let Ok(known) = read(desk, &rotation.credential).await {
                drive::alert(desk, &known.row, &rotation, desk.clock.wall());
            }
            return;
        }
        let (wishes, received) = mpsc::channel(4);
        self.driven().insert(rotation.id.clone(), wishes);
        let (desk, id) = (Arc::clone(desk), rotation.id.clone());
        drivers.spawn(async move {
            // A task of its own, so that a panic is told apart from an end and its place is freed. In a set
            // of its own, so that it ends with this one: two of them must never drive the same rotation.
            let mut task = JoinSet::new();
            task.spawn(drive::drive(Arc::clone(&desk), rotation, received));
            match task.join_next().await {
                Some(Ok(true)) => {}
                // Taken up again, but not at once: what stopped it is still there.
                Some(Ok(false)) | None => sleep(LEFT_FOR).await,
                Some(Err(_)) => {
                    desk.note(&format!("rotation {id} broke off; it goes on where it stands"));
                    sleep(LEFT_FOR).await;
                }
            }
            id
        });
    }

    fn driven(&self) -> MutexGuard<'_, BTreeMap<String, mpsc::Sender<Wish>>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rotation as people see it.
pub(crate) fn view(rotation: &Rotation, ended_at: Option<Timestamp>) -> RotationView {
    RotationView {
        id: rotation.id.clone(),
        step: rotation.step.as_str().to_owned(),
        to_version: rotation.to_version,
        tries: rotation.tries,
        began_at: rotation.began.to_string(),
        ended_at: ended_at.map(|at| at.to_string()),
        why: rotation.why.clone(),
    }
}

/// The name under which alerts speak of a credential: its own in the plan, else one made of its id, since
/// names are unique per owner only.
pub(crate) fn alert_name(row: &CredentialRow) -> CredentialName {
    let own = row.owner.is_none().then(|| row.name.parse().ok()).flatten();
    let by_id = || format!("id-{}", row.id).parse().ok();
    own.or_else(by_id).unwrap_or_else(|| "unknown".parse().expect("a plain word is a name"))
}

/// Why another rotation cannot begin.
fn under_way(row: &CredentialRow, open: &Rotation, emergency: bool) -> Problem {
    let detail = format!(
        "credential `{}` is being rotated: it stands at `{}` since {}",
        row.name, open.step, open.since
    );
    let problem = Problem::new(ProblemCode::Conflict, detail);
    match open.step {
        Step::Overlap { .. } => problem
            .with_hint("wait for its end, or let the old value end now: `haus credential rotate NAME --emergency`")
            .with_retry_after(10),
        Step::Retire if emergency => problem
            .with_hint("the old value is being ended now, before its time; ask again in some seconds for another new one")
            .with_retry_after(3),
        Step::Tell
        | Step::Deliver
        | Step::Prove
        | Step::Retire
        | Step::UndoTell
        | Step::UndoDeliver
        | Step::UndoRetire
        | Step::Done
        | Step::Undone
        | Step::Stuck => problem
            .with_hint("wait for its end: `haus credential show` tells how far it is")
            .with_retry_after(10),
    }
}

/// The step of an open rotation that may end with its credential: nobody is in the middle of anything, both
/// values just stand beside each other.
///
/// # Errors
/// Services are getting the new value, or the old one again.
pub(crate) fn ends_with_its_credential(
    row: &CredentialRow,
    open: &RotationRow,
) -> Result<&'static str, Problem> {
    let step = serde_json::from_str::<Rotation>(&open.state).map(|rotation| rotation.step);
    match step {
        Ok(step @ (Step::Overlap { .. } | Step::Retire | Step::Stuck)) => Ok(step.as_str()),
        // What nobody understands, nobody drives either.
        Err(_) => Ok("unknown"),
        Ok(
            step @ (Step::Tell
            | Step::Deliver
            | Step::Prove
            | Step::UndoTell
            | Step::UndoDeliver
            | Step::UndoRetire
            | Step::Done
            | Step::Undone),
        ) => Err(Problem::new(
            ProblemCode::Busy,
            format!("credential `{}` is being rotated: it stands at `{step}`", row.name),
        )
        .with_hint("ask again in some seconds: once its services have one value, it can be deleted")
        .with_retry_after(5)),
    }
}

/// Raises what stands since the last rotation of a credential was taken back: a core may have ended between
/// keeping that and telling it.
async fn tell_again(desk: &Desk) -> Result<(), Problem> {
    let read = desk.registrar.read(|ledger| {
        let query = CredentialQuery { limit: u64::MAX, ..CredentialQuery::default() };
        let rows = ledger.credentials(&query)?.0.into_iter();
        rows.map(|row| Ok((ledger.rotations(Some(&row.id))?.into_iter().next(), row)))
            .collect::<Result<Vec<_>, _>>()
    });
    let now = desk.clock.wall();
    for (last, row) in read.await? {
        let rotation = last.and_then(|last| serde_json::from_str::<Rotation>(&last.state).ok());
        if let Some(rotation) = rotation.filter(|rotation| rotation.step == Step::Undone) {
            drive::alert(desk, &row, &rotation, now);
        }
    }
    Ok(())
}

async fn open(desk: &Desk) -> Result<Vec<RotationRow>, Problem> {
    desk.registrar.read(|ledger| ledger.rotations(None)).await
}

async fn read(desk: &Desk, id: &str) -> Result<Known, Problem> {
    let wanted = id.to_owned();
    let read = desk.registrar.read(move |ledger| {
        let Some(row) = ledger.credential(&wanted)? else { return Ok(None) };
        let versions = ledger.versions(&wanted)?;
        let open = ledger.rotations(Some(&wanted))?.into_iter().find(|one| one.ended_at.is_none());
        Ok(Some((row, versions, open)))
    });
    let (row, versions, open) = read.await?.ok_or_else(|| {
        Problem::new(ProblemCode::NotFound, format!("there is no credential {id}"))
            .with_hint("GET /api/credentials lists them")
    })?;
    let open = open.map(|one| serde_json::from_str(&one.state)).transpose().map_err(|error| {
        Problem::new(
            ProblemCode::Internal,
            format!("the open rotation of credential `{}` is not understood: {error}", row.name),
        )
    })?;
    Ok(Known { row, versions, open })
}

fn planned<'h>(house: &'h House, row: &CredentialRow) -> Option<&'h Credential> {
    house.credentials.get(row.name.as_str()).filter(|_| row.owner.is_none())
}

/// Services that have a credential in a file.
fn consumers<'h>(house: &'h House, row: &CredentialRow) -> Vec<&'h Service> {
    if row.owner.is_some() {
        return Vec::new();
    }
    let has = |service: &&Service| service.credentials.values().any(|name| name.as_str() == row.name);
    house.services.values().filter(has).collect()
}

/// The new value: the one that was given, that of the file, or a made one.
async fn choose_value(
    desk: &Desk,
    caller: &Caller,
    known: &Known,
    planned: Option<&Credential>,
    value: Option<Secret>,
) -> Result<Secret, Problem> {
    let name = &known.row.name;
    let invalid = |detail: String| Problem::new(ProblemCode::Invalid, detail);
    let is_house = matches!(caller.who, Who::House);
    let value = match (planned.map(|credential| (&credential.source, &credential.rotator)), value) {
        (Some((CredentialSource::File { path }, _)), Some(_)) if !is_house => {
            let detail = format!("the value of credential `{name}` is kept in the file {}", path.display());
            return Err(Problem::new(ProblemCode::Conflict, detail)
                .with_hint("write the new value into that file, then rotate without a value"));
        }
        (_, Some(value)) => value,
        (Some((CredentialSource::File { path }, _)), None) => {
            let path = desk.plan.load().root.join(path);
            let read = tokio::task::spawn_blocking(move || crate::vaulting::value_of_file(&path)).await;
            let read = read.unwrap_or_else(|error| Err(format!("reading its file broke off: {error}")));
            read.map_err(|why| invalid(format!("credential `{name}`: {why}")))?
        }
        (Some((CredentialSource::Given, None)), None) => {
            return Err(invalid(format!("a value for credential `{name}` can only be given by a person"))
                .with_hint(format!("give it: `haus credential rotate {name}` asks for it")));
        }
        (Some((CredentialSource::Generated { length }, _)), None) => generate(*length)?,
        (Some((CredentialSource::Given, Some(_))) | None, None) => generate(LENGTH_DEFAULT)?,
    };
    let bytes = value.expose_bytes().len();
    if !(1..=VALUE_BYTES_MAX).contains(&bytes) {
        return Err(invalid(format!("a value has 1 to {VALUE_BYTES_MAX} bytes, {bytes} were given")));
    }
    let current = known.versions.iter().find(|version| version.version == known.row.version);
    if let Some(current) = current
        && is_same(&desk.vaulting.unseal(&known.row, current)?, &value)
    {
        return Err(Problem::new(
            ProblemCode::Conflict,
            format!("credential `{name}` has this value already"),
        )
        .with_hint("give another value, or none to have one made"));
    }
    Ok(value)
}

fn generate(length: u32) -> Result<Secret, Problem> {
    haus_vault::generate::text(length, &mut SystemEntropy)
        .map_err(|error| Problem::new(ProblemCode::Internal, crate::chain(&error)))
}

/// In a time that does not tell where they differ.
fn is_same(one: &Secret, other: &Secret) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.expose_bytes(), other.expose_bytes()).is_ok()
}

/// The services that must be well with the new value. One that is not well before could not prove anything,
/// and would only have the rotation taken back; in an emergency it is left out instead.
async fn ready(
    desk: &Desk,
    house: &House,
    row: &CredentialRow,
    planned: Option<&Credential>,
    emergency: bool,
) -> Result<Vec<String>, Problem> {
    let ending =
        |_: Stop| Problem::new(ProblemCode::Unavailable, "the house is ending and begins nothing any more");
    let server = planned.and_then(|credential| credential.rotator.as_ref()).map(act::server_of);
    if let Some(server) = server
        && !house.services.contains_key(server)
    {
        return Err(Problem::new(
            ProblemCode::Invalid,
            format!("the server {server} is not a service of this house"),
        )
        .with_hint("name the server in `rotator` of the plan"));
    }
    let mut found = Vec::new();
    for service in consumers(house, row) {
        let all = instances(desk, &service.name).await.map_err(ending)?;
        match all.iter().find(|one| !is_well(one.phase)) {
            None => found.push(service.name.to_string()),
            Some(_) if emergency => {}
            Some(ill) => {
                let detail = format!(
                    "credential `{}` is not rotated while {} is {}: {}",
                    row.name, ill.id, ill.phase, ill.why
                );
                return Err(Problem::new(ProblemCode::Conflict, detail)
                    .with_hint("wait until it is healthy; with `emergency` it is rotated all the same")
                    .with_retry_after(30));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
