//! Arguments of `haus alerts`.

use super::Asked;
use clap::{Args, Subcommand};
use haus_model::ServiceName;
use haus_model::unit::parse_duration;
use std::time::Duration;

/// The longest silence, as the API has it: what is quiet for longer belongs into the plan.
const QUIET_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A span that a silence may have.
fn quiet(text: &str) -> Result<Duration, String> {
    let span = parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_secs(1)..=QUIET_MAX).contains(&span) {
        Ok(span)
    } else {
        Err("a silence lasts 1s to 30d".to_owned())
    }
}

/// Arguments of `alerts`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Alerts {
    /// What else to do.
    #[command(subcommand)]
    pub act: Option<AlertsAct>,
    /// Show also what is held back, not told yet, or just ending.
    #[arg(long)]
    pub all: bool,
    /// Show what is over: the last hundred alerts.
    #[arg(long, conflicts_with = "all")]
    pub past: bool,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Acts on alerts.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertsAct {
    /// Tell nobody about a service, or about anything, for a while.
    Silence(Silence),
    /// End a silence before its time.
    Unsilence(Unsilence),
}

/// Arguments of `alerts silence`.
#[derive(Debug, Args)]
pub(crate) struct Silence {
    /// The service; all when left out.
    pub service: Option<ServiceName>,
    /// How long, such as 2h; at most 30d.
    #[arg(long = "for", value_name = "SPAN", value_parser = quiet)]
    pub span: Duration,
    /// Why, for those who wonder.
    #[arg(long)]
    pub why: String,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `alerts unsilence`.
#[derive(Debug, Args)]
pub(crate) struct Unsilence {
    /// The id of the silence or the beginning of it, or the service.
    pub silence: String,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}
