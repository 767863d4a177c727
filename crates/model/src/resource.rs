//! What one host must have, piece by piece: the desired side of a comparison.
//!
//! A resource says what must be true, not how it is made so. Whoever expands a plan makes resources, whoever
//! works on a host makes them true. Values of secrets are never here, only their names and versions.

use crate::fingerprint::Fingerprint;
use crate::host::Access;
use crate::id::{CredentialName, ServiceName};
use crate::json::Json;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// Kinds of resources, in the order in which a host is usually built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Installed packages.
    Packages,
    /// Packages that upgrades leave alone.
    Holds,
    /// A group.
    Group,
    /// An account.
    User,
    /// Public keys of an account.
    Keys,
    /// A folder.
    Directory,
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// A built release of a service.
    Release,
    /// Which release is the current one.
    Switch,
    /// A kernel parameter.
    Sysctl,
    /// A command with an outcome that nobody else can say.
    Command,
    /// The state of a systemd unit.
    Unit,
    /// The proof that something answers.
    Health,
}

impl Kind {
    /// The word in an id.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Packages => "packages",
            Kind::Holds => "holds",
            Kind::Group => "group",
            Kind::User => "user",
            Kind::Keys => "keys",
            Kind::Directory => "directory",
            Kind::File => "file",
            Kind::Link => "link",
            Kind::Release => "release",
            Kind::Switch => "switch",
            Kind::Sysctl => "sysctl",
            Kind::Command => "command",
            Kind::Unit => "unit",
            Kind::Health => "health",
        }
    }
}

/// Kind and name, such as `file:/etc/motd`; unique on a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(Box<str>);

impl ResourceId {
    /// From its parts.
    pub fn new(kind: Kind, name: impl fmt::Display) -> ResourceId {
        ResourceId(format!("{}:{name}", kind.as_str()).into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the kind.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, name)| name)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that must be true on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its id.
    pub id: ResourceId,
    /// What must be true.
    pub spec: Spec,
    /// What must be true before.
    pub needs: BTreeSet<ResourceId>,
    /// The service that it is for; none when it is the host's own.
    pub service: Option<ServiceName>,
    /// Which word of the plan wants it, for people.
    pub why: String,
    /// Whether a mistake here can lock us out, so that it must revert itself unless it is confirmed.
    pub guarded: bool,
}

/// What must be true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spec {
    /// Debian packages are installed.
    Packages(PackagesSpec),
    /// Debian packages are held.
    Holds(HoldsSpec),
    /// A group exists.
    Group(GroupSpec),
    /// An account exists.
    User(UserSpec),
    /// An account's `authorized_keys` holds exactly these keys.
    Keys(KeysSpec),
    /// A folder exists.
    Directory(DirectorySpec),
    /// A file has this content.
    File(FileSpec),
    /// A link leads there.
    Link(LinkSpec),
    /// A release is there, completely built.
    Release(ReleaseSpec),
    /// The current release is this one.
    Switch(SwitchSpec),
    /// A kernel parameter has this value, at once and after a restart.
    Sysctl(SysctlSpec),
    /// A command was run.
    Command(CommandSpec),
    /// A systemd unit is in this state and has read its present inputs.
    Unit(UnitSpec),
    /// Something answers.
    Health(HealthSpec),
}

impl Spec {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Spec::Packages(_) => Kind::Packages,
            Spec::Holds(_) => Kind::Holds,
            Spec::Group(_) => Kind::Group,
            Spec::User(_) => Kind::User,
            Spec::Keys(_) => Kind::Keys,
            Spec::Directory(_) => Kind::Directory,
            Spec::File(_) => Kind::File,
            Spec::Link(_) => Kind::Link,
            Spec::Release(_) => Kind::Release,
            Spec::Switch(_) => Kind::Switch,
            Spec::Sysctl(_) => Kind::Sysctl,
            Spec::Command(_) => Kind::Command,
            Spec::Unit(_) => Kind::Unit,
            Spec::Health(_) => Kind::Health,
        }
    }

    /// The id that belongs to it.
    pub fn id(&self) -> ResourceId {
        let kind = self.kind();
        match self {
            Spec::Packages(_) | Spec::Holds(_) => ResourceId::new(kind, "apt"),
            Spec::Group(spec) => ResourceId::new(kind, &spec.name),
            Spec::User(spec) => ResourceId::new(kind, &spec.name),
            Spec::Keys(spec) => ResourceId::new(kind, &spec.user),
            Spec::Directory(spec) => ResourceId::new(kind, spec.path.display()),
            Spec::File(spec) => ResourceId::new(kind, spec.path.display()),
            Spec::Link(spec) => ResourceId::new(kind, spec.path.display()),
            Spec::Release(spec) => ResourceId::new(kind, spec.root.display()),
            Spec::Switch(spec) => ResourceId::new(kind, spec.root.display()),
            Spec::Sysctl(spec) => ResourceId::new(kind, &spec.key),
            Spec::Command(spec) => ResourceId::new(kind, &spec.name),
            Spec::Unit(spec) => ResourceId::new(kind, &spec.name),
            Spec::Health(spec) => ResourceId::new(kind, &spec.name),
        }
    }
}

/// Debian packages that must be installed, in whatever version apt chooses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackagesSpec {
    /// Names.
    pub names: BTreeSet<String>,
}

/// Packages that upgrades must leave alone (`apt-mark hold`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldsSpec {
    /// Names, or patterns with `*` and `?`; a pattern means what is installed.
    pub patterns: BTreeSet<String>,
}

/// A group of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Its name.
    pub name: String,
    /// Whether it is a system group.
    pub system: bool,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// Its name.
    pub name: String,
    /// Its number; chosen by the host when absent.
    pub uid: Option<u32>,
    /// Whether it is a system account.
    pub system: bool,
    /// Its primary group, which must exist.
    pub group: String,
    /// Further groups; those that are named neither here nor in `leaves` are none of our business.
    pub groups: BTreeSet<String>,
    /// Groups that we wanted for it before and do not want any more. Only filled in when the host was
    /// observed and the account is in them; a wish knows none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub leaves: BTreeSet<String>,
    /// Its home.
    pub home: PathBuf,
    /// Whether the home is made.
    pub make_home: bool,
    /// Its shell.
    pub shell: PathBuf,
}

/// The keys that may log in to an account. The file is ours: other keys in it are removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysSpec {
    /// The account.
    pub user: String,
    /// Lines of `authorized_keys`.
    pub keys: Vec<String>,
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectorySpec {
    /// Absolute.
    pub path: PathBuf,
    /// Who may do what.
    pub access: Access,
}

/// Which version of a credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretVersion {
    /// The credential.
    pub credential: CredentialName,
    /// Its version.
    pub version: u64,
}

/// What stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// This text.
    Text(String),
    /// These bytes, carried beside the plan.
    Blob {
        /// Their hash, by which they are found.
        hash: Fingerprint,
        /// How many.
        bytes: u64,
    },
    /// The value of a credential, carried at the last moment.
    Secret(SecretVersion),
}

impl Content {
    /// What tells whether content changed; for a secret its name and version.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Content::Text(text) => Fingerprint::of(text.as_bytes()),
            Content::Blob { hash, .. } => *hash,
            Content::Secret(secret) => Fingerprint::of_parts([
                b"secret".as_slice(),
                secret.credential.as_str().as_bytes(),
                &secret.version.to_be_bytes(),
            ]),
        }
    }
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Absolute.
    pub path: PathBuf,
    /// What stands in it.
    pub content: Content,
    /// Who may do what.
    pub access: Access,
    /// A command that must accept it. With `{}` in it, the candidate is checked before it gets its name;
    /// without, it gets its name, the command looks at the whole, and the old file comes back when the
    /// command refuses.
    pub check: Option<Vec<String>>,
}

/// A symbolic link. What stands in its place and is no link is never replaced, except an empty folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSpec {
    /// Absolute.
    pub path: PathBuf,
    /// As it is written into the link.
    pub target: PathBuf,
}

/// Where the code of a release comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseSource {
    /// A checkout of a git repository.
    Git {
        /// Its address.
        url: String,
        /// Tag, branch or commit as the plan says.
        reference: String,
        /// What the host says that this is; none before the host was asked.
        commit: Option<String>,
    },
    /// A tar archive, carried beside the plan.
    Archive {
        /// Its hash.
        hash: Fingerprint,
        /// Its size.
        bytes: u64,
    },
}

/// One command of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildCommand {
    /// The folder inside the release; the release itself when empty.
    pub folder: PathBuf,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment besides `PATH`, `HOME` and `LANG`.
    pub env: BTreeMap<String, String>,
}

/// A release: a folder `ROOT/releases/ID` that was built once and never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseSpec {
    /// The folder of the service.
    pub root: PathBuf,
    /// Its source.
    pub source: ReleaseSource,
    /// How it is built, in order.
    pub build: Vec<BuildCommand>,
    /// Links inside it (relative path), and where they lead.
    pub links: BTreeMap<PathBuf, PathBuf>,
    /// The account that builds and owns it.
    pub user: String,
}

impl ReleaseSpec {
    /// The name of its folder: what it was made from and how. None before the host has said which commit it
    /// is.
    pub fn release_id(&self) -> Option<String> {
        let source = match &self.source {
            ReleaseSource::Git { commit, .. } => commit.clone()?,
            ReleaseSource::Archive { hash, .. } => hash.to_string(),
        };
        let mut parts: Vec<Vec<u8>> = vec![source.clone().into_bytes()];
        for command in &self.build {
            parts.push(command.folder.as_os_str().as_encoded_bytes().to_vec());
            parts.push((command.argv.len() as u64).to_be_bytes().to_vec());
            parts.extend(command.argv.iter().map(|word| word.clone().into_bytes()));
            for (name, value) in &command.env {
                parts.push(format!("{name}={value}").into_bytes());
            }
        }
        for (path, target) in &self.links {
            parts.push(path.as_os_str().as_encoded_bytes().to_vec());
            parts.push(target.as_os_str().as_encoded_bytes().to_vec());
        }
        let how = Fingerprint::of_parts(parts.iter().map(Vec::as_slice));
        let source: String = source.chars().take(12).collect();
        Some(format!("{source}-{}", &how.to_string()[..8]))
    }
}

/// Which release `ROOT/current` leads to. Older ones than `keep` are removed, never the current one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchSpec {
    /// The folder of the service.
    pub root: PathBuf,
    /// The release; none before the host has said which commit it is.
    pub release: Option<String>,
    /// Releases that stay besides the current one.
    pub keep: u32,
}

/// A kernel parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysctlSpec {
    /// Its name, such as `net.core.somaxconn`.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A command that makes something true. It runs when `unless` fails; without `unless` once for the same
/// `inputs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// Its name in the plan.
    pub name: String,
    /// Program and arguments.
    pub run: Vec<String>,
    /// Ends with 0 when nothing is to be done.
    pub unless: Option<Vec<String>>,
    /// The account.
    pub user: String,
    /// Working folder.
    pub folder: PathBuf,
    /// Files in `$CREDENTIALS_DIRECTORY` while it runs.
    pub credentials: BTreeMap<String, SecretVersion>,
    /// What it depends on.
    pub inputs: Fingerprint,
}

/// What a running unit does when its inputs changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    /// It is restarted.
    Restart,
    /// It is told to read them again (`reload-or-restart`).
    Reload,
}

/// The state of a systemd unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSpec {
    /// Its full name.
    pub name: String,
    /// Whether it starts with the machine; none is left as it is.
    pub enabled: Option<bool>,
    /// Whether it runs; none is left as it is.
    pub running: Option<bool>,
    /// What happens when its inputs changed.
    pub on_change: OnChange,
    /// A command that ends with 0 while what the unit set up is still there. It is asked of a running unit
    /// whose work lives on without a process, such as rules in the kernel; when it fails, `on_change`
    /// follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_effect: Option<Vec<String>>,
    /// Everything that it reads at its start: files, release, credentials. The host remembers what it last
    /// read.
    pub inputs: Fingerprint,
}

impl UnitSpec {
    /// The inputs of a unit that reads nothing of ours. Such a unit is never restarted for what it may have
    /// read before.
    pub fn no_inputs() -> Fingerprint {
        Fingerprint::of_parts([])
    }
}

/// What is asked to see whether something answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthQuestion {
    /// HTTP/1.1 GET.
    Http {
        /// Where, such as `127.0.0.1:8000`.
        address: String,
        /// Path and query.
        path: String,
        /// Status code.
        status: u16,
        /// Members that the JSON body must have.
        json: Option<Json>,
        /// Text that the body must contain.
        text: Option<String>,
    },
    /// A TCP connection is accepted.
    Tcp {
        /// Where.
        address: String,
    },
    /// A command ends with 0.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// The account.
        user: String,
        /// Working folder.
        folder: PathBuf,
    },
    /// A systemd unit is active and stays so.
    Unit {
        /// Its name.
        name: String,
    },
}

/// The proof that something works after a change. Without it the change is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSpec {
    /// What it proves, such as `api` or `api/2`.
    pub name: String,
    /// What is asked, from the host itself.
    pub question: HealthQuestion,
    /// How long one question may take.
    pub timeout_ms: u64,
    /// How long until it must be good.
    pub within_ms: u64,
    /// What it proves: the inputs of the unit. The host remembers what was proven last.
    pub inputs: Fingerprint,
}
