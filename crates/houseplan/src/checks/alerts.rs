//! Alerts and maintenance: receivers that can be reached safely, services that exist, silence that ends.

use super::credentials;
use crate::code::Code;
use crate::draft::{Draft, MAIL_SERVER_USUAL, MaintenanceDraft, ReceiverDraft, RoadDraft, mail_tls};
use crate::fault::{Fault, Session, Subject};
use crate::shape::{is_loopback, parse_server, parse_web_url};
use crate::tree::Text;
use haus_model::alert::MailTls;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Receivers, then maintenance.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    if let (Some(key), true) = (draft.alerts.key, draft.alerts.receivers.is_empty()) {
        let message = "alerts go to the log of the house and to nobody else";
        let fault = Fault::new(Code::NoReceiver, Subject::Alerts, key, message);
        session.report(
            fault
                .label("nobody is told")
                .remedy("add a receiver such as `to: { phone: { webhook: \"https://…\" } }`"),
        );
    }
    for receiver in &draft.alerts.receivers {
        let subject = Subject::Receiver(receiver.name.text);
        services(session, draft, subject, &receiver.services);
        if let Some(credential) = receiver.credential() {
            credentials::known(session, draft, subject, receiver.credential_key(), credential);
        }
        road(session, subject, receiver);
    }
    for window in &draft.maintenance {
        services(session, draft, Subject::Maintenance(window.name.text), &window.services);
        endless(session, window);
    }
}

/// Names of services in a receiver or a maintenance.
fn services<'t>(session: &Session<'t>, draft: &Draft<'t>, subject: Subject<'t>, names: &[Text<'t>]) {
    for name in names.iter().filter(|name| draft.service(name.text).is_none()) {
        let remedy = session.suggest.remedy(name.text, draft.service_names(), || {
            "remove it, or name a service of this plan".to_owned()
        });
        let message = format!("there is no service `{}`", name.text);
        let fault = Fault::new(Code::AlertService, subject, name.span, message);
        session.report(fault.label("unknown service").remedy(remedy));
    }
}

/// What is sent on this road, and who can hear it.
fn road<'t>(session: &Session<'t>, subject: Subject<'t>, receiver: &ReceiverDraft<'t>) {
    match &receiver.road {
        None => {}
        Some(RoadDraft::Webhook { url, secret }) => {
            let Some(address) = parse_web_url(url.text) else { return };
            if !address.is_https && !is_loopback(&address.host) && secret.is_none() {
                let message = "alerts go over the network in the clear and unsigned";
                let fault = Fault::new(Code::OpenWebhook, subject, url.span, message);
                session.report(
                    fault
                        .label("anybody on the way can read and forge them")
                        .remedy("write `https://`, or add `secret: CREDENTIAL` so that the receiver can tell a forged one"),
                );
            }
        }
        Some(RoadDraft::Mail { key, to: _, server, tls, sender, user, password }) => {
            if sender.is_none() {
                let message = "the key `sender` is missing in a receiver with `mail`";
                let fault = Fault::new(Code::MissingKey, subject, *key, message);
                session.report(fault.label("from whom?").remedy("add `sender: haus@YOUR-DOMAIN`"));
            }
            login(session, subject, *user, *password);
            let host = match server {
                Some(server) => parse_server(server.text).map(|(host, _)| host),
                None => Some(MAIL_SERVER_USUAL.0.to_owned()),
            };
            let (Some(password), Some(host)) = (password, host) else { return };
            if mail_tls(*tls, &host) == MailTls::None && !is_loopback(&host) {
                let remedy = "write `tls: starttls` or `tls: tls`, or use a relay on 127.0.0.1";
                open_password(session, subject, *password, remedy);
            }
        }
        Some(RoadDraft::Mqtt { server, topic: _, user, password }) => {
            let Some((host, _)) = parse_server(server.text) else { return };
            if let (Some(password), None) = (password, user) {
                login(session, subject, None, Some(*password));
            }
            if let (Some(password), false) = (password, is_loopback(&host)) {
                let remedy = "use a broker on 127.0.0.1 that passes messages on, or accept it with a reason";
                open_password(session, subject, *password, remedy);
            }
        }
    }
}

/// A name without a password, or the other way round, logs in nowhere.
fn login<'t>(
    session: &Session<'t>,
    subject: Subject<'t>,
    user: Option<Text<'t>>,
    password: Option<Text<'t>>,
) {
    let (alone, other) = match (user, password) {
        (Some(user), None) => (user, "password"),
        (None, Some(password)) => (password, "user"),
        (Some(_), Some(_)) | (None, None) => return,
    };
    let message = "`user` and `password` are one login and need each other";
    let fault = Fault::new(Code::Together, subject, alone.span, message);
    session.report(fault.label("half a login").remedy(format!("add `{other}`, or remove this one too")));
}

/// A password that crosses a network as it is.
fn open_password<'t>(session: &Session<'t>, subject: Subject<'t>, password: Text<'t>, remedy: &'static str) {
    let message = "this password is sent over the network without TLS";
    let fault = Fault::new(Code::OpenPassword, subject, password.span, message);
    session.report(fault.label("travels in the clear").remedy(remedy));
}

/// Every day for a whole day: then nobody is ever told.
fn endless<'t>(session: &Session<'t>, window: &MaintenanceDraft<'t>) {
    let mut days = window.days.clone();
    days.sort_unstable();
    days.dedup();
    let every_day = days.is_empty() || days.len() == 7;
    if every_day && window.lasts.is_some_and(|lasts| lasts >= DAY) {
        let message = "this maintenance begins again when it ends, so nobody is ever told anything";
        let fault = Fault::new(
            Code::MaintenanceEndless,
            Subject::Maintenance(window.name.text),
            window.lasts_span,
            message,
        );
        session.report(fault.label("always").remedy("make it shorter, or name the days on which it begins"));
    }
}
