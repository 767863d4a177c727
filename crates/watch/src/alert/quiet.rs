//! When nobody is to be told: open maintenance windows and silences that somebody asked for.

use super::words::Held;
use haus_model::{ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An open maintenance window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWindow {
    /// Its name.
    pub name: String,
    /// Only these services; empty for everything, the house itself included.
    pub services: Vec<ServiceName>,
    /// When it closes, not included.
    pub until: Timestamp,
}

/// A silence that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its id; the same id again replaces it.
    pub id: String,
    /// Only these services; empty for everything, the house itself included.
    pub services: Vec<ServiceName>,
    /// When it ends, not included.
    pub until: Timestamp,
    /// Who asked for it and why.
    pub why: String,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Quiet {
    pub(super) windows: Vec<OpenWindow>,
    pub(super) silences: Vec<Silence>,
}

impl Quiet {
    /// Whether anything ended.
    pub(super) fn end(&mut self, now: Timestamp) -> bool {
        let before = self.windows.len() + self.silences.len();
        self.windows.retain(|window| now < window.until);
        self.silences.retain(|silence| now < silence.until);
        self.windows.len() + self.silences.len() < before
    }

    pub(super) fn next_end(&self) -> Option<Timestamp> {
        let windows = self.windows.iter().map(|window| window.until);
        windows.chain(self.silences.iter().map(|silence| silence.until)).min()
    }

    /// What keeps quiet about something from which `services` suffer: only when all of them are covered.
    pub(super) fn covers(&self, services: &BTreeSet<ServiceName>) -> Option<Held> {
        let windows = self
            .windows
            .iter()
            .map(|window| (&window.services, Held::Maintenance { name: window.name.clone() }));
        let silences =
            self.silences.iter().map(|silence| (&silence.services, Held::Silence { id: silence.id.clone() }));
        let mut open: BTreeSet<&ServiceName> = services.iter().collect();
        for (covered, held) in windows.chain(silences) {
            if covered.is_empty() {
                return Some(held);
            }
            let was_open = !open.is_empty();
            open.retain(|service| !covered.contains(service));
            if was_open && open.is_empty() {
                return Some(held);
            }
        }
        None
    }
}
