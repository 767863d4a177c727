//! `haus discover`: where a service can be reached at this moment, the best place first.

use super::running::Running;
use super::services::address;
use crate::arguments::Discover;
use crate::exit::{Code, DONE, FINDINGS, Failure};
use crate::{listing, terminal};
use haus_api::registry::{Discovery, Instance};
use haus_api::{Problem, ProblemCode};
use haus_client::ClientError;
use haus_model::ServiceName;

pub(crate) fn cmd_discover(arguments: &Discover) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let asked = async { Ok(running.client.discover(&arguments.name).await) };
    let found = match running.ask(asked)? {
        Err(ClientError::Refused { problem }) if problem.code == ProblemCode::Unavailable => {
            return Err(nobody(&problem, &arguments.name));
        }
        answer => running.ask(async { answer })?,
    };
    if arguments.asked.json {
        terminal::json(&found);
    } else {
        terminal::out(&table(&found));
    }
    Ok(DONE)
}

/// The house answers, and nobody of the service can be used: a finding, no failure of ours.
fn nobody(problem: &Problem, name: &ServiceName) -> Failure {
    Failure::new(FINDINGS, problem.detail.clone())
        .hint(format!("see what it does with `haus status {name}` and `haus events {name}`"))
}

fn table(found: &Discovery) -> String {
    let load =
        |one: &Instance| one.load.map_or_else(|| listing::NOTHING.to_owned(), |load| format!("{load:.2}"));
    let row = |one: &Instance| {
        [
            address(one),
            one.id.clone(),
            one.health.to_string(),
            load(one),
            one.weight.to_string(),
            one.why.clone(),
        ]
    };
    let rows: Vec<_> = found.endpoints.iter().map(row).collect();
    let table = listing::table(["ADDRESS", "INSTANCE", "STATE", "LOAD", "WEIGHT", "WHY"], &rows);
    let count = listing::count(rows.len() as u64, "place", "places");
    format!("{table}\n{count}, the one whose turn it is first; {}\n", found.balancing)
}

#[cfg(test)]
mod tests {
    use super::super::services::tests::instance;
    use super::*;
    use haus_model::health::HealthState;

    #[test]
    fn a_service_that_nobody_can_reach_is_a_finding_with_the_reason() {
        let why = "web cannot be reached: web/s1 is offline: no sign of life for 6s";
        let failure = nobody(&Problem::new(ProblemCode::Unavailable, why), &"web".parse().expect("a name"));
        assert_eq!((failure.code, failure.message.as_str()), (FINDINGS, why));
        assert!(failure.hint.is_some_and(|hint| hint.contains("haus events web")));
    }

    #[test]
    fn the_place_to_use_stands_first() {
        let found = Discovery {
            name: "web".parse().expect("a name"),
            address: "10.0.0.2".to_owned(),
            port: Some(80),
            health: HealthState::Healthy,
            load: 0.25,
            balancing: "round robin".to_owned(),
            endpoints: vec![instance(2, "10.0.0.2", Some(80)), instance(1, "10.0.0.1", Some(80))],
            revision: 1,
        };
        let text = table(&found);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("10.0.0.2:80  web/2") && lines[2].starts_with("10.0.0.1:80"), "{text}");
        assert_eq!(lines[4], "2 places, the one whose turn it is first; round robin");
    }
}
