//! Would a change close the door by which we come? What can be seen beforehand is refused; what cannot
//! (addresses behind translation, keys) is left to the revert that every guarded change brings.

use crate::desired::DesiredHost;
use crate::findings::About;
use haus_model::Finding;
use haus_model::change::{ActKind, Change};
use haus_model::host::{Connect, Protocol, RootLogin, Sshd};
use haus_model::host_code::HostCode;
use haus_model::inventory::Facts;
use haus_model::resource::Spec;
use std::collections::BTreeSet;

const SSH_PORT: u16 = 22;

/// Findings about changes after which we could not come back.
pub(crate) fn lock_out(
    about: About<'_>,
    host: &DesiredHost,
    facts: &Facts,
    changes: &[Change],
) -> Vec<Finding> {
    let Connect::Ssh { user, port, .. } = &host.connect else { return Vec::new() };
    if changes.is_empty() {
        return Vec::new();
    }
    let door =
        Door { login: user.as_deref().unwrap_or(&facts.user), port: *port, present: sshd_ports(facts) };
    let mut findings = Vec::new();
    let mut refuse = |message: String, remedy: &str| {
        findings.push(about.finding(HostCode::LockOut, message, remedy));
    };
    // Settings that hold already have not locked us out.
    let touches =
        |path: &str| changes.iter().any(|change| change.guarded && change.resource.name().contains(path));
    if let Some(sshd) = host.sshd.as_ref().filter(|_| touches("sshd")) {
        door.check_sshd(sshd, &mut refuse);
    }
    if let Some(firewall) = host.firewall.as_ref().filter(|_| touches("firewall")) {
        let tcp = firewall.allow.iter().filter(|rule| rule.protocol == Protocol::Tcp);
        let open: BTreeSet<u16> = tcp.map(|rule| rule.port).collect();
        let doors = door.ports_after(host.sshd.as_ref());
        if doors.is_disjoint(&open) {
            let ports: Vec<String> = doors.iter().map(u16::to_string).collect();
            refuse(
                format!("the firewall lets nobody in on port {}, by which we come", ports.join(" or ")),
                "allow the port of SSH",
            );
        }
    }
    for change in changes {
        match (&change.spec, change.act) {
            (Spec::Keys(keys), ActKind::Create | ActKind::Update)
                if keys.user == door.login && keys.keys.is_empty() =>
            {
                refuse(
                    format!("no key may log in to {} any more, by which we come", door.login),
                    "name at least your own key",
                );
            }
            (Spec::Keys(keys), ActKind::Remove) if keys.user == door.login => {
                refuse(
                    format!("the keys of {} are removed, by which we come", door.login),
                    "keep them in the plan, or log in by another account first",
                );
            }
            (Spec::User(account), ActKind::Remove) if account.name == door.login => {
                refuse(
                    format!("the account {} is removed, by which we come", door.login),
                    "keep it in the plan, or log in by another account first",
                );
            }
            (_, _) => {}
        }
    }
    findings
}

/// How we come in.
struct Door<'a> {
    login: &'a str,
    /// As the plan says; what ssh's own configuration says otherwise.
    port: Option<u16>,
    /// Where the SSH server listens as long as nothing is changed.
    present: BTreeSet<u16>,
}

impl Door<'_> {
    /// Ports of the host by which we may have come. A port of the plan on which nobody listens there is
    /// forwarded from somewhere, so any of the server's ports may be the one.
    fn ports_before(&self) -> BTreeSet<u16> {
        match self.port {
            Some(port) if self.present.is_empty() || self.present.contains(&port) => BTreeSet::from([port]),
            Some(_) => self.present.clone(),
            None if self.present.is_empty() => BTreeSet::from([SSH_PORT]),
            None => self.present.clone(),
        }
    }

    fn ports_after(&self, sshd: Option<&Sshd>) -> BTreeSet<u16> {
        let before = self.ports_before();
        match sshd {
            Some(sshd) if !sshd.ports.is_empty() => {
                sshd.ports.iter().copied().filter(|port| before.contains(port)).collect()
            }
            Some(_) | None => before,
        }
    }

    fn check_sshd(&self, sshd: &Sshd, refuse: &mut dyn FnMut(String, &str)) {
        if sshd.root == Some(RootLogin::No) && self.login == "root" {
            refuse(
                "root may not log in any more, by which we come".to_owned(),
                "log in by another account with sudo first",
            );
        }
        let allowed = &sshd.allow_users;
        if !allowed.is_empty() && !allowed.iter().any(|user| user == self.login) {
            refuse(
                format!("`allow_users` leaves out {}, by which we come", self.login),
                "add the account, or log in by another first",
            );
        }
        if !sshd.ports.is_empty() && self.ports_after(Some(sshd)).is_empty() {
            let ports: Vec<String> = self.ports_before().iter().map(u16::to_string).collect();
            refuse(
                format!("the server leaves port {}, by which we come", ports.join(" and ")),
                "let it listen on both, change `connect`, then take the old one away",
            );
        }
    }
}

/// Where the SSH server listens. With socket activation the unit says so, otherwise the process.
fn sshd_ports(facts: &Facts) -> BTreeSet<u16> {
    let is_sshd = |listener: &&haus_model::inventory::Listener| {
        listener.protocol == Protocol::Tcp
            && (listener.process.as_deref() == Some("sshd")
                || matches!(listener.unit.as_deref(), Some("ssh.service" | "ssh.socket" | "sshd.service")))
    };
    facts.listeners.iter().filter(is_sshd).map(|listener| listener.port).collect()
}
