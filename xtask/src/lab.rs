//! `./x lab`: the words of the command, its lines on the terminal and its exit codes. What a lab is and does
//! lives in `haus-lab`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Instant;

use haus_lab::{CLEAN, Force, Lab, LabError, LabHost, LabPlan, Login, Places, Ready};

use crate::error::chain;

const USAGE: &str = "\
./x lab COMMAND: real Debian hosts with systemd and sshd on this machine, for tests and for trying things
  up N [--incus]           lab1 to labN, and one that Incus runs; the first time builds an image (a minute)
  down [--force] [--all]   takes all of it away; --force although somebody works with it, --all with the image
  status                   hosts, addresses, state, snapshots
  ssh NAME [COMMAND]       as root; `deploy@NAME` has sudo, `plain@NAME` has nothing
  exec NAME COMMAND...     as root inside of the host, not over its network
  snapshot NAME SNAPSHOT   keeps its disk under this name
  restore NAME [SNAPSHOT]  back to it, or to how the host came up; mends link and disk
  cut NAME | mend NAME     its network cable: packets vanish | pass again
  fill NAME | empty NAME   its disk: no block left | space again
  reboot NAME              through its own systemd; waits for ssh
  off NAME | on NAME       its plug
  incus WORDS...           `incus` set to the lab's own: `incus list`, `incus exec NAME -- COMMAND`
The lab lies in ${XDG_CACHE_HOME:-~/.cache}/hausmeister/lab; ssh_config there is for `ssh -F FILE NAME`.";

/// Carries it out. 2: wrong use, 3: refused since somebody works with it, 4: failed.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let lab = Lab::new(Places::of_this_account());
    match command(&lab, words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {}", chain(&error));
            ExitCode::from(if error.is_refusal() { 3 } else { 4 })
        }
    }
}

fn command(lab: &Lab, words: &[&str]) -> Result<ExitCode, LabError> {
    match *words {
        ["up", number, ref options @ ..] if ["", "--incus"].contains(&options.concat().as_str()) => {
            let Ok(hosts) = number.parse() else { return Ok(usage()) };
            up(lab, &Wanted { hosts, incus: !options.is_empty() })?;
        }
        ["incus", ref words @ ..] => match lab.incus_host()? {
            Some(host) => return replace_us(host.command().args(words)),
            None => eprintln!("there is no host that Incus runs; ./x lab up N --incus"),
        },
        ["down", ref options @ ..] if options.iter().all(|word| ["--force", "--all"].contains(word)) => {
            let force = if options.contains(&"--force") { Force::Yes } else { Force::No };
            lab.down(force)?;
            if options.contains(&"--all") {
                lab.forget_images()?;
            }
            eprintln!("the lab is down");
        }
        ["status"] => status(lab)?,
        ["ssh", name, ref rest @ ..] => return ssh(lab, name, rest),
        ["exec", name, ref rest @ ..] if !rest.is_empty() => {
            return replace_us(lab.host(name)?.exec_command()?.args(rest));
        }
        ["snapshot", name, snapshot] => timed("snapshot", || lab.host(name)?.snapshot(snapshot))?,
        ["restore", name] => timed("restore", || lab.host(name)?.restore(CLEAN))?,
        ["restore", name, snapshot] => timed("restore", || lab.host(name)?.restore(snapshot))?,
        ["cut", name] => lab.host(name)?.cut_link()?,
        ["mend", name] => lab.host(name)?.mend_link()?,
        ["fill", name] => lab.host(name)?.fill_disk()?,
        ["empty", name] => lab.host(name)?.empty_disk()?,
        ["reboot", name] => timed("reboot", || lab.host(name)?.reboot(Ready::Ssh))?,
        ["off", name] => lab.host(name)?.cut_power()?,
        ["on", name] => timed("boot", || lab.host(name)?.restore_power(Ready::Ssh))?,
        _ => return Ok(usage()),
    }
    Ok(ExitCode::SUCCESS)
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

struct Wanted {
    hosts: usize,
    incus: bool,
}

fn up(lab: &Lab, wanted: &Wanted) -> Result<(), LabError> {
    let begun = Instant::now();
    let say = |line: &str| {
        let seconds = begun.elapsed().as_secs();
        eprintln!("[{:3}:{:02}] {line}", seconds / 60, seconds % 60);
    };
    let hosts = lab.up(LabPlan::of(wanted.hosts), &say)?;
    let incus = if wanted.incus { Some(lab.incus_up(&say)?) } else { None };
    let mut lines = String::new();
    for host in &hosts {
        let _ = writeln!(lines, "{:12} {}", host.name, host.address);
    }
    if let Some(host) = incus {
        let _ = writeln!(lines, "{:12} {}", host.name, host.address);
    }
    tell(&lines);
    eprintln!("ssh -F {} {}", lab.places().ssh_config().display(), hosts[0].name);
    Ok(())
}

fn status(lab: &Lab) -> Result<(), LabError> {
    let hosts = lab.hosts()?;
    if hosts.is_empty() {
        eprintln!("the lab is down; ./x lab up N");
        return Ok(());
    }
    let mut lines = format!("{:12} {:15} {:32} snapshots\n", "host", "address", "state");
    for host in &hosts {
        let mut snapshots = vec![CLEAN.to_owned()];
        snapshots.extend(host.snapshots()?);
        let (LabHost { name, address, .. }, state) = (host, state(host)?);
        let _ = writeln!(lines, "{name:12} {address:15} {state:32} {}", snapshots.join(" "));
    }
    if let Some(host) = lab.incus_host()? {
        let _ = writeln!(lines, "{:12} {:15} run by Incus: ./x lab incus list", host.name, host.address);
    }
    tell(&lines);
    Ok(())
}

/// Somebody who reads only the first lines has closed the other end; that is no fault of the lab.
fn tell(lines: &str) {
    let _ = std::io::stdout().write_all(lines.as_bytes());
}

fn state(host: &LabHost) -> Result<String, LabError> {
    let mut state = vec![if host.is_on()? { "on".to_owned() } else { "off".to_owned() }];
    if host.is_link_cut()? {
        state.push("link cut".to_owned());
    }
    if host.is_disk_full() {
        state.push("disk full".to_owned());
    }
    state.extend(host.claimed_by().map(|by| format!("in use by {by}")));
    Ok(state.join(", "))
}

fn ssh(lab: &Lab, name: &str, words: &[&str]) -> Result<ExitCode, LabError> {
    let (account, name) = name.split_once('@').unwrap_or(("root", name));
    let Some(login) = Login::ALL.into_iter().find(|login| login.account() == account) else {
        return Ok(usage());
    };
    replace_us(lab.host(name)?.ssh_command(login).args(words))
}

/// From here on this process is the command, with our terminal and its own exit code.
fn replace_us(command: &mut Command) -> Result<ExitCode, LabError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let source = command.exec();
    Err(LabError::Start { attempt: "hand over".to_owned(), program, source })
}

fn timed(what: &str, work: impl FnOnce() -> Result<(), LabError>) -> Result<(), LabError> {
    let begun = Instant::now();
    work()?;
    eprintln!("{what}: done in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}
