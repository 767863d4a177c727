//! `haus apply` on hosts of a lab where nothing is to be done, beside Ansible and pyinfra with the same
//! hundred things in the same minute; a first apply of each; and how long planning a thousand hosts takes.
//! Half an hour on a quiet machine, most of it Ansible's.
//!
//! It owns the order of the rounds and the report. Every measured run must say that it changed nothing, and
//! before the first one somebody spoils a host by hand, which all of them must notice.

mod contender;
mod work;

use std::path::{Path, PathBuf};
use std::process::Command;

use haus_lab::{CLEAN, Force, Lab, LabHost, LabPlan, Places};

use self::contender::{Contender, Ground, Named, Persist};
use self::work::Work;
use super::core::open_folder;
use super::measure::{Ran, load_average, median, ran};
use super::{ROUNDS, Report};
use crate::error::TaskError;
use crate::python::Wanted;

const NAME: &str = "apply";
const SIZES: [usize; 3] = [1, 5, 20];
/// No further round of a program begins after this long; Ansible on twenty hosts takes minutes for one.
const BUDGET_SECONDS: f64 = 180.0;
/// With 20 forks on two cores its transfers run into their limits, and the run takes a quarter of an hour and
/// fails.
const ANSIBLE_HOSTS_MAX: usize = 5;
const PEERS: Wanted =
    Wanted { name: "apply-peers", list: "xtask/apply-peers.txt", program: "pyinfra", by: "bench apply" };

pub(super) fn run(root: &Path, haus: &Path, sizes: &[&str]) -> Result<Report, TaskError> {
    let sizes = sizes_of(sizes)?;
    let load_before = load_average();
    let folder = open_folder()?;
    let release = haus.parent().unwrap_or(Path::new("."));
    let target = release.parent().unwrap_or(release);
    let peers = PEERS.ready(root, target)?;
    let lab = OwnLab::new(&target.join("bench-apply-lab"))?;
    let host = lab.up(1)?.swap_remove(0);
    let ground = Ground {
        folder: folder.path().to_path_buf(),
        haus: haus.to_path_buf(),
        peers: peers.as_ref().ok().cloned(),
        ssh_config: host.ssh_config(),
        key: host.key(),
        known_hosts: host.known_hosts(),
    };
    let work = Work::hundred();
    ground.prepare(&work.json())?;
    place_remote(target, &ground.folder)?;

    let bench = Bench { ground, work };
    // A first apply is measured on one host.
    let mut rows = if sizes.contains(&1) { bench.first_applies(&host)? } else { Vec::new() };
    for size in sizes {
        let hosts = lab.up(size)?;
        rows.extend(bench.nothing_to_do(&hosts)?);
    }
    rows.extend(planning(release, &bench.ground.folder)?);
    let mut notes = notes(load_before, load_average());
    notes.extend(peers.err().map(|why| format!("no peers: {why}")));
    let columns =
        vec!["what", "program", "median, s", "all rounds, s", "CPU of the controller, s", "beside haus"];
    Ok(Report { title: "apply", method: method(bench.work.count()), columns, rows, notes })
}

/// How many hosts, in words of the command line.
fn sizes_of(words: &[&str]) -> Result<Vec<usize>, TaskError> {
    if words.is_empty() {
        return Ok(SIZES.to_vec());
    }
    let size = |word: &&str| {
        word.parse()
            .ok()
            .filter(|size| *size > 0)
            .ok_or_else(|| problem(format!("{word} is no number of hosts")))
    };
    words.iter().map(size).collect()
}

fn problem(problem: String) -> TaskError {
    TaskError::Bench { name: NAME, problem }
}

/// Our program for hosts under the name by which `haus` looks for it: a static one where it was built, else
/// the one of this machine, which is a host's system as well.
fn place_remote(target: &Path, folder: &Path) -> Result<(), TaskError> {
    let name = format!("haus-remote-{}", std::env::consts::ARCH);
    let built: Vec<PathBuf> = ["haus-remote", &name].map(|name| target.join("remote").join(name)).to_vec();
    let newest = built.iter().filter(|path| path.is_file()).max_by_key(|path| {
        path.metadata().and_then(|about| about.modified()).unwrap_or(std::time::UNIX_EPOCH)
    });
    let from = newest.ok_or_else(|| {
        problem("there is no haus-remote: cargo build --profile remote -p haus-remote".to_owned())
    })?;
    let to = folder.join(&name);
    std::fs::copy(from, &to).map(drop).map_err(|source| TaskError::Write { path: to, source })
}

/// A lab of the bench alone, gone when it ends.
struct OwnLab {
    lab: Lab,
}

impl OwnLab {
    /// Nothing of an interrupted bench stays.
    fn new(folder: &Path) -> Result<OwnLab, TaskError> {
        let lab = Lab::new(Places::of_this_account().beside(folder));
        lab.down(Force::Yes)?;
        Ok(OwnLab { lab })
    }

    fn up(&self, hosts: usize) -> Result<Vec<LabHost>, TaskError> {
        Ok(self.lab.up(LabPlan::of(hosts), &|line| eprintln!("bench apply: {line}"))?)
    }
}

impl Drop for OwnLab {
    fn drop(&mut self) {
        if let Err(error) = self.lab.down(Force::Yes) {
            eprintln!("bench apply: {}", crate::error::chain(&error));
        }
    }
}

/// All rounds of one program.
struct Cell {
    contender: Contender,
    seconds: Vec<f64>,
    cpu_seconds: Vec<f64>,
}

impl Cell {
    fn new(contender: Contender) -> Cell {
        Cell { contender, seconds: Vec::new(), cpu_seconds: Vec::new() }
    }

    fn has_time_for_another(&self) -> bool {
        let longest = self.seconds.iter().copied().fold(0.0, f64::max);
        let spent: f64 = self.seconds.iter().sum();
        self.seconds.is_empty() || (self.seconds.len() < ROUNDS && spent + longest <= BUDGET_SECONDS)
    }

    fn add(&mut self, ran: &Ran) {
        self.seconds.push(ran.seconds);
        self.cpu_seconds.push(ran.cpu_seconds);
    }

    /// The clock of processor time has coarse ticks, so this is the mean of all rounds.
    fn row(&self, what: &str, ours: &Cell) -> Vec<String> {
        let rounds: Vec<String> = self.seconds.iter().map(|seconds| format!("{seconds:.2}")).collect();
        let cpu = self.cpu_seconds.iter().sum::<f64>() / self.cpu_seconds.len() as f64;
        let ratio = median(&self.seconds) / median(&ours.seconds);
        let beside = if self.contender.is_peer() { format!("{ratio:.1} ×") } else { String::new() };
        let median = format!("{:.2}", median(&self.seconds));
        let cells = [what.to_owned(), self.contender.name().to_owned(), median];
        cells.into_iter().chain([rounds.join(" "), format!("{cpu:.2}"), beside]).collect()
    }
}

fn rows(what: &str, cells: &[Cell]) -> Vec<Vec<String>> {
    let ours = cells.iter().find(|cell| cell.contender == Contender::Haus);
    ours.map(|ours| cells.iter().map(|cell| cell.row(what, ours)).collect()).unwrap_or_default()
}

struct Bench {
    ground: Ground,
    work: Work,
}

impl Bench {
    fn contenders(&self, wanted: &[Contender]) -> Vec<Cell> {
        let there = |contender: &&Contender| self.ground.peers.is_some() || !contender.is_peer();
        wanted.iter().filter(there).copied().map(Cell::new).collect()
    }

    fn name_hosts(&self, hosts: &[LabHost]) -> Result<Vec<Named>, TaskError> {
        let named: Vec<Named> =
            hosts.iter().map(|host| (host.name.clone(), host.address.to_string())).collect();
        let names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
        self.ground.name_hosts(&self.work.house(&names), &named)?;
        Ok(named)
    }

    /// One run; answers how many changes it made as well.
    fn once(&self, contender: Contender, hosts: &[Named]) -> Result<(Ran, u64), TaskError> {
        self.ground.connections(contender, hosts);
        let ran = ran(&self.ground.folder, &mut self.ground.command(contender, hosts))?;
        let changes = contender.changes(&ran, hosts.len())?;
        let (name, seconds) = (contender.name(), ran.seconds);
        eprintln!("bench apply: {} hosts, {name}: {changes} changes in {seconds:.2} s", hosts.len());
        Ok((ran, changes))
    }

    /// From a host on which nothing was done yet.
    fn first_applies(&self, host: &LabHost) -> Result<Vec<Vec<String>>, TaskError> {
        let hosts = self.name_hosts(std::slice::from_ref(host))?;
        let mut cells =
            self.contenders(&[Contender::Haus, Contender::Pyinfra, Contender::Ansible(Persist::On)]);
        for _ in 0..ROUNDS {
            for cell in cells.iter_mut().filter(|cell| cell.has_time_for_another()) {
                host.restore(CLEAN)?;
                let (ran, changes) = self.once(cell.contender, &hosts)?;
                if changes == 0 {
                    return Err(problem(format!(
                        "{} found nothing to do on a clean host",
                        cell.contender.name()
                    )));
                }
                cell.add(&ran);
            }
        }
        host.restore(CLEAN)?;
        Ok(rows("first apply, 1 host", &cells))
    }

    fn nothing_to_do(&self, hosts: &[LabHost]) -> Result<Vec<Vec<String>>, TaskError> {
        let named = self.name_hosts(hosts)?;
        let with_ansible = hosts.len() <= ANSIBLE_HOSTS_MAX;
        let mut settling = vec![Contender::Haus, Contender::Pyinfra];
        if with_ansible {
            settling.insert(1, Contender::Ansible(Persist::On));
        }
        for cell in self.contenders(&settling) {
            self.once(cell.contender, &named)?;
        }
        if let [host] = hosts {
            self.all_notice(host, &named)?;
        }
        let mut wanted = vec![Contender::Haus, Contender::HausShared, Contender::Pyinfra];
        if with_ansible {
            wanted.push(Contender::Ansible(Persist::On));
        }
        if hosts.len() == 1 {
            wanted.insert(0, Contender::Ssh);
            // Without a kept connection Ansible's time only grows with the hosts.
            wanted.push(Contender::Ansible(Persist::Off));
        }
        let mut cells = self.contenders(&wanted);
        // All take turns, so that a busy moment of the machine hits all alike.
        for _ in 0..ROUNDS {
            for cell in cells.iter_mut().filter(|cell| cell.has_time_for_another()) {
                let (ran, changes) = self.once(cell.contender, &named)?;
                if changes > 0 {
                    let name = cell.contender.name();
                    return Err(problem(format!("{name} changed {changes} things where nothing was to do")));
                }
                cell.add(&ran);
            }
        }
        self.ground.close(&named);
        let what = if hosts.len() == 1 {
            "no-op, 1 host".to_owned()
        } else {
            format!("no-op, {} hosts", hosts.len())
        };
        Ok(rows(&what, &cells))
    }

    /// Nobody is quick by not looking: each finds and mends what was spoilt by hand.
    fn all_notice(&self, host: &LabHost, named: &[Named]) -> Result<(), TaskError> {
        let (line, spoilt) = self.work.spoil();
        let noticing = [Contender::Haus, Contender::Ansible(Persist::On), Contender::Pyinfra];
        for cell in self.contenders(&noticing) {
            let done = host.exec_shell(&line)?;
            if !done.is_success() {
                return Err(problem(format!("could not spoil {}: {}", host.name, done.stderr)));
            }
            let (_, changes) = self.once(cell.contender, named)?;
            if changes < spoilt {
                let name = cell.contender.name();
                return Err(problem(format!("{name} noticed only {changes} of {spoilt} spoilt things")));
            }
        }
        Ok(())
    }
}

/// Of `plan_bench`, which measures inside of one process.
fn planning(release: &Path, folder: &Path) -> Result<Vec<Vec<String>>, TaskError> {
    let program = release.join("examples/plan_bench");
    if !program.is_file() {
        let problem_text =
            "there is no plan_bench: cargo build --release -p haus-planner --example plan_bench";
        return Err(problem(problem_text.to_owned()));
    }
    let ran = ran(folder, &mut Command::new(program))?;
    Ok(planned(&ran.stdout))
}

/// `NAME: N changes, best M ms, median M ms` becomes a row.
fn planned(output: &str) -> Vec<Vec<String>> {
    let row = |line: &str| {
        let (name, figures) = line.split_once(": ")?;
        let (changes, figures) = figures.split_once(", best ")?;
        let (best, median) = figures.strip_suffix(" ms")?.split_once(" ms, median ")?;
        let seconds = |text: &str| text.parse::<f64>().ok().map(|ms| format!("{:.2}", ms / 1000.0));
        let what = format!("planning 1,000 hosts × 100 resources, {name}: {changes}");
        let cells = [what, "haus's planner".to_owned(), seconds(median)?, format!("best {}", seconds(best)?)];
        Some(cells.into_iter().chain([String::new(), String::new()]).collect())
    };
    output.lines().filter_map(row).collect()
}

fn method(count: usize) -> String {
    format!(
        "{count} things on each host: 10 packages (installed before), 40 files of 200 B to 4 KiB, 20 folders with \
         modes, 5 accounts and their groups, 5 links, 5 `net.*` parameters, 5 systemd units (file; enabled and \
         running). One description makes `house.yaml`, the playbook and the deploy (xtask/src/bench/apply). Wall time \
         of the whole command from exec to exit. The hosts are systemd containers on the same machine, reached over \
         ssh as root with one key; controller and hosts share its cores. `haus apply --yes` opens a new connection \
         for every run. ansible-core: pipelining, 20 forks, no facts gathered, interpreter named, new control sockets in every \
         run; mitogen was not to be had. pyinfra: its own ssh (paramiko), new connections. Programs take turns; \
         {ROUNDS} rounds, fewer when a program has used {BUDGET_SECONDS:.0} s. Each measured run is checked for 0 changes by \
         its own recap; before that, five things spoilt by hand (content, mode, link, unit, parameter) were found and \
         mended by each program. A first apply begins with a host restored from the clean image."
    )
}

fn notes(before: f64, after: f64) -> Vec<String> {
    vec![
        "Gate on one host: below 1 s, 5 × pyinfra, 25 × Ansible. Goal: 10 × and 50 ×. Planning: below 1 s.".to_owned(),
        format!(
            "Load average in the minute before it began: {before:.1}, in its last minute: {after:.1}. On a machine that \
             does other work everybody is slower, and the programs that start more processes, here and on the hosts, lose \
             more: only on a quiet one the ratios say what the programs cost."
        ),
        "`ssh HOST true` is what one connection costs here; nobody who opens one is faster.".to_owned(),
        "CPU of the controller is the mean of the rounds, with its ssh processes; a control socket's own process is not in it."
            .to_owned(),
        format!(
            "Ansible is measured with {ANSIBLE_HOSTS_MAX} hosts at most, and with ControlPersist off with one: where 20 forks \
             share two cores its transfers run into their limits, and the run fails after a quarter of an hour."
        ),
        "A first apply of ours also carries `haus-remote` to the host, keeps a journal, and proves over a second \
         connection that the parameters of the network did not lock us out."
            .to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(contender: Contender, seconds: &[f64]) -> Cell {
        Cell { contender, seconds: seconds.to_vec(), cpu_seconds: vec![0.5; seconds.len()] }
    }

    #[test]
    fn sizes_are_those_that_were_named() {
        assert_eq!(sizes_of(&[]).unwrap(), SIZES);
        assert_eq!(sizes_of(&["2", "3"]).unwrap(), [2, 3]);
        assert!(sizes_of(&["0"]).is_err() && sizes_of(&["many"]).is_err());
    }

    #[test]
    fn a_program_stops_after_its_rounds_or_its_time() {
        assert!(cell(Contender::Haus, &[]).has_time_for_another());
        assert!(cell(Contender::Haus, &[1.0; ROUNDS - 1]).has_time_for_another());
        assert!(!cell(Contender::Haus, &[1.0; ROUNDS]).has_time_for_another());
        assert!(!cell(Contender::Pyinfra, &[100.0]).has_time_for_another());
    }

    #[test]
    fn peers_stand_beside_us() {
        let rows = rows("x", &[cell(Contender::Haus, &[0.5, 0.5]), cell(Contender::Pyinfra, &[4.0, 3.0])]);
        assert_eq!(rows[0], ["x", "haus", "0.50", "0.50 0.50", "0.50", ""]);
        assert_eq!(rows[1], ["x", "pyinfra", "4.00", "4.00 3.00", "0.50", "8.0 ×"]);
    }

    #[test]
    fn figures_of_the_planner_are_rows() {
        let rows =
            planned("1000 hosts, 100000 resources\nnothing to do: 0 changes, best 250 ms, median 310 ms\n");
        let what = "planning 1,000 hosts × 100 resources, nothing to do: 0 changes";
        assert_eq!(rows, [[what, "haus's planner", "0.31", "best 0.25", "", ""]]);
    }
}
