//! Arguments of `haus vault`.

use super::Asked;
use clap::{Args, Subcommand};

/// Arguments of `vault`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Vault {
    /// What else to do.
    #[command(subcommand)]
    pub act: Option<VaultAct>,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Acts on the vault.
#[derive(Debug, Subcommand)]
pub(crate) enum VaultAct {
    /// Show where the key ring is and under which keys the values stand.
    Status(Asked),
    /// Make a new key and wrap everything anew with it, while the house goes on.
    RotateKey(Asked),
}
