//! Keys of alerts and of maintenance: who is told what, and when nobody is.

use super::{Entering, Form, Kind, Shape, Word, key, names, required, shape, word};

/// A day of waiting is a fault that nobody hears of.
const AFTER_MOST_MS: u64 = 86_400_000;
/// A maintenance is planned by the minute.
const LASTS_LEAST_MS: u64 = 60_000;
/// Longer ones would overlap themselves.
const LASTS_MOST_MS: u64 = 86_400_000;

pub(super) static ALERTS: Shape = shape(
    "alerts",
    "the alerts",
    &[
        key(
            "after",
            Kind::Period(0, AFTER_MOST_MS),
            "How long a fault must last before anybody is told. `60s` when absent.",
        ),
        key(
            "repeat",
            Kind::Text(Form::Repeat),
            "`never`, or after how long a lasting fault is told again. `4h` when absent.",
        ),
        key("to", Kind::Map(&RECEIVERS), "Receivers by name. The log has every alert without one."),
    ],
);

static RECEIVERS: Shape =
    names("receivers", "the receivers", Form::Name, Kind::Map(&RECEIVER), Entering::Receiver);

static LEVELS: &[Word] = &[
    word("info", "Everything, also what is only worth knowing."),
    word("warning", "What works less well or will soon not work, and worse; the default."),
    word("critical", "Only what does not work."),
];

static TLS: &[Word] = &[
    word("none", "No protection: for a relay on loopback, and the default there."),
    word("starttls", "STARTTLS, required; the default elsewhere."),
    word("tls", "TLS from the first byte."),
];

static RECEIVER: Shape = Shape {
    name: "receiver",
    title: "a receiver",
    keys: &[
        key("webhook", Kind::Text(Form::WebUrl), "A POST with a JSON body to this address."),
        key("mail", Kind::List(&Kind::Text(Form::Mail)), "A mail to these addresses."),
        key("mqtt", Kind::Text(Form::Server), "A retained message to this broker."),
        key("level", Kind::Word(LEVELS), "The mildest level that it hears of. `warning` when absent."),
        key(
            "services",
            Kind::List(&Kind::Text(Form::Reference)),
            "Only alerts of these services; of all, and of the house itself, when absent.",
        ),
        key(
            "secret",
            Kind::Text(Form::Reference),
            "With `webhook`: the credential that signs each body (HMAC-SHA256).",
        ),
        key("server", Kind::Text(Form::Server), "With `mail`: the mail server. `127.0.0.1:25` when absent."),
        key("tls", Kind::Word(TLS), "With `mail`: how the connection is protected."),
        key("sender", Kind::Text(Form::Mail), "With `mail`: the address that it comes from; required."),
        key(
            "topic",
            Kind::Text(Form::Topic),
            "With `mqtt`: the prefix of the topics. `haus/HOUSE/alerts` when absent.",
        ),
        key("user", Kind::Text(Form::Login), "With `mail` or `mqtt`: the name for the login."),
        key(
            "password",
            Kind::Text(Form::Reference),
            "With `mail` or `mqtt`: the credential that is the password.",
        ),
    ],
    others: None,
    one_of: &["webhook", "mail", "mqtt"],
};

pub(super) static MAINTENANCE: Shape =
    names("maintenance", "the maintenance", Form::Name, Kind::Map(&WINDOW), Entering::Maintenance);

static DAYS: &[Word] = &[
    word("mon", "Monday."),
    word("tue", "Tuesday."),
    word("wed", "Wednesday."),
    word("thu", "Thursday."),
    word("fri", "Friday."),
    word("sat", "Saturday."),
    word("sun", "Sunday."),
];

static WINDOW: Shape = shape(
    "window",
    "a maintenance",
    &[
        key("days", Kind::List(&Kind::Word(DAYS)), "Days on which it begins: every day when absent."),
        required(
            "at",
            Kind::Text(Form::TimeOfDay),
            "When it begins, local time of the machine: `\"02:00\"`.",
        ),
        required("for", Kind::Period(LASTS_LEAST_MS, LASTS_MOST_MS), "How long it lasts, from `1m` to `1d`."),
        key("services", Kind::List(&Kind::Text(Form::Reference)), "Only these services; all when absent."),
        required("reason", Kind::Text(Form::Line), "What is done then."),
    ],
);
