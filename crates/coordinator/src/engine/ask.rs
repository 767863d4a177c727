//! What the API asks: restart, down, status.

use super::{Ask, Engine};
use haus_api::control::{Done, RestartRequest};
use haus_api::{Problem, ProblemCode};
use haus_model::{InstanceId, ServiceName};
use haus_store::{EventKind, NewEvent};
use haus_watch::conductor::Target;

impl Engine {
    pub(super) fn handle_ask(&mut self, ask: Ask) {
        // A caller that has left needs no answer.
        match ask {
            Ask::Status(reply) => {
                let _ = reply.send(self.shown());
            }
            Ask::Alive(reply) => {
                let _ = reply.send(self.draining);
            }
            Ask::Config(id, reply) => {
                let _ = reply.send(self.config(&id));
            }
            Ask::Restart(request, reply) => match self.units_meant(&request) {
                Ok(units) if units.is_empty() => {
                    let _ = reply.send(self.restart(&request));
                }
                Ok(units) => self.restart_units(&request, units, reply),
                Err(problem) => {
                    let _ = reply.send(Err(*problem));
                }
            },
            Ask::Reload(reply) => self.reload(Some(reply)),
            Ask::Errand(errand) => self.run_errand(errand),
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

    pub(super) fn refuse_while_draining(&self) -> Result<(), Problem> {
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
