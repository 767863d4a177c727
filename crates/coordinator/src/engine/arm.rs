//! Arming a start: the credential files of a process are fetched beside the engine, so that a slow disk below
//! the ledger delays that start and nothing else.
//!
//! Threat: a start that was called off meanwhile must not happen, and its values must not stay in memory:
//! what nobody waits for any more is dropped, and dropping a value clears it.

use super::lacking::Missing;
use super::{Engine, Input};
use crate::desk::Desk;
use haus_model::service::{RunsAs, Service};
use haus_model::{InstanceId, Secret};
use haus_store::{EventKind, NewEvent};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The file with the one-time token by which a supervised instance comes in over the API. Plans cannot give a
/// credential this name.
pub(crate) const ENROLMENT_FILE: &str = "HAUS_ENROLMENT";

/// What a start was waiting for.
pub(crate) struct Armed {
    /// Which start.
    pub what: Arming,
    /// The files by name, or what is missing for them.
    pub files: Result<BTreeMap<String, Secret>, Missing>,
}

/// A start that waits for its files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arming {
    /// Of an instance.
    Instance {
        /// The instance.
        id: InstanceId,
        /// Its run.
        run: u64,
    },
    /// Of a step of `prepare`.
    Step {
        /// Its run.
        run: u64,
    },
}

impl Engine {
    /// Fetches the files of a start; they come back as [`Input::Armed`].
    pub(super) fn arm(&mut self, what: Arming, service: &Service, id: &InstanceId) {
        self.arming.insert(what.clone());
        let (desk, inputs) = (Arc::clone(&self.desk), self.inputs.clone());
        let (service, id) = (service.clone(), id.clone());
        let enrols = matches!(what, Arming::Instance { .. }) && is_enrolled(&self.house.services, &service);
        tokio::spawn(async move {
            let files = files(&desk, &service, &id, enrols).await;
            // Nobody listens when the engine has ended first.
            let _ = inputs.send(Input::Armed(Armed { what, files }));
        });
    }

    /// The files of a start are there, or cannot be had.
    pub(super) fn armed(&mut self, armed: Armed) {
        let Armed { what, files } = armed;
        if !self.arming.remove(&what) {
            return;
        }
        match what {
            Arming::Instance { id, run } => match files.map(|files| self.spawn(&id, run, &files)) {
                Ok(Ok(())) => {}
                Ok(Err(why)) => self.not_spawned(&id, run, why),
                Err(missing) => self.lacks(&id, run, missing),
            },
            Arming::Step { run } => self.step_armed(run, files),
        }
    }

    /// Calls a start off that still waits for its files; false when there is none.
    pub(super) fn disarm(&mut self, id: &InstanceId, run: u64) -> bool {
        self.arming.remove(&Arming::Instance { id: id.clone(), run })
    }

    /// Tells everybody that an instance was not started.
    pub(super) fn not_spawned(&mut self, id: &InstanceId, run: u64, why: String) {
        self.event(NewEvent::new(self.clock.wall(), EventKind::Spawn, id.to_string(), why.clone()));
        let now = self.clock.now();
        self.conductor.handle_spawn_failed(now, id, run, why);
    }
}

/// Whether a service gets a one-time token with its files: where the house has an API of its own to use it
/// at.
pub(crate) fn is_enrolled(services: &BTreeMap<haus_model::ServiceName, Service>, service: &Service) -> bool {
    let is_coordinator = |service: &Service| service.runs_as == RunsAs::Coordinator;
    service.runs_as == RunsAs::Process && services.values().any(is_coordinator)
}

async fn files(
    desk: &Desk,
    service: &Service,
    id: &InstanceId,
    enrols: bool,
) -> Result<BTreeMap<String, Secret>, Missing> {
    let seen = Missing::generation(desk);
    let mut files = match desk.vaulting.files_for(desk, service, id).await {
        Ok(files) => files,
        Err(problem) => return Err(Missing::of(desk, service, problem, seen).await),
    };
    if enrols {
        match desk.guard.enrolment_for(desk, id).await {
            Ok(token) => drop(files.insert(ENROLMENT_FILE.to_owned(), token)),
            // It can work without registering; without its passwords it could not.
            Err(problem) => {
                let why = format!("starts without a token for the API: {}", problem.detail);
                desk.journal.record(NewEvent::new(desk.clock.wall(), EventKind::Spawn, id.to_string(), why));
            }
        }
    }
    Ok(files)
}
