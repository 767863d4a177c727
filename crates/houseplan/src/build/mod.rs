//! Draft to house: everything filled in, for one stage. Called only when there is no error left.
//!
//! Decides nothing: every `?` here is a fault that a check has reported.

mod alerts;
mod credential;
mod deployment;
mod machine;
mod route;
mod service;

pub(crate) use deployment::local_folder;
pub(crate) use machine::key_lines;

use crate::draft::{Draft, Stage};
use crate::shape::parse_listen;
use crate::variable::{Home, Scope};
use haus_model::{GatewaySettings, House};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The house as one stage sees it.
pub(crate) fn house(draft: &Draft<'_>, stage: &Stage<'_, '_>) -> Option<House> {
    let domain = stage.domain(draft);
    let mut services = BTreeMap::new();
    for service in &draft.services {
        let scope = Scope { draft, stage, domain: &domain, home: Home::Service(service) };
        let service = service::build(scope, service)?;
        services.insert(service.name.clone(), service);
    }
    let scope = Scope { draft, stage, domain: &domain, home: Home::Route };
    let routes = draft.routes.iter().map(|host| route::build(scope, host)).collect::<Option<Vec<_>>>()?;
    let mut by_host: BTreeMap<String, haus_model::route::HostRoutes> = BTreeMap::new();
    for (host, paths) in routes {
        by_host.entry(host).or_default().extend(paths);
    }
    Some(House {
        name: draft.house?.text.parse().ok()?,
        title: draft.title.map(|title| title.text.to_owned()),
        stage: stage.name.parse().ok()?,
        gateway: gateway(stage)?,
        services,
        routes: by_host,
        credentials: credential::build(draft)?,
        api: alerts::api(draft),
        alerts: alerts::alerts(draft)?,
        maintenance: draft.maintenance.iter().map(alerts::maintenance).collect::<Option<_>>()?,
        hosts: machine::hosts(draft, stage, &domain)?,
        networks: machine::networks(draft, stage)?,
        domain,
    })
}

/// What the stage says, with the defaults for the rest.
fn gateway(stage: &Stage<'_, '_>) -> Option<GatewaySettings> {
    let usual = GatewaySettings::default();
    let written = &stage.gateway;
    Some(GatewaySettings {
        listen: match written.listen {
            Some(listen) => parse_listen(listen.text).map(SocketAddr::from)?,
            None => usual.listen,
        },
        timeout: written.timeout.unwrap_or(usual.timeout),
        retries: written.retries.unwrap_or(usual.retries),
        access_log: written.access_log.unwrap_or(usual.access_log),
        hold: written.hold.unwrap_or(usual.hold),
    })
}
