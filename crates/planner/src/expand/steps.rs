//! Commands of a host's own. They run in the order of their names, and before services of the house unless
//! they ask to run after one of them. What a command does is known to nobody here.

use super::collect::{Collector, Wish, unit_id};
use crate::names;
use haus_model::Fingerprint;
use haus_model::host::Step;
use haus_model::resource::{CommandSpec, Kind, ResourceId, SecretVersion, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The steps that services of this host must wait for.
pub(crate) fn expand(collector: &mut Collector<'_>) -> BTreeSet<ResourceId> {
    let view = collector.view;
    let own_units = format!("haus-{}-", view.house.name);
    let mut before_services = BTreeSet::new();
    let mut last: Option<ResourceId> = None;
    let mut waits_for_service = false;
    for (name, step) in &view.host.settings.steps {
        let why = view.word(&format!("steps.{name}"));
        let after: Vec<String> = step.after.iter().map(|unit| names::unit_name(unit)).collect();
        let credentials = collector.secrets(&step.credentials, &why);
        let spec = CommandSpec {
            name: name.clone(),
            run: step.run.clone(),
            unless: step.unless.clone(),
            user: step.user.clone().unwrap_or_else(|| "root".to_owned()),
            folder: step.folder.clone().unwrap_or_else(|| PathBuf::from("/")),
            credentials: credentials.clone(),
            inputs: inputs(step, &credentials),
        };
        let needs = after.iter().map(|unit| unit_id(unit)).chain(last.take());
        let mut wish = Wish::new(Spec::Command(spec), &why).needs(needs);
        wish.needs
            .insert(ResourceId::new(Kind::Directory, step.folder.clone().unwrap_or_default().display()));
        let id = collector.add(wish);
        waits_for_service |= after.iter().any(|unit| unit.starts_with(&own_units));
        if !waits_for_service {
            before_services.insert(id.clone());
        }
        last = Some(id);
    }
    before_services
}

/// What a step without `unless` is done once for: its own words, and the versions of what it is given.
fn inputs(step: &Step, credentials: &BTreeMap<String, SecretVersion>) -> Fingerprint {
    let words = serde_json::to_vec(&(&step.run, &step.user, &step.folder, credentials));
    Fingerprint::of(&words.expect("a step is plain JSON"))
}
