//! Arguments of `haus trail`.

use super::{Asked, Target};
use clap::{Args, Subcommand};
use haus_coordinator::trail_verify::Fingerprint;
use std::path::PathBuf;

/// Arguments of `trail`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Trail {
    /// What else to do.
    #[command(subcommand)]
    pub act: Option<TrailAct>,
    /// What to show.
    #[command(flatten)]
    pub show: TrailShow,
}

/// Acts on the trail.
#[derive(Debug, Subcommand)]
pub(crate) enum TrailAct {
    /// Show the last entries: who did what to what, and how it ended.
    Show(TrailShow),
    /// Write the whole trail as JSON lines.
    Export(TrailExport),
    /// Find every change, removal and reordering, and with an anchor also a cut end.
    Verify(TrailVerify),
}

/// Arguments of `trail show`.
#[derive(Debug, Args)]
pub(crate) struct TrailShow {
    /// Only about this: credential:NAME, service:api/1, token:ID, house.
    #[arg(long)]
    pub subject: Option<String>,
    /// Only of this actor: service:api/1, admin:uid=0, house.
    #[arg(long)]
    pub actor: Option<String>,
    /// Only this action, such as credential-read.
    #[arg(long)]
    pub action: Option<String>,
    /// How many entries, at most 1000.
    #[arg(long, short = 'n', default_value_t = 50)]
    pub lines: u64,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `trail export`.
#[derive(Debug, Args)]
pub(crate) struct TrailExport {
    /// The new file (mode 0600); standard output when left out.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Which house.
    #[command(flatten)]
    pub target: Target,
}

/// Arguments of `trail verify`.
#[derive(Debug, Args)]
pub(crate) struct TrailVerify {
    /// A copy of the database or an export; the house's own trail when left out. No house need run for a
    /// copy.
    pub copy: Option<PathBuf>,
    /// The anchor to hold it against; for the house's own trail the one in its state folder when left out.
    #[arg(long, value_name = "FILE")]
    pub anchor: Option<PathBuf>,
    /// Believe the anchor only when this key signed it: the fingerprint that an earlier verification has
    /// printed.
    #[arg(long, value_name = "FINGERPRINT")]
    pub key: Option<Fingerprint>,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}
