//! Compares what is desired with what was observed, host by host, and puts the result in order.
//! One host's trouble never touches another's plan.

use crate::compare::{Around, Difference, Kinds, Verdict, compare, may_be_shown};
use crate::desired::{Desired, DesiredHost};
use crate::findings::About;
use crate::guarded::{Beside, Parts, apart, beside};
use crate::hash::seal;
use crate::order::{Ordered, ordered};
use crate::preflight;
use crate::removal::{Removal, Removals, path_of, removals};
use crate::resolve::resolve;
use crate::select::{Only, selected};
use crate::waves::waves;
use haus_model::change::{ActKind, CHANGE_SET_FORMAT, Change, ChangeSet, HostPlan};
use haus_model::host_code::HostCode;
use haus_model::host_path::unit_path;
use haus_model::inventory::{Inventory, State, fingerprint_of};
use haus_model::operation::operations;
use haus_model::resource::{FileSpec, Kind, ReleaseSource, Resource, ResourceId, Spec};
use haus_model::{Finding, Fingerprint, HostName, HouseName, Timestamp};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// Files that decide whether a repository can be reached, whoever owns them.
const ROADS: [&str; 3] = ["/etc/ssh", "/etc/hosts", "/etc/gitconfig"];

/// What a plan is about.
#[derive(Clone, Debug, Default)]
pub struct PlanSettings {
    /// The time here, to see whether a host's clock is right.
    pub now: Timestamp,
    /// Only these hosts; all when absent.
    pub hosts: Option<BTreeSet<HostName>>,
    /// Only what these mean and what it needs; all when empty. A filtered plan removes nothing.
    pub only: Vec<Only>,
}

/// Compares.
pub fn plan(
    desired: &Desired,
    inventories: &BTreeMap<HostName, Result<Inventory, Finding>>,
    settings: &PlanSettings,
) -> ChangeSet {
    let is_meant = |host: &HostName| settings.hosts.as_ref().is_none_or(|hosts| hosts.contains(host));
    let meant: BTreeMap<&HostName, &DesiredHost> =
        desired.hosts.iter().filter(|(name, _)| is_meant(name)).collect();
    let hosts = meant.iter().map(|(name, host)| {
        let view = HostView { about: About(name), house: &desired.house, host, settings };
        let plan = match inventories.get(*name) {
            Some(Ok(inventory)) => view.plan(inventory),
            Some(Err(finding)) => view.blocked(vec![finding.clone()]),
            None => view.blocked(vec![About(name).finding(
                HostCode::NotObserved,
                "nobody has looked at it",
                "plan again",
            )]),
        };
        ((*name).clone(), plan)
    });
    let waves = waves(&meant.iter().map(|(name, host)| (*name, &host.needs)).collect());
    let mut hosts: BTreeMap<HostName, HostPlan> = hosts.collect();
    let mut earlier = BTreeSet::new();
    for wave in &waves {
        for name in wave {
            let needs = meant[name].needs.intersection(&earlier).cloned().collect();
            hosts.entry(name.clone()).and_modify(|plan| plan.needs = needs);
        }
        earlier.extend(wave.iter().cloned());
    }
    let mut changes = ChangeSet {
        format: CHANGE_SET_FORMAT,
        house: desired.house.clone(),
        stage: desired.stage.clone(),
        hosts,
        waves,
        hash: Fingerprint::of(b""),
    };
    seal(&mut changes);
    changes
}

/// Whether something shows only once this plan was applied, so that another plan is needed behind it.
pub fn is_partial(changes: &ChangeSet) -> bool {
    let later = HostCode::NotObservedYet.code();
    let hosts = changes.hosts.values().filter(|host| host.blocked.is_empty());
    hosts.flat_map(|host| &host.notes).any(|note| note.code == later)
}

struct HostView<'a> {
    about: About<'a>,
    house: &'a HouseName,
    host: &'a DesiredHost,
    settings: &'a PlanSettings,
}

/// What came out of comparing all resources of one host.
#[derive(Default)]
struct Compared {
    changes: Vec<Change>,
    unchanged: u32,
    blocked: Vec<Finding>,
    notes: Vec<Finding>,
}

impl HostView<'_> {
    fn blocked(&self, blocked: Vec<Finding>) -> HostPlan {
        HostPlan {
            connect: self.host.connect.clone(),
            elevation: self.host.elevation,
            observed: fingerprint_of([]),
            changes: Vec::new(),
            unchanged: 0,
            blocked,
            notes: Vec::new(),
            ports: self.host.ports.clone(),
            needs: BTreeSet::new(),
        }
    }

    fn plan(&self, inventory: &Inventory) -> HostPlan {
        let mut blocked = preflight::machine(self.about, self.host, &inventory.facts, self.settings.now);
        blocked.extend(self.host.faults.iter().cloned());
        let no_systemd = preflight::no_systemd(self.about, self.host, &inventory.facts);
        let systemd = no_systemd.is_none();
        blocked.extend(no_systemd);
        let ordered = ordered(&self.host.resources);
        let removals = self.removals(inventory);
        let mut compared = self.compare(&ordered, inventory, &removals.list, systemd);
        blocked.append(&mut compared.blocked);
        blocked.extend(preflight::ports(self.about, self.host, inventory));
        let partial = !compared.notes.is_empty();
        let mut notes = compared.notes;
        let parts = apart(&ordered, compared.changes);
        // Old things stay until what follows them is there.
        let mut changes = if partial {
            self.merged(parts, Vec::new())
        } else {
            notes.extend(removals.notes);
            self.merged(parts, removals.list)
        };
        blocked.extend(preflight::changes(self.about, inventory, &changes));
        blocked.extend(preflight::lock_out(self.about, self.host, &inventory.facts, &changes));
        if !blocked.is_empty() {
            return HostPlan { notes, unchanged: compared.unchanged, ..self.blocked(blocked) };
        }
        for (at, change) in changes.iter_mut().enumerate() {
            change.number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        }
        let mut plan = HostPlan { changes, unchanged: compared.unchanged, notes, ..self.blocked(Vec::new()) };
        plan.observed = plan.fingerprint_in(&inventory.states);
        plan
    }

    fn removals<'b>(&self, inventory: &'b Inventory) -> Removals<'b> {
        if !self.settings.only.is_empty() || inventory.manifest.entries.is_empty() {
            return Removals { list: Vec::new(), notes: Vec::new() };
        }
        let wanted: HashSet<&ResourceId> = self.host.resources.iter().map(|resource| &resource.id).collect();
        removals(self.about, self.house, inventory, &|id| wanted.contains(id))
    }

    fn compare(
        &self,
        ordered: &Ordered<'_>,
        inventory: &Inventory,
        removals: &[Removal<'_>],
        systemd: bool,
    ) -> Compared {
        let resolved = resolve(ordered, &self.host.reads, inventory);
        let selected = selected(ordered, &self.settings.only);
        let goes = removals.iter().filter(|removal| removal.act == ActKind::Remove);
        let freed: BTreeSet<&Path> = goes.filter_map(|removal| path_of(removal.spec)).collect();
        let git_comes = git_comes(ordered, inventory);
        let mut changed = vec![false; ordered.resources.len()];
        let mut later = vec![false; ordered.resources.len()];
        let mut compared = Compared::default();
        for (at, resource) in ordered.resources.iter().enumerate() {
            if !selected[at] {
                continue;
            }
            if ordered.needs[at].iter().any(|need| later[*need]) {
                later[at] = true;
                continue;
            }
            // One finding about systemd says it for all units.
            if !systemd && resource.spec.kind() == Kind::Unit {
                continue;
            }
            let state = inventory.states.get(&resource.id);
            let missing = State::Unknown("nobody looked at it".to_owned());
            let state = state.unwrap_or(&missing);
            let needs = &ordered.needs[at];
            let mut before = Kinds::default();
            for need in needs.iter().filter(|need| changed[**need]) {
                before.insert(ordered.resources[*need].spec.kind());
            }
            let ours = inventory.manifest.entries.get(&resource.id);
            let made_unit = is_made_unit(resource, inventory);
            let content = resolved[at].seen;
            let road_comes = road_comes(&resolved[at].spec, ordered, &changed, git_comes);
            let around = Around { ours, content, changed: before, freed: &freed, made_unit, road_comes };
            match compare(&resolved[at].spec, state, &around) {
                Verdict::AsWished => compared.unchanged += 1,
                Verdict::Differs(difference) => {
                    changed[at] = true;
                    compared.changes.push(change(resource, &resolved[at].spec, state, &around, difference));
                }
                Verdict::Blocked(obstacle) => {
                    // What follows from it would only say the same again.
                    later[at] = true;
                    let message = format!("{}: {}", resource.why, obstacle.message);
                    compared.blocked.push(self.about.finding(obstacle.code, message, obstacle.remedy));
                }
                Verdict::Later(why) => {
                    later[at] = true;
                    let message = format!("{}: {why}", resource.why);
                    let remedy = "apply, then plan again: what follows from it is planned then";
                    compared.notes.push(self.about.finding(HostCode::NotObservedYet, message, remedy));
                }
            }
        }
        compared
    }

    /// Removals between the changes: what stands in the way goes first. Units stop right before others start,
    /// and files go with them, so that who is started or reloaded then does not read them again. What is
    /// guarded stands beside what is guarded of the changes. The rest goes when everything new is there.
    fn merged(&self, parts: Parts, removals: Vec<Removal<'_>>) -> Vec<Change> {
        let places: BTreeSet<&Path> =
            self.host.resources.iter().filter_map(|resource| path_of(&resource.spec)).collect();
        let goes = |removal: &&Removal<'_>| removal.act == ActKind::Remove;
        let replaced: BTreeSet<PathBuf> = removals
            .iter()
            .filter(goes)
            .filter_map(|removal| path_of(removal.spec))
            .filter(|path| places.contains(path))
            .map(Path::to_owned)
            .collect();
        let when = |removal: &Removal<'_>| match removal.spec.kind() {
            // A door that was there before us and reads what is left.
            _ if removal.act != ActKind::Remove && removal.is_guarded() => When::BeforeUnits,
            _ if removal.act != ActKind::Remove => When::Forgotten,
            Kind::Directory | Kind::File | Kind::Link
                if path_of(removal.spec)
                    .is_some_and(|path| path.ancestors().any(|place| replaced.contains(place))) =>
            {
                When::First
            }
            Kind::Unit | Kind::File | Kind::Link => When::BeforeUnits,
            Kind::Packages
            | Kind::Holds
            | Kind::Group
            | Kind::User
            | Kind::Keys
            | Kind::Directory
            | Kind::Release
            | Kind::Switch
            | Kind::Sysctl
            | Kind::Command
            | Kind::Health => When::Last,
        };
        let (mut first, mut before_units, mut last, mut forgotten) = (vec![], vec![], vec![], vec![]);
        for one in removals {
            match when(&one) {
                When::First => first.push(one),
                When::BeforeUnits => before_units.push(one),
                When::Last => last.push(one),
                When::Forgotten => forgotten.push(one),
            }
        }
        let Beside { stops, guarded, rest } = beside(before_units);
        // An account stays for the sake of its data, a folder for what is in it: after a cut in between, the
        // next plan must still find in the manifest why. So it is forgotten before its reason is.
        let forgotten = forgotten.into_iter().rev();
        removed(first)
            .chain(parts.before)
            .chain(removed(stops))
            .chain(removed(guarded))
            .chain(parts.guarded)
            .chain(removed(rest))
            .chain(parts.behind)
            .chain(removed(last))
            .chain(forgotten.map(removal))
            .collect()
    }
}

/// When something goes.
enum When {
    First,
    BeforeUnits,
    Last,
    Forgotten,
}

/// Whether the file of a unit is ours alone: made by us, or about to be.
fn is_made_unit(resource: &Resource, inventory: &Inventory) -> bool {
    let Spec::Unit(unit) = &resource.spec else { return false };
    let file = ResourceId::new(Kind::File, unit_path(&unit.name).display());
    let is_made = inventory.manifest.entries.get(&file).is_some_and(|entry| entry.made);
    resource.needs.contains(&file) && (is_made || inventory.states.get(&file) == Some(&State::Absent))
}

/// Whether this plan installs git, without which nobody can say what a reference is.
fn git_comes(ordered: &Ordered<'_>, inventory: &Inventory) -> bool {
    ordered.resources.iter().any(|resource| match (&resource.spec, inventory.states.get(&resource.id)) {
        (Spec::Packages(spec), Some(State::Packages { installed, .. })) => {
            spec.names.contains("git") && !installed.contains_key("git")
        }
        (_, _) => false,
    })
}

/// What this plan does before a repository can be asked that did not answer: it installs git, or it writes
/// keys and settings of the account that asks, or whom ssh believes.
fn road_comes(spec: &Spec, ordered: &Ordered<'_>, changed: &[bool], git_comes: bool) -> Option<&'static str> {
    let Spec::Release(release) = spec else { return None };
    let ReleaseSource::Git { commit: None, .. } = &release.source else { return None };
    if git_comes {
        return Some("git is installed");
    }
    let is_own = |file: &FileSpec| file.access.owner == release.user && release.user != "root";
    let is_road = |file: &FileSpec| ROADS.iter().any(|road| file.path.starts_with(road));
    let is_key = |spec: &Spec| matches!(spec, Spec::File(file) if is_own(file) || is_road(file));
    let key_comes =
        ordered.resources.iter().zip(changed).any(|(other, changed)| *changed && is_key(&other.spec));
    key_comes.then_some("what its account reaches it by is written")
}

fn change(
    resource: &Resource,
    spec: &Spec,
    state: &State,
    around: &Around<'_>,
    difference: Difference,
) -> Change {
    let before = without_private_text(spec, state, around.ours.is_some()).into_owned();
    Change {
        number: 0,
        resource: resource.id.clone(),
        act: difference.act,
        operations: operations(difference.act, spec, &before),
        spec: spec.clone(),
        before,
        service: resource.service.clone(),
        why: format!("{}: {}", resource.why, difference.reason),
        diff: difference.diff,
        outcome: difference.outcome,
        undo: difference.undo,
        guarded: resource.guarded,
    }
}

/// A plan is saved and shown: it holds no text of a file in whose place a secret comes, or of somebody else's
/// private file.
fn without_private_text<'a>(spec: &Spec, state: &'a State, ours: bool) -> Cow<'a, State> {
    match (spec, state) {
        (Spec::File(file), State::File { hash, bytes, access, text: Some(_), secret })
            if !may_be_shown(file, access, ours) =>
        {
            let (hash, bytes, access, secret) = (*hash, *bytes, access.clone(), secret.clone());
            Cow::Owned(State::File { hash, bytes, access, text: None, secret })
        }
        (_, _) => Cow::Borrowed(state),
    }
}

fn removed(removals: Vec<Removal<'_>>) -> impl Iterator<Item = Change> {
    removals.into_iter().map(removal)
}

fn removal(removal: Removal<'_>) -> Change {
    let guarded = removal.is_guarded();
    let Removal { id, spec, state, act, reason, diff, outcome, undo } = removal;
    let before = without_private_text(spec, state, true).into_owned();
    Change {
        number: 0,
        resource: id.clone(),
        act,
        operations: operations(act, spec, &before),
        spec: spec.clone(),
        before,
        service: None,
        why: reason,
        diff,
        outcome,
        undo,
        guarded,
    }
}
