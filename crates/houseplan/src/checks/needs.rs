//! `needs`: unknown services, and circles of services that wait for each other.

use crate::code::Code;
use crate::draft::{Draft, ServiceDraft};
use crate::fault::{Fault, Session, Subject};
use crate::source::Span;
use std::collections::{BTreeMap, VecDeque};

/// Unknown names first; circles are then looked for among the names that exist.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    for service in &draft.services {
        twice(session, service);
        for need in &service.needs {
            if draft.service(need.text).is_some() {
                continue;
            }
            let names = draft.service_names().filter(|name| *name != service.name.text);
            let remedy =
                session.suggest.remedy(need.text, names, || "add the service, or remove it here".to_owned());
            let message = format!("there is no service `{}`", need.text);
            let fault =
                Fault::new(Code::NeedUnknown, Subject::Service(service.name.text), need.span, message);
            session.report(fault.label("unknown service").remedy(remedy));
        }
    }
    let graph: Vec<Vec<usize>> = draft
        .services
        .iter()
        .map(|service| {
            service.needs.iter().filter_map(|need| draft.service_index.get(need.text).copied()).collect()
        })
        .collect();
    for group in circles(&graph) {
        report_circle(session, draft, &graph, &group);
    }
}

/// The second mention does nothing, so it was meant to be another name or to be removed.
fn twice<'t>(session: &Session<'t>, service: &ServiceDraft<'t>) {
    if service.needs.len() < 2 {
        return;
    }
    let mut first: BTreeMap<&str, Span> = BTreeMap::new();
    for need in &service.needs {
        let Some(before) = first.insert(need.text, need.span) else { continue };
        let message = format!("`{}` is needed twice", need.text);
        let fault = Fault::new(Code::NeedTwice, Subject::Service(service.name.text), need.span, message);
        session.report(
            fault
                .label("again")
                .related(before, "already here")
                .remedy("keep one, or name the other service"),
        );
    }
}

/// One fault for a circle, with every `needs` that takes part in it.
fn report_circle<'t>(session: &Session<'t>, draft: &Draft<'t>, graph: &[Vec<usize>], group: &[usize]) {
    let path = shortest_circle(graph, group);
    let name = |at: usize| draft.services[at].name.text;
    let first = &draft.services[path[0]];
    let shown = path.iter().chain([&path[0]]).map(|&at| name(at)).collect::<Vec<_>>().join(" → ");
    let need_span = |from: usize, to: usize| {
        let service = &draft.services[from];
        service.needs.iter().find(|need| need.text == name(to)).map_or(service.name.span, |need| need.span)
    };
    let next = path.get(1).copied().unwrap_or(path[0]);
    let message = if path.len() == 1 {
        format!("`{}` needs itself", name(path[0]))
    } else {
        format!("these services wait for each other: {shown}")
    };
    let span = need_span(path[0], next);
    let mut fault = Fault::new(Code::NeedCycle, Subject::Service(first.name.text), span, message)
        .label("none of them can start first")
        .remedy("remove one of these `needs`; the service then has to bear that the other comes later");
    for (at, &from) in path.iter().enumerate().skip(1) {
        let to = path.get(at + 1).copied().unwrap_or(path[0]);
        fault = fault.related(need_span(from, to), format!("`{}` needs `{}`", name(from), name(to)));
    }
    session.report(fault);
}

/// The shortest way from the first of a group back to it.
fn shortest_circle(graph: &[Vec<usize>], group: &[usize]) -> Vec<usize> {
    let start = group[0];
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for &next in &graph[at] {
            if next == start {
                let mut path = vec![at];
                while let Some(&previous) = before.get(path.last().unwrap_or(&start)) {
                    path.push(previous);
                }
                path.reverse();
                return path;
            }
            if group.binary_search(&next).is_ok() && !before.contains_key(&next) {
                before.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    vec![start]
}

/// Groups of nodes that reach each other (Tarjan's strongly connected components, without
/// recursion because a chain may be as long as the plan), each sorted, in order of their first.
fn circles(graph: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let mut order = vec![UNSEEN; graph.len()];
    let mut low = vec![0; graph.len()];
    let mut on_stack = vec![false; graph.len()];
    let (mut stack, mut groups, mut count) = (Vec::new(), Vec::new(), 0);
    for root in 0..graph.len() {
        if order[root] != UNSEEN {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((at, edge)) = work.pop() {
            if edge == 0 {
                (order[at], low[at], on_stack[at]) = (count, count, true);
                count += 1;
                stack.push(at);
            }
            if let Some(&next) = graph[at].get(edge) {
                work.push((at, edge + 1));
                if order[next] == UNSEEN {
                    work.push((next, 0));
                } else if on_stack[next] {
                    low[at] = low[at].min(order[next]);
                }
                continue;
            }
            if let Some(&(parent, _)) = work.last() {
                low[parent] = low[parent].min(low[at]);
            }
            if low[at] == order[at] {
                let split = stack.iter().rposition(|&node| node == at).unwrap_or(0);
                let mut group = stack.split_off(split);
                group.iter().for_each(|&node| on_stack[node] = false);
                group.sort_unstable();
                if group.len() > 1 || graph[at].contains(&at) {
                    groups.push(group);
                }
            }
        }
    }
    groups.sort();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(graph: &[&[usize]], expected: &[&[usize]]) {
        let graph: Vec<Vec<usize>> = graph.iter().map(|edges| edges.to_vec()).collect();
        assert_eq!(circles(&graph), expected);
    }

    #[test]
    fn circles_are_found_once_each() {
        check(&[&[1], &[2], &[]], &[]);
        check(&[&[1], &[0]], &[&[0, 1]]);
        check(&[&[0], &[]], &[&[0]]);
        check(&[&[1], &[2], &[1, 3], &[4], &[3], &[0]], &[&[1, 2], &[3, 4]]);
    }

    #[test]
    fn a_chain_as_long_as_the_plan_does_not_overflow() {
        let graph: Vec<Vec<usize>> =
            (0..100_000).map(|at| if at == 0 { vec![] } else { vec![at - 1] }).collect();
        assert!(circles(&graph).is_empty());
    }

    #[test]
    fn the_shortest_circle_is_shown() {
        let graph = vec![vec![1, 2], vec![2], vec![0]];
        assert_eq!(shortest_circle(&graph, &[0, 1, 2]), [0, 2]);
    }
}
