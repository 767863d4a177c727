//! Restarts of services that systemd keeps running: on this machine by asking systemd, on others not from
//! here.
//!
//! Threat: whoever may restart a service could otherwise restart any unit of the machine. The unit is the one
//! in the places file, which only root writes; it is never part of a request.

use super::Engine;
use crate::journal::Journal;
use crate::spawn::SEARCH_PATH;
use haus_api::control::{Done, RestartRequest};
use haus_api::{Problem, ProblemCode};
use haus_model::placement::PlacedInstance;
use haus_model::{InstanceId, ServiceName, Timestamp};
use haus_store::{EventKind, NewEvent};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::oneshot;

/// How long systemd may take to take an order; the restart itself goes on without us.
const ORDER_WITHIN: Duration = Duration::from_secs(20);

/// Characters of what systemctl said that are passed on.
const SAID_CHARACTERS_MAX: usize = 300;

impl Engine {
    /// The units that a request means; none when it means something that this coordinator runs itself.
    pub(super) fn units_meant(&self, request: &RestartRequest) -> Result<Vec<String>, Box<Problem>> {
        let instance = request.target.parse::<InstanceId>().ok();
        let service =
            instance.as_ref().map_or_else(|| request.target.parse().ok(), |id| Some(id.service.clone()));
        let Some(service) = service.filter(|service: &ServiceName| self.is_placed(service)) else {
            return Ok(Vec::new());
        };
        let whereabouts = self.addresses.whereabouts();
        let placed = whereabouts.placed.get(&service).map(Vec::as_slice).unwrap_or_default();
        let is_meant = |one: &&PlacedInstance| instance.as_ref().is_none_or(|id| id.ordinal == one.instance);
        let meant: Vec<&PlacedInstance> = placed.iter().filter(is_meant).collect();
        let refused = |detail: String, hint: String| {
            Err(Box::new(Problem::new(ProblemCode::Conflict, detail).with_hint(hint)))
        };
        if meant.is_empty() {
            let why = instance.as_ref().and_then(|id| whereabouts.absent(id)).unwrap_or_else(|| {
                let first = InstanceId { service: service.clone(), ordinal: 1 };
                whereabouts.absent(&first).unwrap_or_default()
            });
            return refused(format!("{} cannot be restarted: {why}", request.target), why);
        }
        let far = meant.iter().find(|one| one.unit.is_none() || !whereabouts.is_here(one));
        if let Some(far) = far {
            let by = whereabouts.by(far);
            let act = match &far.unit {
                Some(unit) => format!("restart it there: `ssh {} systemctl restart {unit}`", far.host),
                None => format!("restart it there: `haus restart {service}` on {}", far.host),
            };
            return refused(
                format!(
                    "{} is not restarted from here: {by} keeps {} running",
                    request.target,
                    far.id(&service)
                ),
                act,
            );
        }
        let units: Vec<String> = meant.iter().filter_map(|one| one.unit.clone()).collect();
        if !crate::is_root() {
            return refused(
                format!("{} is a unit of systemd, and this house does not run as root", request.target),
                format!("`sudo systemctl restart {}`", units.join(" ")),
            );
        }
        Ok(units)
    }

    /// Orders the restart of units and answers when systemd has taken the order.
    pub(super) fn restart_units(
        &self,
        request: &RestartRequest,
        units: Vec<String>,
        reply: oneshot::Sender<Result<Done, Problem>>,
    ) {
        if let Err(problem) = self.refuse_while_draining() {
            // A caller that has left needs no answer.
            let _ = reply.send(Err(problem));
            return;
        }
        let (journal, at) = (self.journal.clone(), self.clock.wall());
        let RestartRequest { target, why } = request.clone();
        tokio::spawn(async move {
            let outcome = order_restart(&units).await.map_err(|said| {
                Problem::new(ProblemCode::Unavailable, format!("systemd does not restart {target}: {said}"))
                    .with_hint(format!("see `systemctl status {}`", units.join(" ")))
            });
            tell(&journal, at, &target, &why, outcome.as_ref().err());
            let message =
                format!("systemd restarts {target} ({}); `haus status` shows how it goes", units.join(", "));
            // A caller that has left needs no answer.
            let _ = reply.send(outcome.map(|()| Done { message }));
        });
    }
}

fn tell(journal: &Journal, at: Timestamp, target: &str, why: &str, problem: Option<&Problem>) {
    let told = problem
        .map_or_else(|| format!("systemd was asked to restart it: {why}"), |problem| problem.detail.clone());
    journal.record(NewEvent::new(at, EventKind::ServiceChange, target.to_owned(), told));
}

/// Asks systemd; what it said when it refuses.
async fn order_restart(units: &[String]) -> Result<(), String> {
    let mut command = Command::new("systemctl");
    command.args(["--no-block", "--no-ask-password", "restart", "--"]).args(units);
    command.env_clear().env("PATH", SEARCH_PATH).current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(ORDER_WITHIN, command.output()).await {
        Err(_) => Err(format!("no answer within {} s", ORDER_WITHIN.as_secs())),
        Ok(Err(error)) => Err(format!("systemctl cannot be started: {error}")),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            Err(said.join("; ").chars().take(SAID_CHARACTERS_MAX).collect())
        }
    }
}
