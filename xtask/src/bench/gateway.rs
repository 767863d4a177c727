//! The gateway beside nginx: both forward to the same upstream, one after the other, under the same load.
//! Counted are requests per processor second of the proxy, which does not depend on how fast the generator
//! is. Loopback only, about a minute.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use super::core::{accepts, open_folder, write};
use super::measure::{Running, cpu_seconds, family, family_of_program, free_port, is_root, median, wait_for};
use super::{ROUNDS, Report};
use crate::error::TaskError;

const NAME: &str = "gateway";
/// Long against a processor tick of 10 ms, short enough for ten rounds in about a minute.
const SECONDS: u32 = 6;
const CONNECTIONS: u32 = 64;
const PATIENCE: Duration = Duration::from_secs(60);
/// The proxy has one core for itself; generator and upstream share the other one.
const PROXY_CORE: &str = "0";
const OTHER_CORE: &str = "1";

/// How both proxies and their upstream are set up.
const TEMPLATES: [(&str, &str); 3] = [
    ("upstream.conf", include_str!("gateway/upstream.conf")),
    ("nginx.conf", include_str!("gateway/nginx.conf")),
    ("house.yaml", include_str!("gateway/house.yaml")),
];

/// What one round of load showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Load {
    pub(super) requests: f64,
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// All rounds of one proxy.
#[derive(Default)]
struct Rounds {
    per_cpu_second: Vec<f64>,
    per_second: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, load: Load, cpu_seconds: f64) {
        self.per_cpu_second.push(load.requests / cpu_seconds);
        self.per_second.push(load.per_second);
        self.p50_ms.push(load.p50_ms);
        self.p99_ms.push(load.p99_ms);
    }

    fn row(&self, name: &str, beside: &Self) -> Vec<String> {
        let ratio = median(&self.per_cpu_second) / median(&beside.per_cpu_second);
        vec![
            name.to_owned(),
            format!("{:.0}", median(&self.per_cpu_second)),
            format!("{ratio:.2}"),
            format!("{:.0}", median(&self.per_second)),
            format!("{:.2}", median(&self.p50_ms)),
            format!("{:.2}", median(&self.p99_ms)),
        ]
    }
}

pub(super) fn run(haus: &Path) -> Result<Report, TaskError> {
    let folder = open_folder()?;
    let port = || free_port().map_err(|source| TaskError::Read { path: "127.0.0.1:0".into(), source });
    let (upstream_port, gateway_port, nginx_port) = (port()?, port()?, port()?);
    let file = |name: &str| folder.path().join(name);
    let values = [
        ("UPSTREAM_PORT", &*upstream_port.to_string()),
        ("GATEWAY_PORT", &*gateway_port.to_string()),
        ("NGINX_PORT", &*nginx_port.to_string()),
        ("USER", if is_root() { "user nobody nogroup;" } else { "" }),
        ("OTHER_CORE", OTHER_CORE),
        ("FOLDER", &*folder.path().display().to_string()),
    ];
    for (name, template) in TEMPLATES {
        write(&file(name), &filled(template, &values))?;
    }

    let mut up = pinned(haus);
    up.arg("up").arg(folder.path()).arg("--state").arg(file("state"));
    let house = Running::start(up, &file("house.log"))?;
    let mut peer = pinned("nginx");
    peer.arg("-p").arg(folder.path()).arg("-c").arg(file("nginx.conf")).args(["-e", "stderr"]);
    let peer = Running::start(peer, &file("nginx.log"))?;
    for (port, what) in [(upstream_port, "upstream"), (gateway_port, "gateway"), (nginx_port, "nginx")] {
        wait_for(NAME, &format!("an accepting {what}"), PATIENCE, || accepts(port).then_some(()))?;
        wait_for(NAME, &format!("an answer through {what}"), PATIENCE, || answers(port).then_some(()))?;
    }
    // The upstream runs inside the house, so only our own program's processes count for the proxy.
    let our_pids = family_of_program(house.pid(), haus);
    let nginx_pids = family(peer.pid());

    let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        round(nginx_port, &nginx_pids, &mut theirs)?;
        round(gateway_port, &our_pids, &mut ours)?;
    }
    Ok(Report {
        title: "the gateway beside nginx",
        method: format!(
            "HTTP/1.1 with keep-alive, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s in turn, medians. \
             Proxy on one core (taskset), generator (wrk, one thread) and upstream (nginx, `return 200`) on the \
             other. nginx: one worker, upstream keep-alive, buffered access log. haus: routes by host, balancing, \
             breaker and access log on."
        ),
        columns: vec![
            "proxy",
            "requests per CPU-second",
            "beside nginx",
            "requests per second",
            "p50, ms",
            "p99, ms",
        ],
        rows: vec![theirs.row(&version(), &theirs), ours.row("haus", &theirs)],
        notes: vec![
            "Gate 0.7, goal 1.0 beside nginx; this is a first figure.".to_owned(),
            "Generator and upstream share a core; requests per second are theirs as much as the proxy's."
                .to_owned(),
        ],
    })
}

/// One round of load on one proxy, with the processor time that its processes used meanwhile.
fn round(port: u16, pids: &[u32], rounds: &mut Rounds) -> Result<(), TaskError> {
    let used = || pids.iter().map(|pid| cpu_seconds(*pid)).sum::<f64>();
    let before = used();
    let output = wrk(port)?;
    let after = used();
    let text = String::from_utf8_lossy(&output.stdout);
    let load = parse(&text).ok_or_else(|| TaskError::Bench {
        name: NAME,
        problem: format!("wrk saw errors or nothing on port {port}: {text}"),
    })?;
    rounds.add(load, after - before);
    Ok(())
}

/// The generator comes from Debian, so that anybody can repeat the figure by hand.
fn wrk(port: u16) -> Result<Output, TaskError> {
    let mut command = Command::new("taskset");
    command.args([
        "-c",
        OTHER_CORE,
        "wrk",
        "-t1",
        &format!("-c{CONNECTIONS}"),
        &format!("-d{SECONDS}s"),
        "--latency",
    ]);
    command.args(["-H", "Host: bench.localhost", &format!("http://127.0.0.1:{port}/")]);
    command.output().map_err(|source| TaskError::Run { program: "taskset wrk".to_owned(), source })
}

/// The program and everything that it starts stay on the proxy's core.
fn pinned(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", PROXY_CORE]).arg(program);
    command
}

/// One request with the status line looked at, so that a 502 is not measured.
fn answers(port: u16) -> bool {
    use std::io::{Read as _, Write as _};
    let ask = || -> std::io::Result<bool> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: bench.localhost\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(&start == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Reads wrk's report; nothing when any answer was not a good one.
pub(super) fn parse(report: &str) -> Option<Load> {
    if report.contains("Non-2xx") || report.contains("Socket errors") {
        return None;
    }
    let line = |mark: &str| report.lines().map(str::trim).find(|line| line.contains(mark));
    // Shares of other lines may end in the same digits: `72.50%`.
    let percentile = |mark: &str| {
        let line = report.lines().map(str::trim).find(|line| line.starts_with(mark))?;
        line.split_whitespace().last().and_then(milliseconds)
    };
    Some(Load {
        requests: line(" requests in ")?.split_whitespace().next()?.parse().ok()?,
        per_second: line("Requests/sec:")?.split_whitespace().last()?.parse().ok()?,
        p50_ms: percentile("50%")?,
        p99_ms: percentile("99%")?,
    })
}

/// `950.00us`, `1.20ms`, `2.00s`
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    let (unit, factor) = units.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor)
}

fn version() -> String {
    let output = Command::new("nginx").arg("-v").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default();
    text.rsplit(':').next().map_or("nginx", str::trim).to_owned()
}

/// The template with its `@NAMES@` filled in.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let fill = |text: String, (name, value): &(&str, &str)| text.replace(&format!("@{name}@"), value);
    values.iter().fold(template.to_owned(), fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 6s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.05ms  250.00us   9.00ms   80.00%\n    \
        Req/Sec    30.00k     1.00k   32.00k    72.50%\n  Latency Distribution\n     50%  500.00us\n     75%    1.10ms\n     \
        90%    1.30ms\n     99%    2.00ms\n  180000 requests in 6.00s, 30.00MB read\n\
        Requests/sec:  30000.50\nTransfer/sec:      5.00MB\n";

    #[test]
    fn the_report_of_wrk_is_understood() {
        let expected = Load { requests: 180_000.0, per_second: 30_000.5, p50_ms: 0.5, p99_ms: 2.0 };
        assert_eq!(parse(REPORT), Some(expected));
    }

    #[test]
    fn errors_under_load_are_no_figures() {
        assert_eq!(parse(&format!("{REPORT}  Non-2xx or 3xx responses: 5\n")), None);
        assert_eq!(parse(&format!("{REPORT}  Socket errors: connect 0, read 1, write 0, timeout 0\n")), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn templates_are_filled_completely() {
        let names = ["UPSTREAM_PORT", "GATEWAY_PORT", "NGINX_PORT", "USER", "OTHER_CORE", "FOLDER"];
        let values: Vec<(&str, &str)> = names.into_iter().map(|name| (name, "1")).collect();
        for (name, template) in TEMPLATES {
            assert!(!filled(template, &values).contains('@'), "{name}");
        }
    }

    #[test]
    fn the_ratio_is_taken_from_processor_time() {
        let load = parse(REPORT).unwrap();
        let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
        ours.add(load, 6.0);
        theirs.add(load, 3.0);
        assert_eq!(ours.row("haus", &theirs)[1..3], ["30000".to_owned(), "0.50".to_owned()]);
    }
}
