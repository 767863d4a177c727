//! What an instance says of itself, checked and in the form in which it is kept. Pure.
//!
//! Threat: a holder of a token for one service who fills the registry, the log or a dashboard: every text has
//! a limit, control characters are refused, and numbers stay in their ranges. Names of values are told,
//! values are not repeated.

use haus_api::instance::{Dependency, HealthEndpoint, InstanceUpdate, Register};
use haus_api::{Problem, ProblemCode};
use haus_model::ServiceName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Longest id that an instance may give itself.
const INSTANCE_CHARS_MAX: usize = 63;
/// Longest version, environment.
const WORD_CHARS_MAX: usize = 64;
/// Longest description.
const TEXT_CHARS_MAX: usize = 1_024;
/// Pairs of metadata.
const PAIRS_MAX: usize = 32;
/// Longest name in metadata.
const KEY_CHARS_MAX: usize = 64;
/// Bytes of all metadata of an instance, names and values: every reader of the service is sent them.
const METADATA_BYTES_MAX: usize = 4 << 10;
/// Longest value in metadata.
const VALUE_CHARS_MAX: usize = 1_024;
/// Most dependencies and credentials that are named.
const NAMES_MAX: usize = 256;
/// The largest share of requests.
const WEIGHT_MAX: u32 = 100;

/// What an instance said of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// Its version.
    pub version: String,
    /// Where it says that it listens, in its own words.
    pub host: String,
    /// The address that this meant when it registered: a name that means another one later changes nothing.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// How its health is asked for.
    pub health: Option<HealthEndpoint>,
    /// Services that it needs.
    pub dependencies: Vec<Dependency>,
    /// For people.
    pub description: Option<String>,
    /// Such as `production`.
    pub environment: Option<String>,
    /// Words of its own.
    pub metadata: BTreeMap<String, String>,
    /// Its share of requests.
    pub weight: u32,
    /// The run of a supervised instance that said so.
    #[serde(default)]
    pub run: Option<u64>,
}

impl Said {
    /// Where it is reached.
    pub(crate) fn reached(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// About how much memory its words take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let dependency = |one: &Dependency| match one {
            Dependency::Name(name) => name.len(),
            Dependency::Full { name, version, .. } => name.len() + version.as_ref().map_or(0, String::len),
        };
        let texts = [&self.description, &self.environment].into_iter().flatten();
        let texts = texts.chain([&self.version, &self.host]).map(String::len).sum::<usize>();
        let health = self.health.as_ref().map_or(0, |check| check.endpoint.len());
        texts + health + bytes_of(&self.metadata) + self.dependencies.iter().map(dependency).sum::<usize>()
    }

    /// Takes over what a registration says; its address was resolved to `ip`.
    ///
    /// # Errors
    /// The first value that is not allowed.
    pub(crate) fn new(request: &Register, ip: IpAddr) -> Result<Said, Problem> {
        let health = match (&request.health_check, &request.health_endpoint) {
            (Some(check), _) => Some(check.clone()),
            (None, Some(path)) => Some(endpoint(path)),
            (None, None) => None,
        };
        let said = Said {
            version: request.version.clone(),
            host: request.address.clone(),
            ip,
            port: request.port,
            health,
            dependencies: request.dependencies.clone(),
            description: request.description.clone(),
            environment: request.environment.clone(),
            metadata: request.metadata.clone(),
            weight: request.weight.unwrap_or(1),
            run: None,
        };
        if request.credentials_needed.len() > NAMES_MAX {
            return Err(too_many("credentials_needed", NAMES_MAX));
        }
        said.check()?;
        Ok(said)
    }

    /// The same with what an update says; a new address was resolved to `ip`.
    ///
    /// # Errors
    /// The first value that is not allowed.
    pub(crate) fn updated(&self, update: &InstanceUpdate, ip: Option<IpAddr>) -> Result<Said, Problem> {
        let mut said = self.clone();
        if let Some(version) = &update.version {
            said.version.clone_from(version);
        }
        if let Some(port) = update.port {
            said.port = port;
        }
        if let (Some(host), Some(ip)) = (&update.address, ip) {
            said.host.clone_from(host);
            said.ip = ip;
        }
        if let Some(metadata) = &update.metadata {
            said.metadata.clone_from(metadata);
        }
        if let Some(weight) = update.weight {
            said.weight = weight;
        }
        said.check()?;
        Ok(said)
    }

    fn check(&self) -> Result<(), Problem> {
        text("version", &self.version, WORD_CHARS_MAX)?;
        if let Some(environment) = &self.environment {
            text("environment", environment, WORD_CHARS_MAX)?;
        }
        if let Some(description) = &self.description {
            text("description", description, TEXT_CHARS_MAX)?;
        }
        if self.port == 0 {
            return Err(invalid("`port` is 0", "give the port that it listens on, 1 to 65535"));
        }
        if !(1..=WEIGHT_MAX).contains(&self.weight) {
            return Err(invalid("`weight` is out of its range", "give a weight from 1 to 100"));
        }
        if self.metadata.len() > PAIRS_MAX {
            return Err(too_many("metadata", PAIRS_MAX));
        }
        for (key, value) in &self.metadata {
            text("a name in `metadata`", key, KEY_CHARS_MAX)?;
            text("a value in `metadata`", value, VALUE_CHARS_MAX)?;
        }
        if bytes_of(&self.metadata) > METADATA_BYTES_MAX {
            return Err(invalid(
                &format!("`metadata` has more than {METADATA_BYTES_MAX} bytes in all"),
                "keep it short, or keep it elsewhere and name the place",
            ));
        }
        if self.dependencies.len() > NAMES_MAX {
            return Err(too_many("dependencies", NAMES_MAX));
        }
        for dependency in &self.dependencies {
            let parsed = dependency.name().parse::<ServiceName>();
            parsed.map_err(|error| {
                invalid(
                    &format!("`dependencies` names no service: {error}"),
                    "name services as the plan does",
                )
            })?;
            if let Dependency::Full { version: Some(version), .. } = dependency {
                text("a version in `dependencies`", version, WORD_CHARS_MAX)?;
            }
        }
        self.health.as_ref().map_or(Ok(()), health)
    }
}

fn bytes_of(pairs: &BTreeMap<String, String>) -> usize {
    pairs.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// The short form of the document: a path, asked in the usual rhythm.
fn endpoint(path: &str) -> HealthEndpoint {
    HealthEndpoint {
        endpoint: path.to_owned(),
        method: "GET".to_owned(),
        timeout_seconds: 5,
        interval_seconds: 30,
    }
}

fn health(check: &HealthEndpoint) -> Result<(), Problem> {
    let path = &check.endpoint;
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
    if !path.starts_with('/') || path.starts_with("//") || path.contains(['#', '?']) || !is_plain {
        return Err(invalid(
            "the path of the health check is no path",
            "give a path with one slash first, without blanks and without a query: /health",
        ));
    }
    text("the path of the health check", path, TEXT_CHARS_MAX)?;
    if !["GET", "HEAD"].contains(&check.method.as_str()) {
        return Err(invalid("`health_check.method` is no method for a check", "use GET or HEAD"));
    }
    if !(1..=30).contains(&check.timeout_seconds) {
        return Err(invalid("`health_check.timeout_seconds` is out of its range", "give 1 to 30 seconds"));
    }
    if !(5..=300).contains(&check.interval_seconds) {
        return Err(invalid("`health_check.interval_seconds` is out of its range", "give 5 to 300 seconds"));
    }
    Ok(())
}

/// Checks the id that an instance gives itself.
///
/// # Errors
/// It is none.
pub(crate) fn instance_id(id: &str) -> Result<(), Problem> {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = id.len() <= INSTANCE_CHARS_MAX && id.chars().all(is_inner);
    if fits && is_edge(id.chars().next()) && is_edge(id.chars().last()) {
        return Ok(());
    }
    Err(invalid(
        "`instance` is no id of an instance",
        "use 1 to 63 letters, digits, dots, dashes and underscores, a letter or digit at both ends",
    ))
}

/// The id of an instance that gives itself none: the same for the same address, so that registering again is
/// the same registration.
pub(crate) fn id_from(address: SocketAddr) -> String {
    let host: String =
        address.ip().to_string().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("at-{}-{}", host.trim_matches('-'), address.port())
}

fn text(what: &str, text: &str, chars_max: usize) -> Result<(), Problem> {
    if text.chars().any(char::is_control) {
        return Err(invalid(&format!("{what} has control characters"), "send plain text in one line"));
    }
    if text.chars().count() > chars_max {
        return Err(invalid(
            &format!("{what} is longer than {chars_max} characters"),
            "keep it short, or keep it elsewhere and name the place",
        ));
    }
    Ok(())
}

fn too_many(what: &str, most: usize) -> Problem {
    invalid(&format!("`{what}` has more than {most} items"), "send fewer")
}

fn invalid(detail: &str, hint: &str) -> Problem {
    Problem::new(ProblemCode::Invalid, detail).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(more: Value) -> Result<Said, Problem> {
        let mut body = json!({ "name": "scanner", "port": 9000 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Said::new(&serde_json::from_value(body).unwrap(), IpAddr::from([10, 0, 0, 7]))
    }

    #[track_caller]
    fn check(more: Value, expected: Result<(), &str>) {
        let found = read(more.clone());
        let detail = found.as_ref().err().map(|problem| problem.detail.as_str());
        assert_eq!(detail, expected.err(), "{more}");
        assert!(found.err().is_none_or(|problem| problem.status == 422 && problem.hint.is_some()));
    }

    #[test]
    fn what_an_instance_says_has_limits() {
        let long = "x".repeat(2_000);
        let pairs: BTreeMap<String, String> = (0..33).map(|n| (n.to_string(), String::new())).collect();
        check(json!({}), Ok(()));
        check(json!({ "version": &long[..64], "weight": 100, "metadata": { "zone": "b" } }), Ok(()));
        check(json!({ "port": 0 }), Err("`port` is 0"));
        check(json!({ "weight": 0 }), Err("`weight` is out of its range"));
        check(json!({ "weight": 101 }), Err("`weight` is out of its range"));
        check(json!({ "version": &long[..65] }), Err("version is longer than 64 characters"));
        check(json!({ "version": "1\n2" }), Err("version has control characters"));
        check(json!({ "description": long }), Err("description is longer than 1024 characters"));
        check(json!({ "metadata": pairs }), Err("`metadata` has more than 32 items"));
        let much: BTreeMap<String, String> = (0..5).map(|n| (n.to_string(), "x".repeat(1_000))).collect();
        check(json!({ "metadata": much }), Err("`metadata` has more than 4096 bytes in all"));
        let version = json!([{ "name": "redis", "version": "x".repeat(65) }]);
        let too_long = "a version in `dependencies` is longer than 64 characters";
        check(json!({ "dependencies": version }), Err(too_long));
        check(json!({ "metadata": { "a\u{0}": "b" } }), Err("a name in `metadata` has control characters"));
        let no_service =
            "`dependencies` names no service: a name starts with a lower-case letter, not with `A`";
        check(json!({ "dependencies": ["A"] }), Err(no_service));
        check(json!({ "dependencies": [{ "name": "redis", "required": false }] }), Ok(()));
    }

    #[test]
    fn a_health_check_is_a_path_of_the_instance_itself() {
        let no_path = "the path of the health check is no path";
        for good in ["/health", "/-/healthy"] {
            check(json!({ "health_endpoint": good }), Ok(()));
        }
        let other_hosts = [
            "health",
            "/admin/shutdown?now=1",
            "//evil.example/x",
            "http://evil.example/",
            "/a b",
            "/a\r\nHost: x",
            "/#x",
            "",
        ];
        for bad in other_hosts {
            check(json!({ "health_endpoint": bad }), Err(no_path));
        }
        check(
            json!({ "health_check": { "method": "POST" } }),
            Err("`health_check.method` is no method for a check"),
        );
        let slow = "`health_check.timeout_seconds` is out of its range";
        check(json!({ "health_check": { "timeout_seconds": 31 } }), Err(slow));
        let often = "`health_check.interval_seconds` is out of its range";
        check(json!({ "health_check": { "interval_seconds": 4 } }), Err(often));
        assert_eq!(read(json!({ "health_check": {} })).unwrap().health, Some(endpoint("/health")));
    }

    #[test]
    fn ids_can_stand_in_a_path_and_in_a_log() {
        for good in ["a", "desk-1", "A.b_c-9", &"x".repeat(63)] {
            assert!(instance_id(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a/b", "a b", "ä", "a\n", "..", &"x".repeat(64)] {
            assert!(instance_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_made_of_an_address_is_an_id() {
        for address in
            ["10.0.0.7:80", "[::1]:65535", "[2001:db8::]:1", "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535"]
        {
            let id = id_from(address.parse().unwrap());
            assert!(instance_id(&id).is_ok(), "{id}");
        }
    }

    #[test]
    fn an_update_leaves_what_it_does_not_name() {
        let said = read(json!({ "version": "1", "metadata": { "a": "b" }, "weight": 3 })).unwrap();
        let update = InstanceUpdate { version: Some("2".into()), ..InstanceUpdate::default() };
        let updated = said.updated(&update, None).unwrap();
        assert_eq!(updated, Said { version: "2".into(), ..said.clone() });
        let bad = InstanceUpdate { weight: Some(0), ..InstanceUpdate::default() };
        assert!(said.updated(&bad, None).is_err());
    }

    #[test]
    fn what_is_kept_can_be_read_again() {
        let said =
            read(json!({ "health_endpoint": "/h", "dependencies": ["redis"], "environment": "x" })).unwrap();
        let text = serde_json::to_string(&said).unwrap();
        assert_eq!(serde_json::from_str::<Said>(&text).unwrap(), said);
    }
}
