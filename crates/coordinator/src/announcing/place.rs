//! Which instance somebody speaks for. Pure.
//!
//! Threat: a token of one copy that speaks for another, or a stranger's copy that passes for one of ours. A
//! token that is bound to an instance speaks for that one only, and numbers name nobody but the copies that
//! the house runs.

use super::said::instance_id;
use haus_api::{Problem, ProblemCode};
use haus_model::house::House;
use haus_model::service::Service;
use haus_model::{InstanceId, ServiceName};

/// An instance, by who says that it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The house runs it.
    Supervised(InstanceId),
    /// It announced itself.
    Announced(String),
}

impl Place {
    /// What the instance is called in answers.
    pub(super) fn name(&self) -> String {
        match self {
            Place::Supervised(id) => id.ordinal.to_string(),
            Place::Announced(name) => name.clone(),
        }
    }
}

/// Why nobody can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The token is bound to another instance, this one.
    Bound(String),
    /// The request is wrong.
    Refused(Box<Problem>),
}

/// The instance that is named by the token (`bound`) or the request (`wanted`); none when neither names one.
///
/// # Errors
/// They contradict each other, or nobody can have that name.
pub(super) fn named(
    house: &House,
    service: &ServiceName,
    bound: Option<&str>,
    wanted: Option<&str>,
) -> Result<Option<Place>, NoPlace> {
    if let (Some(bound), Some(wanted)) = (bound, wanted)
        && bound != wanted
    {
        return Err(NoPlace::Bound(bound.to_owned()));
    }
    let Some(name) = wanted.or(bound) else { return Ok(None) };
    instance_id(name).map_err(|problem| NoPlace::Refused(Box::new(problem)))?;
    let Some(copies) = supervised(house, service) else { return Ok(Some(Place::Announced(name.to_owned()))) };
    if !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Some(Place::Announced(name.to_owned())));
    }
    match name.parse::<u32>() {
        // `01` would be a second name of the first.
        Ok(ordinal) if (1..=copies).contains(&ordinal) && ordinal.to_string() == name => {
            Ok(Some(Place::Supervised(InstanceId { service: service.clone(), ordinal })))
        }
        Ok(_) | Err(_) => {
            let detail = format!("numbers name the copies of {service} that the house runs, 1 to {copies}");
            let hint = "give another copy a name with a letter, or leave `instance` out";
            Err(NoPlace::Refused(Box::new(Problem::new(ProblemCode::Invalid, detail).with_hint(hint))))
        }
    }
}

/// The instance that is meant when nobody is named: the only one.
///
/// # Errors
/// There is none, or more than one.
pub(super) fn only(house: &House, service: &ServiceName, announced: &[String]) -> Result<Place, Problem> {
    let copies = supervised(house, service).unwrap_or(0);
    match (copies, announced) {
        (0, [one]) => Ok(Place::Announced(one.clone())),
        (1, []) => Ok(Place::Supervised(InstanceId { service: service.clone(), ordinal: 1 })),
        (0, []) => Err(unknown(service, None)),
        (_, _) => Err(Problem::new(
            ProblemCode::Invalid,
            format!("{service} has several instances, and none is named"),
        )
        .with_hint("name one: `instance`, or a token that is bound to it")),
    }
}

/// Nobody of this name has registered.
pub(super) fn unknown(service: &ServiceName, instance: Option<&str>) -> Problem {
    let who =
        instance.map_or_else(|| format!("an instance of {service}"), |name| format!("{service}/{name}"));
    Problem::new(ProblemCode::NotFound, format!("{who} is not registered"))
        .with_hint("register again: POST /api/services/register")
}

/// How many copies the house runs; none when it does not run the service.
pub(super) fn supervised(house: &House, service: &ServiceName) -> Option<u32> {
    let runs_here = |service: &&Service| !service.runs_as.registers_itself();
    house.services.get(service).filter(runs_here).map(|service| service.instances)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use haus_model::service::RunsAs;

    fn house() -> House {
        let mut scanner = fixture::service("scanner", 1);
        scanner.runs_as = RunsAs::External;
        let mut far = fixture::service("far", 2);
        far.runs_as = RunsAs::Systemd;
        fixture::house(vec![fixture::service("api", 2), far, fixture::service("one", 1), scanner])
    }

    #[track_caller]
    fn check(service: &str, bound: Option<&str>, wanted: Option<&str>, expected: Result<Option<&str>, &str>) {
        let found = named(&house(), &service.parse().unwrap(), bound, wanted);
        let told = match &found {
            Ok(None) => Ok(None),
            Ok(Some(Place::Supervised(id))) => Ok(Some(format!("runs {}", id.ordinal))),
            Ok(Some(Place::Announced(name))) => Ok(Some(name.clone())),
            Err(NoPlace::Bound(bound)) => Err(format!("bound to {bound}")),
            Err(NoPlace::Refused(problem)) => Err(problem.code.as_str().to_owned()),
        };
        assert_eq!(told, expected.map(|place| place.map(str::to_owned)).map_err(str::to_owned), "{service}");
    }

    #[test]
    fn a_bound_token_speaks_for_its_own_instance_only() {
        check("api", Some("1"), None, Ok(Some("runs 1")));
        check("api", Some("1"), Some("1"), Ok(Some("runs 1")));
        check("api", Some("1"), Some("2"), Err("bound to 1"));
        check("api", Some("1"), Some("mine"), Err("bound to 1"));
        check("scanner", Some("desk"), Some("desk"), Ok(Some("desk")));
        // Put on a host: it speaks for its place.
        check("far", Some("2"), None, Ok(Some("runs 2")));
        check("far", None, Some("3"), Err("invalid"));
    }

    #[test]
    fn numbers_are_the_copies_that_the_house_runs() {
        check("api", None, Some("2"), Ok(Some("runs 2")));
        for other in ["0", "3", "01", "99999999999"] {
            check("api", None, Some(other), Err("invalid"));
        }
        check("api", None, Some("far-1"), Ok(Some("far-1")));
        check("scanner", None, Some("1"), Ok(Some("1")));
        check("unheard-of", None, Some("7"), Ok(Some("7")));
        check("scanner", None, Some("a/b"), Err("invalid"));
        check("scanner", None, None, Ok(None));
    }

    #[test]
    fn nobody_named_means_the_only_one() {
        let only = |service: &str, announced: &[&str]| {
            let announced: Vec<String> = announced.iter().map(|name| (*name).to_owned()).collect();
            only(&house(), &service.parse().unwrap(), &announced)
                .map(|place| place.name())
                .map_err(|p| p.status)
        };
        assert_eq!(only("one", &[]), Ok("1".to_owned()));
        assert_eq!(only("one", &["far"]), Err(422));
        assert_eq!(only("api", &[]), Err(422));
        assert_eq!(only("scanner", &["desk"]), Ok("desk".to_owned()));
        assert_eq!(only("scanner", &["desk", "hall"]), Err(422));
        assert_eq!(only("scanner", &[]), Err(404));
    }
}
