//! Arguments of `haus credential`. No argument holds a value: arguments can be read by everybody on the
//! machine.

use super::{Asked, Keys};
use clap::{Args, Subcommand};
use haus_model::unit::parse_duration;
use haus_model::{CredentialKind, ServiceName};
use std::path::PathBuf;
use std::time::Duration;

/// Acts on credentials.
#[derive(Debug, Subcommand)]
pub(crate) enum Credential {
    /// Make a credential, or give one of the plan (`given: true`) its first value.
    Create(CredentialCreate),
    /// List the credentials, without values.
    List(CredentialList),
    /// Show one credential, without its value.
    Show(CredentialOne),
    /// Show the versions of one credential, without values.
    Versions(CredentialOne),
    /// Replace the value: deliver the new one, prove it, retire the old one, or undo.
    Rotate(CredentialRotate),
    /// Remove a credential with all its versions.
    Revoke(CredentialRevoke),
    /// Take over values from a file with lines NAME=VALUE, or from JSON; all that is new or nothing.
    ///
    /// Lines: `NAME=VALUE`, with `export` in front or not; `#` begins a comment. The credential's name is
    /// NAME in small letters with dashes for underscores. Quotes may span lines: in '…' everything is
    /// literal, in "…" there are \n, \r, \t, \", \\ and \$. What programs read differently (`$`, backslash,
    /// blanks, quotes inside) wants single quotes.
    ///
    /// JSON: an object of NAME: "VALUE" or NAME: {"value": …, "service": …, "type": …, "scope": […],
    /// "description": …, "expires_at": …}.
    #[command(verbatim_doc_comment)]
    Import(CredentialImport),
}

/// Arguments of `credential create`.
#[derive(Debug, Args)]
pub(crate) struct CredentialCreate {
    /// The name, or SERVICE/NAME.
    pub name: String,
    /// The service that owns it; left out for a credential of the plan.
    #[arg(long, short)]
    pub service: Option<ServiceName>,
    /// What it is used for: api_key, oauth, basic_auth, jwt, database, webhook or custom.
    #[arg(long)]
    pub kind: Option<CredentialKind>,
    /// Read the value from this file (`-`: from standard input), a single line without its end, instead of
    /// asking for it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["generate", "length"])]
    pub from: Option<PathBuf>,
    /// Have the value generated.
    #[arg(long)]
    pub generate: bool,
    /// Characters of a generated value, 16 to 4096.
    #[arg(long)]
    pub length: Option<u32>,
    /// Further services that may have it; several with commas or by repeating.
    #[arg(long, value_delimiter = ',')]
    pub scope: Vec<ServiceName>,
    /// For people.
    #[arg(long)]
    pub description: Option<String>,
    /// When the value may no longer be read, such as 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "ttl")]
    pub expires_at: Option<String>,
    /// The same as a span from now, such as 90d.
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    pub ttl: Option<Duration>,
    /// Days between rotations.
    #[arg(long, value_name = "DAYS")]
    pub rotate_days: Option<u32>,
    /// Where the key ring is, for a house that does not run.
    #[command(flatten)]
    pub keys: Keys,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `credential list`.
#[derive(Debug, Args)]
pub(crate) struct CredentialList {
    /// Only those that this service may have.
    #[arg(long, short)]
    pub service: Option<ServiceName>,
    /// Only of this kind.
    #[arg(long)]
    pub kind: Option<CredentialKind>,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `credential show` and `credential versions`.
#[derive(Debug, Args)]
pub(crate) struct CredentialOne {
    /// NAME, SERVICE/NAME, /NAME for one of the plan, or the id.
    pub name: String,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `credential rotate`.
#[derive(Debug, Args)]
pub(crate) struct CredentialRotate {
    /// NAME, SERVICE/NAME, /NAME for one of the plan, or the id.
    pub name: String,
    /// Read the new value from this file (`-`: from standard input) instead of having it generated.
    #[arg(long, value_name = "FILE", conflicts_with = "ask")]
    pub from: Option<PathBuf>,
    /// Ask for the new value at the terminal instead of having it generated.
    #[arg(long)]
    pub ask: bool,
    /// The old value is in wrong hands: it ends as soon as the new one is proven, without overlap.
    #[arg(long)]
    pub emergency: bool,
    /// Wait until the new value is in force, or the old one is again.
    #[arg(long, short)]
    pub wait: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "SPAN", value_parser = parse_duration, default_value = "5m", requires = "wait")]
    pub within: Duration,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `credential revoke`.
#[derive(Debug, Args)]
pub(crate) struct CredentialRevoke {
    /// NAME, SERVICE/NAME or the id.
    pub name: String,
    /// Do it without asking.
    #[arg(long, short)]
    pub yes: bool,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `credential import`.
#[derive(Debug, Args)]
pub(crate) struct CredentialImport {
    /// The file; `-` for standard input.
    pub file: PathBuf,
    /// The service that owns them, unless the file says another; left out for credentials of the plan.
    #[arg(long, short)]
    pub service: Option<ServiceName>,
    /// What they are used for, unless the file says something else.
    #[arg(long)]
    pub kind: Option<CredentialKind>,
    /// Rotate those that are there already to the value of the file, each by itself, instead of refusing the
    /// file.
    #[arg(long)]
    pub replace: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}
