//! What could lock us out of a host: its firewall, its SSH server, its accounts.

use crate::code::Code;
use crate::draft::{Draft, Machine, MergedFirewall, MergedSshd, Stage};
use crate::fault::{Fault, Session, Subject};
use haus_model::host::{Connect, Protocol, RootLogin};

/// The port that ssh takes when neither address nor configuration names one.
const SSH_PORT: u16 = 22;

/// Settings that are risky whoever has them.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    for (subject, settings) in draft.settings() {
        let Some(sshd) = &settings.sshd else { continue };
        if let Some((true, span)) = sshd.passwords {
            let message = "everybody may guess passwords over SSH";
            let fault = Fault::new(Code::SshPasswords, subject, span, message);
            session.report(
                fault
                    .label("guessing is allowed")
                    .remedy("write `false` and give accounts `keys`, or accept it with a reason"),
            );
        }
        if let Some((RootLogin::Keys, span)) = sshd.root {
            let message = "whoever has the key is root at once, and nobody can tell who it was";
            let fault = Fault::new(Code::SshRoot, subject, span, message);
            session.report(
                fault
                    .label("root logs in")
                    .remedy("write `no` and let an account with `sudo` log in, or accept it with a reason"),
            );
        }
    }
}

/// Whether we get in again after the settings of each host are there.
pub(super) fn check_stage<'t>(session: &Session<'t>, stage: &Stage<'_, 't>) {
    for machine in &stage.fleet.machines {
        let Some(Connect::Ssh { user, port, .. }) = &machine.connect else { continue };
        let sshd = machine.sshd().unwrap_or_default();
        let port = port.unwrap_or(SSH_PORT);
        if let Some(firewall) = machine.firewall() {
            self::firewall(session, machine, &firewall, &sshd, port);
        }
        server(session, machine, &sshd, port, user.as_deref());
        if let Some(user) = user {
            account(session, machine, user);
        }
    }
}

fn fault<'t>(code: Code, machine: &Machine<'_, 't>, span: crate::source::Span, message: String) -> Fault<'t> {
    let fault = Fault::new(code, Subject::Machine(machine.name().text), span, message);
    match machine.connect_text {
        Some(connect) => fault.related(connect.span, "we come this way"),
        None => fault,
    }
}

/// The ports of the SSH server in the firewall.
fn firewall<'t>(
    session: &Session<'t>,
    machine: &Machine<'_, 't>,
    firewall: &MergedFirewall<'_, 't>,
    sshd: &MergedSshd<'t>,
    port: u16,
) {
    let allowed =
        |port| firewall.allow.iter().any(|rule| rule.port == port && rule.protocol == Protocol::Tcp);
    let name = machine.name().text;
    if !allowed(port) {
        let message = format!("the firewall of `{name}` does not allow port {port}, by which we connect");
        let fault = fault(Code::FirewallLocksOut, machine, firewall.key, message);
        session.report(fault.label("locks us out").remedy(format!("add `{port}/tcp` to its `allow`")));
    }
    for (other, span) in sshd.ports.iter().filter(|(other, _)| *other != port && !allowed(*other)) {
        let message =
            format!("the SSH server of `{name}` listens on port {other}, which its firewall does not allow");
        let fault = Fault::new(Code::FirewallLocksOut, Subject::Machine(name), *span, message);
        session.report(
            fault
                .label("closed")
                .related(firewall.key, "by this firewall")
                .remedy(format!("add `{other}/tcp` to its `allow`, or remove the port")),
        );
    }
}

/// Port, account and root's login in the settings of the SSH server.
fn server<'t>(
    session: &Session<'t>,
    machine: &Machine<'_, 't>,
    sshd: &MergedSshd<'t>,
    port: u16,
    user: Option<&str>,
) {
    let name = machine.name().text;
    if let (Some((_, span)), false) = (sshd.ports.first(), sshd.ports.iter().any(|(other, _)| *other == port))
    {
        let message =
            format!("the SSH server of `{name}` does not listen on port {port}, by which we connect");
        let fault = fault(Code::SshLocksOut, machine, *span, message);
        session.report(fault.label("locks us out").remedy(format!("add {port}, or change `connect`")));
    }
    let Some(user) = user else { return };
    if let (Some(first), false) =
        (sshd.allow_users.first(), sshd.allow_users.iter().any(|other| other.text == user))
    {
        let message = format!("`{user}` may not log in on `{name}`, and we connect as `{user}`");
        let fault = fault(Code::SshLocksOut, machine, first.span, message);
        session.report(fault.label("locks us out").remedy(format!("add `{user}` to `allow_users`")));
    }
    if let Some((RootLogin::No, span)) = sshd.root.filter(|_| user == "root") {
        let message = format!("root may not log in on `{name}`, and we connect as root");
        let fault = fault(Code::SshLocksOut, machine, span, message);
        session.report(
            fault.label("locks us out").remedy("connect as an account with `sudo` first, then write `no`"),
        );
    }
}

/// The account that we connect as, when the plan makes it.
fn account<'t>(session: &Session<'t>, machine: &Machine<'_, 't>, user: &str) {
    let accounts = machine.accounts();
    let Some(account) = accounts.iter().find(|account| account.name == user) else { return };
    let Some(last) = account.parts.last() else { return };
    let said = account.parts.iter().any(|part| part.keys.is_some() || part.keys_file.is_some());
    let some = account
        .parts
        .iter()
        .any(|part| part.keys_file.is_some() || part.keys.as_ref().is_some_and(|keys| !keys.is_empty()));
    if said && !some {
        let message =
            format!("`{user}` on `{}` loses all its keys, and we connect as `{user}`", machine.name().text);
        let fault = fault(Code::SshLocksOut, machine, last.name.span, message);
        session.report(fault.label("locks us out").remedy("add `keys` or `keys_file`"));
    } else if !said {
        let message = format!("we connect as `{user}`, and the plan knows no key of it");
        let fault = fault(Code::AccountKeys, machine, last.name.span, message);
        session.report(
            fault
                .label("has no keys")
                .remedy("add `keys` or `keys_file`; a new host would have the account and let nobody in"),
        );
    }
}
