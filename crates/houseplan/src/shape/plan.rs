//! Keys of the plan itself: stages, gateway, routes, the API.

use super::alerts::{ALERTS, MAINTENANCE};
use super::credential::CREDENTIALS;
use super::host::{FIREWALL, GROUPS, HOSTS, NETWORKS, NO_HOSTS, PACKAGES, STAGE_HOSTS};
use super::service::SERVICE;
use super::{Entering, Form, Key, Kind, Others, Shape, Word, key, names, required, reserved, shape, word};

macro_rules! plan_keys {
    ($($front:expr),*) => {
        &[
            $($front,)*
            key("title", Kind::Text(Form::Line), "One line for people about the whole house."),
            key("domain", Kind::Text(Form::Domain), "The name below which routes live: `${domain}`. `HOUSE.localhost` when absent."),
            key("include", Kind::List(&Kind::Text(Form::Path)), "Further files of the same plan, relative to this file."),
            key("stages", Kind::Map(&STAGES), "Variants of the house by name; only what is listed in a stage differs. Without it there is one stage, `default`."),
            key("vars", Kind::Map(&VARS), "Values by name, used as `${NAME}`."),
            key("gateway", Kind::Map(&GATEWAY), "How the gateway listens and behaves where a route says nothing else."),
            key("services", Kind::Map(&SERVICES), "What runs, by name."),
            key("routes", Kind::Map(&ROUTES), "Which host and path leads where."),
            key("credentials", Kind::Map(&CREDENTIALS), "Secrets by name. The plan never holds a value."),
            key("api", Kind::Map(&API), "How Hausmeister's own API behaves."),
            key("alerts", Kind::Map(&ALERTS), "Who is told when something goes wrong, and when."),
            key("maintenance", Kind::Map(&MAINTENANCE), "Times by name that come back and in which nobody is told."),
            key("accept", Kind::Map(&ACCEPT), "Findings that are accepted for the whole house: code and reason."),
            key("hosts", Kind::Map(&HOSTS), "Machines by name: how they are reached and what is wanted on them."),
            key("groups", Kind::Map(&GROUPS), "Settings that several hosts share, by name."),
            key("networks", Kind::Map(&NETWORKS), "Networks between hosts by name."),
            PACKAGES,
            FIREWALL,
            reserved("tls", "0.4", "Certificates for the whole house."),
            reserved("databases", "0.5", "Databases, roles and replicas."),
            reserved("checks", "0.6", "Check-lists with owner and due date."),
            reserved("documents", "0.6", "Documents made from the plan."),
            reserved("backups", "0.7", "Schedules, retention and rehearsals."),
            reserved("guests", "0.8", "Containers and virtual machines on a host."),
            reserved("dns", "0.8", "Zones and names."),
            reserved("edge", "0.9", "Devices and rules."),
            reserved("reports", "0.9", "Typeset reports."),
        ]
    };
}

const HAUS: Key = required("haus", Kind::Version, "Version of this format: 1.");
const HOUSE: Key = required("house", Kind::Text(Form::Name), "Name of the house.");

static PLAN_KEYS: &[Key] = plan_keys!(HAUS, HOUSE);
static INCLUDED_KEYS: &[Key] = plan_keys!();

/// The plan file.
pub(crate) static PLAN: Shape = shape("plan", "a plan", PLAN_KEYS);
/// A file named under `include`.
pub(crate) static INCLUDED: Shape = shape("included", "an included file", INCLUDED_KEYS);

static STAGES: Shape = names("stages", "the stages", Form::Name, Kind::Map(&STAGE), Entering::Stage);

static STAGE: Shape = shape(
    "stage",
    "a stage",
    &[
        key("domain", Kind::Text(Form::Domain), "The domain in this stage."),
        key("vars", Kind::Map(&VARS), "Values that differ in this stage."),
        key("gateway", Kind::Map(&GATEWAY), "Gateway settings that differ in this stage."),
        key(
            "hosts",
            Kind::Either(&Kind::Word(NO_HOSTS), &Kind::Map(&STAGE_HOSTS)),
            "How hosts are reached in this stage, or `none`.",
        ),
    ],
);

static VARS: Shape =
    names("vars", "the variables", Form::VariableName, Kind::Text(Form::Line), Entering::Same);

static GATEWAY: Shape = shape(
    "gateway",
    "the gateway",
    &[
        key("listen", Kind::Text(Form::Listen), "Address and port. `127.0.0.1:8080` when absent."),
        key("timeout", Kind::Duration(1), "How long an answer may take. `30s` when absent."),
        key(
            "retries",
            Kind::Whole(0, 10),
            "Further tries of an idempotent request whose answer has not begun. 2 when absent.",
        ),
        key("access_log", Kind::Bool, "Whether requests are logged. `true` when absent."),
        key(
            "hold",
            Kind::Duration(0),
            "How long a request waits while a `rollout: hold` service changes. `10s` when absent.",
        ),
    ],
);

static SERVICES: Shape =
    names("services", "the services", Form::Name, Kind::Map(&SERVICE), Entering::Service);

static ROUTES: Shape = names(
    "routes",
    "the routes",
    Form::RouteHost,
    Kind::Either(&Kind::Text(Form::Target), &Kind::Map(&HOST)),
    Entering::Host,
);

static HOST: Shape = Shape {
    name: "host",
    title: "a host of the routes",
    keys: &[reserved("tls", "0.4", "Where the certificate comes from.")],
    others: Some(Others { form: Form::RoutePath, kind: Kind::Map(&ROUTE), entering: Entering::Path }),
    one_of: &[],
};

static ROUTE: Shape = Shape {
    name: "route",
    title: "a route",
    keys: &[
        key("to", Kind::Text(Form::Target), "A service, or `SERVICE:PORT`; `haus` is Hausmeister's own API."),
        key("files", Kind::Text(Form::Path), "A folder of files, relative to the file that says it."),
        key(
            "of",
            Kind::Text(Form::Reference),
            "With `files`: the service in whose code the folder lies; it is then relative to that.",
        ),
        key(
            "fallback",
            Kind::Text(Form::InnerPath),
            "With `files`: the file that is served when nothing else matches.",
        ),
        key(
            "immutable",
            Kind::Text(Form::RoutePath),
            "With `files`: the prefix whose files never change and are cached for ever.",
        ),
        key(
            "strip",
            Kind::Text(Form::RoutePath),
            "With `to`: the prefix that is taken off before the request is passed on.",
        ),
        key(
            "timeout",
            Kind::Duration(1),
            "With `to`: how long an answer may take; the gateway's own when absent.",
        ),
        key("max_body", Kind::Size(0), "With `to`: largest request body. `10MiB` when absent."),
        key(
            "deny_headers",
            Kind::List(&Kind::Text(Form::Header)),
            "With `to`: request headers that are removed.",
        ),
        key("headers", Kind::Map(&HEADERS), "Headers added to every answer."),
    ],
    others: None,
    one_of: &["to", "files"],
};

static HEADERS: Shape =
    names("headers", "the headers", Form::Header, Kind::Text(Form::HeaderValue), Entering::Same);

static ANONYMOUS: &[Word] = &[
    word("registry", "Names, addresses and health of services; the default."),
    word("none", "Only `/health` and `/ready`."),
];

static LOG_BODIES: &[Word] = &[
    word("never", "Nobody's; the default."),
    word("asked", "Those of callers who ask for it with `X-Haus-Log-Bodies: yes`."),
    word("always", "Everybody's, but of callers who say `X-Haus-Log-Bodies: no`."),
];

/// Shorter and a house of a thousand instances does nothing but report.
const HEARTBEAT_LEAST_MS: u64 = 1_000;
/// Longer and an instance that died is found after everybody else noticed.
const HEARTBEAT_MOST_MS: u64 = 3_600_000;

const DAY_MS: u64 = 86_400_000;

static API: Shape = shape(
    "api",
    "the API",
    &[
        key("anonymous", Kind::Word(ANONYMOUS), "What may be read without a token."),
        key(
            "heartbeat",
            Kind::Period(HEARTBEAT_LEAST_MS, HEARTBEAT_MOST_MS),
            "How often an instance that registered itself reports. `30s` when absent.",
        ),
        key(
            "keep_trail",
            Kind::Text(Form::Keep),
            "How long the audit trail is kept: `forever`, days or years. `forever` when absent.",
        ),
        key(
            "keep_history",
            Kind::Period(DAY_MS, 36_500 * DAY_MS),
            "How long the history of health is kept, in whole days. `30d` when absent.",
        ),
        key(
            "log_bodies",
            Kind::Word(LOG_BODIES),
            "Whose bodies the API's log has of calls through the gateway, cleaned and cut.",
        ),
    ],
);

pub(super) static ACCEPT: Shape =
    names("accept", "the accepted findings", Form::Code, Kind::Text(Form::Line), Entering::Same);
