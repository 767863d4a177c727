//! Public answers, made from what the directory knows and the plan says. Pure but for the clock that times
//! are told by.

use crate::clock::Clock;
use crate::directory::{Row, Standing};
use haus_api::health::InstanceHealth;
use haus_api::registry::Instance;
use haus_api::watch;
use haus_model::Timestamp;
use haus_model::health::HealthState;
use haus_model::house::House;
use haus_model::route::RouteTarget;
use haus_model::service::RunsAs;
use haus_watch::registry::{Entry, RegistryChange, What};
use std::sync::Arc;

/// Service and address of every route, in the order of the plan's hosts.
pub(crate) fn urls(house: &House, gateway_port: u16) -> Vec<(String, String)> {
    let coordinator = house.services.values().find(|service| service.runs_as == RunsAs::Coordinator);
    let mut urls = Vec::new();
    for (host, paths) in &house.routes {
        for (path, route) in paths {
            let name = match &route.target {
                RouteTarget::Service { service, .. } => service.to_string(),
                RouteTarget::Coordinator => {
                    coordinator.map_or_else(|| "haus".to_owned(), |service| service.name.to_string())
                }
                RouteTarget::Files { .. } => "files".to_owned(),
            };
            let port = if gateway_port == 80 { String::new() } else { format!(":{gateway_port}") };
            urls.push((name, format!("http://{host}{port}{path}")));
        }
    }
    urls
}

/// A change as watchers get it.
pub(crate) fn change(change: &RegistryChange, name: &str, clock: Clock) -> watch::RegistryChange {
    let (word, entry, why) = match &change.what {
        What::Put(entry) => ("put", Some(entry), None),
        What::Removed { why } => ("removed", None, Some(why.clone())),
    };
    watch::RegistryChange {
        revision: change.revision,
        service: change.id.service.to_string(),
        id: name.to_owned(),
        change: word.to_owned(),
        instance: entry.map(|entry| instance(entry, name, clock)),
        why,
    }
}

/// An instance with what is known of it beside its entry.
pub(crate) fn row(row: &Row, clock: Clock) -> Instance {
    let instance = instance(row.entry(), row.frame.name(), clock);
    let told = |at: Timestamp| clock.wall_of(at).to_string();
    Instance { load: row.note.load, lease_until: row.note.lease_until.map(told), ..instance }
}

/// An instance in a list of all: without its words.
pub(crate) fn listed(row: &Row, clock: Clock) -> Instance {
    Instance { metadata: std::collections::BTreeMap::new(), ..self::row(row, clock) }
}

/// An instance by its entry alone.
fn instance(entry: &Entry, name: &str, clock: Clock) -> Instance {
    Instance {
        id: name.to_owned(),
        run: entry.run,
        address: entry.address.clone(),
        port: entry.main_port.as_ref().and_then(|name| entry.ports.get(name)).copied(),
        ports: entry.ports.iter().map(|(name, number)| (name.to_string(), *number)).collect(),
        health: entry.state,
        since: clock.wall_of(entry.since).to_string(),
        why: entry.why.clone(),
        lease_until: entry.lease_until.map(|at| clock.wall_of(at).to_string()),
        revision: entry.revision,
        origin: entry.origin.as_str().to_owned(),
        name: entry.name.clone(),
        version: entry.version.clone(),
        load: entry.load,
        weight: entry.weight,
        metadata: entry.metadata.clone(),
    }
}

/// The health of one instance.
pub(crate) fn instance_health(row: &Row, clock: Clock) -> InstanceHealth {
    let (entry, note) = (row.entry(), &row.note);
    let told = |at: Timestamp| clock.wall_of(at).to_string();
    InstanceHealth {
        id: row.frame.name().to_owned(),
        status: entry.state,
        since: told(entry.since),
        why: entry.why.clone(),
        evidence: note.probed.as_ref().map(|probed| probed.evidence.clone()),
        last_check: note.probed.as_ref().map(|probed| told(probed.at)),
        last_heartbeat: note.beat_at.map(told),
        response_time_ms: response_ms(row),
    }
}

/// How long its last probe took, or what it reported itself.
pub(crate) fn response_ms(row: &Row) -> Option<f64> {
    // Whole milliseconds of a probe are far below 2^52.
    let probed = row.note.probed.as_ref().map(|probed| probed.took_ms as f64);
    row.note.response_ms.or(probed)
}

/// A service of the plan of which nobody has told anything yet.
pub(crate) fn unheard(runs_outside: bool) -> Arc<Standing> {
    let why = if runs_outside { "no instance has registered" } else { "the house has just begun" };
    Arc::new(Standing {
        phase: "waiting".to_owned(),
        health: HealthState::Unknown,
        since: Timestamp(0),
        why: why.to_owned(),
    })
}

/// The place in `weights` whose turn it is. Over as many turns as the weights add up to, each gets exactly
/// its weight, and the heavier ones are spread, not bundled.
pub(crate) fn turn_of(turn: u64, weights: &[u32]) -> Option<usize> {
    let total: u64 = weights.iter().map(|weight| u64::from((*weight).max(1))).sum();
    let mut left = turn.checked_rem(total)?;
    for round in 1.. {
        let in_round = || weights.iter().enumerate().filter(move |(_, weight)| (**weight).max(1) >= round);
        let count = u64::try_from(in_round().count()).unwrap_or(u64::MAX);
        if left < count {
            let nth = usize::try_from(left).ok()?;
            return in_round().nth(nth).map(|(index, _)| index);
        }
        left = left.checked_sub(count).filter(|_| count > 0)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(weights: &[u32], expected: &[usize]) {
        let turns: Vec<usize> =
            (0..expected.len()).map(|turn| turn_of(turn as u64, weights).unwrap()).collect();
        assert_eq!(turns, expected, "{weights:?}");
    }

    #[test]
    fn everybody_gets_turns_by_weight() {
        check(&[1, 1], &[0, 1, 0, 1, 0]);
        check(&[1, 1, 1], &[0, 1, 2, 0]);
        check(&[3, 1], &[0, 1, 0, 0, 0, 1, 0, 0]);
        check(&[1, 2, 3], &[0, 1, 2, 1, 2, 2, 0]);
        check(&[0, 0], &[0, 1, 0]);
        assert_eq!(turn_of(7, &[]), None);
    }

    #[test]
    fn a_cycle_gives_each_exactly_its_weight() {
        for weights in [vec![100, 1, 7], vec![5; 20], (1..=50).collect()] {
            let total: u32 = weights.iter().sum();
            let mut counts = vec![0; weights.len()];
            (0..u64::from(total)).for_each(|turn| counts[turn_of(turn + 3, &weights).unwrap()] += 1);
            assert_eq!(counts, weights);
        }
    }
}
