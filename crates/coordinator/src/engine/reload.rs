//! Reading the plan again: the plan is checked at once, the vault follows it beside the engine, then the
//! house does.
//!
//! Nothing of a plan is in force before its credentials have their values: a service that it adds would not
//! start.

use super::ask::internal;
use super::{Engine, Input};
use crate::accepted::Accepted;
use crate::ports::Held;
use crate::progress::Progress;
use crate::{plan, ports};
use haus_api::control::Reloaded;
use haus_api::{Problem, ProblemCode};
use haus_houseplan::{DiskFiles, Loaded};
use haus_model::Severity;
use haus_model::house::House;
use haus_store::{EventKind, NewEvent};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Findings quoted in a refusal; the rest is a `haus check` away.
const FINDINGS_QUOTED: usize = 3;

/// A plan that was read and is to be taken over.
pub(super) struct Reloading {
    accepted: Accepted,
    reloaded: Reloaded,
    notes: Vec<String>,
    reply: Option<oneshot::Sender<Result<Reloaded, Problem>>>,
}

impl Engine {
    /// Reads the plan and begins to take it over. Who asked is answered when it is done; a signal asks
    /// without reply.
    pub(super) fn reload(&mut self, reply: Option<oneshot::Sender<Result<Reloaded, Problem>>>) {
        match self.read_plan() {
            Ok(reloading) => {
                let (desk, inputs) = (Arc::clone(&self.desk), self.inputs.clone());
                let (house, root) = (reloading.accepted.house.clone(), reloading.accepted.root.clone());
                self.reloading = Some(Box::new(Reloading { reply, ..reloading }));
                tokio::spawn(async move {
                    let outcome = desk.vaulting.sync_plan(&desk, &house, &root).await;
                    // Nobody listens when the engine has ended first.
                    let _ = inputs.send(Input::Synced(outcome));
                });
            }
            Err(problem) => self.reload_ended(reply, Err(problem)),
        }
    }

    /// The vault has followed, or could not.
    pub(super) fn reload_synced(&mut self, outcome: Result<Vec<String>, Problem>) {
        let Some(reloading) = self.reloading.take() else { return };
        let Reloading { accepted, reloaded, notes, reply } = *reloading;
        let outcome = outcome.map_err(|problem| Problem {
            detail: format!("its credentials cannot be brought in step: {}", problem.detail),
            ..problem
        });
        let taken =
            outcome.and_then(|_| self.refuse_while_draining()).and_then(|()| self.take_over(accepted));
        let taken = taken.map(|()| {
            for note in notes {
                self.note(EventKind::House, "house", &note);
            }
            let why = if reloaded.is_empty() {
                "the plan was read: no difference"
            } else {
                "the plan was taken over"
            };
            self.event(NewEvent::new(self.clock.wall(), EventKind::Reload, "house", why));
            self.observer.tell(Progress::Reloaded(Box::new(reloaded.clone())));
            reloaded
        });
        self.reload_ended(reply, taken);
    }

    fn reload_ended(
        &mut self,
        reply: Option<oneshot::Sender<Result<Reloaded, Problem>>>,
        outcome: Result<Reloaded, Problem>,
    ) {
        if let Err(problem) = &outcome {
            let told = format!("the plan was not taken over: {}", problem.detail);
            self.note(EventKind::Reload, "house", &told);
        }
        if let Some(reply) = reply {
            // A caller that has left needs no answer.
            let _ = reply.send(outcome);
        }
    }

    fn read_plan(&self) -> Result<Reloading, Problem> {
        self.refuse_while_draining()?;
        if self.reloading.is_some() {
            return Err(Problem::new(ProblemCode::Busy, "the plan is being read already")
                .with_hint("try again in a moment"));
        }
        let loaded = haus_houseplan::load(&self.path, &DiskFiles);
        let mut house = self.acceptable(&loaded)?;
        let root =
            std::path::absolute(&loaded.root).map_err(|error| internal("find the plan's folder", &error))?;
        let looked = self.standpoint.look(&mut house).map_err(|error| {
            Problem::new(ProblemCode::PlanRefused, crate::chain(&error)).with_hint(error.remedy())
        })?;
        let needs_up = plan::keep_listeners(&self.house, &mut house);
        let held = Held { running: &BTreeSet::new(), elsewhere: &looked.whereabouts.ports_here() };
        let chosen = ports::choose(&house, &*self.store, &self.numbers, held)
            .map_err(|error| internal("choose ports", &error))?;
        let accepted = Accepted::new(root, house, looked.whereabouts, &chosen.auto);
        let addresses = accepted.addresses();
        let mut reloaded = plan::difference((&self.house, &self.addresses), (&accepted.house, &addresses));
        reloaded.needs_up = needs_up;
        reloaded.findings = loaded.findings;
        let notes = looked.notes.into_iter().chain(chosen.notes).collect();
        Ok(Reloading { accepted, reloaded, notes, reply: None })
    }

    /// The new house when the plan has no errors and is still this house and stage.
    fn acceptable(&self, loaded: &Loaded) -> Result<House, Problem> {
        let refused = |detail: String| {
            Problem::new(ProblemCode::PlanRefused, detail)
                .with_hint(format!("nothing was changed; see `haus check {}`", self.path.display()))
        };
        let Some(plan) = &loaded.plan else {
            let errors: Vec<String> = loaded
                .findings
                .iter()
                .filter(|finding| finding.severity == Severity::Error)
                .take(FINDINGS_QUOTED)
                .map(|finding| match &finding.place {
                    Some(place) => format!(
                        "{}:{}:{}: {}",
                        place.file.display(),
                        place.line,
                        place.column,
                        finding.message
                    ),
                    None => finding.message.clone(),
                })
                .collect();
            let count = loaded.count(Severity::Error);
            let count = if count == 1 { "1 error".to_owned() } else { format!("{count} errors") };
            return Err(refused(format!("the plan has {count}: {}", errors.join("; "))));
        };
        let stage = plan.stages.get(&self.house.stage);
        let house = stage.ok_or_else(|| {
            let names: Vec<&str> = plan.stages.keys().map(haus_model::StageName::as_str).collect();
            refused(format!("the plan has no stage `{}` any more", self.house.stage)).with_hint(format!(
                "nothing was changed; its stages are {}: `haus down`, then `haus up --stage {}`",
                names.join(", "),
                names.first().unwrap_or(&"NAME")
            ))
        })?;
        if house.name != self.house.name {
            return Err(refused(format!(
                "the plan describes house {}, but {} runs here",
                house.name, self.house.name
            )));
        }
        Ok(house.clone())
    }
}
