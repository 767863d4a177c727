//! What the API asks: restart, reload, down, status.

use super::{Ask, Engine};
use crate::accepted::Accepted;
use crate::progress::Progress;
use crate::{credentials, plan, ports};
use haus_api::control::{Done, Reloaded, RestartRequest};
use haus_api::{Problem, ProblemCode};
use haus_houseplan::{DiskFiles, Loaded};
use haus_model::house::House;
use haus_model::{InstanceId, ServiceName, Severity};
use haus_store::{EventKind, NewEvent};
use haus_watch::conductor::Target;
use std::collections::BTreeSet;

/// Findings quoted in a refusal; the rest is a `haus check` away.
const FINDINGS_QUOTED: usize = 3;

impl Engine {
    pub(super) fn handle_ask(&mut self, ask: Ask) {
        // A caller that has left needs no answer.
        match ask {
            Ask::Status(reply) => {
                let _ = reply.send(self.status());
            }
            Ask::Restart(request, reply) => {
                let _ = reply.send(self.restart(&request));
            }
            Ask::Reload(reply) => {
                let outcome = self.reload();
                if let Err(problem) = &outcome {
                    self.reload_refused(&problem.detail);
                }
                let _ = reply.send(outcome);
            }
            Ask::Down(reply) => {
                let _ = reply.send(self.down());
            }
        }
    }

    fn restart(&mut self, request: &RestartRequest) -> Result<Done, Problem> {
        self.refuse_while_draining()?;
        let unknown = || {
            Problem::new(
                ProblemCode::NotFound,
                format!("there is no service or instance `{}`", request.target),
            )
            .with_hint("`haus status` lists them")
        };
        let target = match request.target.parse::<InstanceId>() {
            Ok(id) => Target::Instance(id),
            Err(_) => Target::Service(request.target.parse::<ServiceName>().map_err(|_| unknown())?),
        };
        let now = self.clock.now();
        self.conductor.restart(now, target, &request.why).map_err(|why| unknown().with_hint(why))?;
        self.event(NewEvent::new(
            self.clock.wall(),
            EventKind::ServiceChange,
            request.target.clone(),
            request.why.clone(),
        ));
        Ok(Done {
            message: format!("{} is being restarted; `haus status` shows how it goes", request.target),
        })
    }

    pub(super) fn reload_asked_by_signal(&mut self) {
        if let Err(problem) = self.reload() {
            self.reload_refused(&problem.detail);
        }
    }

    fn reload_refused(&mut self, detail: &str) {
        self.note(EventKind::Reload, "house", &format!("the plan was not taken over: {detail}"));
    }

    fn reload(&mut self) -> Result<Reloaded, Problem> {
        self.refuse_while_draining()?;
        let loaded = haus_houseplan::load(&self.path, &DiskFiles);
        let mut house = self.acceptable(&loaded)?;
        let root =
            std::path::absolute(&loaded.root).map_err(|error| internal("find the plan's folder", &error))?;
        let needs_up = plan::keep_listeners(&self.house, &mut house);
        let chosen = ports::choose(&house, &*self.store, &self.numbers, &BTreeSet::new())
            .map_err(|error| internal("choose ports", &error))?;
        let made = credentials::generate_missing(&house, &self.places)
            .map_err(|error| internal("generate credentials", &error))?;
        let accepted = Accepted::new(root, house, &chosen.auto);
        let addresses = accepted.addresses();
        let mut reloaded = plan::difference((&self.house, &self.addresses), (&accepted.house, &addresses));
        reloaded.needs_up = needs_up;
        reloaded.findings = loaded.findings;
        self.take_over(accepted)?;
        for note in chosen.notes {
            self.note(EventKind::House, "house", &note);
        }
        for name in made {
            self.event(NewEvent::new(self.clock.wall(), EventKind::Credential, name, "generated"));
        }
        let why =
            if reloaded.is_empty() { "the plan was read: no difference" } else { "the plan was taken over" };
        self.event(NewEvent::new(self.clock.wall(), EventKind::Reload, "house", why));
        self.observer.tell(Progress::Reloaded(Box::new(reloaded.clone())));
        Ok(reloaded)
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

    fn refuse_while_draining(&self) -> Result<(), Problem> {
        if self.draining {
            return Err(Problem::new(ProblemCode::Busy, "the house is going down")
                .with_hint("wait until it is down, then start it again"));
        }
        Ok(())
    }
}

/// A problem of our own with its chain of causes.
pub(super) fn internal(attempt: &str, error: &dyn std::error::Error) -> Problem {
    Problem::new(ProblemCode::Internal, format!("cannot {attempt}: {}", crate::chain(error)))
        .with_hint("nothing was restarted; `haus events` tells more")
}
