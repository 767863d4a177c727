//! Who needs whom, prepared so that the broken root below every service is found in one walk.
//!
//! Services that need each other in a circle stand for themselves: none of them is the root of
//! another, or all of them would be silent. It knows levels, not what is broken.

use haus_model::ServiceName;
use haus_model::alert::AlertLevel;
use std::collections::{BTreeMap, BTreeSet};

/// A broken service and how badly it is broken.
pub(super) type Broken<'a> = (AlertLevel, &'a ServiceName);

/// Services that need each other; usually one alone.
#[derive(Clone, Debug, Default)]
struct Circle {
    members: Vec<ServiceName>,
    needs: Vec<usize>,
}

/// All of them, each after those that it needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    circles: Vec<Circle>,
}

impl Needs {
    pub(super) fn new(needs: &BTreeMap<ServiceName, Vec<ServiceName>>) -> Needs {
        let all: BTreeSet<&ServiceName> = needs.keys().chain(needs.values().flatten()).collect();
        let names: Vec<&ServiceName> = all.into_iter().collect();
        let index_of = |name: &ServiceName| names.binary_search(&name).ok();
        let needs_of =
            |name: &ServiceName| needs.get(name).into_iter().flatten().filter_map(index_of).collect();
        let edges: Vec<Vec<usize>> = names.iter().map(|name| needs_of(name)).collect();
        let (circle_of, count) = circles(&edges);
        let mut circles = vec![Circle::default(); count];
        for (index, name) in names.into_iter().enumerate() {
            let circle = &mut circles[circle_of[index]];
            circle.members.push(name.clone());
            circle.needs.extend(edges[index].iter().map(|need| circle_of[*need]));
        }
        for (index, circle) in circles.iter_mut().enumerate() {
            circle.needs.retain(|need| *need != index);
            circle.needs.sort_unstable();
            circle.needs.dedup();
        }
        Needs { circles }
    }

    /// For every service with something broken below it: the worst of that, the deepest of equals, then the
    /// first by name.
    pub(super) fn roots(
        &self,
        broken: &BTreeMap<ServiceName, AlertLevel>,
    ) -> BTreeMap<&ServiceName, Broken<'_>> {
        let mut below: Vec<Option<Broken<'_>>> = Vec::with_capacity(self.circles.len());
        let mut roots = BTreeMap::new();
        for circle in &self.circles {
            let mut worst: Option<Broken<'_>> = None;
            for need in &circle.needs {
                let candidate =
                    self.circles[*need].members.iter().filter_map(|name| Some((*broken.get(name)?, name)));
                let candidate = candidate.fold(below[*need], |worst, next| worse(worst, Some(next)));
                worst = match (worst, candidate) {
                    (Some(one), Some(other)) if one.0 == other.0 => Some((one.0, one.1.min(other.1))),
                    (one, other) => worse(one, other),
                };
            }
            below.push(worst);
            if let Some(worst) = worst {
                roots.extend(circle.members.iter().map(|name| (name, worst)));
            }
        }
        roots
    }
}

/// The one with the higher level; of equals the first.
fn worse<'a>(one: Option<Broken<'a>>, other: Option<Broken<'a>>) -> Option<Broken<'a>> {
    match (one, other) {
        (Some(one), Some(other)) if other.0 > one.0 => Some(other),
        (None, other) => other,
        (one, _) => one,
    }
}

/// Strongly connected components (Tarjan 1972) without recursion: for each node its component, and how many
/// there are; components are numbered so that each comes after those that it needs.
fn circles(edges: &[Vec<usize>]) -> (Vec<usize>, usize) {
    const UNSEEN: usize = usize::MAX;
    let mut walk = Walk {
        number: vec![UNSEEN; edges.len()],
        low: vec![0; edges.len()],
        circle_of: vec![UNSEEN; edges.len()],
        open: Vec::new(),
        seen: 0,
        count: 0,
    };
    for start in 0..edges.len() {
        if walk.number[start] != UNSEEN {
            continue;
        }
        walk.enter(start);
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.pop() {
            if let Some(need) = edges[node].get(next).copied() {
                path.push((node, next + 1));
                if walk.number[need] == UNSEEN {
                    walk.enter(need);
                    path.push((need, 0));
                } else if walk.circle_of[need] == UNSEEN {
                    walk.low[node] = walk.low[node].min(walk.number[need]);
                }
                continue;
            }
            walk.leave(node);
            if let Some((parent, _)) = path.last() {
                walk.low[*parent] = walk.low[*parent].min(walk.low[node]);
            }
        }
    }
    (walk.circle_of, walk.count)
}

/// The books of [`circles`].
struct Walk {
    number: Vec<usize>,
    low: Vec<usize>,
    circle_of: Vec<usize>,
    open: Vec<usize>,
    seen: usize,
    count: usize,
}

impl Walk {
    fn enter(&mut self, node: usize) {
        self.number[node] = self.seen;
        self.low[node] = self.seen;
        self.seen += 1;
        self.open.push(node);
    }

    /// Closes the circle that began with `node`, if one did.
    fn leave(&mut self, node: usize) {
        if self.low[node] != self.number[node] {
            return;
        }
        while let Some(member) = self.open.pop() {
            self.circle_of[member] = self.count;
            if member == node {
                break;
            }
        }
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `api: db cache` needs, `db critical` broken; gives `api < db` for each root.
    #[track_caller]
    fn check(needs: &[&str], broken: &[(&str, AlertLevel)], expected: &[&str]) {
        let needs = needs.iter().map(|line| {
            let (name, needs) = line.split_once(':').unwrap();
            (name.parse().unwrap(), needs.split_whitespace().map(|need| need.parse().unwrap()).collect())
        });
        let needs = Needs::new(&needs.collect());
        let broken = broken.iter().map(|(name, level)| (name.parse().unwrap(), *level)).collect();
        let roots: Vec<String> =
            needs.roots(&broken).iter().map(|(name, root)| format!("{name} < {}", root.1)).collect();
        assert_eq!(roots, expected);
    }

    use AlertLevel::{Critical, Warning};

    #[test]
    fn the_root_is_the_deepest_of_equals() {
        let chain = ["web: api", "api: db", "db:"];
        check(&chain, &[("api", Critical), ("db", Critical)], &["api < db", "web < db"]);
        check(&chain, &[("api", Critical), ("db", Warning)], &["api < db", "web < api"]);
        check(&chain, &[("web", Critical)], &[]);
    }

    #[test]
    fn of_two_roots_the_worse_counts_and_then_the_first() {
        let fan = ["web: b a", "a:", "b:"];
        check(&fan, &[("a", Warning), ("b", Critical)], &["web < b"]);
        check(&fan, &[("a", Critical), ("b", Critical)], &["web < a"]);
    }

    #[test]
    fn in_a_circle_nobody_is_the_root_of_another() {
        let circle = ["a: b", "b: c", "c: a", "d: a", "e: e"];
        check(&circle, &[("a", Critical), ("b", Critical), ("e", Critical)], &["d < a"]);
    }

    #[test]
    fn what_needs_nothing_itself_need_not_be_listed() {
        check(&["a: db"], &[("db", Critical), ("stranger", Critical)], &["a < db"]);
    }

    #[test]
    fn a_chain_of_twenty_thousand_does_not_overflow_the_stack() {
        let name = |number: u32| format!("s{number}").parse::<ServiceName>().unwrap();
        let needs = (0..20_000).map(|number| (name(number), vec![name(number + 1)])).collect();
        let broken = BTreeMap::from([(name(19_999), Critical)]);
        assert_eq!(Needs::new(&needs).roots(&broken).len(), 19_999);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against plain reachability over all pairs.
        #[test]
        fn a_service_has_a_root_exactly_when_it_reaches_a_broken_one_that_does_not_reach_it(
            edges in proptest::collection::vec((0..8_usize, 0..8_usize), 0..24),
            levels in proptest::collection::vec(proptest::option::of(any::<bool>()), 8),
        ) {
            let name = |index: usize| format!("s{index}").parse::<ServiceName>().unwrap();
            let mut needs: BTreeMap<ServiceName, Vec<ServiceName>> =
                (0..8).map(|index| (name(index), Vec::new())).collect();
            let mut reach = [[false; 8]; 8];
            for (from, to) in edges {
                needs.entry(name(from)).or_default().push(name(to));
                reach[from][to] = true;
            }
            for (via, from, to) in (0..512).map(|n| (n / 64, n / 8 % 8, n % 8)) {
                reach[from][to] |= reach[from][via] && reach[via][to];
            }
            let level = |index: usize| levels[index].map(|bad| if bad { Critical } else { Warning });
            let broken = (0..8).filter_map(|index| Some((name(index), level(index)?))).collect();
            let needs = Needs::new(&needs);
            let roots = needs.roots(&broken);
            for (service, reached) in reach.iter().enumerate() {
                let is_below = |to: &usize| reached[*to] && !reach[*to][service];
                let expected = (0..8).filter(is_below).filter_map(level).max();
                prop_assert_eq!(roots.get(&name(service)).map(|root| root.0), expected);
            }
        }
    }
}
