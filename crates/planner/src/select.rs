//! Which resources a filtered plan is about: those that are named, and everything that they need.

use crate::order::Ordered;
use haus_model::operation::pattern_fits;
use haus_model::resource::Resource;

/// A filter: the name of a service, the id of a resource, or a pattern of ids with `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Only(String);

impl Only {
    /// From the word that a person gave.
    pub fn new(word: impl Into<String>) -> Only {
        Only(word.into())
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means this resource.
    pub fn means(&self, resource: &Resource) -> bool {
        resource.service.as_ref().is_some_and(|service| service.as_str() == self.0)
            || pattern_fits(&self.0, resource.id.as_str())
    }
}

/// For every resource whether the filters mean it, or something that needs it. Everything without filters.
pub(crate) fn selected(ordered: &Ordered<'_>, only: &[Only]) -> Vec<bool> {
    if only.is_empty() {
        return vec![true; ordered.resources.len()];
    }
    let meant = |resource: &&Resource| only.iter().any(|filter| filter.means(resource));
    let mut selected: Vec<bool> = ordered.resources.iter().map(meant).collect();
    // Backwards, so that what is needed by what is needed is reached in one pass.
    for at in (0..selected.len()).rev() {
        if selected[at] {
            for need in &ordered.needs[at] {
                selected[*need] = true;
            }
        }
    }
    selected
}
