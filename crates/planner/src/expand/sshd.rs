//! Settings of the SSH server as a drop-in. Whether they lock us out is for the plan to see, not here.

use super::collect::{Collector, UnitWish, Wish};
use super::system::WRITTEN;
use haus_model::host::{Access, RootLogin, Sshd};
use haus_model::host_path;
use haus_model::resource::{Content, FileSpec, Spec};
use std::collections::BTreeSet;
use std::fmt::Write as _;

pub(crate) fn expand(collector: &mut Collector<'_>, sshd: &Sshd) {
    let why = collector.view.word("sshd");
    let packages = collector.package("openssh-server", &why);
    let spec = FileSpec {
        path: host_path::SSHD.into(),
        content: Content::Text(text(sshd)),
        access: Access::root(0o644),
        check: Some(vec!["/usr/sbin/sshd".to_owned(), "-t".to_owned()]),
    };
    let file = collector.add(Wish::new(Spec::File(spec), &why).needs([packages]).guarded(true));
    let wish = UnitWish {
        why,
        running: Some(true),
        guarded: true,
        reads: BTreeSet::from([file]),
        ..UnitWish::default()
    };
    collector.unit("ssh.service", wish);
}

fn text(sshd: &Sshd) -> String {
    let mut text = format!("{WRITTEN}\n");
    for port in &sshd.ports {
        let _ = writeln!(text, "Port {port}");
    }
    if let Some(passwords) = sshd.passwords {
        let word = if passwords { "yes" } else { "no" };
        let _ = writeln!(text, "PasswordAuthentication {word}\nKbdInteractiveAuthentication {word}");
    }
    if let Some(root) = sshd.root {
        let word = match root {
            RootLogin::No => "no",
            RootLogin::Keys => "prohibit-password",
        };
        let _ = writeln!(text, "PermitRootLogin {word}");
    }
    if !sshd.allow_users.is_empty() {
        let _ = writeln!(text, "AllowUsers {}", sshd.allow_users.join(" "));
    }
    text
}
