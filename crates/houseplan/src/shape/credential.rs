//! Keys of a credential: where its value comes from, what it is for, how it is changed.

use super::{Entering, Form, Kind, Shape, Word, key, names, required, word};

pub(super) static CREDENTIALS: Shape =
    names("credentials", "the credentials", Form::Name, Kind::Map(&CREDENTIAL), Entering::Credential);

static KINDS: &[Word] = &[
    word("api_key", "Key of an API."),
    word("oauth", "Tokens of an OAuth account."),
    word("basic_auth", "Name and password of HTTP Basic."),
    word("jwt", "Key that signs JSON web tokens."),
    word("database", "Password of a database."),
    word("webhook", "Key that signs webhooks."),
    word("custom", "Anything else; the default."),
];

/// Longer and "both are valid" is no passing state any more.
const OVERLAP_MOST_MS: u64 = 30 * 86_400_000;
/// Shorter and a value would end before it reached everybody.
const TTL_LEAST_MS: u64 = 60_000;
/// A hundred years.
const TTL_MOST_MS: u64 = 36_500 * 86_400_000;

static CREDENTIAL: Shape = Shape {
    name: "credential",
    title: "a credential",
    keys: &[
        key("length", Kind::Whole(16, 1024), "Made at first start with this many characters."),
        key("file", Kind::Text(Form::FilePath), "Read from this file, which the user keeps."),
        key("given", Kind::Bool, "`true`: given by a person with `haus credential create`, or over the API."),
        key("type", Kind::Word(KINDS), "What it is used for. `custom` when absent."),
        key(
            "scope",
            Kind::List(&Kind::Text(Form::Reference)),
            "The services that may have it; those that name it when absent.",
        ),
        key("rotate", Kind::Text(Form::Rotation), "`never`, or a number of days such as `90d`."),
        key(
            "overlap",
            Kind::Period(0, OVERLAP_MOST_MS),
            "How long the old value stays valid beside a new one. `10m` when absent, `0s` for a PostgreSQL role.",
        ),
        key(
            "ttl",
            Kind::Period(TTL_LEAST_MS, TTL_MOST_MS),
            "How long a version may be used, at least `1m`. For ever when absent.",
        ),
        key("rotator", Kind::Map(&ROTATOR), "The server that is told the new value."),
        key("reason", Kind::Text(Form::Line), "Why it is as it is."),
        key("value", Kind::Secret, "Never: a plan holds no secret."),
    ],
    others: None,
    one_of: &["length", "file", "given"],
};

static ROTATOR: Shape = Shape {
    name: "rotator",
    title: "a rotator",
    keys: &[
        key("postgres", Kind::Text(Form::Reference), "The service that is the PostgreSQL server."),
        key("redis", Kind::Text(Form::Reference), "The service that is the Redis server (6 or newer)."),
        key(
            "role",
            Kind::Text(Form::Login),
            "With `postgres`: the role, which changes its own password; required.",
        ),
        key(
            "database",
            Kind::Text(Form::Login),
            "With `postgres`: the database that it logs in to; named like the role when absent.",
        ),
        key("user", Kind::Text(Form::Login), "With `redis`: the ACL user. `default` when absent."),
    ],
    others: None,
    one_of: &["postgres", "redis"],
};

static SIGNALS: &[Word] = &[word("HUP", "SIGHUP."), word("USR1", "SIGUSR1."), word("USR2", "SIGUSR2.")];

/// What a service does with a new value, as one word.
pub(super) static NEW_CREDENTIAL_WORDS: &[Word] = &[
    word("restart", "Its instances are restarted by its rollout; the default."),
    word("reread", "Its files are replaced and it reads them at every use."),
];

/// What a service does with a new value, when it has to be told.
pub(super) static NEW_CREDENTIAL: Shape = super::shape(
    "on_new_credential",
    "the answer to a new credential",
    &[required("signal", Kind::Word(SIGNALS), "The signal that it gets after its files were replaced.")],
);

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::CredentialKind;

    #[test]
    fn every_kind_of_the_model_has_its_word() {
        let words: Vec<&str> = KINDS.iter().map(|kind| kind.word).collect();
        assert_eq!(words, CredentialKind::ALL.map(CredentialKind::as_str));
    }
}
