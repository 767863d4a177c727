//! A person's desk: the folder of a plan, ssh's configuration, the program for hosts, and hosts of the lab to
//! work on.
//!
//! It runs `haus` and looks at the hosts from the side; it knows nothing of what a test wants there.

use haus_testkit::{
    CLEAN, ClaimedHost, CliOutput, LabHost, Signal, kill, lab_hosts_as_they_are, remote_program, wait_for_end,
};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// Every command of `haus` must have come to an end by then, also one that looks for a host that is gone.
const COMMAND_DEADLINE: Duration = Duration::from_secs(150);
const SNAPSHOT: &str = "shop";
/// Says on the host which house its snapshot has.
const STAMP: &str = "/var/lib/shop-stamp";
/// In memory, so a restart takes it away: no test has changed the host since it was restored.
const UNTOUCHED: &str = "/run/shop-untouched";

/// What hosts are like when a test begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// As they came from their image.
    Clean,
    /// The first one runs the shop.
    Shop,
    /// The same, and the test promises to leave it as it is.
    ShopToLookAt,
}

/// A desk with hosts.
pub(crate) struct Desk {
    folder: TempDir,
    hosts: Vec<ClaimedHost>,
}

impl Desk {
    /// None where this machine cannot carry a lab.
    #[track_caller]
    pub(crate) fn new(test: &str, wanted: usize, begin: Begin) -> Option<Desk> {
        let hosts = lab_hosts_as_they_are(test, wanted)?;
        let desk = Desk { folder: tempfile::tempdir().expect("a folder"), hosts };
        for host in &desk.hosts[usize::from(begin != Begin::Clean)..] {
            host.restore(CLEAN).expect("restores");
        }
        desk.write_ssh_config("ssh_config", &desk.host().known_hosts());
        if begin != Begin::Clean {
            super::shop::write(&desk);
            desk.prepare(begin);
        }
        Some(desk)
    }

    /// The shop runs on the first host afterwards: as an earlier test has kept it, or brought there by this
    /// program.
    fn prepare(&self, begin: Begin) {
        let host = self.host();
        let stamp = self.stamp();
        let is_on = host.is_on().is_ok_and(|on| on);
        if begin == Begin::ShopToLookAt && is_on && self.has(UNTOUCHED, &stamp) {
            return;
        }
        let is_kept = host.has_snapshot(SNAPSHOT).expect("asks");
        if is_kept {
            host.restore(SNAPSHOT).expect("restores");
        }
        if !is_kept || !self.has(STAMP, &stamp) {
            host.restore(CLEAN).expect("restores");
            super::shop::furnish(self);
            self.done(&["apply", "--yes"]);
            self.shell(&format!("echo '{stamp}' > {STAMP}"));
            host.snapshot(SNAPSHOT).expect("keeps");
        }
        if begin == Begin::ShopToLookAt {
            self.shell(&format!("echo '{stamp}' > {UNTOUCHED}"));
        }
    }

    /// Changes with the programs that put the shop there.
    fn stamp(&self) -> String {
        let changed = |path: &Path| {
            let about = std::fs::metadata(path).expect("it is there");
            let at = about.modified().expect("has a time").duration_since(std::time::UNIX_EPOCH);
            format!("{}-{}", about.len(), at.expect("after 1970").as_millis())
        };
        format!("{} {}", changed(Path::new(env!("CARGO_BIN_EXE_haus"))), changed(&remote_program()))
    }

    fn has(&self, path: &str, text: &str) -> bool {
        self.host().exec(&["cat", path]).is_ok_and(|output| output.stdout.trim() == text)
    }

    /// The first host.
    pub(crate) fn host(&self) -> &LabHost {
        &self.hosts[0]
    }

    /// All hosts.
    pub(crate) fn hosts(&self) -> &[ClaimedHost] {
        &self.hosts
    }

    /// A path below the desk.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, by its name from the desk.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below the desk")).expect("makes");
        std::fs::write(path, text).expect("writes");
    }

    /// Writes the plan; `@0@` is the name of the first host, `@1@` of the second.
    pub(crate) fn plan(&self, text: &str) {
        let mut text = text.to_owned();
        for (number, host) in self.hosts.iter().enumerate() {
            text = text.replace(&format!("@{number}@"), &host.name);
        }
        self.write("house/house.yaml", &text);
    }

    /// The lab's configuration of ssh with other known hosts.
    pub(crate) fn write_ssh_config(&self, name: &str, known_hosts: &Path) {
        let text = std::fs::read_to_string(self.host().ssh_config()).expect("reads");
        let line = |line: &str| match line.trim_start().starts_with("UserKnownHostsFile") {
            true => format!("  UserKnownHostsFile \"{}\"\n", known_hosts.display()),
            false => format!("{line}\n"),
        };
        self.write(name, &text.lines().map(line).collect::<String>());
    }

    /// `haus` with these arguments on this plan, over the lab's ssh.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haus"));
        command.current_dir(self.path("house")).args(arguments);
        if !arguments.contains(&"--ssh-config") {
            command.arg("--ssh-config").arg(self.path("ssh_config"));
        }
        command.arg("--state").arg(self.path("state"));
        command.env("HAUS_REMOTE_DIR", programs()).env("USER", "anna").env("NO_COLOR", "1");
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn haus(&self, arguments: &[&str]) -> CliOutput {
        self.start(arguments).end(COMMAND_DEADLINE)
    }

    /// Begins it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let streams = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        let open = |name| File::create(streams.path().join(name)).expect("makes");
        let mut command = self.command(arguments);
        command.stdout(open("out")).stderr(open("err"));
        Running { child: command.spawn().expect("haus starts"), streams }
    }

    /// Runs it; it must succeed.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.haus(arguments);
        assert_eq!(output.code, Some(0), "haus {arguments:?}: {}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Runs it; it must end with this code and say each of these.
    #[track_caller]
    pub(crate) fn says(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let output = self.haus(arguments);
        let text = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, Some(code), "haus {arguments:?}: {text}");
        for word in words {
            assert!(text.contains(word), "haus {arguments:?} does not say {word:?}: {text}");
        }
        text
    }

    /// Everything is as the plan wants it.
    #[track_caller]
    pub(crate) fn has_nothing_to_do(&self) {
        let text = self.done(&["apply", "--yes"]);
        assert!(text.contains("nothing to change"), "{text}");
    }

    /// A line of shell as root on the first host, not over its network; it must succeed.
    #[track_caller]
    pub(crate) fn shell(&self, line: &str) -> String {
        shell(self.host(), line)
    }
}

/// A line of shell as root on a host; it must succeed.
#[track_caller]
pub(crate) fn shell(host: &LabHost, line: &str) -> String {
    let output = host.exec_shell(line).expect("runs");
    assert!(output.is_success(), "{line}: {output:?}");
    output.stdout.trim().to_owned()
}

/// Everything on a host that an apply may touch: files with content, packages, units, rules. Not our own
/// notes, and not what the host does by itself.
#[track_caller]
pub(crate) fn fingerprint(host: &LabHost) -> String {
    let line = "cd /; find etc srv usr/local home -xdev ! -type d -printf '%p %M %u %g %l\\n' | sort; \
        find etc srv -xdev -type d -printf '%p %M %u %g\\n' | sort; \
        find etc srv usr/local -xdev -type f -print0 | sort -z | xargs -0 sha256sum; \
        dpkg-query -W; cut -d: -f1 /etc/passwd; nft list ruleset; \
        systemctl list-unit-files --no-legend --plain | grep -v -e transient -e '^session'; \
        systemctl list-units --all --no-legend --plain --type=service,timer,socket \
            | awk '/haus-shop|haus-firewall|ssh.service|motd/ {print $1, $3, $4}'";
    shell(host, line)
}

/// Says which lines differ.
#[track_caller]
pub(crate) fn assert_same(host: &LabHost, before: &str) {
    assert_same_but(host, before, &[]);
}

/// The same without lines that hold one of these words.
#[track_caller]
pub(crate) fn assert_same_but(host: &LabHost, before: &str, words: &[&str]) {
    let after = fingerprint(host);
    let counts = |line: &&str| !words.iter().any(|word| line.contains(word));
    let (was, is): (BTreeSet<&str>, BTreeSet<&str>) = (before.lines().collect(), after.lines().collect());
    let (lost, came) = (was.difference(&is).copied(), is.difference(&was).copied());
    let (lost, came) = (lost.filter(counts), came.filter(counts));
    let lines = lost.map(|line| format!("- {line}")).chain(came.map(|line| format!("+ {line}")));
    let lines: Vec<String> = lines.collect();
    assert!(lines.is_empty(), "{} is not as it was:\n{}", host.name, lines.join("\n"));
}

/// A command of `haus` under way.
pub(crate) struct Running {
    child: Child,
    streams: TempDir,
}

impl Running {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub(crate) fn out(&self) -> String {
        self.read("out")
    }

    /// What it has told beside that so far.
    pub(crate) fn err(&self) -> String {
        self.read("err")
    }

    fn read(&self, name: &str) -> String {
        let mut text = Vec::new();
        let file = File::open(self.streams.path().join(name));
        file.and_then(|mut file| file.read_to_end(&mut text)).expect("reads");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("waits").is_some()
    }

    /// Its end, which must come in time.
    #[track_caller]
    pub(crate) fn end(mut self, deadline: Duration) -> CliOutput {
        let pid = self.child.id();
        wait_for_end(pid, deadline);
        let code = self.child.wait().expect("waits").code();
        CliOutput { code, stdout: self.out(), stderr: self.read("err") }
    }

    /// `kill -9`, and nothing else of it.
    pub(crate) fn kill(mut self) -> CliOutput {
        let _ = self.child.kill();
        let code = self.child.wait().expect("waits").code();
        CliOutput { code, stdout: self.out(), stderr: self.read("err") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            kill(self.child.id(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// A folder with the program for hosts under the name by which `haus` looks for it.
fn programs() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let program = remote_program();
        let folder = program.parent().expect("lies in a folder").join("for-hosts");
        std::fs::create_dir_all(&folder).expect("makes");
        let link = folder.join(format!("haus-remote-{}", std::env::consts::ARCH));
        // Another test may make it at this moment.
        let _ = std::os::unix::fs::symlink(&program, &link);
        assert_eq!(
            std::fs::canonicalize(&link).expect("leads somewhere"),
            program.canonicalize().expect("is")
        );
        folder
    };
    FOLDER.get_or_init(make).clone()
}
