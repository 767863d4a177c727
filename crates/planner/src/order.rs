//! The order of resources on a host: what is needed comes first; where needs leave a choice, kinds in the
//! order in which a host is built, then names. The order in a plan file therefore never shows.

use haus_model::resource::{Resource, ResourceId};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Resources in an order in which each stands behind what it needs.
pub(crate) struct Ordered<'a> {
    pub resources: Vec<&'a Resource>,
    /// Positions in `resources` of what each one needs.
    pub needs: Vec<Vec<usize>>,
    /// The position of each.
    pub at: HashMap<&'a ResourceId, usize>,
}

/// Sorts. A circle, which a sound plan does not have, is cut where its first member by kind and name stands.
pub(crate) fn ordered(resources: &[Resource]) -> Ordered<'_> {
    let mut ranked: Vec<&Resource> = resources.iter().collect();
    ranked.sort_by(|a, b| (a.spec.kind(), &a.id).cmp(&(b.spec.kind(), &b.id)));
    let mut at: HashMap<&ResourceId, usize> =
        ranked.iter().enumerate().map(|(rank, resource)| (&resource.id, rank)).collect();
    let needs: Vec<Vec<usize>> = ranked
        .iter()
        .map(|resource| resource.needs.iter().filter_map(|need| at.get(need).copied()).collect())
        .collect();
    let order = topological(&needs);
    let mut place = vec![0; order.len()];
    for (position, rank) in order.iter().enumerate() {
        place[*rank] = position;
    }
    Ordered {
        resources: order.iter().map(|rank| ranked[*rank]).collect(),
        at: {
            at.values_mut().for_each(|position| *position = place[*position]);
            at
        },
        needs: order.iter().map(|rank| needs[*rank].iter().map(|need| place[*need]).collect()).collect(),
    }
}

/// Kahn's algorithm with the smallest free rank first.
fn topological(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut waits: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (rank, list) in needs.iter().enumerate() {
        for need in list {
            needed_by[*need].push(rank);
        }
    }
    let mut free: BinaryHeap<Reverse<usize>> =
        (0..needs.len()).filter(|rank| waits[*rank] == 0).map(Reverse).collect();
    let mut done = vec![false; needs.len()];
    let mut order = Vec::with_capacity(needs.len());
    let mut first_open = 0;
    while order.len() < needs.len() {
        let rank = match free.pop() {
            Some(Reverse(rank)) => rank,
            None => {
                while done[first_open] {
                    first_open += 1;
                }
                first_open
            }
        };
        if done[rank] {
            continue;
        }
        done[rank] = true;
        order.push(rank);
        for next in &needed_by[rank] {
            waits[*next] = waits[*next].saturating_sub(1);
            if waits[*next] == 0 {
                free.push(Reverse(*next));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(needs: &[&[usize]], expected: &[usize]) {
        let needs: Vec<Vec<usize>> = needs.iter().map(|list| list.to_vec()).collect();
        assert_eq!(topological(&needs), expected);
    }

    #[test]
    fn needs_come_first_and_ranks_decide_the_rest() {
        check(&[&[], &[], &[]], &[0, 1, 2]);
        check(&[&[2], &[], &[]], &[1, 2, 0]);
        check(&[&[1], &[2], &[]], &[2, 1, 0]);
    }

    #[test]
    fn a_circle_ends() {
        check(&[&[1], &[0], &[]], &[2, 0, 1]);
    }
}
