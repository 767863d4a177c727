//! What a service lacks for its start: asked again and again while it waits, so without an entry in the
//! trail and without opening anything.

use super::{Vaulting, expired, has_expired};
use crate::desk::Desk;
use haus_model::CredentialName;
use haus_model::service::Service;
use std::collections::BTreeSet;

impl Vaulting {
    /// Why the files of a service cannot be had at present, as a person is told: `waits for credential ...`;
    /// none when nothing speaks against another try.
    pub(crate) async fn lack(&self, desk: &Desk, service: &Service) -> Option<String> {
        let names: BTreeSet<CredentialName> = service.credentials.values().cloned().collect();
        if names.is_empty() {
            return None;
        }
        if let Err(problem) = self.take_over_files(desk, &names).await {
            return Some(format!("waits for the vault: {}", problem.detail));
        }
        let holding = match self.holding(&desk.registrar, &service.name).await {
            Ok(holding) => holding,
            Err(problem) => return Some(format!("waits for the ledger: {}", problem.detail)),
        };
        let now = desk.clock.wall();
        for name in names {
            match holding.of_plan(&name) {
                None => {
                    let why = self.fault(&name).unwrap_or_else(|| {
                        format!("it has no value yet, or {} is not in its scope", service.name)
                    });
                    return Some(format!("waits for credential `{name}`: {why}"));
                }
                Some(held) if has_expired(&held.row, now) => {
                    let why = expired(&held.row).detail;
                    return Some(format!(
                        "waits for a new value: {why}; give it one with `haus credential rotate {name}`"
                    ));
                }
                Some(_) => {}
            }
        }
        let closed = self.keys().ring().err()?;
        Some(format!("waits for the vault: {}", closed.detail))
    }
}
