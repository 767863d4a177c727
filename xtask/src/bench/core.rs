//! Our own processes with 17 idle services: time from exec until the gateway accepts, memory of parent and
//! core after 30 s of quiet, and how long a killed service is away. No peer does the same job in one process;
//! the figures stand alone.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::measure::{
    Running, family, family_of_program, first_argument, free_port, has_variable, median, memory_kib, signal,
    wait_for,
};
use super::{ROUNDS, Report};
use crate::error::TaskError;

const NAME: &str = "core";
const SERVICES: usize = 17;
/// Long enough for every probe and timer of the first minute's rush to have passed once.
const IDLE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(haus: &Path) -> Result<Report, TaskError> {
    let folder = open_folder()?;
    let port = free_port().map_err(|source| TaskError::Read { path: "127.0.0.1:0".into(), source })?;
    write(&folder.path().join("house.yaml"), &house(port))?;

    let mut ready = Vec::new();
    let mut settled = Vec::new();
    let mut last = None;
    for _ in 0..ROUNDS {
        drop(last.take());
        let (house, ready_ms, settled_ms) = start(haus, folder.path(), port)?;
        ready.push(ready_ms);
        settled.push(settled_ms);
        last = Some(house);
    }
    let house = last.ok_or_else(|| problem("no house was started"))?;
    std::thread::sleep(IDLE);
    let ours = family_of_program(house.pid(), haus);
    let back = restarts(house.pid())?;

    let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
    let ms = |values: &[f64]| format!("{:.0} ms", median(values));
    let row = |what: &str, value: String, gate: &str| vec![what.to_owned(), value, gate.to_owned()];
    let memory: Vec<(u64, u64)> = ours.iter().map(|pid| memory_kib(*pid)).collect();
    let (rss, pss) = memory.iter().fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
    let mut rows = vec![
        row("core ready after start (gateway accepts)", ms(&ready), "50 ms / 20 ms"),
        row("all 17 services running after start", ms(&settled), ""),
        row("our processes idle, RSS together", mib(rss), "40 MiB / 25 MiB"),
        row("our processes idle, PSS together", mib(pss), ""),
    ];
    for (pid, (rss, _)) in ours.iter().zip(&memory) {
        rows.push(row(&format!("of these `haus {}`, RSS", first_argument(*pid)), mib(*rss), ""));
    }
    rows.push(row("killed service has a new process after", ms(&back), "2,000 ms"));
    Ok(Report {
        title: "the core",
        method: format!(
            "`haus up` of a generated house with {SERVICES} services (`sleep infinity`, health by process), release build. \
             Times are medians of five starts and five kills; memory from `smaps_rollup` after {} s of quiet.",
            IDLE.as_secs()
        ),
        columns: vec!["what", "measured", "gate / goal"],
        rows,
        notes: vec![
            "RSS counts the pages of the program file in both processes; PSS counts them once.".to_owned(),
        ],
    })
}

/// A temporary folder that other accounts can enter, as the services' account must.
pub(crate) fn open_folder() -> Result<tempfile::TempDir, TaskError> {
    use std::os::unix::fs::PermissionsExt as _;
    let create = || {
        let folder = tempfile::tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    };
    create().map_err(|source| TaskError::Write { path: std::env::temp_dir(), source })
}

/// Writes a file of the bench's own folder.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), TaskError> {
    std::fs::write(path, text).map_err(|source| TaskError::Write { path: path.to_path_buf(), source })
}

/// Whether somebody listens on this port of the loopback.
pub(crate) fn accepts(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_millis(100)).is_ok()
}

fn problem(text: &str) -> TaskError {
    TaskError::Bench { name: NAME, problem: text.to_owned() }
}

/// Starts the house; gives milliseconds until the gateway accepts, and until every service has a process.
fn start(haus: &Path, folder: &Path, port: u16) -> Result<(Running, f64, f64), TaskError> {
    let mut command = Command::new(haus);
    command.arg("up").arg(folder).arg("--state").arg(folder.join("state"));
    let begun = Instant::now();
    let mut house = Running::start(command, &folder.join("output"))?;
    let elapsed_ms = || begun.elapsed().as_secs_f64() * 1000.0;
    let ready = wait_for(NAME, "an accepting gateway", PATIENCE, || {
        (accepts(port) || house.has_ended()).then(elapsed_ms)
    })?;
    if house.has_ended() {
        let output = std::fs::read_to_string(folder.join("output")).unwrap_or_default();
        return Err(problem(&format!("haus up ended: {}", output.trim())));
    }
    let pid = house.pid();
    let all_running = || {
        let running = (1..=SERVICES).filter(|number| pid_of(pid, *number).is_some()).count();
        (running == SERVICES).then(elapsed_ms)
    };
    let settled = wait_for(NAME, "the start of all services", PATIENCE, all_running)?;
    Ok((house, ready, settled))
}

/// The process of a service is known by the mark in its environment, without asking the house.
fn pid_of(parent: u32, number: usize) -> Option<u32> {
    family(parent).into_iter().find(|pid| has_variable(*pid, &format!("HAUS_SERVICE=room-{number:02}")))
}

/// Milliseconds from kill to the next process, for one service after the other.
fn restarts(parent: u32) -> Result<Vec<f64>, TaskError> {
    let mut times = Vec::new();
    for number in 1..=ROUNDS {
        let old = pid_of(parent, number).ok_or_else(|| problem("a service is not running"))?;
        let begun = Instant::now();
        signal(old, "KILL");
        wait_for(NAME, "the restart", PATIENCE, || pid_of(parent, number).filter(|new| *new != old))?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}

fn house(port: u16) -> String {
    let mut text =
        format!("haus: 1\nhouse: bench-core\ngateway: {{ listen: \"127.0.0.1:{port}\" }}\nservices:\n");
    for number in 1..=SERVICES {
        // An account that every machine has, so that a bench leaves no accounts behind.
        let _ = writeln!(
            text,
            "  room-{number:02}: {{ run: sleep infinity, user: nobody, health: {{ process: true }}, limits: {{ memory: 16MiB }} }}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_house_has_seventeen_services() {
        let text = house(4711);
        assert!(text.contains("127.0.0.1:4711"));
        assert_eq!(text.matches("run: sleep infinity").count(), 17);
    }

    #[test]
    fn the_folder_can_be_entered_by_the_services() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = open_folder().unwrap().path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
