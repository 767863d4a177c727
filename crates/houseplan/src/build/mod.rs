//! Draft to house: everything filled in, for one stage. Called only when there is no error left.
//!
//! Decides nothing: every `?` here is a fault that a check has reported.

mod route;
mod service;

use crate::draft::{CredentialDraft, Draft, Stage};
use crate::path::within;
use crate::shape::{parse_listen, parse_rotation};
use crate::variable::Scope;
use haus_model::{Credential, CredentialSource, GatewaySettings, House};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The house as one stage sees it.
pub(crate) fn house(draft: &Draft<'_>, stage: &Stage<'_>) -> Option<House> {
    let domain = stage.domain(draft);
    let mut services = BTreeMap::new();
    for service in &draft.services {
        let scope = Scope { draft, stage, domain: &domain, service: Some(service) };
        let service = service::build(scope, service)?;
        services.insert(service.name.clone(), service);
    }
    let scope = Scope { draft, stage, domain: &domain, service: None };
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
        credentials: credentials(draft)?,
        domain,
    })
}

/// What the stage says, with the defaults for the rest.
fn gateway(stage: &Stage<'_>) -> Option<GatewaySettings> {
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

/// All credentials; the scope of one that gives none are the services that name it.
fn credentials(draft: &Draft<'_>) -> Option<BTreeMap<haus_model::CredentialName, Credential>> {
    let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
    for service in &draft.services {
        for (_, credential) in &service.credentials {
            users.entry(credential.text).or_default().push(service.name.text);
        }
    }
    draft
        .credentials
        .iter()
        .map(|written| {
            let credential =
                credential(draft, written, users.get(written.name.text).map_or(&[], Vec::as_slice))?;
            Some((credential.name.clone(), credential))
        })
        .collect()
}

/// One credential. Its file is not opened: the value is nobody's business here.
fn credential(draft: &Draft<'_>, written: &CredentialDraft<'_>, users: &[&str]) -> Option<Credential> {
    let source = match (written.length, written.file) {
        (Some(length), _) => CredentialSource::Generated { length },
        (None, Some(file)) => {
            let folder = &draft.folders[file.span.file as usize];
            // A secret may well lie outside the plan's folder, so `..` stays as it is written.
            let path = within(folder, file.text).unwrap_or_else(|| folder.join(file.text));
            let path = if Path::new(file.text).is_absolute() { PathBuf::from(file.text) } else { path };
            CredentialSource::File { path }
        }
        (None, None) => return None,
    };
    let scope = match &written.scope {
        Some(scope) => scope.iter().map(|name| name.text.parse().ok()).collect::<Option<Vec<_>>>()?,
        None => users.iter().map(|name| name.parse().ok()).collect::<Option<Vec<_>>>()?,
    };
    Some(Credential {
        name: written.name.text.parse().ok()?,
        source,
        scope,
        rotate_days: written.rotate.and_then(|rotate| parse_rotation(rotate.text)).flatten(),
        reason: written.reason.map(|reason| reason.text.to_owned()),
    })
}
