//! Commands of the plan: whether their `unless` says that nothing is to be done.

use super::Observer;
use crate::account::Accounts;
use crate::run::{Order, capture};
use haus_model::inventory::State;
use haus_model::resource::{CommandSpec, ResourceId, Spec};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an `unless` may take.
const WITHIN: Duration = Duration::from_secs(60);

/// So many are asked at once.
const AT_ONCE: usize = 8;

impl Observer<'_> {
    pub(super) fn commands(
        &self,
        specs: &[&Spec],
        accounts: &Accounts,
        states: &mut BTreeMap<ResourceId, State>,
    ) {
        let commands: Vec<(&CommandSpec, ResourceId)> = specs
            .iter()
            .filter_map(
                |spec| if let Spec::Command(command) = spec { Some((command, spec.id())) } else { None },
            )
            .collect();
        for some in commands.chunks(AT_ONCE) {
            let answers: Vec<Option<bool>> = std::thread::scope(|scope| {
                let ask = |(spec, _): &(&'_ CommandSpec, ResourceId)| {
                    let spec = (*spec).clone();
                    scope.spawn(move || self.satisfied(&spec, accounts))
                };
                let threads: Vec<_> = some.iter().map(ask).collect();
                threads.into_iter().map(|thread| thread.join().unwrap_or(Some(false))).collect()
            });
            for ((_, id), satisfied) in some.iter().zip(answers) {
                let done = self.manifest.entries.get(id).and_then(|entry| entry.inputs);
                states.insert(id.clone(), State::Command { satisfied, done });
            }
        }
    }

    /// An account, folder or program that is not there yet is a good reason to go on.
    fn satisfied(&self, spec: &CommandSpec, accounts: &Accounts) -> Option<bool> {
        let argv = spec.unless.as_ref()?;
        let Some(account) = accounts.user(&spec.user) else { return Some(false) };
        let folder = self.machine.at(&spec.folder);
        let order =
            Order { account: Some(&account), folder: &folder, mark: self.mark, ..Order::new(argv, WITHIN) };
        Some(capture(&order).is_ok_and(|ran| ran.is_good()))
    }
}
