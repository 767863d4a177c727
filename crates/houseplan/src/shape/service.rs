//! Keys of a service: what runs, with what, and how it is looked after.

use super::credential::{NEW_CREDENTIAL, NEW_CREDENTIAL_WORDS};
use super::deployment::{BUILD_STEP, KEEP_MOST, OVERLAPS, SOURCE, UNIT};
use super::plan::ACCEPT;
use super::{Entering, Form, HostForm, Kind, Shape, Word, key, later, names, reserved, shape, word};

static RUNS_AS: &[Word] = &[
    word("process", "A child process of the supervisor; the default."),
    word("coordinator", "This entry is Hausmeister's own API."),
    word("external", "It runs somewhere else; its instances register themselves over the API."),
    word("systemd", "A systemd unit on the hosts that `on` names."),
    later("compose", "0.4", "A compose project."),
    later("container", "0.4", "A container."),
];

static ROLLOUTS: &[Word] = &[
    word("hold", "Requests wait at the gateway while the old one stops and the new one starts."),
    word("rolling", "One instance after the other; the default with several instances."),
    word("replace", "All instances at once; the default with one."),
    later("blue-green", "0.4", "Both versions run until the new one is healthy."),
];

static RESTARTS: &[Word] = &[
    word("always", "Whatever the exit status was; the default."),
    word("on-failure", "Only after a bad exit status or a signal."),
    word("never", "Never."),
];

static SIGNALS: &[Word] = &[
    word("TERM", "SIGTERM, the default."),
    word("INT", "SIGINT."),
    word("QUIT", "SIGQUIT."),
    word("HUP", "SIGHUP."),
];

pub(super) static SERVICE: Shape = shape(
    "service",
    "a service",
    &[
        key("about", Kind::Text(Form::Line), "What it does, in one sentence."),
        key(
            "run",
            Kind::Command,
            "The program with its arguments: a text that is split like a shell splits it (no shell runs), or a list of words.",
        ),
        key("as", Kind::Word(RUNS_AS), "In which form it runs."),
        key(
            "user",
            Kind::Text(Form::Account),
            "The account; an own one, `haus-HOUSE-SERVICE`, when absent and started as root.",
        ),
        key(
            "in",
            Kind::Text(Form::Path),
            "Working folder, relative to the file that says it; the plan's folder when absent.",
        ),
        key(
            "prepare",
            Kind::List(&Kind::Command),
            "Commands that run once, in order, before the first start and again when the list changes.",
        ),
        key("ports", Kind::Map(&PORTS), "Ports by name; `auto` is chosen once and kept."),
        key(
            "address",
            Kind::Text(Form::Host(HostForm::ListenAddress)),
            "The address that it listens on, or a network: its host's address there. `127.0.0.1` when absent.",
        ),
        key(
            "data",
            Kind::MapOrList(&DATA, &Kind::Text(Form::FolderName)),
            "Folders that outlive the service: names, or links in the working folder to them.",
        ),
        key(
            "config",
            Kind::Any,
            "The service's own configuration, given to it as the JSON file `${config}`.",
        ),
        key("env", Kind::Map(&ENV), "Environment variables."),
        key("credentials", Kind::Map(&FILES), "File name of each credential, and the credential."),
        key(
            "on_new_credential",
            Kind::Either(&Kind::Word(NEW_CREDENTIAL_WORDS), &Kind::Map(&NEW_CREDENTIAL)),
            "What happens when one of its credentials has a new value: `restart`, `reread` or `{ signal: HUP }`.",
        ),
        key("health", Kind::Map(&HEALTH), "How its health is told."),
        key(
            "needs",
            Kind::List(&Kind::Text(Form::Reference)),
            "Services that must be healthy before this one starts.",
        ),
        key("instances", Kind::Whole(1, 100), "Running copies. 1 when absent."),
        key("limits", Kind::Map(&LIMITS), "Bounds on what one instance may use."),
        key("rollout", Kind::Word(ROLLOUTS), "How a change is carried out."),
        key("recover", Kind::Map(&RECOVER), "What happens when it ends by itself."),
        key("stop", Kind::Map(&STOP), "How it is stopped."),
        key(
            "on",
            Kind::Either(&Kind::Text(Form::Reference), &Kind::List(&Kind::Text(Form::Reference))),
            "The host that it runs on, or several, each with all its instances.",
        ),
        key("source", Kind::Map(&SOURCE), "Where its code comes from."),
        key("build", Kind::List(&Kind::Map(&BUILD_STEP)), "How it is built, in order, in a fresh folder."),
        key("keep", Kind::Whole(0, KEEP_MOST), "Old releases that are kept. 3 when absent."),
        key("overlap", Kind::Word(OVERLAPS), "Whether two versions may run at once."),
        key("unit", Kind::Map(&UNIT), "How systemd runs it; protections are on unless taken back here."),
        key("accept", Kind::Map(&ACCEPT), "Findings about this service that are accepted: code and reason."),
        reserved("backup", "0.7", "How its data is captured."),
    ],
);

static PORTS: Shape = names("ports", "the ports", Form::Name, Kind::Port, Entering::Same);

static DATA: Shape =
    names("data", "the data links", Form::InnerPath, Kind::Text(Form::FolderName), Entering::Same);

static ENV: Shape =
    names("env", "the environment", Form::EnvironmentName, Kind::Text(Form::Value), Entering::Same);

pub(super) static FILES: Shape = names(
    "credential_files",
    "the credentials of a service",
    Form::EnvironmentName,
    Kind::Text(Form::Reference),
    Entering::Same,
);

static HEALTH: Shape = Shape {
    name: "health",
    title: "a health check",
    keys: &[
        key("get", Kind::Text(Form::UrlPath), "HTTP GET on this path."),
        key("tcp", Kind::Text(Form::Reference), "A connection to this port is accepted."),
        key("command", Kind::Command, "A command that ends with 0."),
        key("process", Kind::Bool, "`true`: the process runs, nothing else is known."),
        key("port", Kind::Text(Form::Reference), "With `get`: the port; the main one when absent."),
        key("expect", Kind::Map(&EXPECT), "With `get`: what the answer must look like."),
        key("every", Kind::Duration(100), "From one probe to the next. `30s` when absent."),
        key(
            "timeout",
            Kind::Duration(1),
            "How long one probe may take. `5s` when absent, or `every` when that is shorter.",
        ),
        key(
            "start",
            Kind::Duration(0),
            "How long a fresh process may take to become healthy. `60s` when absent.",
        ),
        key(
            "healthy_after",
            Kind::Whole(1, 100),
            "Good probes in a row that make it healthy. 1 when absent.",
        ),
        key(
            "unhealthy_after",
            Kind::Whole(1, 100),
            "Bad probes in a row that make it offline. 3 when absent.",
        ),
    ],
    others: None,
    one_of: &["get", "tcp", "command", "process"],
};

static EXPECT: Shape = shape(
    "expect",
    "an expectation",
    &[
        key("status", Kind::Whole(100, 599), "Status code. 200 when absent."),
        key("json", Kind::Any, "Members that the JSON body must have with exactly these values."),
        key("text", Kind::Text(Form::Line), "Text that the body must contain."),
    ],
);

/// Below this not even a small program written in C starts.
const MEMORY_LEAST: u64 = 4 << 20;
/// Below this every line would begin a new file.
const LOG_LEAST: u64 = 1_000;
/// Shorter pauses make a service that ends at once cost a processor.
const PAUSE_LEAST_MS: u64 = 10;

static LIMITS: Shape = shape(
    "limits",
    "the limits",
    &[
        key("memory", Kind::Size(MEMORY_LEAST), "Resident memory, at least `4MiB`."),
        key("cpu", Kind::Cores, "Processor cores, such as `0.5`."),
        key("tasks", Kind::Whole(1, 4_000_000), "Processes and threads."),
        key("files", Kind::Whole(16, 1_000_000_000), "Open files."),
        key("log", Kind::Size(LOG_LEAST), "Size of one log file before it is rotated, at least `1kB`."),
    ],
);

static RECOVER: Shape = shape(
    "recover",
    "the recovery",
    &[
        key("restart", Kind::Word(RESTARTS), "When to start again at all."),
        key(
            "first",
            Kind::Duration(PAUSE_LEAST_MS),
            "The first pause, at least `10ms`. `250ms` when absent.",
        ),
        key("most", Kind::Duration(PAUSE_LEAST_MS), "The longest pause. `30s` when absent."),
        key(
            "tries",
            Kind::Whole(1, 1_000_000),
            "Exits within `within` after which nothing is tried any more. 10 when absent.",
        ),
        key(
            "within",
            Kind::Duration(1_000),
            "The window in which exits count, at least `1s`. `10m` when absent.",
        ),
    ],
);

static STOP: Shape = shape(
    "stop",
    "the stopping",
    &[
        key("signal", Kind::Word(SIGNALS), "The signal that asks it to end."),
        key("within", Kind::Duration(0), "How long it may take before it is killed. `10s` when absent."),
    ],
);
