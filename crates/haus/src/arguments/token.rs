//! Arguments of `haus token`.

use super::Asked;
use clap::{Args, Subcommand};
use haus_model::unit::parse_duration;
use haus_model::{Scope, ServiceName};
use std::path::PathBuf;
use std::time::Duration;

/// Acts on tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a one-time token; its text is shown this once.
    Create(TokenCreate),
    /// List one-time tokens that nobody used yet, and sessions.
    List(Asked),
    /// Take back a one-time token, or end a session.
    Revoke(TokenRevoke),
    /// Make a new key for signing access tokens.
    RotateKey(TokenRotateKey),
}

/// Arguments of `token create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// The service that it is for; gives the usual scopes of a service.
    #[arg(long, short)]
    pub service: Option<ServiceName>,
    /// The instance of the service that it is bound to.
    #[arg(long, requires = "service")]
    pub instance: Option<String>,
    /// For somebody who is no service: a name for lists and the trail.
    #[arg(long, required_unless_present = "service", conflicts_with = "service")]
    pub name: Option<String>,
    /// What its holder may do (cred:read:SERVICE, registry:write:SERVICE, gateway:call:SERVICE,
    /// gateway:call:*, read, admin); several with commas or by repeating.
    #[arg(long, value_delimiter = ',', required_unless_present = "service")]
    pub scope: Vec<Scope>,
    /// How long it can be used, such as 2h; a day when left out.
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    pub expires: Option<Duration>,
    /// Write the token to this new file (mode 0600) instead of showing it.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `token revoke`.
#[derive(Debug, Args)]
pub(crate) struct TokenRevoke {
    /// The id or the beginning of it, or whom it lets in, such as service:api/1.
    pub token: String,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `token rotate-key`.
#[derive(Debug, Args)]
pub(crate) struct TokenRotateKey {
    /// The key was stolen: everything that it signed ends at once.
    #[arg(long)]
    pub stolen: bool,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}
