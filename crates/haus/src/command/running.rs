//! The running house that a command speaks with: found once, asked in one way, its refusals in the words and
//! exit codes of all commands.

use super::{block_on, client, client_failure, order_failure};
use crate::arguments::Target;
use crate::exit::Failure;
use crate::locate;
use haus_client::{Client, ClientError};
use haus_coordinator::Places;
use std::future::Future;

/// A house and where it is.
pub(super) struct Running {
    pub places: Places,
    pub client: Client,
}

impl Running {
    /// The house that is meant. Whether it runs shows when it is asked.
    pub(super) fn of(target: &Target) -> Result<Running, Failure> {
        let places = locate::running(target.path.as_deref(), target.state.as_deref())?;
        let client = client(&places);
        Ok(Running { places, client })
    }

    /// Asks something that changes nothing.
    pub(super) fn ask<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> Result<T, Failure> {
        block_on(call)?.map_err(|error| client_failure(&error, &self.places))
    }

    /// Asks for an act: when the answer is missing, it may have been carried out all the same.
    pub(super) fn order<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> Result<T, Failure> {
        block_on(call)?.map_err(|error| order_failure(&error, &self.places))
    }
}
