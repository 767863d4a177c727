//! What a host is found to be: the observed side of a comparison. Partial and dated.
//!
//! A state says what is there, as far as it could be seen; nothing here is wished. Values of secrets never
//! leave the host: a file with one is described by the version that our manifest noted and by whether it is
//! intact.

use crate::fingerprint::Fingerprint;
use crate::host::{Access, Protocol};
use crate::resource::{ResourceId, SecretVersion, Spec};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// Everything that one round trip brings home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// What the machine is.
    pub facts: Facts,
    /// What was asked for, and what our manifest lists.
    pub states: BTreeMap<ResourceId, State>,
    /// What we made there before.
    pub manifest: Manifest,
    /// An apply that began and did not end.
    pub open: Option<OpenApply>,
}

/// What the machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// As `hostname` says.
    pub hostname: String,
    /// `ID` and `VERSION_ID` of os-release, such as `debian-12`.
    pub os: String,
    /// As `uname -m` says.
    pub machine: String,
    /// As `uname -r` says.
    pub kernel: String,
    /// Changes with every boot.
    pub boot_id: String,
    /// Start of PID 1 in clock ticks since boot: differs after a restart of a container whose boot id stays.
    pub pid1_started_ticks: u64,
    /// The host's clock.
    pub clock: Timestamp,
    /// The account that acts there.
    pub user: String,
    /// Whether it is root.
    pub is_root: bool,
    /// Version of systemd; none when it does not run there.
    pub systemd: Option<u32>,
    /// Free space by mount point, for the folders that we write to.
    pub space: BTreeMap<PathBuf, Space>,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Who listens where.
    pub listeners: BTreeSet<Listener>,
}

/// Free space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Bytes that can be written.
    pub bytes: u64,
    /// Files that can be made.
    pub inodes: u64,
}

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Name of the process, as far as it could be seen.
    pub process: Option<String>,
    /// The systemd unit that it belongs to, as far as it could be seen.
    pub unit: Option<String>,
}

/// What is there in the place of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing.
    Absent,
    /// It could not be seen; the text says why.
    Unknown(String),
    /// Of the packages that were asked for: those that are installed, with their versions, and those that apt
    /// does not know.
    Packages {
        /// Name and version.
        installed: BTreeMap<String, String>,
        /// Names that apt does not know.
        unknown: BTreeSet<String>,
    },
    /// Installed packages that match the patterns, and whether each is held.
    Holds(BTreeMap<String, bool>),
    /// A group with its number.
    Group {
        /// Its number.
        gid: u32,
    },
    /// An account.
    User {
        /// Its number.
        uid: u32,
        /// Its primary group.
        group: String,
        /// Further groups.
        groups: BTreeSet<String>,
        /// Its home.
        home: PathBuf,
        /// Its shell.
        shell: PathBuf,
    },
    /// Lines of `authorized_keys` without comments and empty ones.
    Keys(Vec<String>),
    /// A folder.
    Directory {
        /// Who may do what.
        access: Access,
        /// Names in it, 0 when empty; counting stops at 1000.
        entries: u32,
    },
    /// A file.
    File {
        /// SHA-256 of its content; none for one that holds a secret.
        hash: Option<Fingerprint>,
        /// Its size.
        bytes: u64,
        /// Who may do what.
        access: Access,
        /// The content, when it is text, holds no secret and has at most 64 KiB.
        text: Option<String>,
        /// Which secret it holds, when our manifest says so and it still does.
        secret: Option<SecretVersion>,
    },
    /// A symbolic link.
    Link(PathBuf),
    /// Something else, such as a socket or a device.
    Other(String),
    /// The releases of a service.
    Releases {
        /// What the reference of the plan is at the source; the text says why it cannot be told.
        commit: Option<Result<String, String>>,
        /// Names of complete ones, the oldest first.
        complete: Vec<String>,
        /// Where `current` leads.
        current: Option<String>,
    },
    /// The value of a kernel parameter now, and in our file.
    Sysctl {
        /// In the kernel.
        value: String,
        /// In our file, which sets it at boot.
        at_boot: Option<String>,
    },
    /// A command.
    Command {
        /// What `unless` answered; none without one.
        satisfied: Option<bool>,
        /// The inputs with which it ended well last, as our manifest notes.
        done: Option<Fingerprint>,
    },
    /// A systemd unit.
    Unit {
        /// `enabled`, `disabled`, `static`, … as `systemctl is-enabled` says.
        enabled: String,
        /// `active`, `inactive`, `failed`, … as `systemctl is-active` says.
        active: String,
        /// The inputs with which we started it last, as our manifest notes.
        inputs: Option<Fingerprint>,
        /// Whether systemd has to read its files again.
        needs_reload: bool,
        /// What the command of the specification says of a running unit; none when there is nothing to ask.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_effect: Option<bool>,
    },
    /// What was proven last.
    Health {
        /// The inputs with which it answered, as our manifest notes.
        proven: Option<Fingerprint>,
    },
}

/// What we made on a host. Only what is listed here is ever removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// By resource.
    pub entries: BTreeMap<ResourceId, ManifestEntry>,
    /// Ports that were chosen for services here, by `SERVICE/INSTANCE/NAME`; they stay.
    pub ports: BTreeMap<String, u16>,
    /// The plan that was applied last, and when.
    pub applied: Option<(Fingerprint, Timestamp)>,
}

/// A resource of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// As it was made true last.
    pub spec: Spec,
    /// Whether it was not there before us; only then it is removed with its word in the plan.
    pub made: bool,
    /// For units, commands and health: the inputs that it has read or proven.
    pub inputs: Option<Fingerprint>,
}

/// An apply that began and did not end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenApply {
    /// Its id.
    pub id: String,
    /// Who began it, such as `anna@desk`.
    pub owner: String,
    /// Why, as given by a person.
    pub reason: Option<String>,
    /// The plan that it carries out.
    pub plan: Fingerprint,
    /// When it began, by the host's clock.
    pub began: Timestamp,
    /// Changes that are done.
    pub done: u32,
    /// Changes in all.
    pub of: u32,
    /// The resource of the change that was under way.
    pub under_way: Option<ResourceId>,
    /// Whether its process still lives, so that the host is locked.
    pub alive: bool,
}

/// One fingerprint of what was seen of these resources: planner and apply both compute it, and an apply
/// refuses when it differs. The order in which they come does not matter.
///
/// Left out is what may change between the two without making the plan wrong: which commit a tag is at the
/// source (the plan names the commit that is built), and how many names a folder has that is not empty. The
/// text of a file is told by its hash.
pub fn fingerprint_of<'a>(states: impl IntoIterator<Item = (&'a ResourceId, &'a State)>) -> Fingerprint {
    let sorted: BTreeMap<&ResourceId, &State> = states.into_iter().collect();
    let parts: Vec<Vec<u8>> = sorted
        .into_iter()
        .flat_map(|(id, state)| [id.as_str().as_bytes().to_vec(), settled(state)])
        .collect();
    Fingerprint::of_parts(parts.iter().map(Vec::as_slice))
}

/// The bytes of a state without what may change by itself.
fn settled(state: &State) -> Vec<u8> {
    let written = match state {
        State::Directory { access, entries } => {
            serde_json::to_vec(&State::Directory { access: access.clone(), entries: (*entries).min(1) })
        }
        State::Releases { commit: _, complete, current } => serde_json::to_vec(&State::Releases {
            commit: None,
            complete: complete.clone(),
            current: current.clone(),
        }),
        // The hash says the same, and a plan leaves out texts that nobody may read.
        State::File { hash, bytes, access, text: Some(_), secret } => serde_json::to_vec(&State::File {
            hash: *hash,
            bytes: *bytes,
            access: access.clone(),
            text: None,
            secret: secret.clone(),
        }),
        State::Absent
        | State::Unknown(_)
        | State::Packages { .. }
        | State::Holds(_)
        | State::Group { .. }
        | State::User { .. }
        | State::Keys(_)
        | State::File { .. }
        | State::Link(_)
        | State::Other(_)
        | State::Sysctl { .. }
        | State::Command { .. }
        | State::Unit { .. }
        | State::Health { .. } => serde_json::to_vec(state),
    };
    // Every key of a state is text, so that JSON can hold it.
    written.expect("a state is plain data with text as keys")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Kind;

    fn print(states: &[(&str, State)]) -> Fingerprint {
        let list: Vec<(ResourceId, State)> =
            states.iter().map(|(name, state)| (ResourceId::new(Kind::File, name), state.clone())).collect();
        fingerprint_of(list.iter().map(|(id, state)| (id, state)))
    }

    fn folder(entries: u32, mode: u32) -> State {
        State::Directory { access: Access::root(mode), entries }
    }

    fn releases(commit: &str, current: &str) -> State {
        let commit = Some(Ok(commit.to_owned()));
        State::Releases { commit, complete: vec!["a".to_owned()], current: Some(current.to_owned()) }
    }

    fn check(one: &[(&str, State)], other: &[(&str, State)], same: bool) {
        assert_eq!(print(one) == print(other), same, "{one:?} and {other:?}");
    }

    #[test]
    fn order_does_not_matter_and_every_resource_does() {
        let (a, b) = (("a", State::Absent), ("b", State::Link(PathBuf::from("/x"))));
        check(&[a.clone(), b.clone()], &[b.clone(), a.clone()], true);
        check(&[a.clone(), b.clone()], &[b], false);
        check(&[("a", State::Absent)], &[("b", State::Absent)], false);
    }

    #[test]
    fn what_moves_by_itself_is_left_out_and_nothing_else() {
        check(&[("d", folder(3, 0o755))], &[("d", folder(7, 0o755))], true);
        check(&[("d", folder(0, 0o755))], &[("d", folder(1, 0o755))], false);
        check(&[("d", folder(3, 0o755))], &[("d", folder(3, 0o700))], false);
        check(&[("r", releases("1", "a"))], &[("r", releases("2", "a"))], true);
        check(&[("r", releases("1", "a"))], &[("r", releases("1", "b"))], false);
    }
}
