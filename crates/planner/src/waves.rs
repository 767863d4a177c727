//! In which order hosts change: whoever is needed comes first, and what does not wait for each other goes
//! together. Hosts that need each other in a circle change in one wave, since no order helps them.

use haus_model::HostName;
use std::collections::{BTreeMap, BTreeSet};

/// Waves from the needs between hosts.
pub(crate) fn waves(needs: &BTreeMap<&HostName, &BTreeSet<HostName>>) -> Vec<Vec<HostName>> {
    let names: Vec<&HostName> = needs.keys().copied().collect();
    let place = |name: &HostName| names.binary_search(&name).ok();
    let edges: Vec<Vec<usize>> = needs.values().map(|list| list.iter().filter_map(place).collect()).collect();
    let circles = circles(&edges);
    // A circle is numbered behind everything that it needs, so one pass gives every level.
    let count = circles.iter().max().map_or(0, |last| last + 1);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (host, circle) in circles.iter().enumerate() {
        members[*circle].push(host);
    }
    let mut level = vec![0; count];
    for circle in 0..count {
        let needed = members[circle].iter().flat_map(|host| &edges[*host]).map(|host| circles[*host]);
        level[circle] =
            needed.filter(|other| *other != circle).map(|other| level[other] + 1).max().unwrap_or(0);
    }
    let mut waves: Vec<Vec<HostName>> = vec![Vec::new(); level.iter().max().map_or(0, |last| last + 1)];
    for (host, circle) in circles.iter().enumerate() {
        waves[level[*circle]].push(names[host].clone());
    }
    waves
}

/// The number of the circle that each host is in (Tarjan's algorithm, without recursion).
fn circles(edges: &[Vec<usize>]) -> Vec<usize> {
    const OPEN: usize = usize::MAX;
    let mut index = vec![OPEN; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut circle = vec![OPEN; edges.len()];
    let (mut next, mut count) = (0, 0);
    let mut path: Vec<usize> = Vec::new();
    for start in 0..edges.len() {
        if index[start] != OPEN {
            continue;
        }
        let mut calls: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((host, edge)) = calls.pop() {
            if edge == 0 {
                index[host] = next;
                low[host] = next;
                next += 1;
                path.push(host);
            }
            if let Some(other) = edges[host].get(edge) {
                calls.push((host, edge + 1));
                if index[*other] == OPEN {
                    calls.push((*other, 0));
                } else if circle[*other] == OPEN {
                    low[host] = low[host].min(index[*other]);
                }
                continue;
            }
            if low[host] == index[host] {
                while let Some(member) = path.pop() {
                    circle[member] = count;
                    if member == host {
                        break;
                    }
                }
                count += 1;
            }
            if let Some((parent, _)) = calls.last() {
                low[*parent] = low[*parent].min(low[host]);
            }
        }
    }
    circle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(needs: &[(&str, &[&str])], expected: &[&[&str]]) {
        let parse = |name: &&str| name.parse::<HostName>().unwrap();
        let owned: BTreeMap<HostName, BTreeSet<HostName>> =
            needs.iter().map(|(host, list)| (parse(host), list.iter().map(parse).collect())).collect();
        let found = waves(&owned.iter().collect());
        let found: Vec<Vec<&str>> =
            found.iter().map(|wave| wave.iter().map(HostName::as_str).collect()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn whoever_is_needed_comes_first() {
        check(&[("app", &["db"]), ("db", &[]), ("web", &["app"])], &[&["db"], &["app"], &["web"]]);
        check(&[("a", &[]), ("b", &[])], &[&["a", "b"]]);
        check(&[], &[]);
    }

    #[test]
    fn a_circle_is_one_wave() {
        check(
            &[("a", &["b"]), ("b", &["a", "d"]), ("c", &["a"]), ("d", &[])],
            &[&["d"], &["a", "b"], &["c"]],
        );
    }

    #[test]
    fn a_host_outside_of_the_plan_is_not_waited_for() {
        check(&[("a", &["gone"])], &[&["a"]]);
    }
}
