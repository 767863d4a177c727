//! The port for what can be done on a host: one session, one request at a time, typed answers. It does not
//! know the road to the host, and it decides nothing.

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
/// [`HostError::Road`] the session is dead and every later request fails alike; after [`HostError::Refused`]
/// it goes on. No call waits without an end. A session that is dropped ends: the host lets go of its lock,
/// and what was under way is brought into order by the next `recover`. `confirm` counts only in a session
/// that was opened after the change that it confirms. Values of secrets stand in `act` alone, and are gone
/// here when it returns.
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
        let reply = self.ask(&Request::Observe { specs: specs.to_vec() }, &mut |_| {})?;
        let Reply::Inventory(inventory) = reply else {
            return Err(self.stranger("observe"));
        };
        Ok(*inventory)
    }

    /// Which of these blobs it does not have.
    fn missing(&mut self, blobs: BTreeSet<Fingerprint>) -> Result<BTreeSet<Fingerprint>, HostError> {
        let reply = self.ask(&Request::Missing { blobs }, &mut |_| {})?;
        let Reply::Missing { blobs } = reply else {
            return Err(self.stranger("compare blobs"));
        };
        Ok(blobs)
    }

    /// Brings an apply that did not end into order; `deserted` is its id when its session may still live, and
    /// its owner knows that nobody listens to it any longer.
    fn recover(&mut self, claim: &Claim, deserted: Option<&str>) -> Result<Recovered, HostError> {
        let request = Request::Recover { claim: claim.clone(), deserted: deserted.map(str::to_owned) };
        let reply = self.ask(&request, &mut |_| {})?;
        let Reply::Recovered(recovered) = reply else {
            return Err(self.stranger("recover"));
        };
        Ok(recovered)
    }

    /// Takes the lock and writes down what is going to be done.
    fn begin(&mut self, begin: &Begin) -> Result<(), HostError> {
        let reply = self.ask(&Request::Begin(Box::new(begin.clone())), &mut |_| {})?;
        let Reply::Begun = reply else {
            return Err(self.stranger("begin"));
        };
        Ok(())
    }

    /// Carries out one change of the apply that began.
    fn act(&mut self, act: Act, progress: &mut dyn FnMut(Progress)) -> Result<Done, HostError> {
        let Act { number, secrets } = act;
        let reply = self.ask(&Request::Act { number, secrets }, progress)?;
        let Reply::Done(done) = reply else {
            return Err(self.stranger("act"));
        };
        Ok(done)
    }

    /// Disarms the dead-man of this apply, by a session that is newer than the change.
    fn confirm(&mut self, apply: &str) -> Result<(), HostError> {
        let reply = self.ask(&Request::Confirm { apply: apply.to_owned() }, &mut |_| {})?;
        let Reply::Confirmed = reply else {
            return Err(self.stranger("confirm"));
        };
        Ok(())
    }

    /// Ends the apply that began.
    fn finish(&mut self, ending: Ending, progress: &mut dyn FnMut(Progress)) -> Result<Finished, HostError> {
        let reply = self.ask(&Request::Finish { ending }, progress)?;
        let Reply::Finished(finished) = reply else {
            return Err(self.stranger("finish"));
        };
        Ok(finished)
    }

    /// Takes the last apply back, or this one when it is the last.
    fn roll_back(
        &mut self,
        claim: &Claim,
        apply: Option<&str>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Finished, HostError> {
        let request = Request::RollBack { claim: claim.clone(), apply: apply.map(str::to_owned) };
        let reply = self.ask(&request, progress)?;
        let Reply::Finished(finished) = reply else {
            return Err(self.stranger("roll back"));
        };
        Ok(finished)
    }

    /// What was applied here, the latest first.
    fn history(&mut self, last: u32) -> Result<Vec<PastApply>, HostError> {
        let reply = self.ask(&Request::History { last }, &mut |_| {})?;
        let Reply::History(past) = reply else {
            return Err(self.stranger("history"));
        };
        Ok(past)
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
