//! Houses, hosts and services for tests: a bare one of each, and JSON that is laid over it, so that a test
//! says only what it is about.

use haus_model::deployment::Deployment;
use haus_model::health::{Expectation, HealthCheck, ProbeKind};
use haus_model::host::{Access, Connect, Elevation, Host, HostSettings};
use haus_model::resource::UnitSpec;
use haus_model::service::{Limits, NewCredential, Recover, Rollout, RunsAs, Service, Stop};
use haus_model::template::Template;
use haus_model::{House, HouseName};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) fn house() -> House {
    let name: HouseName = "sample".parse().unwrap();
    House {
        name,
        title: None,
        stage: "production".parse().unwrap(),
        domain: "sample.example".to_owned(),
        gateway: haus_model::GatewaySettings::default(),
        services: BTreeMap::new(),
        routes: BTreeMap::new(),
        credentials: BTreeMap::new(),
        api: haus_model::house::ApiSettings::default(),
        alerts: haus_model::alert::Alerting::default(),
        maintenance: Vec::new(),
        hosts: BTreeMap::new(),
        networks: BTreeMap::new(),
    }
}

/// A host by its address: `ssh://USER@HOST:PORT` or `local`.
pub(crate) fn host(name: &str, connect: &str, over: &Value) -> Host {
    let bare = Host {
        name: name.parse().unwrap(),
        about: None,
        connect: connection(connect),
        elevation: Elevation::Auto,
        os: None,
        architecture: None,
        networks: BTreeMap::new(),
        address: format!("{name}.example"),
        groups: Vec::new(),
        settings: HostSettings::default(),
    };
    laid_over(&bare, over)
}

fn connection(text: &str) -> Connect {
    let Some(rest) = text.strip_prefix("ssh://") else { return Connect::Local };
    let (user, rest) =
        rest.split_once('@').map_or((None, rest), |(user, rest)| (Some(user.to_owned()), rest));
    let (host, port) =
        rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port.parse().unwrap())));
    Connect::Ssh { user, host: host.to_owned(), port }
}

pub(crate) fn settings(before: &HostSettings, over: &Value) -> HostSettings {
    let mut over = over.clone();
    // A file of root that all may read, from nothing but its text.
    if let Some(files) = over.get_mut("files").and_then(Value::as_object_mut) {
        for file in files.values_mut() {
            let mut whole =
                json!({ "source": { "text": "" }, "access": Access::root(0o644), "check": null, "then": [] });
            let mut over = file.clone();
            if file.is_string() {
                over = json!({ "source": { "text": file } });
            } else if let Some(source) = over.get("source").cloned() {
                whole["source"] = source;
            }
            merge(&mut whole, over);
            *file = whole;
        }
    }
    laid_over(before, &over)
}

/// A service from short words: `on`, `git`, `folder`, `run`, `env`, `get` and `calendar` besides the model's
/// own.
pub(crate) fn service(name: &str, over: &Value) -> Service {
    let mut over = over.as_object().unwrap().clone();
    let mut deployment = Deployment {
        on: Vec::new(),
        source: None,
        build: Vec::new(),
        keep: 3,
        overlap: haus_model::deployment::Overlap::Safe,
        unit: haus_model::deployment::UnitSettings::default(),
        asks: std::collections::BTreeSet::new(),
    };
    if let Some(on) = over.remove("on") {
        deployment.on = serde_json::from_value(on).unwrap();
    }
    let mut source = Value::Null;
    if let Some(git) = over.remove("git") {
        let (url, reference) = git.as_str().unwrap().split_once(' ').unwrap();
        source = json!({ "git": { "url": url, "reference": reference } });
    }
    if let Some(folder) = over.remove("code") {
        source = json!({ "folder": folder });
    }
    let build = over.remove("build").unwrap_or(json!([]));
    let unit = over.remove("unit").unwrap_or(json!({}));
    deployment = laid_over(&deployment, &json!({ "source": source, "build": build, "unit": unit }));
    let template = |value: &Value| Template::from_display(value.as_str().unwrap());
    let words =
        |value: &Value| value.as_str().unwrap().split(' ').map(Template::from_display).collect::<Vec<_>>();
    let run = over.remove("run").map(|run| words(&run)).unwrap_or_default();
    let prepare = over.remove("prepare").map(|list| list.as_array().unwrap().iter().map(words).collect());
    let env = over.remove("env").unwrap_or(json!({}));
    let env = env.as_object().unwrap().iter().map(|(name, value)| (name.clone(), template(value))).collect();
    let health = over.remove("get").map(|get| HealthCheck {
        probe: ProbeKind::Http { get: template(&get), port: None, expect: Expectation::default() },
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
        start: Duration::from_secs(20),
        healthy_after: 1,
        unhealthy_after: 3,
    });
    let bare = Service {
        name: name.parse().unwrap(),
        about: None,
        runs_as: RunsAs::Systemd,
        run,
        user: None,
        folder: "".into(),
        prepare: prepare.unwrap_or_default(),
        ports: BTreeMap::new(),
        address: "127.0.0.1".to_owned(),
        data: Vec::new(),
        links: BTreeMap::new(),
        config: None,
        env,
        credentials: BTreeMap::new(),
        new_credential: NewCredential::Restart,
        health,
        needs: Vec::new(),
        instances: 1,
        limits: Limits::default(),
        rollout: Rollout::Hold,
        recover: Recover::default(),
        stop: Stop::default(),
        deployment: Some(deployment),
    };
    laid_over(&bare, &Value::Object(over))
}

/// A value with some members replaced.
pub(crate) fn laid_over<T>(value: &T, over: &Value) -> T
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let mut whole = serde_json::to_value(value).unwrap();
    merge(&mut whole, over.clone());
    serde_json::from_value(whole.clone()).unwrap_or_else(|error| panic!("{error} in {over}"))
}

fn merge(whole: &mut Value, over: Value) {
    match (whole, over) {
        (Value::Object(members), Value::Object(over)) => {
            for (name, value) in over {
                merge(members.entry(name).or_insert(Value::Null), value);
            }
        }
        (place, value) => *place = value,
    }
}

/// Members of an object, for lines like `{"a":1}`; nothing gives none.
pub(crate) fn object(text: &str) -> Value {
    let text = text.trim();
    if text.is_empty() {
        Value::Object(Map::new())
    } else {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }
}

#[test]
fn what_is_not_said_stays_bare() {
    let service = service("api", &json!({ "on": ["web"], "run": "serve --port ${port}" }));
    assert_eq!(service.run.len(), 3);
    assert_eq!(host("web", "ssh://a@b:2222", &json!({})).settings, HostSettings::default());
    assert_eq!(UnitSpec::no_inputs(), UnitSpec::no_inputs());
}
