//! Where changes stand that may lock us out: beside each other, in front of the first unit that is none of
//! them. What guards them is taken away when a new connection has proven the last one, and a file proves
//! nothing before its unit has read it: a build between the two would leave a host that locks itself at its
//! next start, when nothing guards it any more.

use crate::order::Ordered;
use crate::removal::Removal;
use haus_model::change::{ActKind, Change};
use haus_model::resource::Kind;

/// The changes of a host in three parts, each in its order.
pub(crate) struct Parts {
    /// What nothing guarded is needed for: everything but units, and what the guarded ones need.
    pub before: Vec<Change>,
    /// The guarded ones, with what stands between them by their needs.
    pub guarded: Vec<Change>,
    /// Units, what comes with them, and what needs a guarded change.
    pub behind: Vec<Change>,
}

/// Takes changes that are in order apart.
pub(crate) fn apart(ordered: &Ordered<'_>, changes: Vec<Change>) -> Parts {
    let place = |change: &Change| ordered.at.get(&change.resource).copied();
    let mut is_guarded = vec![false; ordered.resources.len()];
    changes.iter().filter(|change| change.guarded).filter_map(place).for_each(|at| is_guarded[at] = true);
    // Whether something needs a guarded change, however far; and whether a guarded change needs it.
    let mut needs_one = vec![false; is_guarded.len()];
    for (at, needs) in ordered.needs.iter().enumerate() {
        needs_one[at] = needs.iter().any(|need| is_guarded[*need] || needs_one[*need]);
    }
    let mut is_needed = vec![false; is_guarded.len()];
    for (at, needs) in ordered.needs.iter().enumerate().rev() {
        if is_guarded[at] || is_needed[at] {
            needs.iter().for_each(|need| is_needed[*need] = true);
        }
    }
    let mut parts = Parts { before: Vec::new(), guarded: Vec::new(), behind: Vec::new() };
    let mut units_began = false;
    for change in changes {
        let at = place(&change);
        let needs_one = at.is_some_and(|at| needs_one[at]);
        let is_needed = at.is_some_and(|at| is_needed[at]);
        units_began |= change.spec.kind() == Kind::Unit && !change.guarded && !is_needed;
        let part = if change.guarded || needs_one && is_needed {
            &mut parts.guarded
        } else if needs_one || units_began && !is_needed {
            &mut parts.behind
        } else {
            &mut parts.before
        };
        part.push(change);
    }
    parts
}

/// Removals that go right before units, around the guarded part: in front of it what stops, then what is
/// guarded itself, and behind it the files that nobody guarded has read.
pub(crate) struct Beside<'a> {
    pub stops: Vec<Removal<'a>>,
    pub guarded: Vec<Removal<'a>>,
    pub rest: Vec<Removal<'a>>,
}

/// Takes removals apart that are in order.
pub(crate) fn beside(removals: Vec<Removal<'_>>) -> Beside<'_> {
    let (guarded, others): (Vec<_>, Vec<_>) = removals.into_iter().partition(Removal::is_guarded);
    if guarded.is_empty() {
        return Beside { stops: others, guarded, rest: Vec::new() };
    }
    let stops = |removal: &Removal<'_>| removal.act == ActKind::Remove && removal.spec.kind() == Kind::Unit;
    let (stops, rest) = others.into_iter().partition(stops);
    Beside { stops, guarded, rest }
}
