//! A real SSH server of our own on loopback, with keys of its own, for as long as a test lasts.

use haus_apply::transport::RoadSettings;
use haus_testkit::{free_port, is_root, loud_skip_mandatory, wait_for};
use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The server, and a configuration of ssh in which it is called `web`.
pub(crate) struct Sshd {
    child: Child,
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
}

impl Sshd {
    /// Starts it. None, said loudly, where there is no such program.
    pub(crate) fn start(test: &str) -> Option<Sshd> {
        Sshd::start_with(test, None)
    }

    /// The same; who logs in sees this folder as `/var/lib`. Only root can do that.
    pub(crate) fn start_with(test: &str, var_lib: Option<&Path>) -> Option<Sshd> {
        let program = Path::new("/usr/sbin/sshd");
        if !program.exists() {
            loud_skip_mandatory(test, "there is no /usr/sbin/sshd (Debian: openssh-server)");
            return None;
        }
        if is_root() {
            // The server of Debian makes it in its unit.
            fs::create_dir_all("/run/sshd").expect("the folder for its separated process");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["host_key", "client_key"] {
            make_key(&at(name));
        }
        fs::copy(at("client_key.pub"), at("authorized_keys")).expect("copies");
        let port = free_port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n",
            at("host_key").display(),
            at("authorized_keys").display(),
        );
        fs::write(at("sshd_config"), config).expect("writes");
        let log = fs::File::create(at("sshd.log")).expect("a log");
        let mut command = match var_lib {
            Some(var_lib) => {
                let mut command = Command::new("unshare");
                let script = "mount --bind \"$0\" /var/lib && exec \"$@\"";
                command.args(["--mount", "--", "sh", "-c", script]).arg(var_lib).arg(program);
                command
            }
            None => Command::new(program),
        };
        let child = command
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("sshd starts");
        let sshd = Sshd { child, folder, port };
        sshd.write_client_config(port);
        sshd.trust_host_key("host_key.pub");
        wait_for("sshd listens", Duration::from_secs(10), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
        });
        Some(sshd)
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a user would have in `~/.ssh/config`.
    pub(crate) fn write_client_config(&self, port: u16) {
        let config = format!(
            "Host web\n HostName 127.0.0.1\n Port {port}\n IdentityFile {}\n IdentitiesOnly yes\n IdentityAgent none\n\
             UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n",
            self.at("client_key").display(),
            self.at("known_hosts").display(),
        );
        fs::write(self.at("config"), config).expect("writes");
    }

    /// Writes this public key down as the one of the host.
    pub(crate) fn trust_host_key(&self, file: &str) {
        let key = fs::read_to_string(self.at(file)).expect("a key");
        let line = format!("[127.0.0.1]:{} {key}", self.port);
        fs::write(self.at("known_hosts"), line).expect("writes");
    }

    pub(crate) fn settings(&self) -> RoadSettings {
        RoadSettings {
            ssh_config: Some(self.at("config")),
            connect: Duration::from_secs(5),
            ..RoadSettings::default()
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

pub(crate) fn make_key(path: &Path) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(made.expect("ssh-keygen runs").success());
}
