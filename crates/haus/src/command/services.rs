//! `haus services`: what is in the registry, supervised and announced.

use super::running::Running;
use crate::arguments::Services;
use crate::exit::{Code, DONE, Failure};
use crate::listing::{self, NOTHING};
use crate::terminal;
use haus_api::registry::{Instance, Service};

pub(crate) fn cmd_services(arguments: &Services) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    if let Some(name) = &arguments.name {
        let service = running.ask(running.client.service(name))?;
        if arguments.asked.json {
            terminal::json(&service);
        } else {
            terminal::out(&page(&service));
        }
        return Ok(DONE);
    }
    let services = running.ask(running.client.services())?;
    if arguments.asked.json {
        terminal::json(&services);
    } else {
        let rows: Vec<_> = services.services.iter().flat_map(rows).collect();
        terminal::out(&listing::table(HEADING, &rows));
    }
    Ok(DONE)
}

const HEADING: [&str; 6] = ["SERVICE", "STATE", "ADDRESS", "ORIGIN", "SINCE", "WHY"];

/// One row for each instance, and one for a service that has none.
fn rows(service: &Service) -> Vec<[String; 6]> {
    if service.instances.is_empty() {
        let nothing = || NOTHING.to_owned();
        let why = "no instance is registered".to_owned();
        return vec![[
            service.name.to_string(),
            service.status.to_string(),
            nothing(),
            nothing(),
            nothing(),
            why,
        ]];
    }
    let row = |instance: &Instance| {
        [
            called(instance),
            instance.health.to_string(),
            address(instance),
            instance.origin.clone(),
            instance.since.clone(),
            instance.why.clone(),
        ]
    };
    service.instances.iter().map(row).collect()
}

fn called(instance: &Instance) -> String {
    instance.id.clone()
}

/// Where an instance is reached.
pub(super) fn address(instance: &Instance) -> String {
    let host = if instance.address.contains(':') {
        format!("[{}]", instance.address)
    } else {
        instance.address.clone()
    };
    instance.port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

fn page(service: &Service) -> String {
    let list = |names: Vec<String>| (!names.is_empty()).then(|| names.join(", "));
    let mut text = listing::page(
        service.name.as_str(),
        &[
            ("about", service.about.clone()),
            ("state", Some(service.status.to_string())),
            ("reached at", list(service.urls.clone())),
            ("needs", list(service.dependencies.iter().map(ToString::to_string).collect())),
        ],
    );
    for instance in &service.instances {
        let ports = instance.ports.iter().map(|(name, port)| format!("{name} {port}")).collect();
        let metadata = instance.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        text.push('\n');
        text.push_str(&listing::page(
            &called(instance),
            &[
                ("state", Some(format!("{} since {}: {}", instance.health, instance.since, instance.why))),
                ("address", Some(address(instance))),
                ("ports", list(ports)),
                ("origin", Some(instance.origin.clone())),
                ("version", instance.version.clone()),
                ("load", instance.load.map(|load| format!("{load:.2}"))),
                ("weight", (instance.weight != 1).then(|| instance.weight.to_string())),
                ("until", instance.lease_until.clone()),
                ("metadata", list(metadata)),
                ("revision", Some(instance.revision.to_string())),
            ],
        ));
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use haus_model::health::HealthState;
    use std::collections::BTreeMap;

    /// An instance of service `web`.
    pub(crate) fn instance(ordinal: u32, address: &str, port: Option<u16>) -> Instance {
        Instance {
            id: format!("web/{ordinal}"),
            run: 1,
            address: address.to_owned(),
            port,
            ports: BTreeMap::new(),
            health: HealthState::Healthy,
            since: "then".to_owned(),
            why: "GET /health answered 200".to_owned(),
            lease_until: None,
            revision: 3,
            origin: "announced".to_owned(),
            name: Some("blue".to_owned()),
            version: None,
            load: Some(0.25),
            weight: 1,
            metadata: BTreeMap::new(),
        }
    }

    fn service(instances: Vec<Instance>) -> Service {
        Service {
            name: "web".parse().expect("a name"),
            about: None,
            status: HealthState::Healthy,
            urls: vec!["http://web.localhost/".to_owned()],
            dependencies: Vec::new(),
            instances,
        }
    }

    #[track_caller]
    fn check(instance: &Instance, expected: &str) {
        assert_eq!(address(instance), expected);
    }

    #[test]
    fn an_address_can_be_used_as_it_stands() {
        check(&instance(1, "10.0.0.1", Some(80)), "10.0.0.1:80");
        check(&instance(1, "::1", Some(80)), "[::1]:80");
        check(&instance(1, "worker.lan", None), "worker.lan");
    }

    #[test]
    fn a_service_without_instances_is_listed_too() {
        let row = rows(&service(Vec::new())).remove(0);
        assert_eq!((row[0].as_str(), row[5].as_str()), ("web", "no instance is registered"));
        assert_eq!(rows(&service(vec![instance(1, "h", None), instance(2, "h", None)])).len(), 2);
    }

    #[test]
    fn the_page_of_a_service_has_its_instances() {
        let text = page(&service(vec![instance(1, "10.0.0.1", Some(80))]));
        for part in ["web\n  state", "http://web.localhost/", "web/1\n", "10.0.0.1:80", "load      0.25"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("weight"), "{text}");
    }
}
