//! Where the code of a service comes from, and what is built from it with Debian's own tools: packages that a
//! lock file pins, and a git server that knows a service by its key alone.

use super::desk::{Begin, Desk, assert_same, fingerprint, shell};
use super::shop;

const APPLY: [&str; 2] = ["apply", "--yes"];

/// Three services, each with the packages of its own lock file.
const BUILT: &str = "haus: 1
house: built
hosts:
  web: { connect: ssh://root@@0@ }
services:
  poet:
    as: systemd
    on: web
    source: { folder: poet }
    build: [ { in: server, python: poetry.lock } ]
    in: server
    run: .venv/bin/python poet.py ${address} ${port}
    ports: { http: 8401 }
    health: { get: /, every: 1s, timeout: 1s, start: 20s }
  green:
    as: systemd
    on: web
    source: { folder: green }
    build: [ { python: requirements.txt } ]
    run: .venv/bin/gunicorn --bind ${address}:${port} app:app
    ports: { http: 8402 }
    health: { get: /, every: 1s, timeout: 1s, start: 20s }
  weaver:
    as: systemd
    on: web
    source: { folder: weaver }
    build: [ { npm: ci, script: build } ]
    run: node server.js ${address} ${port}
    ports: { http: 8403 }
    health: { get: /, every: 1s, timeout: 1s, start: 20s }
";

const POETRY: (&str, &str) =
    ("poet/server/poetry.lock", include_str!("../fixtures/builds/poet/server/poetry.lock"));
const PIP: (&str, &str) =
    ("green/requirements.txt", include_str!("../fixtures/builds/green/requirements.txt"));
const NPM: (&str, &str) =
    ("weaver/package-lock.json", include_str!("../fixtures/builds/weaver/package-lock.json"));

/// Their sources. All three would take newer packages than their lock files name.
const FILES: [(&str, &str); 9] = [
    POETRY,
    ("poet/server/pyproject.toml", include_str!("../fixtures/builds/poet/server/pyproject.toml")),
    ("poet/server/poet.py", include_str!("../fixtures/builds/poet/server/poet.py")),
    PIP,
    ("green/app.py", include_str!("../fixtures/builds/green/app.py")),
    NPM,
    ("weaver/package.json", include_str!("../fixtures/builds/weaver/package.json")),
    ("weaver/build.js", include_str!("../fixtures/builds/weaver/build.js")),
    ("weaver/server.js", include_str!("../fixtures/builds/weaver/server.js")),
];

/// Where Poetry finds its package.
const INDEX: &str = include_str!("../fixtures/builds/index.py");

fn write(desk: &Desk, (path, text): (&str, &str)) {
    desk.write(&format!("house/{path}"), text);
}

fn answer(desk: &Desk, port: u16) -> String {
    desk.shell(&format!("curl -sS --max-time 10 http://127.0.0.1:{port}/"))
}

#[test]
fn what_runs_is_what_the_lock_files_pin() {
    let Some(desk) = Desk::new("what_runs_is_what_the_lock_files_pin", 1, Begin::Clean) else { return };
    desk.shell(&format!(
        "printf '%s' '{}' > /opt/index.py; systemd-run --quiet --unit=index python3 /opt/index.py /opt/index 8400",
        INDEX.replace('\'', "'\\''")
    ));
    FILES.iter().for_each(|file| write(&desk, *file));
    desk.plan(BUILT);
    desk.done(&APPLY);
    desk.has_nothing_to_do();
    let release = |service: &str| desk.shell(&format!("readlink -f /srv/built/{service}/current"));
    assert_eq!(answer(&desk, 8401), "verse 1.0 in /srv/built/poet/current/server/.venv");
    // The program that pip has written names its interpreter by the place where it was built.
    assert_eq!(answer(&desk, 8402), format!("gunicorn 22.0.0 in {}/.venv", release("green")));
    assert_eq!(answer(&desk, 8403), "ms 2.1.2: 172800000");
    // Homes and caches of the tools are gone, and nothing was built by root.
    let left = "ls -A /srv/built/*/releases | grep home; find /srv/built/*/releases/*/ -user root; true";
    assert_eq!(desk.shell(left), "");

    let before = fingerprint(desk.host());
    let refused = |lock: (&str, &str), text: &str, word: &str| {
        write(&desk, (lock.0, text));
        let text = desk.says(&APPLY, 4, &["web: failed and taken back", "error[HH0213]", word]);
        assert_eq!(text.matches("error[").count(), 1, "{text}");
        assert_same(desk.host(), &before);
        write(&desk, lock);
    };
    refused(POETRY, "no lock file\n", "Unable to read the lock file");
    refused(POETRY, &other_hashes(POETRY.1, "sha256:"), "not found in known hashes");
    refused(PIP, &other_hashes(PIP.1, "sha256:"), "DO NOT MATCH THE HASHES");
    refused(NPM, "{}\n", "package-lock.json");
    refused(NPM, &other_hashes(NPM.1, "sha512-"), "EINTEGRITY");
    assert_eq!(answer(&desk, 8403), "ms 2.1.2: 172800000");
    desk.has_nothing_to_do();
}

/// The same lock with hashes that nothing has.
fn other_hashes(lock: &str, word: &str) -> String {
    let other = |hash: &str| format!("{word}{}{}", if hash.starts_with('0') { 1 } else { 0 }, &hash[1..]);
    let (head, hashes) = lock.split_once(word).expect("has hashes");
    head.to_owned() + &hashes.split(word).map(other).collect::<String>()
}

/// A repository that only a key opens; the plan brings the key and says whom to believe.
const FETCHED: &str = "haus: 1
house: fetched
hosts:
  web:
    connect: ssh://root@@1@
    packages: [git, python3]
    files:
      /etc/ssh/ssh_known_hosts: { from: known_hosts }
      /etc/ssh/ssh_config.d/shop.conf: { text: \"Host SERVER\\n  IdentityFile /etc/shop.key\\n\" }
      /etc/shop.key: { credential: deploy-key, owner: haus-fetched-web }
credentials:
  deploy-key: { file: KEY, rotate: never, reason: \"the server knows it\" }
services:
  web:
    as: systemd
    on: web
    source: { git: \"ssh://git@SERVER/opt/git/shop.git\", ref: v1 }
    keep: 1
    run: /usr/bin/python3 server.py ${address} ${port}
    ports: { http: 8100 }
    health: { get: /health, expect: { json: { ok: true } }, every: 1s, timeout: 1s, start: 10s }
";

/// An account on the server that gives what is in the repository to whoever has the key, and nothing else.
const SERVER: &str = "set -e; useradd --create-home --shell /usr/bin/git-shell git; cd /home/git; \
    ssh-keygen -q -t ed25519 -N '' -f /root/deploy; install -d -o git -g git -m 700 .ssh; \
    sed 's/^/restrict /' /root/deploy.pub > .ssh/authorized_keys; chown git: .ssh/authorized_keys";

#[test]
fn a_service_follows_the_tags_of_a_git_server_that_only_its_key_opens() {
    let test = "a_service_follows_the_tags_of_a_git_server_that_only_its_key_opens";
    let Some(desk) = Desk::new(test, 2, Begin::Clean) else { return };
    let (server, web) = (desk.host(), &desk.hosts()[1]);
    shop::furnish(&desk);
    desk.shell(SERVER);
    desk.write("key", &(desk.shell("cat /root/deploy") + "\n"));
    let known_hosts = |key: &str| {
        let key = desk.shell(&format!("cut -d' ' -f1,2 {key}"));
        desk.write("house/known_hosts", &format!("{} {key}\n", server.address));
    };
    let plan = FETCHED
        .replace("SERVER", &server.address.to_string())
        .replace("KEY", &desk.path("key").display().to_string());
    let tag = |tag: &str| desk.plan(&plan.replace("ref: v1", &format!("ref: {tag}")));
    let version = || shell(web, "curl -sS --max-time 10 http://127.0.0.1:8100/version");

    // A server with another key than the known one is not asked.
    tag("v1");
    known_hosts("/root/deploy.pub");
    let text = desk.says(&APPLY, 1, &["HH0104", "Host key verification failed"]);
    assert_eq!(text.matches("error[").count(), 1, "{text}");
    shell(web, "test ! -e /srv/fetched/web/releases");

    known_hosts("/etc/ssh/ssh_host_ed25519_key.pub");
    desk.done(&APPLY);
    assert_eq!(version(), "v1");
    desk.has_nothing_to_do();
    for next in ["v2", "v3"] {
        tag(next);
        desk.done(&APPLY);
        assert_eq!(version(), next);
        desk.has_nothing_to_do();
    }
    assert_eq!(shell(web, "sort /srv/fetched/web/releases/*/version"), "v2\nv3");

    let before = fingerprint(web);
    desk.shell("rm /home/git/.ssh/authorized_keys");
    tag("v4");
    let text = desk.says(&APPLY, 1, &["HH0104", "Permission denied (publickey"]);
    assert_eq!(text.matches("error[").count(), 1, "{text}");
    assert_same(web, &before);
    assert_eq!(version(), "v3");
}
