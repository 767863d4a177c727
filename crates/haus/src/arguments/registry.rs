//! Arguments of `haus services` and `haus discover`.

use super::Asked;
use clap::Args;
use haus_model::ServiceName;

/// Arguments of `services`.
#[derive(Debug, Args)]
pub(crate) struct Services {
    /// Only this service, with all that is known of its instances.
    pub name: Option<ServiceName>,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}

/// Arguments of `discover`.
#[derive(Debug, Args)]
pub(crate) struct Discover {
    /// The service.
    pub name: ServiceName,
    /// Which house, and for whom the answer is written.
    #[command(flatten)]
    pub asked: Asked,
}
