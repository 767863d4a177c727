//! Words of other tools (compose, systemd, Kubernetes) for what a plan says, and what to write instead.
//!
//! Knows only single words; whatever stands below an unknown key is not looked at.

use super::Shape;

/// What takes the place of a foreign word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Translation {
    /// A key of the same map.
    Called(&'static str),
    /// Something else; the text is the whole remedy.
    Instead(&'static str),
}
use Translation::{Called, Instead};

type Words = &'static [(&'static str, Translation)];

const CONTAINERS: Translation =
    Instead("containers come in release 0.4; until then `run` starts a program of this machine");
const NETWORKS: Translation = Instead(
    "services reach each other as `${NAME.address}:${NAME.port}`; a network between hosts is said in `networks` and in the host",
);
const BELOW_SERVICES: Translation = Instead("write it below `services`, by name");

static PLAN: Words = &[
    ("version", Instead("the version of the format is `haus: 1`, in the plan file alone")),
    ("name", Instead("the name of the house is `house: NAME`, in the plan file alone")),
    ("project", Instead("the name of the house is `house: NAME`, in the plan file alone")),
    ("volumes", Instead("write `data` in the service that owns them")),
    ("secrets", Called("credentials")),
    ("configs", Instead("write `config` in the service that reads it")),
    ("environment", Instead("write `env` in the service that reads it, or `vars` for the whole house")),
    ("variables", Called("vars")),
    ("apps", Called("services")),
    ("processes", Called("services")),
    ("programs", Called("services")),
    ("containers", CONTAINERS),
    ("ingress", Called("routes")),
    ("proxy", Called("gateway")),
    ("includes", Called("include")),
    ("imports", Called("include")),
    ("environments", Called("stages")),
    ("profiles", Called("stages")),
    ("description", Called("title")),
    ("notifications", Called("alerts")),
    ("alerting", Called("alerts")),
    ("downtime", Called("maintenance")),
    ("run", BELOW_SERVICES),
    ("command", BELOW_SERVICES),
    ("image", CONTAINERS),
];

static SERVICE: Words = &[
    ("command", Called("run")),
    ("cmd", Called("run")),
    ("entrypoint", Called("run")),
    ("args", Called("run")),
    ("exec", Called("run")),
    ("ExecStart", Called("run")),
    ("ExecStartPre", Called("prepare")),
    ("setup", Called("prepare")),
    ("ExecStop", Called("stop")),
    ("environment", Called("env")),
    ("envs", Called("env")),
    ("env_file", Instead("write the values under `env`, and the secret ones under `credentials`")),
    ("EnvironmentFile", Instead("write the values under `env`, and the secret ones under `credentials`")),
    ("envFrom", Instead("write the values under `env`, and the secret ones under `credentials`")),
    ("depends_on", Called("needs")),
    ("requires", Called("needs")),
    ("wants", Called("needs")),
    ("after", Called("needs")),
    ("links", Called("needs")),
    ("healthcheck", Called("health")),
    ("livenessProbe", Called("health")),
    ("readinessProbe", Called("health")),
    ("startupProbe", Called("health")),
    ("volumes", Instead("folders that outlive it are called `data`, such as `data: [db]`")),
    ("volumeMounts", Instead("folders that outlive it are called `data`, such as `data: [db]`")),
    ("StateDirectory", Instead("folders that outlive it are called `data`, such as `data: [db]`")),
    ("tmpfs", Instead("remove it: every service has a folder for passing files, `$TMPDIR`")),
    ("secrets", Called("credentials")),
    ("LoadCredential", Called("credentials")),
    ("configs", Called("config")),
    ("working_dir", Called("in")),
    ("WorkingDirectory", Called("in")),
    ("workdir", Called("in")),
    ("cwd", Called("in")),
    ("directory", Called("in")),
    ("replicas", Called("instances")),
    ("scale", Called("instances")),
    ("numprocs", Called("instances")),
    ("deploy", Instead("what stands below it is called `instances`, `limits` and `rollout` here")),
    ("update_config", Called("rollout")),
    ("strategy", Called("rollout")),
    ("restart", Called("recover")),
    ("autorestart", Called("recover")),
    ("restart_policy", Called("recover")),
    ("RestartSec", Instead("write `recover: { first: 1s }`")),
    ("resources", Called("limits")),
    ("mem_limit", Instead("write `limits: { memory: 256MiB }`")),
    ("MemoryMax", Instead("write `limits: { memory: 256MiB }`")),
    ("cpus", Instead("write `limits: { cpu: 0.5 }`")),
    ("CPUQuota", Instead("write `limits: { cpu: 0.5 }`")),
    ("pids_limit", Instead("write `limits: { tasks: 64 }`")),
    ("TasksMax", Instead("write `limits: { tasks: 64 }`")),
    ("ulimits", Instead("write `limits: { files: 1024 }`")),
    ("logging", Instead("output is always kept; its bound is `limits: { log: 10MiB }`")),
    ("stop_signal", Instead("write `stop: { signal: TERM }`")),
    ("KillSignal", Instead("write `stop: { signal: TERM }`")),
    ("stop_grace_period", Instead("write `stop: { within: 10s }`")),
    ("TimeoutStopSec", Instead("write `stop: { within: 10s }`")),
    ("terminationGracePeriodSeconds", Instead("write `stop: { within: 10s }`")),
    ("expose", Called("ports")),
    ("port", Instead("write `ports: { http: auto }`, or a number instead of `auto`")),
    ("description", Called("about")),
    ("container_name", Instead("remove it: the key of the service is its name")),
    ("hostname", Instead("remove it: the key of the service is its name")),
    ("name", Instead("remove it: the key of the service is its name")),
    ("image", CONTAINERS),
    ("dockerfile", CONTAINERS),
    ("privileged", CONTAINERS),
    ("cap_add", CONTAINERS),
    ("networks", NETWORKS),
    ("network_mode", NETWORKS),
];

static HEALTH: Words = &[
    ("test", Called("command")),
    ("exec", Called("command")),
    ("http", Called("get")),
    ("httpGet", Called("get")),
    ("url", Called("get")),
    ("path", Called("get")),
    ("tcpSocket", Called("tcp")),
    ("interval", Called("every")),
    ("periodSeconds", Called("every")),
    ("timeoutSeconds", Called("timeout")),
    ("retries", Called("unhealthy_after")),
    ("failureThreshold", Called("unhealthy_after")),
    ("successThreshold", Called("healthy_after")),
    ("start_period", Called("start")),
    ("initialDelaySeconds", Called("start")),
    ("status", Instead("write `expect: { status: 200 }`")),
];

static LIMITS: Words = &[
    ("mem", Called("memory")),
    ("mem_limit", Called("memory")),
    ("MemoryMax", Called("memory")),
    ("cpus", Called("cpu")),
    ("CPUQuota", Called("cpu")),
    ("pids", Called("tasks")),
    ("TasksMax", Called("tasks")),
    ("nofile", Called("files")),
    ("LimitNOFILE", Called("files")),
];

static RECOVER: Words = &[
    ("condition", Called("restart")),
    ("policy", Called("restart")),
    ("delay", Called("first")),
    ("RestartSec", Called("first")),
    ("max_attempts", Called("tries")),
    ("retries", Called("tries")),
    ("StartLimitBurst", Called("tries")),
    ("window", Called("within")),
    ("StartLimitIntervalSec", Called("within")),
];

static STOP: Words = &[
    ("KillSignal", Called("signal")),
    ("stop_signal", Called("signal")),
    ("timeout", Called("within")),
    ("stop_grace_period", Called("within")),
    ("grace", Called("within")),
];

static ROUTE: Words = &[
    ("proxy_pass", Called("to")),
    ("upstream", Called("to")),
    ("backend", Called("to")),
    ("service", Called("to")),
    ("root", Called("files")),
    ("static", Called("files")),
    ("try_files", Called("fallback")),
    ("strip_prefix", Called("strip")),
    ("stripPrefix", Called("strip")),
    ("client_max_body_size", Called("max_body")),
];

static CREDENTIAL: Words = &[
    ("generate", Called("length")),
    ("size", Called("length")),
    ("path", Called("file")),
    ("kind", Called("type")),
    ("services", Called("scope")),
    ("rotation", Called("rotate")),
    ("expires", Called("ttl")),
    ("max_age", Called("ttl")),
    ("lifetime", Called("ttl")),
    ("grace", Called("overlap")),
    ("grace_period", Called("overlap")),
];

static ALERTS: Words = &[
    ("receivers", Called("to")),
    ("contacts", Called("to")),
    ("for", Called("after")),
    ("group_wait", Called("after")),
    ("repeat_interval", Called("repeat")),
];

static RECEIVER: Words = &[
    ("url", Called("webhook")),
    ("webhook_url", Called("webhook")),
    ("email", Called("mail")),
    ("to", Called("mail")),
    ("from", Instead("the sender of a mail is `sender`; from which level on it is told is `level`")),
    ("severity", Called("level")),
    ("smarthost", Called("server")),
    ("smtp", Called("server")),
    ("broker", Called("mqtt")),
    ("starttls", Instead("write `tls: starttls`")),
    ("username", Called("user")),
];

static WINDOW: Words = &[
    ("start", Called("at")),
    ("time", Called("at")),
    ("duration", Called("for")),
    ("weekdays", Called("days")),
    ("why", Called("reason")),
    ("description", Called("reason")),
    ("comment", Called("reason")),
    ("cron", Instead("write `days`, `at` and `for`")),
];

/// The foreign words of a shape.
fn words(shape: &str) -> Words {
    match shape {
        "plan" | "included" => PLAN,
        "service" => SERVICE,
        "health" => HEALTH,
        "limits" => LIMITS,
        "recover" => RECOVER,
        "stop" => STOP,
        "route" => ROUTE,
        "credential" => CREDENTIAL,
        "alerts" => ALERTS,
        "receiver" => RECEIVER,
        "window" => WINDOW,
        _ => &[],
    }
}

/// What to write for a word of another tool. Those differ in how they use capitals, so these do not count.
pub(crate) fn translation(shape: &Shape, word: &str) -> Option<Translation> {
    translation_in(shape.name, word)
}

/// Our key for a word that other tools use in a service, when it is simply another word.
pub(crate) fn service_key(word: &str) -> Option<&'static str> {
    match translation_in("service", word)? {
        Called(ours) => Some(ours),
        Instead(_) => None,
    }
}

fn translation_in(shape: &str, word: &str) -> Option<Translation> {
    let found = words(shape).iter().find(|(foreign, _)| foreign.eq_ignore_ascii_case(word));
    found.map(|(_, translation)| *translation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{INCLUDED, all_shapes};

    #[test]
    fn translations_lead_to_keys_and_no_key_is_foreign() {
        let mut with_words = 0;
        for shape in all_shapes().into_iter().chain([&INCLUDED]) {
            let words = words(shape.name);
            with_words += usize::from(!words.is_empty());
            for (at, (foreign, translation)) in words.iter().enumerate() {
                assert!(shape.key(foreign).is_none(), "`{foreign}` is a key of {}", shape.name);
                let again = words[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(foreign));
                assert!(!again, "`{foreign}` stands twice in {}", shape.name);
                match translation {
                    Called(ours) => assert!(shape.key(ours).is_some(), "{}: `{ours}`", shape.name),
                    Instead(remedy) => assert!(remedy.len() > 10 && !remedy.ends_with('.')),
                }
            }
        }
        assert_eq!(with_words, 12);
    }

    #[test]
    fn capitals_do_not_count() {
        let service = all_shapes().into_iter().find(|shape| shape.name == "service").unwrap();
        assert!(matches!(translation(service, "EXECSTART"), Some(Called("run"))));
        assert!(translation(service, "colour").is_none());
    }
}
