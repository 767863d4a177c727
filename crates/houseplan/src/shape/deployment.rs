//! Keys of a service that lives on hosts: where its code comes from, how it is built, how systemd runs it.

use super::{Form, HostForm, Kind, Shape, Word, key, shape, word};

pub(super) static SOURCE: Shape = Shape {
    name: "source",
    title: "a source",
    keys: &[
        key("git", Kind::Text(Form::Host(HostForm::Git)), "A git repository that the host can reach."),
        key(
            "ref",
            Kind::Text(Form::Host(HostForm::GitReference)),
            "With `git`: tag, branch or commit; required.",
        ),
        key("folder", Kind::Text(Form::Path), "A folder beside the plan, carried to the host."),
    ],
    others: None,
    one_of: &["git", "folder"],
};

static NPM: &[Word] = &[word("ci", "`npm ci`: exactly what the lock file says.")];

pub(super) static BUILD_STEP: Shape = Shape {
    name: "build_step",
    title: "a step of a build",
    keys: &[
        key(
            "in",
            Kind::Text(Form::InnerPath),
            "The folder inside the release; the release itself when absent.",
        ),
        key(
            "python",
            Kind::Text(Form::InnerPath),
            "A virtual environment `.venv` from this lock file: `poetry.lock`, or requirements with hashes.",
        ),
        key("npm", Kind::Word(NPM), "Packages from `package-lock.json`."),
        key("script", Kind::Text(Form::Host(HostForm::Script)), "With `npm`: the script that is run then."),
        key("run", Kind::Command, "Any command; no shell runs it."),
    ],
    others: None,
    one_of: &["python", "npm", "run"],
};

pub(super) static OVERLAPS: &[Word] = &[
    word("safe", "Two versions may run at once; the default."),
    word("unsafe", "One process may own what it works on, such as an SQLite file."),
];

static UNIT_TYPES: &[Word] = &[
    word("exec", "It runs as soon as it was executed; the default."),
    word("notify", "It says itself when it is ready (`sd_notify`)."),
    word("oneshot", "It does its work and ends; the default with `calendar`."),
];

pub(super) static UNIT: Shape = shape(
    "unit",
    "the settings of a unit",
    &[
        key("type", Kind::Word(UNIT_TYPES), "How systemd sees it as started."),
        key(
            "writable",
            Kind::List(&Kind::Text(Form::Host(HostForm::AbsolutePath))),
            "Folders of the host that it may write besides its data.",
        ),
        key(
            "capabilities",
            Kind::List(&Kind::Text(Form::Host(HostForm::Capability))),
            "Capabilities that it needs, such as `CAP_NET_BIND_SERVICE`.",
        ),
        key(
            "without",
            Kind::List(&Kind::Text(Form::Host(HostForm::Protection))),
            "Protections that it cannot live with, by systemd's names, such as `MemoryDenyWriteExecute`.",
        ),
        key(
            "calendar",
            Kind::Text(Form::HeaderValue),
            "When it runs, as in systemd's `OnCalendar=`; a timer starts it then.",
        ),
        key(
            "socket",
            Kind::Bool,
            "Whether systemd opens its main port and hands it over. `false` when absent.",
        ),
    ],
);

/// Kept beside the current one when nothing is said: `RELEASES_KEPT` of the model.
pub(super) const KEEP_MOST: i64 = 100;
