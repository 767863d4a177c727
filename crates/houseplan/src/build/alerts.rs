//! The API's settings, alerts and maintenance with their defaults.

use crate::draft::{Draft, MAIL_SERVER_USUAL, MaintenanceDraft, ReceiverDraft, RoadDraft, mail_tls};
use crate::shape::parse_server;
use crate::tree::Text;
use haus_model::alert::{Alerting, Maintenance, Receiver, Road};
use haus_model::house::ApiSettings;
use haus_model::{CredentialName, ServiceName};

/// Seconds of a day; leap seconds do not matter for how long something is kept.
const DAY_S: u64 = 86_400;

/// What the plan says, with the defaults for the rest.
pub(super) fn api(draft: &Draft<'_>) -> ApiSettings {
    let (usual, written) = (ApiSettings::default(), draft.api);
    ApiSettings {
        anonymous: written.anonymous.unwrap_or(usual.anonymous),
        heartbeat: written.heartbeat.unwrap_or(usual.heartbeat),
        trail_days: written.trail_days.unwrap_or(usual.trail_days),
        history_days: written
            .history
            .and_then(|history| u32::try_from(history.as_secs().div_ceil(DAY_S)).ok())
            .unwrap_or(usual.history_days),
        log_bodies: written.log_bodies.unwrap_or(usual.log_bodies),
    }
}

/// When alerts are told, and to whom.
pub(super) fn alerts(draft: &Draft<'_>) -> Option<Alerting> {
    let (usual, written) = (Alerting::default(), &draft.alerts);
    Some(Alerting {
        after: written.after.unwrap_or(usual.after),
        repeat: written.repeat.unwrap_or(usual.repeat),
        receivers: written
            .receivers
            .iter()
            .map(|receiver| self::receiver(draft, receiver))
            .collect::<Option<_>>()?,
    })
}

/// One receiver.
fn receiver(draft: &Draft<'_>, written: &ReceiverDraft<'_>) -> Option<Receiver> {
    Some(Receiver {
        name: written.name.text.to_owned(),
        road: road(draft, written.road.as_ref()?)?,
        from: written.level,
        services: services(&written.services)?,
    })
}

/// How it is reached.
fn road(draft: &Draft<'_>, written: &RoadDraft<'_>) -> Option<Road> {
    Some(match written {
        RoadDraft::Webhook { url, secret } => {
            Road::Webhook { url: url.text.to_owned(), secret: credential(*secret)? }
        }
        RoadDraft::Mail { key: _, to, server, tls, sender, user, password } => {
            let (host, port) = match server {
                Some(server) => parse_server(server.text)?,
                None => (MAIL_SERVER_USUAL.0.to_owned(), MAIL_SERVER_USUAL.1),
            };
            Road::Mail {
                tls: mail_tls(*tls, &host),
                host,
                port,
                from: sender.as_ref()?.text.to_owned(),
                to: to.iter().map(|address| address.text.to_owned()).collect(),
                user: user.map(|user| user.text.to_owned()),
                password: credential(*password)?,
            }
        }
        RoadDraft::Mqtt { server, topic, user, password } => {
            let (host, port) = parse_server(server.text)?;
            let usual = || Some(format!("haus/{}/alerts", draft.house?.text));
            Road::Mqtt {
                host,
                port,
                topic: topic.map(|topic| topic.text.to_owned()).or_else(usual)?,
                user: user.map(|user| user.text.to_owned()),
                password: credential(*password)?,
            }
        }
    })
}

/// The name of a credential that may be absent; the outer none is a name that is none.
fn credential(name: Option<Text<'_>>) -> Option<Option<CredentialName>> {
    match name {
        Some(name) => Some(Some(name.text.parse().ok()?)),
        None => Some(None),
    }
}

fn services(names: &[Text<'_>]) -> Option<Vec<ServiceName>> {
    names.iter().map(|name| name.text.parse().ok()).collect()
}

/// One maintenance; its days in the order of the week, each once.
pub(super) fn maintenance(written: &MaintenanceDraft<'_>) -> Option<Maintenance> {
    let mut days = written.days.clone();
    days.sort_unstable();
    days.dedup();
    Some(Maintenance {
        name: written.name.text.to_owned(),
        days,
        at_minute: written.at_minute?,
        lasts: written.lasts?,
        services: services(&written.services)?,
        why: written.reason?.text.to_owned(),
    })
}
