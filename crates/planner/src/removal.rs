//! What our manifest lists and nobody wants any more. Only what we made is removed; what was there before us,
//! and what may hold somebody's data, is forgotten and stays.

use crate::compare::describe;
use crate::diff::{access, all_gone, gone, new};
use crate::doors::is_door;
use crate::findings::About;
use haus_model::change::{ActKind, DiffLine, Outcome, Undo};
use haus_model::host_code::HostCode;
use haus_model::host_path::{FIREWALL_UNIT, unit_path};
use haus_model::inventory::{Inventory, ManifestEntry, State};
use haus_model::operation::let_go_verb;
use haus_model::resource::{Content, Kind, ResourceId, Spec};
use haus_model::{Finding, HouseName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A resource that goes or is forgotten.
pub(crate) struct Removal<'a> {
    pub id: &'a ResourceId,
    pub spec: &'a Spec,
    pub state: &'a State,
    pub act: ActKind,
    pub reason: String,
    pub diff: Vec<DiffLine>,
    pub outcome: Outcome,
    pub undo: Undo,
}

/// All removals of one host, in the order in which they are safe, and what is worth knowing about what stays.
pub(crate) struct Removals<'a> {
    pub list: Vec<Removal<'a>>,
    pub notes: Vec<Finding>,
}

const ABSENT: &State = &State::Absent;

/// From the manifest what is not wanted: the last that is built is the first that goes.
pub(crate) fn removals<'a>(
    about: About<'_>,
    house: &HouseName,
    inventory: &'a Inventory,
    is_wanted: &dyn Fn(&ResourceId) -> bool,
) -> Removals<'a> {
    let mut entries: Vec<(&ResourceId, &ManifestEntry)> =
        inventory.manifest.entries.iter().filter(|(id, _)| !is_wanted(id)).collect();
    entries.sort_by(|(a, left), (b, right)| (right.spec.kind(), *b).cmp(&(left.spec.kind(), *a)));
    let mut keeper =
        Keeper { house, gone_from: BTreeMap::new(), kept: BTreeSet::new(), kept_paths: BTreeSet::new() };
    let mut notes = Vec::new();
    // Accounts come last in this order, so that it is known by then which homes stay.
    let mut list: Vec<Removal<'_>> = entries
        .into_iter()
        .map(|(id, entry)| {
            let state = inventory.states.get(id).unwrap_or(ABSENT);
            let removal = keeper.judge(id, entry, state);
            if let Some((message, remedy)) = removal.1 {
                notes.push(about.finding(HostCode::Kept, message, remedy));
            }
            removal.0
        })
        .collect();
    // Who reads again must come behind what is not to be read any more.
    list.sort_by_key(|removal| {
        let_go_verb(removal.spec, removal.state).is_some() && removal.act == ActKind::Forget
    });
    Removals { list, notes }
}

/// Decides what goes, and remembers what stayed.
struct Keeper<'a> {
    house: &'a HouseName,
    /// How many entries of a folder go with this plan.
    gone_from: BTreeMap<PathBuf, u32>,
    /// Folders and accounts that stay.
    kept: BTreeSet<String>,
    kept_paths: BTreeSet<PathBuf>,
}

/// What is worth knowing about something that stays, and what to do.
type Note = (String, &'static str);

impl Keeper<'_> {
    fn judge<'b>(
        &mut self,
        id: &'b ResourceId,
        entry: &'b ManifestEntry,
        state: &'b State,
    ) -> (Removal<'b>, Option<Note>) {
        let forget = |reason: String| Removal {
            id,
            spec: &entry.spec,
            state,
            act: ActKind::Forget,
            reason,
            diff: Vec::new(),
            outcome: Outcome::Known,
            undo: Undo::Exact,
        };
        if !entry.made {
            self.keep(id, &entry.spec);
            let mut removal = forget("the plan does not want it any more; it was there before us".to_owned());
            if let_go_verb(&entry.spec, state).is_some() {
                removal.reason.push_str(", and has read what is ours");
                removal.diff = vec![new("it reads again what is left")];
            }
            return (removal, None);
        }
        if *state == State::Absent || matches!(entry.spec, Spec::Command(_) | Spec::Health(_)) {
            return (
                forget("the plan does not want it any more; there is nothing to remove".to_owned()),
                None,
            );
        }
        if let Some(why) = self.stays(entry, state) {
            // What only follows from something else that stays needs no words of its own.
            let path = path_of(&entry.spec);
            let follows = entry.spec.kind() == Kind::Group || path.is_some_and(|path| self.holds_kept(path));
            self.keep(id, &entry.spec);
            let removal = forget(format!("the plan does not want it any more; it stays, since {why}"));
            let note = (format!("{id} stays, since {why}"), "remove it by hand when nobody needs it");
            return (removal, (!follows).then_some(note));
        }
        let parent = place_in_folder(&entry.spec);
        if let Some(parent) = parent {
            *self.gone_from.entry(parent.to_owned()).or_default() += 1;
        }
        let (outcome, undo) = prospects(&entry.spec);
        let reason = "the plan does not want it any more, and we made it".to_owned();
        let diff = difference(&entry.spec, state);
        (Removal { id, spec: &entry.spec, state, act: ActKind::Remove, reason, diff, outcome, undo }, None)
    }

    fn keep(&mut self, id: &ResourceId, spec: &Spec) {
        self.kept.insert(id.as_str().to_owned());
        self.kept_paths.extend(path_of(spec).map(Path::to_owned));
    }

    fn holds_kept(&self, path: &Path) -> bool {
        // Paths sort by their parts, so what is below a folder follows it.
        self.kept_paths.range(path.to_owned()..).next().is_some_and(|next| next.starts_with(path))
    }

    /// Why something stays although we made it.
    fn stays(&self, entry: &ManifestEntry, state: &State) -> Option<String> {
        match &entry.spec {
            Spec::Packages(_) => Some("something else may have come to need the packages".to_owned()),
            Spec::Directory(spec) => {
                let State::Directory { entries, .. } = state else {
                    return Some(format!("{} stands in its place", describe(state)));
                };
                if is_data(self.house, &spec.path) {
                    return Some("it may hold data".to_owned());
                }
                if self.holds_kept(&spec.path) {
                    return Some("what stays is in it".to_owned());
                }
                let going = self.gone_from.get(&spec.path).copied().unwrap_or(0);
                (*entries > going).then(|| "it holds what is not ours".to_owned())
            }
            Spec::File(_) => (!matches!(state, State::File { .. }))
                .then(|| format!("{} stands in its place", describe(state))),
            Spec::Link(_) => {
                (!matches!(state, State::Link(_))).then(|| format!("{} stands in its place", describe(state)))
            }
            // The next account would get its number, and with it what it owns.
            Spec::User(spec) => {
                let home = ResourceId::new(Kind::Directory, spec.home.display());
                self.kept.contains(home.as_str()).then(|| "its data stays".to_owned())
            }
            Spec::Group(spec) => {
                let user = ResourceId::new(Kind::User, &spec.name);
                self.kept.contains(user.as_str()).then(|| "its account stays".to_owned())
            }
            Spec::Holds(_)
            | Spec::Keys(_)
            | Spec::Release(_)
            | Spec::Switch(_)
            | Spec::Sysctl(_)
            | Spec::Command(_)
            | Spec::Unit(_)
            | Spec::Health(_) => None,
        }
    }
}

/// The data folder of a service, or something in it.
fn is_data(house: &HouseName, path: &Path) -> bool {
    let Ok(below) = path.strip_prefix(crate::names::house_root(house)) else { return false };
    let Some(word) = below.components().nth(1) else { return false };
    word.as_os_str().as_encoded_bytes().starts_with(b"data")
}

/// The folder in which something takes a place of its own.
fn place_in_folder(spec: &Spec) -> Option<&Path> {
    match spec {
        // `releases` and `current` themselves.
        Spec::Release(release) => Some(&release.root),
        Spec::Switch(switch) => Some(&switch.root),
        Spec::Directory(_) | Spec::File(_) | Spec::Link(_) => path_of(spec).and_then(Path::parent),
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::User(_)
        | Spec::Keys(_)
        | Spec::Sysctl(_)
        | Spec::Command(_)
        | Spec::Unit(_)
        | Spec::Health(_) => None,
    }
}

impl Removal<'_> {
    /// Whether it can lock us out: the end of a door or of keys, or a door that reads what is left. What is
    /// only forgotten otherwise stays as it is.
    pub(crate) fn is_guarded(&self) -> bool {
        let acts = self.act != ActKind::Forget || let_go_verb(self.spec, self.state).is_some();
        let is_filter = path_of(self.spec) == Some(unit_path(FIREWALL_UNIT).as_path());
        acts && (matches!(self.spec, Spec::Keys(_)) || is_filter || is_door(self.spec))
    }
}

/// The place that a resource takes in its folder.
pub(crate) fn path_of(spec: &Spec) -> Option<&Path> {
    match spec {
        Spec::Directory(spec) => Some(&spec.path),
        Spec::File(spec) => Some(&spec.path),
        Spec::Link(spec) => Some(&spec.path),
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::User(_)
        | Spec::Keys(_)
        | Spec::Release(_)
        | Spec::Switch(_)
        | Spec::Sysctl(_)
        | Spec::Command(_)
        | Spec::Unit(_)
        | Spec::Health(_) => None,
    }
}

fn prospects(spec: &Spec) -> (Outcome, Undo) {
    match spec {
        Spec::User(_) => {
            (Outcome::Known, Undo::Partial("the account comes back, its password does not".to_owned()))
        }
        Spec::Release(_) => {
            let stays = "what was built is built again from its source".to_owned();
            (Outcome::Known, Undo::Partial(stays))
        }
        Spec::Sysctl(_) => {
            (Outcome::Unknown("the kernel's own value comes back at the next boot".to_owned()), Undo::Exact)
        }
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::Keys(_)
        | Spec::Directory(_)
        | Spec::File(_)
        | Spec::Link(_)
        | Spec::Switch(_)
        | Spec::Command(_)
        | Spec::Unit(_)
        | Spec::Health(_) => (Outcome::Known, Undo::Exact),
    }
}

/// What is there and goes.
fn difference(spec: &Spec, state: &State) -> Vec<DiffLine> {
    match state {
        State::File { text, bytes, access: found, .. } => {
            let secret = matches!(spec, Spec::File(file) if matches!(file.content, Content::Secret(_)));
            let mut diff = vec![gone(format!("file, {}", access(found)))];
            match text {
                Some(text) if !secret => diff.extend(all_gone(text)),
                Some(_) | None if secret => diff.push(gone("the value of a credential")),
                Some(_) | None => diff.push(gone(format!("{bytes} bytes"))),
            }
            diff
        }
        State::Directory { access: found, .. } => vec![gone(format!("folder, {}", access(found)))],
        State::Link(target) => vec![gone(format!("link to {}", target.display()))],
        State::Group { gid } => vec![gone(format!("group with the number {gid}"))],
        State::User { uid, home, .. } => {
            vec![gone(format!("account with the number {uid}, home {}", home.display()))]
        }
        State::Keys(keys) => keys.iter().map(gone).collect(),
        State::Holds(holds) => {
            let held = holds.iter().filter(|(_, held)| **held);
            held.map(|(name, _)| gone(format!("{name} is held"))).collect()
        }
        State::Releases { current, .. } if spec.kind() == Kind::Switch => {
            current.iter().map(|id| gone(format!("current release {id}"))).collect()
        }
        State::Releases { complete, .. } => complete.iter().map(|id| gone(format!("release {id}"))).collect(),
        State::Sysctl { at_boot, .. } => {
            let name = spec.id();
            at_boot.iter().map(|value| gone(format!("at boot: {} = {value}", name.name()))).collect()
        }
        State::Unit { enabled, active, .. } => vec![gone(format!("{enabled}, {active}"))],
        State::Absent
        | State::Unknown(_)
        | State::Packages { .. }
        | State::Other(_)
        | State::Command { .. }
        | State::Health { .. } => Vec::new(),
    }
}
