//! Services under systemd as a host really runs them: hardened, with credentials as files and nowhere else,
//! woken by timers and sockets, several of a kind, one release after the other, and gone without their data
//! when the plan says them no more.

use super::desk::{Begin, Desk, assert_same_but, fingerprint, shell};
use super::shop::{PLAN, plan_with, version};
use haus_testkit::{CLEAN, wait_until};
use std::time::Duration;

const APPLY: [&str; 2] = ["apply", "--yes"];
const SOON: Duration = Duration::from_secs(30);
const PLANTED: &str = "pastinake-Zq4-planted";

#[test]
#[allow(clippy::print_stderr, reason = "the level is for people to read")]
fn a_service_is_hardened_and_finds_its_credentials_as_files() {
    let test = "a_service_is_hardened_and_finds_its_credentials_as_files";
    let Some(desk) = Desk::new(test, 1, Begin::Shop) else { return };
    desk.write("key", PLANTED);
    let credential =
        format!("credentials:\n  shop-key: {{ file: {} }}\nservices:", desk.path("key").display());
    plan_with(
        &desk,
        &[("services:", &credential), ("    limits:", "    credentials: { KEY: shop-key }\n    limits:")],
    );
    let told = desk.done(&APPLY);
    assert!(!told.contains(PLANTED), "{told}");
    let level = desk.shell("systemd-analyze security haus-shop-web.service | grep 'Overall exposure level'");
    eprintln!("{level}");
    let level: f32 = level.split_whitespace().find_map(|word| word.parse().ok()).expect("a level");
    assert!(level < 4.0, "{level}");

    let pid = desk.shell("systemctl show --property MainPID --value haus-shop-web");
    let environment = desk.shell(&format!("tr '\\0' '\\n' < /proc/{pid}/environ"));
    let folder =
        environment.lines().find_map(|line| line.strip_prefix("CREDENTIALS_DIRECTORY=")).expect("set");
    assert!(
        environment.contains(&format!("KEY_FILE={folder}/KEY")) && !environment.contains(PLANTED),
        "{environment}"
    );
    let user = desk.shell(&format!("stat -c %U /proc/{pid}"));
    assert_eq!(user, "haus-shop-web");
    // It reads its own; who else may is told by the mode.
    assert_eq!(
        desk.shell(&format!("cat /proc/{pid}/root{folder}/KEY; stat -c ' %a' /proc/{pid}/root{folder}/KEY")),
        format!("{PLANTED} 400")
    );
    let others = desk
        .host()
        .exec_shell("find /run/credentials /etc/haus/shop/credentials -type f -perm /077")
        .expect("runs");
    assert_eq!(others.stdout, "", "{others:?}");
    let traces = format!(
        "grep -rlF '{PLANTED}' /etc /var/lib /var/log /srv /home /root /run --exclude-dir=credentials 2>/dev/null; true"
    );
    assert_eq!(desk.shell(&traces), "");
    assert_eq!(desk.shell(&format!("grep -rlF '{PLANTED}' /etc/haus")), "/etc/haus/shop/credentials/web/KEY");
    assert_eq!(desk.shell(&format!("journalctl --no-pager | grep -c '{PLANTED}'; true")), "0");

    // A new value is a new version: the service starts anew with it.
    desk.write("key", "another-value-of-the-key");
    desk.says(&APPLY, 0, &["restarted"]);
    let newer = desk.shell("systemctl show --property MainPID --value haus-shop-web");
    assert_ne!(newer, pid);
    assert_eq!(desk.shell(&format!("cat /proc/{newer}/root{folder}/KEY")), "another-value-of-the-key");
    desk.has_nothing_to_do();
}

#[test]
fn releases_follow_each_other_and_the_last_ones_are_kept() {
    let Some(desk) = Desk::new("releases_follow_each_other_and_the_last_ones_are_kept", 1, Begin::Shop)
    else {
        return;
    };
    desk.shell("echo mine > /srv/shop/web/data/files/mine");
    for tag in ["v2", "v3", "v4"] {
        plan_with(&desk, &[("ref: v1", &format!("ref: {tag}"))]);
        desk.done(&APPLY);
        assert_eq!(version(&desk), tag);
    }
    assert_eq!(desk.shell("sort /srv/shop/web/releases/*/version"), "v2\nv3\nv4");
    assert_eq!(desk.shell("cat /srv/shop/web/current/data/mine"), "mine");
    // A tag that was moved is another release.
    desk.shell("cd /opt/git/work; echo v5 > version; git commit -qam v5; git tag -f v4 >/dev/null; git push -qf ../shop.git v4");
    desk.done(&APPLY);
    assert_eq!(version(&desk), "v5");

    // Said no more: what we made goes, what it has written stays.
    let (host, _) = PLAN.split_once("services:").expect("has services");
    desk.plan(host);
    desk.done(&APPLY);
    let left = "systemctl list-unit-files | grep -c haus-shop; ls /srv/shop/web; cat /srv/shop/web/data/files/mine; \
        ls /etc/systemd/system | grep -c haus-shop; true";
    assert_eq!(desk.shell(left), "0\ndata\nmine\n0");
    desk.has_nothing_to_do();
}

/// A timer, a socket, two of a kind, and one that needs another on the next host.
const MANY: &str = "haus: 1
house: many
hosts:
  one: { connect: ssh://root@@0@, packages: [python3] }
  two: { connect: ssh://root@@1@, packages: [python3] }
services:
  night:
    as: systemd
    on: one
    run: /bin/sh -c 'date > ${data}/ran'
    data: [at]
    unit: { calendar: \"*-*-* 03:00:00\" }
  waker:
    as: systemd
    on: one
    source: { folder: waker }
    run: /usr/bin/python3 waker.py
    ports: { http: 8300 }
    unit: { socket: true }
    health: { get: /, every: 1s, timeout: 1s, start: 10s }
  twin:
    as: systemd
    on: two
    source: { folder: twin }
    run: /usr/bin/python3 twin.py ${instance}
    instances: 2
    health: { process: true }
  front:
    as: systemd
    on: two
    source: { folder: twin }
    run: /usr/bin/python3 twin.py http://${waker.address}:${waker.port}/
    needs: [waker]
    health: { process: true }
";

const WAKER: &str = "import os, socket
assert os.environ['LISTEN_FDS'] == '1'
listener = socket.socket(fileno=3)
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nawake')
    connection.close()
";
const TWIN: &str = "import sys, time, os
open(os.path.join(os.environ['HOME'], 'twin'), 'w').write(sys.argv[1])
time.sleep(1000000)
";

#[test]
fn timers_sockets_twins_and_needs_across_hosts() {
    let Some(desk) = Desk::new("timers_sockets_twins_and_needs_across_hosts", 2, Begin::Clean) else {
        return;
    };
    desk.host().restore(CLEAN).expect("restores");
    desk.write("house/waker/waker.py", WAKER);
    desk.write("house/twin/twin.py", TWIN);
    let address = desk.host().address.to_string();
    let plan =
        MANY.replace("ports: { http: 8300 }", &format!("ports: {{ http: 8300 }}\n    address: {address}"));
    let before: Vec<String> = desk.hosts().iter().map(|host| fingerprint(host)).collect();
    desk.plan(&plan);
    desk.done(&APPLY);
    desk.has_nothing_to_do();
    let two = &desk.hosts()[1];

    let timer = desk.shell("systemctl show haus-many-night.timer --property NextElapseUSecRealtime --value");
    assert!(timer.contains("03:00:00"), "{timer}");
    assert_eq!(
        desk.shell("systemctl is-active haus-many-night.timer; ls /srv/many/night/data"),
        "active\nat"
    );
    desk.shell("systemctl start haus-many-night.service");
    desk.shell("test -s /srv/many/night/data/ran");

    assert_eq!(desk.shell("systemctl stop -q haus-many-waker.service 2>/dev/null; systemctl is-active haus-many-waker.socket"), "active");
    assert_eq!(shell(two, &format!("curl -sS --max-time 10 http://{address}:8300/")), "awake");

    assert_eq!(shell(two, "systemctl is-active haus-many-twin-1 haus-many-twin-2"), "active\nactive");
    let twins = "find /srv/many/twin/data* -name twin | xargs cat | fold -w 1 | sort | tr -d '\\n'";
    wait_until("the twins to have written", SOON, || shell(two, twins) == "12");
    assert_eq!(shell(two, "cat /srv/many/front/data/twin"), format!("http://{address}:8300/"));

    // What must be there first is on the other host: nobody begins without it.
    desk.plan(&plan.replace("waker.py\n", "gone.py\n").replace("twin.py http", "twin.py -v http"));
    let text = desk.says(&APPLY, 4, &["one: failed and taken back", "two: not begun: it needs host one"]);
    assert_eq!(text.matches("error[").count(), 1, "{text}");

    desk.plan(&MANY[..MANY.find("services:").expect("has services")]);
    desk.done(&APPLY);
    for (host, before) in desk.hosts().iter().zip(&before) {
        // Data stays, and so do the accounts that own it.
        shell(host, "rm -rf /srv/many");
        assert_same_but(host, before, &["etc/passwd", "etc/group", "shadow", "haus-many-"]);
    }
}
