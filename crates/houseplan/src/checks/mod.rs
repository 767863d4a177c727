//! Cross checks: what the parts of a plan mean together. One file per family.
//!
//! Knows drafts; changes nothing and stops at nothing.

mod accept;
mod account;
mod alerts;
mod credentials;
mod data;
mod environment;
mod exposure;
mod needs;
mod ports;
mod rotation;
mod routes;
mod secrets;
mod services;
mod shell;
mod variables;

use crate::draft::{Draft, Stage};
use crate::fault::Session;

pub(crate) use accept::accept;
pub(crate) use routes::{host_name, path as route_path};

/// Everything that is the same in every stage.
pub(crate) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    services::check(session, draft);
    needs::check(session, draft);
    credentials::check(session, draft);
    rotation::check(session, draft);
    alerts::check(session, draft);
    secrets::check(session, draft);
    exposure::check(session, draft);
    account::check(session, draft);
    environment::check(session, draft);
    shell::check(session, draft);
    data::check(session, draft);
    accept::check_acceptances(session, draft);
}

/// What depends on the stage.
pub(crate) fn check_stage<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    ports::check(session, draft, stage);
    exposure::check_gateway(session, stage);
    variables::check(session, draft, stage);
    routes::check(session, draft, stage);
}
