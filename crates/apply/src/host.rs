//! The port for what can be done on a host: one session, one request at a time, typed answers. It does not know the road
//! to the host, and it decides nothing.

use haus_acts::wire::{
    Begin, Claim, Done, Ending, Finished, PastApply, Progress, Recovered, Refusal, Reply, Request,
    SecretValue, Welcome,
};
use haus_model::Fingerprint;
use haus_model::host_code::HostCode;
use haus_model::inventory::Inventory;
use haus_model::resource::Spec;
use std::collections::BTreeSet;
use std::io::{self, Read};
use thiserror::Error;

/// A request was not answered as it should be.
#[derive(Debug, Error)]
pub enum HostError {
    /// The host answered that it did not do it. What is there is as the host says.
    #[error("{0}")]
    Refused(#[source] Box<Refusal>),
    /// The host was not reached, or not any more: nobody knows whether the request under way was carried out.
    #[error("{0}")]
    Road(Box<RoadFault>),
    /// A blob that the host needs cannot be read here.
    #[error("reading the blob {hash} for the host")]
    Blob {
        /// Its hash.
        hash: Fingerprint,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What stood in the way to a host. Every text in it is fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} over {road}: {because}")]
pub struct RoadFault {
    /// What it is.
    pub code: HostCode,
    /// What was attempted.
    pub what: String,
    /// The road, such as `ssh://deploy@web`.
    pub road: String,
    /// Why it did not work.
    pub because: String,
    /// What to do.
    pub remedy: String,
}

/// Bytes that a request is accompanied by.
pub struct Blob<'a> {
    /// Their hash.
    pub hash: Fingerprint,
    /// How many.
    pub bytes: u64,
    /// The bytes themselves.
    pub from: &'a mut dyn Read,
}

/// A session with one host.
///
/// Contract: a request is answered by exactly one reply, after any number of calls of `progress`. After
/// [`HostError::Road`] the session is dead and every later request fails alike; after [`HostError::Refused`] it goes
/// on. No call waits without an end. A session that is dropped ends: the host lets go of its lock, and what was under
/// way is brought into order by the next `recover`. `confirm` counts only in a session that was opened after the change
/// that it confirms. Values of secrets stand in `act` alone, and are gone here when it returns.
pub trait Host: Send {
    /// What the host said of itself.
    fn welcome(&self) -> &Welcome;

    /// Carries out one request.
    fn ask(&mut self, request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Reply, HostError>;

    /// Brings one blob.
    fn put(&mut self, blob: Blob<'_>) -> Result<(), HostError>;

    /// The fault of an answer that belongs to another request.
    fn stranger(&self, what: &str) -> HostError;

    /// What is there.
    fn observe(&mut self, specs: &[Spec]) -> Result<Inventory, HostError> {
        match self.ask(&Request::Observe { specs: specs.to_vec() }, &mut |_| {})? {
            Reply::Inventory(inventory) => Ok(*inventory),
            _ => Err(self.stranger("observe")),
        }
    }

    /// Which of these blobs it does not have.
    fn missing(&mut self, blobs: BTreeSet<Fingerprint>) -> Result<BTreeSet<Fingerprint>, HostError> {
        match self.ask(&Request::Missing { blobs }, &mut |_| {})? {
            Reply::Missing { blobs } => Ok(blobs),
            _ => Err(self.stranger("compare blobs")),
        }
    }

    /// Brings an apply that did not end into order.
    fn recover(&mut self, claim: &Claim) -> Result<Recovered, HostError> {
        match self.ask(&Request::Recover { claim: claim.clone() }, &mut |_| {})? {
            Reply::Recovered(recovered) => Ok(recovered),
            _ => Err(self.stranger("recover")),
        }
    }

    /// Takes the lock and writes down what is going to be done.
    fn begin(&mut self, begin: &Begin) -> Result<(), HostError> {
        match self.ask(&Request::Begin(Box::new(begin.clone())), &mut |_| {})? {
            Reply::Begun => Ok(()),
            _ => Err(self.stranger("begin")),
        }
    }

    /// Carries out one change of the apply that began.
    fn act(&mut self, act: Act, progress: &mut dyn FnMut(Progress)) -> Result<Done, HostError> {
        let Act { number, secrets } = act;
        match self.ask(&Request::Act { number, secrets }, progress)? {
            Reply::Done(done) => Ok(done),
            _ => Err(self.stranger("act")),
        }
    }

    /// Disarms the dead-man of this apply, by a session that is newer than the change.
    fn confirm(&mut self, apply: &str) -> Result<(), HostError> {
        match self.ask(&Request::Confirm { apply: apply.to_owned() }, &mut |_| {})? {
            Reply::Confirmed => Ok(()),
            _ => Err(self.stranger("confirm")),
        }
    }

    /// Ends the apply that began.
    fn finish(&mut self, ending: Ending, progress: &mut dyn FnMut(Progress)) -> Result<Finished, HostError> {
        match self.ask(&Request::Finish { ending }, progress)? {
            Reply::Finished(finished) => Ok(finished),
            _ => Err(self.stranger("finish")),
        }
    }

    /// Takes the last apply back, or this one when it is the last.
    fn roll_back(
        &mut self,
        claim: &Claim,
        apply: Option<&str>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Finished, HostError> {
        let request = Request::RollBack { claim: claim.clone(), apply: apply.map(str::to_owned) };
        match self.ask(&request, progress)? {
            Reply::Finished(finished) => Ok(finished),
            _ => Err(self.stranger("roll back")),
        }
    }

    /// What was applied here, the latest first.
    fn history(&mut self, last: u32) -> Result<Vec<PastApply>, HostError> {
        match self.ask(&Request::History { last }, &mut |_| {})? {
            Reply::History(past) => Ok(past),
            _ => Err(self.stranger("history")),
        }
    }
}

/// One change, and what it needs at this moment.
#[derive(Debug)]
pub struct Act {
    /// Its number.
    pub number: u32,
    /// Values of the credentials that it needs.
    pub secrets: Vec<SecretValue>,
}
