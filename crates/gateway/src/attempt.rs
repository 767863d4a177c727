//! One attempt: one instance, one connection, one exchange, told to the breaker.

use crate::body::{AnswerBody, Lease};
use crate::gateway::Shared;
use crate::header::strip_hop_by_hop;
use crate::instance::{Call, Instance, Outcome};
use crate::pool::{ConnectError, Connection, connect};
use crate::problem::Fault;
use crate::request::RequestLife;
use crate::upload::Upload;
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A request that cannot be repeated takes no connection that was idle for longer than this: many
/// servers close after 5 s, and a connection that closes under such a request costs the request.
const FRESH: Duration = Duration::from_secs(3);

/// A request as it is sent.
pub(crate) struct Outgoing {
    pub(crate) parts: Parts,
    pub(crate) upload: Upload,
}

/// An attempt without an answer.
pub(crate) struct Missed {
    pub(crate) fault: Fault,
    /// What may be sent again; absent when that is not safe.
    pub(crate) outgoing: Option<Outgoing>,
}

/// One attempt.
pub(crate) struct Attempt {
    pub(crate) call: Call,
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
    pub(crate) limit_bytes: u64,
    pub(crate) may_replay: bool,
}

/// How an exchange ended.
enum Exchange {
    Answered(Response<Incoming>),
    /// Nothing of it was sent.
    Unsent(Outgoing),
    Broken(hyper::Error),
    Late(Late),
}

/// Who kept us waiting for too long.
enum Late {
    Instance,
    Client,
}

impl Attempt {
    pub(crate) async fn run(
        self,
        life: &mut RequestLife,
        mut outgoing: Outgoing,
    ) -> Result<Response<AnswerBody>, Box<Missed>> {
        let shared = Arc::clone(life.shared());
        let instance = Arc::clone(self.call.instance());
        let idle_max = if self.may_replay { shared.limits.instance_idle } else { FRESH };
        let mut kept = instance.pool.take(shared.coarse_ms(), idle_max);
        loop {
            let is_reused = kept.is_some();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match Box::pin(connect(&instance.address, &shared.limits)).await {
                    Ok(connection) => connection,
                    Err(error) => return Err(self.not_connected(&shared, &error, outgoing)),
                },
            };
            let replay = self.replay(&outgoing);
            match self.exchange(life, &mut connection, outgoing).await {
                Exchange::Answered(answer) => return self.answered(&shared, connection, answer),
                // A kept connection may have died of age, which says nothing about the instance. Its
                // siblings are as old; the second round opens a fresh one.
                Exchange::Unsent(back) if is_reused => outgoing = back,
                Exchange::Unsent(back) => {
                    return Err(self.broken(&shared, "closed the connection", Some(back)));
                }
                Exchange::Broken(_) if life.upload.as_ref().is_some_and(|upload| upload.is_too_large()) => {
                    return Err(Missed::last(Fault::BodyTooLarge { limit_bytes: self.limit_bytes }));
                }
                Exchange::Broken(_) if life.upload.as_ref().is_some_and(|upload| upload.has_broken_off()) => {
                    return Err(Missed::last(Fault::BadRequest { why: "its body broke off" }));
                }
                Exchange::Broken(error) => match replay {
                    Some(back) if is_reused => outgoing = back,
                    replay => return Err(self.broken(&shared, &describe(&error), replay)),
                },
                Exchange::Late(Late::Instance) => return Err(self.slow(&shared)),
                Exchange::Late(Late::Client) => {
                    return Err(Missed::last(Fault::ClientTimeout { waited: shared.limits.body_idle }));
                }
            }
            instance.pool.clear();
        }
    }

    fn replay(&self, outgoing: &Outgoing) -> Option<Outgoing> {
        let upload = if self.may_replay { outgoing.upload.replay() } else { None };
        upload.map(|upload| Outgoing { parts: outgoing.parts.clone(), upload })
    }

    async fn exchange(
        &self,
        life: &RequestLife,
        connection: &mut Connection,
        outgoing: Outgoing,
    ) -> Exchange {
        let Outgoing { parts, upload } = outgoing;
        let mut exchange = pin!(connection.try_send_request(Request::from_parts(parts, upload)));
        let mut wake_at = match &life.upload {
            Some(_) => self.deadline.min(Instant::now() + life.shared().limits.body_idle),
            None => self.deadline,
        };
        let outcome = loop {
            match timeout_at(wake_at, exchange.as_mut()).await {
                Ok(outcome) => break outcome,
                Err(_) => match self.next_wake(life) {
                    Ok(later) => wake_at = later,
                    Err(late) => return Exchange::Late(late),
                },
            }
        };
        match outcome {
            Ok(answer) => Exchange::Answered(answer),
            Err(mut error) => match error.take_message() {
                Some(request) => {
                    let (parts, upload) = request.into_parts();
                    Exchange::Unsent(Outgoing { parts, upload })
                }
                None => Exchange::Broken(error.into_error()),
            },
        }
    }

    /// How long to wait on. While a body is on its way, the instance's time begins with the last byte it
    /// got, and the client has its own.
    fn next_wake(&self, life: &RequestLife) -> Result<Instant, Late> {
        let Some(upload) = &life.upload else { return Err(Late::Instance) };
        let shared = life.shared();
        let now = Instant::now();
        let moved = now - shared.clock.now().since(upload.moved_at());
        let (until, late) = if !upload.has_ended() && upload.waits_for_client() {
            (moved + shared.limits.body_idle, Late::Client)
        } else {
            (self.deadline.max(moved + self.timeout), Late::Instance)
        };
        if until <= now { Err(late) } else { Ok(until) }
    }

    fn answered(
        self,
        shared: &Shared,
        connection: Connection,
        answer: Response<Incoming>,
    ) -> Result<Response<AnswerBody>, Box<Missed>> {
        let status = answer.status();
        if status.is_informational() {
            return Err(self.broken(shared, "switched protocols without being asked", None));
        }
        let is_failure = matches!(
            status,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        );
        let outcome = if is_failure { Outcome::Status(status.as_u16()) } else { Outcome::Good };
        let instance = self.call.report(shared.clock.now(), outcome);
        let (mut parts, incoming) = answer.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        parts.version = Version::HTTP_11;
        Ok(Response::from_parts(parts, AnswerBody::instance(incoming, Lease { instance, connection })))
    }

    fn not_connected(self, shared: &Shared, error: &ConnectError, outgoing: Outgoing) -> Box<Missed> {
        let what = match error {
            ConnectError::Refused(reason) => {
                format!("cannot be reached at {}: {reason}", self.call.instance().address)
            }
            ConnectError::Slow { .. } => {
                format!("cannot be reached at {}: it {error}", self.call.instance().address)
            }
            ConnectError::Handshake(reason) => format!("{error}: {reason}"),
        };
        self.broken(shared, &what, Some(outgoing))
    }

    fn broken(self, shared: &Shared, what: &str, outgoing: Option<Outgoing>) -> Box<Missed> {
        let instance = name(self.call.instance());
        self.call.report(shared.clock.now(), Outcome::Broken(what));
        Box::new(Missed { fault: Fault::Unreachable { instance, what: what.to_owned() }, outgoing })
    }

    fn slow(self, shared: &Shared) -> Box<Missed> {
        let instance = name(self.call.instance());
        self.call.report(shared.clock.now(), Outcome::Late);
        Missed::last(Fault::Timeout { instance, waited: self.timeout })
    }
}

impl Missed {
    /// Nothing more can be done.
    fn last(fault: Fault) -> Box<Missed> {
        Box::new(Missed { fault, outgoing: None })
    }
}

fn name(instance: &Instance) -> String {
    format!("{} of {}", instance.id, instance.service())
}

/// What a broken exchange looked like from here.
fn describe(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "closed the connection before its answer was complete".to_owned()
    } else if error.is_parse() {
        format!("sent what is no HTTP: {error}")
    } else {
        match std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(reason) => format!("broke the connection off before it answered: {reason}"),
            None => format!("broke the connection off before it answered: {error}"),
        }
    }
}
