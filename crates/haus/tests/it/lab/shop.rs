//! The house of most of these tests: one host with files, packages, a packet filter and a small service from
//! git.
//!
//! It is written, and its host furnished with what belongs to nobody's plan; what is done with it stands in
//! the tests.

use super::desk::Desk;

/// The plan. Versions of the service are tags.
pub(crate) const PLAN: &str = "haus: 1
house: shop
hosts:
  web:
    connect: ssh://root@@0@
    os: debian-12
    packages: [nftables, git, python3]
    firewall: { allow: [ 22/tcp, { port: 8100, why: \"the shop\" } ] }
    files:
      /etc/shop.conf: { text: \"name = first\\n\" }
    directories: { /srv/files: { mode: \"0755\" } }
services:
  web:
    as: systemd
    on: web
    about: \"The shop\"
    source: { git: \"file:///opt/git/shop.git\", ref: v1 }
    keep: 2
    run: /usr/bin/python3 server.py ${address} ${port}
    ports: { http: 8100 }
    data: { data: files }
    health: { get: /health, expect: { json: { ok: true } }, every: 1s, timeout: 1s, start: 4s }
    limits: { memory: 128MiB, cpu: 1, tasks: 32, files: 256, log: 1MiB }
";

const SERVER: &str = include_str!("../fixtures/shop.py");

/// Writes the plan on the desk.
pub(crate) fn write(desk: &Desk) {
    desk.plan(PLAN);
}

/// The plan with other words in some places, each of which must be there.
#[track_caller]
pub(crate) fn plan_with(desk: &Desk, changes: &[(&str, &str)]) {
    let mut text = PLAN.to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "the plan does not say {old:?}");
        text = text.replacen(old, new, 1);
    }
    desk.plan(&text);
}

/// A repository with tags v1 to v4 and one that does not work, for everybody to read.
pub(crate) fn furnish(desk: &Desk) {
    let server = SERVER.replace('\'', "'\\''");
    desk.shell(&format!(
        "set -e; git config --system --add safe.directory '*'; git config --system init.defaultBranch main; \
         mkdir -p /opt/git/work; cd /opt/git/work; git init -q; git config user.email a@b.example; \
         git config user.name anna; printf '%s' '{server}' > server.py; \
         for version in v1 v2 v3 v4 bad; do echo $version > version; git add .; git commit -qm $version; \
         git tag $version; done; cd ..; git clone -q --bare work shop.git; chmod -R a+rX /opt/git"
    ));
}

/// What the service on the host answers, as soon as it does: who takes an apply back starts the old one and
/// goes.
pub(crate) fn version(desk: &Desk) -> String {
    desk.shell(
        "curl -sS --retry 10 --retry-delay 1 --retry-connrefused --max-time 15 http://127.0.0.1:8100/version",
    )
}
