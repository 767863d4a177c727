//! Carrying a request to an instance, and to another one when that is safe and sensible.
//!
//! A request may be repeated while the head of its answer has not begun, and only if nothing was sent,
//! or if its method is idempotent and its body is still at hand (RFC 9110, section 9.2.2).

use crate::attempt::{Attempt, Missed, Outgoing};
use crate::body::AnswerBody;
use crate::gateway::Shared;
use crate::instance::{Call, Choice, Instance, Service};
use crate::outgoing::{is_idempotent, prepare_head, prepare_upload};
use crate::problem::Fault;
use crate::request::RequestLife;
use crate::table::{Goal, RouteRule};
use crate::upload::Inbound;
use http::Response;
use http::header::HeaderValue;
use http::request::Parts;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Bounds of the pause before the same instance is asked again; the pause is drawn between them.
const PAUSE_MS: RangeInclusive<u64> = 50..=400;

/// A request that has found its route to a service.
pub(crate) struct Errand<'a> {
    pub(crate) route: Arc<RouteRule>,
    pub(crate) service: Arc<Service>,
    pub(crate) lookup: Lookup<'a>,
    /// As it is passed on.
    pub(crate) wire_path: &'a str,
    pub(crate) host: Option<&'a HeaderValue>,
    pub(crate) parts: Parts,
    pub(crate) inbound: Inbound,
}

/// How the service is found again when another snapshot has come.
#[derive(Clone, Copy)]
pub(crate) enum Lookup<'a> {
    /// By what was asked for; the path is decoded, as routes are matched.
    Route { host_key: &'a str, path: &'a str },
    /// By its name.
    Service { name: &'a str },
}

/// Everything that decides about a further attempt.
struct Course<'a> {
    shared: Arc<Shared>,
    service: Arc<Service>,
    lookup: Lookup<'a>,
    /// Instances that were asked and did not answer.
    tried: Vec<Arc<Instance>>,
    /// What the last of them did.
    last_fault: Option<Fault>,
    retries_left: u32,
    deadline: Instant,
    hold_until: Option<Instant>,
}

/// Carries the errand out.
pub(crate) async fn forward(
    life: &mut RequestLife,
    errand: Errand<'_>,
) -> Result<Response<AnswerBody>, Fault> {
    let Errand { route, service, lookup, wire_path, host, mut parts, inbound } = errand;
    let may_replay = route.retries > 0 && is_idempotent(&parts.method);
    let deadline = life.started + route.timeout;
    let mut course = Course {
        shared: Arc::clone(life.shared()),
        service,
        lookup,
        tried: Vec::new(),
        last_fault: None,
        retries_left: route.retries,
        deadline,
        hold_until: None,
    };
    let upload = prepare_upload(life, &route, &parts, inbound, may_replay).await?;
    prepare_head(&mut parts, &route, wire_path, host, life)?;
    let mut outgoing = Outgoing { parts, upload };
    loop {
        let call = course.choose().await?;
        life.record().attempts += 1;
        let instance = Arc::clone(call.instance());
        life.record().instance = Some(Arc::clone(&instance.id));
        let limit_bytes = route.max_body_bytes;
        let attempt = Attempt { call, deadline, timeout: route.timeout, limit_bytes, may_replay };
        match attempt.run(life, outgoing).await {
            Ok(answer) => return Ok(answer),
            Err(missed) => outgoing = course.after(life, instance, *missed)?,
        }
    }
}

impl Course<'_> {
    /// Whether a missed attempt is followed by another; returns what is sent then.
    fn after(
        &mut self,
        life: &mut RequestLife,
        instance: Arc<Instance>,
        missed: Missed,
    ) -> Result<Outgoing, Fault> {
        let Missed { fault, outgoing } = missed;
        let Some(outgoing) = outgoing.filter(|_| self.retries_left > 0) else { return Err(fault) };
        if !self.shared.may_retry() {
            life.note("not repeated, since too many requests are being repeated already");
            return Err(fault);
        }
        self.retries_left -= 1;
        life.retried();
        life.note(&fault.record());
        self.tried.push(instance);
        self.last_fault = Some(fault);
        Ok(outgoing)
    }

    /// The instance to ask next; waits for one when the service says so.
    async fn choose(&mut self) -> Result<Call, Fault> {
        loop {
            match self.service.choose(self.shared.clock.now(), &self.tried) {
                Choice::Ask(call) => return Ok(call),
                Choice::Held { retry_after } => {
                    let why = "too many calls to it failed, so it is left alone for a moment".to_owned();
                    return Err(self.give_up(why, retry_after));
                }
                Choice::Empty => {}
            }
            let may_go_on = match self.service.hold {
                Some(hold) => Box::pin(self.wait_for_snapshot(hold)).await,
                None => Box::pin(self.pause_before_the_same()).await,
            };
            if !may_go_on {
                return Err(self.give_up(self.service.why_empty.clone(), Duration::from_secs(1)));
            }
        }
    }

    /// What an instance did says more than that no other is left.
    fn give_up(&mut self, why: String, retry_after: Duration) -> Fault {
        let service = self.service.name.to_string();
        self.last_fault.take().unwrap_or(Fault::NoInstance { service, why, retry_after })
    }

    /// Waits until another snapshot is in force, so that a request outlives the moment in which the old
    /// instance has stopped and the new one is not there yet. False when the wait is over.
    async fn wait_for_snapshot(&mut self, hold: Duration) -> bool {
        let until = *self.hold_until.get_or_insert_with(|| Instant::now() + hold);
        // Subscribed before looking, so that a snapshot set in between is not missed.
        let mut revisions = self.shared.revisions();
        revisions.borrow_and_update();
        self.find_again() || timeout_at(until.min(self.deadline), revisions.changed()).await.is_ok()
    }

    /// Looks the service up in the snapshot in force; false when it is the one already known.
    fn find_again(&mut self) -> bool {
        let table = self.shared.table.load();
        let found = match self.lookup {
            Lookup::Route { host_key, path } => {
                table.find(host_key, path).and_then(|route| match &route.goal {
                    Goal::Service(service) => Some(service),
                    Goal::Files(_) => None,
                })
            }
            Lookup::Service { name } => table.service(name),
        };
        let Some(other) = found.filter(|service| !Arc::ptr_eq(service, &self.service)) else { return false };
        self.service = Arc::clone(other);
        true
    }

    /// No other instance is left: lets a moment pass, drawn at random so that many do not come back
    /// together, and allows the same ones again. False when nothing was asked or no time is left.
    async fn pause_before_the_same(&mut self) -> bool {
        let again_at = Instant::now() + Duration::from_millis(fastrand::u64(PAUSE_MS));
        if self.tried.is_empty() || again_at >= self.deadline {
            return false;
        }
        sleep_until(again_at).await;
        self.tried.clear();
        self.find_again();
        true
    }
}
