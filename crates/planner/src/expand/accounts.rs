//! Accounts of the plan: a group of the same name, the account, its keys. Knows no account of a service.

use super::collect::{Collector, Wish};
use haus_model::host::Account;
use haus_model::resource::{GroupSpec, KeysSpec, Spec, UserSpec};
use std::collections::BTreeSet;
use std::path::PathBuf;

pub(crate) fn expand(collector: &mut Collector<'_>) {
    for (name, account) in &collector.view.host.settings.accounts {
        let why = collector.view.word(&format!("accounts.{name}"));
        // Root is there, and nothing of it but its keys is the plan's business.
        if name != "root" {
            let group = GroupSpec { name: name.clone(), system: account.system };
            collector.add(Wish::new(Spec::Group(group), &why));
            collector.add(Wish::new(Spec::User(user(name, account)), &why));
        }
        if let Some(keys) = &account.keys {
            let spec = KeysSpec { user: name.clone(), keys: keys.clone() };
            collector.add(Wish::new(Spec::Keys(spec), format!("{why}.keys")));
        }
    }
}

fn user(name: &str, account: &Account) -> UserSpec {
    let home = account.home.clone();
    let make_home = home.is_some() || !account.system;
    let otherwise =
        if account.system { PathBuf::from("/nonexistent") } else { PathBuf::from("/home").join(name) };
    let shell = if account.system { "/usr/sbin/nologin" } else { "/bin/bash" };
    UserSpec {
        name: name.to_owned(),
        uid: account.uid,
        system: account.system,
        group: name.to_owned(),
        groups: account.groups.clone(),
        leaves: BTreeSet::new(),
        home: home.unwrap_or(otherwise),
        make_home,
        shell: account.shell.clone().unwrap_or_else(|| shell.into()),
    }
}
