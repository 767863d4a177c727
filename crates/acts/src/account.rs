//! Accounts and groups of the machine, read from its files. The C library's way would load other libraries at
//! run time, which a static program cannot; what is in no file is asked from `getent`.

use crate::machine::Machine;
use crate::refusal::Result;
use crate::wire::Refusal;
use haus_model::host::Access;
use haus_model::host_code::HostCode;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its name.
    pub(crate) name: String,
    /// Its number.
    pub(crate) uid: u32,
    /// The number of its primary group.
    pub(crate) gid: u32,
    /// Its home.
    pub(crate) home: PathBuf,
    /// Its shell.
    pub(crate) shell: PathBuf,
}

/// Numbers and bits of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Owned {
    /// Number of the owner.
    pub(crate) uid: u32,
    /// Number of the group.
    pub(crate) gid: u32,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// All accounts and groups, as they were when they were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    users: Vec<Account>,
    groups: Vec<(String, u32, BTreeSet<String>)>,
    user_names: BTreeMap<u32, usize>,
    group_names: BTreeMap<u32, usize>,
    real: bool,
}

impl Accounts {
    /// Reads them.
    pub(crate) fn read(machine: &Machine) -> Accounts {
        let users: Vec<Account> = machine.text("/etc/passwd").lines().filter_map(user_of).collect();
        let groups: Vec<_> = machine.text("/etc/group").lines().filter_map(group_of).collect();
        // The first one of a number counts, as for the C library.
        let user_names = users.iter().enumerate().rev().map(|(at, user)| (user.uid, at)).collect();
        let group_names = groups.iter().enumerate().rev().map(|(at, group)| (group.1, at)).collect();
        Accounts { users, groups, user_names, group_names, real: machine.is_real() }
    }

    /// An account by name.
    pub(crate) fn user(&self, name: &str) -> Option<Account> {
        let known = self.users.iter().find(|user| user.name == name).cloned();
        known.or_else(|| self.getent("passwd", name).as_deref().and_then(user_of))
    }

    /// An account that has to be there.
    pub(crate) fn expect_user(&self, name: &str) -> Result<Account> {
        self.user(name).ok_or_else(|| {
            Refusal::new(
                HostCode::ActFailed,
                format!("look up the account {name}"),
                "there is no such account on the host",
                "name it under `accounts:` of the host",
            )
        })
    }

    /// The number of a group.
    pub(crate) fn gid(&self, name: &str) -> Option<u32> {
        let known = self.groups.iter().find(|group| group.0 == name).map(|group| group.1);
        known.or_else(|| self.getent("group", name).as_deref().and_then(group_of).map(|group| group.1))
    }

    /// The name of an account, or its number when it has none.
    pub(crate) fn user_name(&self, uid: u32) -> String {
        self.user_names.get(&uid).map_or_else(|| uid.to_string(), |at| self.users[*at].name.clone())
    }

    /// The name of a group, or its number when it has none.
    pub(crate) fn group_name(&self, gid: u32) -> String {
        self.group_names.get(&gid).map_or_else(|| gid.to_string(), |at| self.groups[*at].0.clone())
    }

    /// Further groups of an account.
    pub(crate) fn groups_of(&self, user: &str) -> BTreeSet<String> {
        self.groups.iter().filter(|group| group.2.contains(user)).map(|group| group.0.clone()).collect()
    }

    /// Numbers and bits for names.
    pub(crate) fn owned(&self, access: &Access) -> Result<Owned> {
        let uid = match self.user(&access.owner) {
            Some(user) => user.uid,
            None => access.owner.parse().map_err(|_| missing("account", &access.owner))?,
        };
        let gid = match self.gid(&access.group) {
            Some(gid) => gid,
            None => access.group.parse().map_err(|_| missing("group", &access.group))?,
        };
        Ok(Owned { uid, gid, mode: access.mode })
    }

    /// Names for numbers.
    pub(crate) fn access(&self, owned: Owned) -> Access {
        Access { owner: self.user_name(owned.uid), group: self.group_name(owned.gid), mode: owned.mode }
    }

    fn getent(&self, what: &str, name: &str) -> Option<String> {
        if !self.real || name.is_empty() || name.starts_with('-') {
            return None;
        }
        let asked =
            Command::new("getent").args([what, name]).stdin(Stdio::null()).stderr(Stdio::null()).output();
        let output = asked.ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
    }
}

fn missing(what: &str, name: &str) -> Refusal {
    Refusal::new(
        HostCode::ActFailed,
        format!("look up the {what} {name}"),
        format!("there is no such {what} on the host"),
        format!("let the plan make the {what} before"),
    )
}

fn user_of(line: &str) -> Option<Account> {
    let mut parts = line.split(':');
    let (name, _password, uid, gid) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (_comment, home, shell) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: Path::new(home).to_owned(),
        shell: Path::new(shell).to_owned(),
    })
}

fn group_of(line: &str) -> Option<(String, u32, BTreeSet<String>)> {
    let mut parts = line.split(':');
    let (name, _password, gid, members) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let members = members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Some((name.to_owned(), gid.parse().ok()?, members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_none_are_left_out() {
        assert_eq!(user_of("root:x:0:0:root:/root:/bin/bash").map(|user| user.uid), Some(0));
        assert_eq!(user_of("+::::::"), None);
        assert_eq!(user_of(""), None);
        assert_eq!(group_of("adm:x:4:syslog,anna").map(|group| group.2.len()), Some(2));
        assert_eq!(group_of("adm:x:many:"), None);
    }
}
