//! Cross checks: what the parts of a plan mean together. One file per family.
//!
//! Knows drafts; changes nothing and stops at nothing.

mod accept;
mod access;
mod account;
mod alerts;
mod credentials;
mod data;
mod deployments;
mod environment;
mod exposure;
mod host_paths;
mod host_secrets;
mod hosts;
mod needs;
mod networks;
mod ports;
mod reach;
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
    hosts::check(session, draft);
    networks::check(session, draft);
    deployments::check(session, draft);
    access::check(session, draft);
    host_paths::check(session, draft);
    host_secrets::check(session, draft);
    accept::check_acceptances(session, draft);
}

/// What depends on the stage.
pub(crate) fn check_stage<'t>(session: &Session<'t>, draft: &Draft<'t>, stage: &Stage<'_, 't>) {
    ports::check(session, draft, stage);
    exposure::check_gateway(session, stage);
    variables::check(session, draft, stage);
    routes::check(session, draft, stage);
    hosts::check_stage(session, draft, stage);
    networks::check_stage(session, draft, stage);
    deployments::check_stage(session, draft, stage);
    access::check_stage(session, stage);
    host_paths::check_stage(session, stage);
    reach::check(session, draft, stage);
}
