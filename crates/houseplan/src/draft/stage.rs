//! A stage with what it inherits: the few values in which stages may differ.

use super::{Draft, Fleet, GatewayDraft};
use crate::tree::Text;
use std::collections::HashMap;

/// The name of the only stage of a plan without `stages`.
pub(crate) const DEFAULT_STAGE: &str = "default";

/// One stage with everything inherited.
pub(crate) struct Stage<'a, 't> {
    pub(crate) name: &'t str,
    /// As written; the default is made from the house's name.
    pub(crate) domain: Option<Text<'t>>,
    pub(crate) vars: HashMap<&'t str, Text<'t>>,
    pub(crate) gateway: GatewayDraft<'t>,
    pub(crate) fleet: Fleet<'a, 't>,
}

impl<'a, 't> Stage<'a, 't> {
    /// All stages of a plan, in the order in which they are written.
    pub(crate) fn all(draft: &'a Draft<'t>) -> Vec<Stage<'a, 't>> {
        let common = |own: Option<&super::StageDraft<'t>>| Stage {
            name: DEFAULT_STAGE,
            domain: draft.domain,
            vars: draft.vars.iter().map(|(name, value)| (name.text, *value)).collect(),
            gateway: draft.gateway.clone(),
            fleet: Fleet::of(draft, own),
        };
        if draft.stages.is_empty() {
            return vec![common(None)];
        }
        draft
            .stages
            .iter()
            .map(|own| {
                let mut stage = common(Some(own));
                stage.name = own.name.text;
                stage.domain = own.domain.or(stage.domain);
                stage.vars.extend(own.vars.iter().map(|(name, value)| (name.text, *value)));
                let house = stage.gateway;
                stage.gateway = GatewayDraft {
                    listen: own.gateway.listen.or(house.listen),
                    timeout: own.gateway.timeout.or(house.timeout),
                    retries: own.gateway.retries.or(house.retries),
                    access_log: own.gateway.access_log.or(house.access_log),
                    hold: own.gateway.hold.or(house.hold),
                };
                stage
            })
            .collect()
    }

    /// The domain with its default.
    pub(crate) fn domain(&self, draft: &Draft<'_>) -> String {
        match self.domain {
            Some(domain) => domain.text.to_ascii_lowercase(),
            None => format!("{}.localhost", draft.house.map_or("house", |house| house.text)),
        }
    }
}
