//! The three programs: how each is started as its experts would, and how many changes it says that it made.
//! Knows nothing of rounds and figures.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::NAME;
use crate::bench::measure::Ran;
use crate::bench::write;
use crate::error::TaskError;

const PLAYBOOK: &str = include_str!("site.yaml");
const DEPLOY: &str = include_str!("deploy.py");

/// Whether Ansible keeps its connection from one task to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persist {
    On,
    Off,
}

/// A program with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    /// Only a connection to the first host, which nobody can do without.
    Ssh,
    /// Ours.
    Haus,
    /// Ours over a connection that is open already, as `ControlPersist` in somebody's own configuration
    /// leaves it.
    HausShared,
    Ansible(Persist),
    Pyinfra,
}

/// Where everything lies that they need.
pub(super) struct Ground {
    /// `work.json`, the playbook, the deploy, and what they write.
    pub(super) folder: PathBuf,
    pub(super) haus: PathBuf,
    /// The programs of the peers; none where they could not be had.
    pub(super) peers: Option<PathBuf>,
    pub(super) ssh_config: PathBuf,
    pub(super) key: PathBuf,
    pub(super) known_hosts: PathBuf,
}

/// A host by name and address.
pub(super) type Named = (String, String);

impl Ground {
    /// Writes what does not depend on the hosts.
    pub(super) fn prepare(&self, work: &str) -> Result<(), TaskError> {
        let at = |name: &str| self.folder.join(name);
        write(&at("work.json"), work)?;
        write(&at("site.yaml"), PLAYBOOK)?;
        write(&at("deploy.py"), DEPLOY)?;
        write(&at("ansible-on.cfg"), &self.ansible_settings(Persist::On))?;
        write(&at("ansible-off.cfg"), &self.ansible_settings(Persist::Off))
    }

    /// Writes who the hosts are.
    pub(super) fn name_hosts(&self, house: &str, hosts: &[Named]) -> Result<(), TaskError> {
        let at = |name: &str| self.folder.join(name);
        for folder in [at("house"), at("group_data")] {
            std::fs::create_dir_all(&folder)
                .map_err(|source| TaskError::Write { path: folder.clone(), source })?;
        }
        // The lab's own names its hosts, and there are more of them each time.
        let own = std::fs::read_to_string(&self.ssh_config)
            .map_err(|source| TaskError::Read { path: self.ssh_config.clone(), source })?;
        let shared = format!("ControlMaster auto\nControlPath {}\n{own}", self.socket("haus"));
        write(&at("ssh-shared"), &shared)?;
        write(&at("house/house.yaml"), house)?;
        write(&at("inventory.ini"), &hosts.iter().map(|(name, _)| format!("{name}\n")).collect::<String>())?;
        let lines: String = hosts
            .iter()
            .map(|(name, address)| format!("    (\"{name}\", {{\"ssh_hostname\": \"{address}\"}}),\n"))
            .collect();
        write(&at("inventory.py"), &format!("hosts = [\n{lines}]\n"))?;
        let data = format!(
            "ssh_user = \"root\"\nssh_key = {:?}\nssh_known_hosts_file = {:?}\nssh_strict_host_key_checking = \"yes\"\n",
            self.key, self.known_hosts
        );
        write(&at("group_data/all.py"), &data)
    }

    fn socket(&self, whose: &str) -> String {
        self.folder.join(format!("{whose}-%C")).display().to_string()
    }

    /// Forks for every host of the bench, pipelining, nothing to search for; an exact path of the
    /// socket, so that a round can begin without it.
    fn ansible_settings(&self, persist: Persist) -> String {
        let words = match persist {
            Persist::On => {
                format!(
                    "-o ControlMaster=auto -o ControlPersist=60s -o ControlPath={}",
                    self.socket("ansible")
                )
            }
            Persist::Off => "-o ControlMaster=no -o ControlPath=none".to_owned(),
        };
        format!(
            "[defaults]\nforks = 20\ninventory = inventory.ini\nremote_user = root\n\
             interpreter_python = /usr/bin/python3\nremote_tmp = /root/.ansible/tmp\nlocal_tmp = {folder}/tmp\n\
             [ssh_connection]\npipelining = True\nssh_args = -F {config} {words}\n",
            folder = self.folder.display(),
            config = self.ssh_config.display(),
            // A per cent sign begins a reference in such files.
            words = words.replace('%', "%%"),
        )
    }

    /// Brings connections into the state in which a round of this contender begins: none, or one that is
    /// open.
    pub(super) fn connections(&self, contender: Contender, hosts: &[Named]) {
        for host in hosts {
            match contender {
                Contender::Ssh | Contender::Haus | Contender::Pyinfra | Contender::Ansible(Persist::Off) => {}
                Contender::Ansible(Persist::On) => self.master("ansible", &["-O", "exit"], host),
                Contender::HausShared => {
                    self.master("haus", &["-O", "exit"], host);
                    self.master("haus", &["-MNf"], host);
                }
            }
        }
    }

    /// Ends connections that we have opened.
    pub(super) fn close(&self, hosts: &[Named]) {
        for host in hosts {
            self.master("haus", &["-O", "exit"], host);
            self.master("ansible", &["-O", "exit"], host);
        }
    }

    /// Where there is no master there is nothing to end, and a round over one that did not start says so
    /// itself.
    fn master(&self, whose: &str, words: &[&str], (name, _): &Named) {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&self.ssh_config).args(["-o", &format!("ControlPath={}", self.socket(whose))]);
        ssh.args(words).arg(name).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = ssh.status();
    }

    /// The whole command, as somebody types it.
    pub(super) fn command(&self, contender: Contender, hosts: &[Named]) -> Command {
        let peer = |program: &str| {
            let folder: &Path = self.peers.as_deref().unwrap_or(Path::new("/nonexistent"));
            let path = std::env::var("PATH").unwrap_or_default();
            let mut command = Command::new(folder.join(program));
            command.current_dir(&self.folder).env("PATH", format!("{}:{path}", folder.display()));
            command
        };
        match contender {
            Contender::Ssh => {
                let mut command = Command::new("ssh");
                let first = hosts.first().map(|(name, _)| name.as_str());
                command.arg("-F").arg(&self.ssh_config).args([first.unwrap_or_default(), "true"]);
                command
            }
            Contender::Haus | Contender::HausShared => {
                let shared = self.folder.join("ssh-shared");
                let config = if contender == Contender::Haus { &self.ssh_config } else { &shared };
                let mut command = Command::new(&self.haus);
                command.arg("apply").arg(self.folder.join("house")).args(["--yes", "--json", "--ssh-config"]);
                command.arg(config).arg("--state").arg(self.folder.join("state"));
                command.env("HAUS_REMOTE_DIR", &self.folder);
                command
            }
            Contender::Ansible(persist) => {
                let settings = match persist {
                    Persist::On => "ansible-on.cfg",
                    Persist::Off => "ansible-off.cfg",
                };
                let mut command = peer("ansible-playbook");
                command.arg("site.yaml").env("ANSIBLE_CONFIG", self.folder.join(settings));
                command
            }
            Contender::Pyinfra => {
                let mut command = peer("pyinfra");
                command.args(["-y", "inventory.py", "deploy.py"]);
                command
            }
        }
    }
}

impl Contender {
    pub(super) fn name(self) -> &'static str {
        match self {
            Contender::Ssh => "`ssh HOST true`",
            Contender::Haus => "haus",
            Contender::HausShared => "haus over an open connection",
            Contender::Ansible(Persist::On) => "Ansible, ControlPersist on",
            Contender::Ansible(Persist::Off) => "Ansible, ControlPersist off",
            Contender::Pyinfra => "pyinfra",
        }
    }

    pub(super) fn is_peer(self) -> bool {
        match self {
            Contender::Ssh | Contender::Haus | Contender::HausShared => false,
            Contender::Ansible(_) | Contender::Pyinfra => true,
        }
    }

    /// How many changes it says that it has made on so many hosts.
    pub(super) fn changes(self, ran: &Ran, hosts: usize) -> Result<u64, TaskError> {
        let counted = match self {
            Contender::Ssh => Some(0),
            Contender::Haus | Contender::HausShared => haus_changes(&ran.stdout),
            Contender::Ansible(_) => ansible_changes(&ran.stdout, hosts),
            Contender::Pyinfra => pyinfra_changes(&format!("{}{}", ran.stdout, ran.stderr)),
        };
        counted.filter(|_| ran.succeeded).ok_or_else(|| {
            let said = format!("{}\n{}", ran.stdout, ran.stderr);
            let tail: Vec<&str> =
                said.lines().rev().filter(|line| !line.trim().is_empty()).take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            let problem = format!("{} did not come to a good end:\n{}", self.name(), tail.join("\n"));
            TaskError::Bench { name: NAME, problem }
        })
    }
}

/// Nothing to do is an empty list of hosts.
fn haus_changes(stdout: &str) -> Option<u64> {
    let answer: Value = serde_json::from_str(stdout).ok()?;
    let outcomes = answer["hosts"].as_object()?.values();
    let changes = outcomes.map(|outcome| match outcome["outcome"].as_str()? {
        "done" => outcome["changes"].as_u64(),
        "unchanged" => Some(0),
        _ => None,
    });
    changes.sum()
}

/// `lab1 : ok=10 changed=1 unreachable=0 failed=0 …` for every host.
fn ansible_changes(stdout: &str, hosts: usize) -> Option<u64> {
    let (_, recap) = stdout.split_once("PLAY RECAP")?;
    let of = |line: &str, key: &str| {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse::<u64>().ok())
    };
    let lines: Vec<&str> = recap.lines().filter(|line| line.contains("changed=")).collect();
    let good = |line: &&str| (of(line, "unreachable"), of(line, "failed")) == (Some(0), Some(0));
    if lines.len() != hosts || !lines.iter().all(good) {
        return None;
    }
    lines.iter().map(|line| of(line, "changed")).sum()
}

/// `Grand total  91  5  -  86`: operations, of them with changes, failed, without changes.
fn pyinfra_changes(output: &str) -> Option<u64> {
    let total = output.lines().find_map(|line| line.trim().strip_prefix("Grand total"))?;
    let number = |word: &str| if word == "-" { Some(0) } else { word.parse::<u64>().ok() };
    let numbers: Vec<u64> = total.split_whitespace().map(number).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [_, changed, 0, _] => Some(*changed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_answer_is_counted() {
        let done = r#"{ "plan": "a", "hosts": { "lab1": { "outcome": "done", "changes": 5 }, "lab2": { "outcome": "unchanged" } } }"#;
        assert_eq!(haus_changes(done), Some(5));
        assert_eq!(haus_changes(r#"{ "plan": "a", "hosts": {} }"#), Some(0));
        assert_eq!(haus_changes(r#"{ "hosts": { "lab1": { "outcome": "refused" } } }"#), None);
        assert_eq!(haus_changes("no house"), None);
    }

    #[test]
    fn a_recap_is_counted_when_every_host_is_in_it_and_well() {
        let recap = "PLAY RECAP ****\nlab1 : ok=10 changed=3 unreachable=0 failed=0 skipped=1\nlab2 : ok=10 changed=0 unreachable=0 failed=0\n";
        assert_eq!(ansible_changes(recap, 2), Some(3));
        assert_eq!(ansible_changes(recap, 3), None);
        assert_eq!(ansible_changes(&recap.replace("failed=0 skipped", "failed=1 skipped"), 2), None);
        assert_eq!(ansible_changes("TASK [Files]", 0), None);
    }

    #[test]
    fn a_grand_total_is_counted_when_nothing_failed() {
        assert_eq!(pyinfra_changes("    Grand total    91   5   -   86   \n"), Some(5));
        assert_eq!(pyinfra_changes("    Grand total    91   -   -   91   \n"), Some(0));
        assert_eq!(pyinfra_changes("    Grand total    91   5   1   85   \n"), None);
        assert_eq!(pyinfra_changes("--> Connecting"), None);
    }
}
