//! systemd units: one question for all of them.

use super::Observer;
use crate::run::{Order, capture};
use haus_model::inventory::State;
use haus_model::resource::{ResourceId, Spec, UnitSpec};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(30);
const PROPERTIES: &str = "--property=LoadState,ActiveState,UnitFileState,NeedDaemonReload";

impl Observer<'_> {
    pub(super) fn units(&self, specs: &[&Spec]) -> BTreeMap<ResourceId, State> {
        let mut states = BTreeMap::new();
        let units: Vec<(&UnitSpec, ResourceId)> = specs
            .iter()
            .filter_map(|spec| if let Spec::Unit(unit) = spec { Some((unit, spec.id())) } else { None })
            .collect();
        if units.is_empty() {
            return states;
        }
        let answer = self.show(&units);
        for (at, (unit, id)) in units.iter().enumerate() {
            let inputs = self.manifest.entries.get(id).and_then(|entry| entry.inputs);
            let mut state = match &answer {
                Ok(blocks) => blocks.get(at).map_or(State::Absent, |block| state_of(block, inputs)),
                Err(why) => State::Unknown(why.clone()),
            };
            if let (Some(argv), State::Unit { active, in_effect, .. }) = (&unit.in_effect, &mut state)
                && active == "active"
            {
                *in_effect = Some(self.says_yes(argv));
            }
            states.insert(id.clone(), state);
        }
        states
    }

    /// A command that cannot be run says no: what it looks at is then as good as gone.
    fn says_yes(&self, argv: &[String]) -> bool {
        let order = Order { mark: self.mark, ..Order::new(argv, WITHIN) };
        capture(&order).is_ok_and(|ran| ran.is_good())
    }

    /// One block of properties per unit, in the order in which they were asked for.
    fn show(&self, units: &[(&UnitSpec, ResourceId)]) -> Result<Vec<BTreeMap<String, String>>, String> {
        if !self.machine.is_real() || !Path::new("/run/systemd/system").is_dir() {
            return Err("systemd does not run there".to_owned());
        }
        let words = ["systemctl", "show", PROPERTIES, "--"].map(str::to_owned);
        let argv: Vec<String> =
            words.into_iter().chain(units.iter().map(|(unit, _)| unit.name.clone())).collect();
        let ran = capture(&Order::new(&argv, WITHIN)).map_err(|refusal| refusal.to_string())?;
        if !ran.is_good() {
            let lines: Vec<String> = ran.tail.iter().cloned().collect();
            return Err(format!("systemctl: {}: {}", ran.ending(), lines.join(" / ")));
        }
        Ok(blocks_of(&String::from_utf8_lossy(&ran.stdout)))
    }
}

fn blocks_of(text: &str) -> Vec<BTreeMap<String, String>> {
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let blocks = text.split("\n\n").map(|block| block.lines().filter_map(pair).collect::<BTreeMap<_, _>>());
    blocks.filter(|block| !block.is_empty()).collect()
}

fn state_of(block: &BTreeMap<String, String>, inputs: Option<haus_model::Fingerprint>) -> State {
    let value = |name: &str| block.get(name).cloned().unwrap_or_default();
    if value("LoadState") == "not-found" {
        return State::Absent;
    }
    State::Unit {
        enabled: value("UnitFileState"),
        active: value("ActiveState"),
        inputs,
        needs_reload: value("NeedDaemonReload") == "yes",
        in_effect: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_units() {
        let text = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\nNeedDaemonReload=no\n";
        let blocks = blocks_of(text);
        let states: Vec<State> = blocks.iter().map(|block| state_of(block, None)).collect();
        let unit = State::Unit {
            enabled: "enabled".to_owned(),
            active: "active".to_owned(),
            inputs: None,
            needs_reload: false,
            in_effect: None,
        };
        assert_eq!(states, [unit, State::Absent]);
    }
}
