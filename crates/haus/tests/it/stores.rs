//! PostgreSQL and Redis as services of a house under test, those who log in to them, and logins of the test's
//! own.
//!
//! The servers are started by the scripts of `houses/zimmer`, so that these are what is proven. A login is a
//! real one with the server's own client or wire; nothing here asks the house what it thinks.

use crate::home::{Home, SOON, service};
use crate::open_house::OpenHouse;
use haus_testkit::{http_get, loud_skip_mandatory, wait_for, wait_until};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

const CLIENT: &str = include_str!("fixtures/client.py");
const POSTGRES: [(&str, &str); 4] = [
    ("postgres/prepare.sh", include_str!("../../../../houses/zimmer/rooms/archiv-postgres/prepare.sh")),
    ("postgres/programs.sh", include_str!("../../../../houses/zimmer/rooms/archiv-postgres/programs.sh")),
    ("postgres/start.sh", include_str!("../../../../houses/zimmer/rooms/archiv-postgres/start.sh")),
    ("postgres/health.sh", include_str!("../../../../houses/zimmer/rooms/archiv-postgres/health.sh")),
];
const REDIS: [(&str, &str); 2] = [
    ("redis/start.sh", include_str!("../../../../houses/zimmer/rooms/speicher-redis/start.sh")),
    ("redis/health.sh", include_str!("../../../../houses/zimmer/rooms/speicher-redis/health.sh")),
];

/// The account under which the servers and clients run when we are root; otherwise it is not looked at.
const USER: &str = "user: nobody";

/// Whether both servers and their clients are installed; says so loudly when not.
pub(crate) fn are_here(test: &str) -> bool {
    let has = |program: &str, word: &str| Command::new(program).arg(word).output().is_ok();
    let all = std::fs::read_dir("/usr/lib/postgresql").is_ok()
        && has("psql", "--version")
        && has("redis-server", "--version")
        && has("redis-cli", "--version");
    if !all {
        loud_skip_mandatory(test, "PostgreSQL or Redis is not installed (Debian: postgresql, redis-server)");
    }
    all
}

/// Writes what the services below run.
pub(crate) fn furnish(home: &Home) {
    for (name, text) in POSTGRES.iter().chain(&REDIS) {
        home.house.write(name, text);
    }
    home.house.write("client.py", CLIENT);
}

/// `haus up`, until everything is healthy: a database is made at its first start, which takes its time.
pub(crate) fn start(house: &mut OpenHouse) {
    house.home.begin();
    wait_until("stores and clients to be healthy", SOON * 3, || {
        house.home.try_status().is_some_and(|status| status["ready"] == true)
    });
    house.wait_for_api();
}

/// The service `postgres`; its role `zimmer` has the credential `zimmer-key`.
pub(crate) fn postgres() -> String {
    let usual = [
        "in: postgres",
        USER,
        "prepare: [[/bin/sh, prepare.sh, \"${data.db}\", \"${credentials}\"]]",
        "run: [/bin/sh, start.sh, \"${data.db}\", \"${port}\"]",
        "ports: { postgres: auto }",
        "data: [db]",
        "credentials: { ARCHIV_PASSWORD: archiv-key, ZIMMER_PASSWORD: zimmer-key, LESER_PASSWORD: leser-key }",
        "on_new_credential: reread",
        "health: { command: \"/bin/sh ${in}/health.sh ${data.db} ${port}\", every: 3s, timeout: 3s, start: 60s }",
        "recover: { first: 50ms, most: 500ms, tries: 1000 }",
        "stop: { signal: INT }",
    ];
    service("postgres", &usual, "")
}

/// The credentials of [`postgres`].
pub(crate) const POSTGRES_KEYS: &str = "  archiv-key: { length: 32 }\n  leser-key: { length: 32 }\n  \
     zimmer-key: { length: 32, rotator: { postgres: postgres, role: zimmer } }\n";

/// The service `redis`; its default user has the credential `redis-key`.
pub(crate) fn redis(more: &str) -> String {
    let usual = [
        "in: redis",
        USER,
        "run: [/bin/sh, start.sh, \"${data.db}\", \"${port}\", \"${credentials}\"]",
        "ports: { redis: auto }",
        "data: [db]",
        "credentials: { REDIS_PASSWORD: redis-key }",
        "on_new_credential: reread",
        "health: { command: \"/bin/sh ${in}/health.sh ${port} ${credentials}\", every: 3s, timeout: 3s, start: 20s }",
        "recover: { first: 50ms, most: 500ms, tries: 1000 }",
    ];
    service("redis", &usual, more)
}

/// The credential of [`redis`].
pub(crate) fn redis_key(overlap: &str) -> String {
    format!("  redis-key: {{ length: 32, overlap: {overlap}, rotator: {{ redis: redis }} }}\n")
}

/// Somebody who logs in to PostgreSQL as `zimmer`.
pub(crate) fn postgres_client(name: &str, switches: &str, more: &str) -> String {
    let run =
        format!("run: python3 -I client.py ${{port}} postgres:${{postgres.port}}:zimmer:zimmer {switches}");
    client(name, run.trim_end(), &["needs: [postgres]", "credentials: { KEY: zimmer-key }"], more)
}

/// Somebody who logs in to Redis.
pub(crate) fn redis_client(name: &str, switches: &str, more: &str) -> String {
    let run = format!("run: python3 -I client.py ${{port}} redis:${{redis.port}} {switches}");
    client(name, run.trim_end(), &["needs: [redis]", "credentials: { KEY: redis-key }"], more)
}

/// How consumers of credentials are asked. A rotation is refused while one of them is degraded, and a single
/// answer that is late makes it so: the time for it is that of a machine that does much else.
pub(crate) const CLIENT_HEALTH: &str = "health: { get: /health, every: 3s, timeout: 3s, start: 5s }";

fn client(name: &str, run: &str, lines: &[&str], more: &str) -> String {
    let recover = "recover: { first: 50ms, most: 500ms, tries: 1000 }";
    service(name, &[&[run, USER, "ports: { http: auto }", CLIENT_HEALTH, recover], lines].concat(), more)
}

/// The port of a server of the house.
pub(crate) fn port(home: &Home, server: &str) -> u16 {
    wait_for("the port of a server", SOON, || {
        let port = home.instance(&format!("{server}/1"))["ports"][server].as_u64();
        port.and_then(|port| u16::try_from(port).ok())
    })
}

/// Why PostgreSQL lets nobody in as `zimmer` with this password, if it does not.
pub(crate) fn postgres_login(port: u16, password: &str) -> Result<(), String> {
    let output = Command::new("psql")
        .args(["-XAtq", "-h", "127.0.0.1", "-U", "zimmer", "-d", "zimmer", "-c", "SELECT 1"])
        .args(["-p", &port.to_string()])
        .env("PGPASSWORD", password)
        .env("PGCONNECT_TIMEOUT", "5")
        .output()
        .expect("psql starts");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Why Redis lets nobody in with this password, if it does not.
pub(crate) fn redis_login(port: u16, password: &str) -> Result<(), String> {
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let length = password.len();
        write!(stream, "*2\r\n$4\r\nAUTH\r\n${length}\r\n{password}\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    };
    match answer() {
        Ok(line) if line == "+OK\r\n" => Ok(()),
        Ok(line) => Err(line),
        Err(error) => Err(error.to_string()),
    }
}

/// What a client answers on this path: status and text; none when it does not answer.
pub(crate) fn ask_client(home: &Home, instance: &str, path: &str) -> Option<(u16, String)> {
    let port = home.instance(instance)["ports"]["http"].as_u64()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).ok()?));
    let answer = http_get(address, "client", path).ok()?;
    Some((answer.status, answer.text()))
}

/// The value that a client uses, as soon as it answers.
pub(crate) fn value_of(home: &Home, instance: &str) -> String {
    wait_for(&format!("the value of {instance}"), SOON, || {
        ask_client(home, instance, "/value").filter(|(status, _)| *status == 200).map(|(_, text)| text)
    })
}
