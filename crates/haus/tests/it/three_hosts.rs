//! From nothing to a house on three machines by one `haus apply` over ssh: a coordinator with its gateway, an
//! application under systemd, a database.

use haus_testkit::{ClaimedHost, http_get, lab_hosts, remote_program, wait_until};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// apt brings PostgreSQL meanwhile.
const SOON: Duration = Duration::from_secs(60);

/// The house on hosts of the lab, and what `haus` needs to reach them.
struct Three {
    folder: tempfile::TempDir,
    hosts: Vec<ClaimedHost>,
}

impl Three {
    fn new(hosts: Vec<ClaimedHost>) -> Three {
        let folder = tempfile::tempdir().expect("a folder");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/three");
        copy(&fixture, &folder.path().join("house"));
        let programs = folder.path().join("programs");
        fs::create_dir(&programs).expect("a folder");
        slim(&remote_program(), &programs.join("haus-remote-x86_64"));
        slim(Path::new(env!("CARGO_BIN_EXE_haus")), &programs.join("haus-x86_64"));
        let three = Three { folder, hosts };
        three.fill_in();
        three
    }

    /// Writes names and addresses of the claimed hosts into the plan.
    fn fill_in(&self) {
        let plan = self.house().join("house.yaml");
        let mut text = fs::read_to_string(&plan).expect("the plan");
        for (word, host) in ["hub", "app", "db"].iter().zip(&self.hosts) {
            text = text.replace(&format!("@{word}@"), &host.address.to_string());
            text = text.replace(&format!("@{word}_name@"), &host.name);
        }
        let [a, b, c, _] = self.hosts[0].address.octets();
        fs::write(&plan, text.replace("@range@", &format!("{a}.{b}.{c}.0/24"))).expect("written");
    }

    fn house(&self) -> PathBuf {
        self.folder.path().join("house")
    }

    fn haus(&self, command: &str, further: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_haus"))
            .arg(command)
            .arg(self.house())
            .arg("--ssh-config")
            .arg(self.hosts[0].ssh_config())
            .arg("--state")
            .arg(self.folder.path().join("state"))
            .args(further)
            .env("HAUS_REMOTE_DIR", self.folder.path().join("programs"))
            .output()
            .expect("haus runs")
    }

    /// Runs it and demands this exit code.
    #[track_caller]
    fn expect(&self, code: i32, command: &str, further: &[&str]) -> String {
        let output = self.haus(command, further);
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "haus {command} {further:?}:\n{text}");
        text
    }

    /// What the application says through the gateway on the first host.
    fn visit(&self) -> Option<Value> {
        let gateway = SocketAddr::from((self.hosts[0].address, 8080));
        let answer = http_get(gateway, "three.localhost", "/").ok().filter(|answer| answer.status == 200)?;
        serde_json::from_str(&answer.text()).ok()
    }

    #[track_caller]
    fn wait_for_visits(&self) -> u64 {
        let mut count = 0;
        wait_until("the application behind the gateway", SOON, || {
            count = self.visit().and_then(|answer| answer["visitors"].as_u64()).unwrap_or(0);
            count > 0
        });
        count
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the fixture") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}

/// A program without what a debugger wants: a tenth of the size goes over the wire.
fn slim(from: &Path, to: &Path) {
    let stripped = Command::new("strip").arg("-o").arg(to).arg(from).status();
    if !stripped.is_ok_and(|status| status.success()) {
        fs::copy(from, to).expect("copied");
    }
}

mod lab {
    use super::*;
    use haus_testkit::Login;

    #[test]
    fn one_apply_makes_three_machines_a_house_and_mends_what_a_hand_broke() {
        let Some(hosts) = lab_hosts("one_apply_makes_three_machines_a_house", 3) else { return };
        let three = Three::new(hosts);
        let planned = three.expect(1, "plan", &[]);
        assert!(planned.contains("to create") && !planned.contains("blocked"), "{planned}");

        three.expect(0, "apply", &["--yes", "--reason", "from nothing"]);
        let first = three.wait_for_visits();

        let again = three.expect(0, "apply", &["--yes"]);
        assert!(again.contains("nothing to change") && !again.contains("connecting"), "{again}");
        assert!(three.expect(0, "drift", &[]).contains("no drift"));

        // What hands do to machines.
        let broken = "systemctl stop haus-three-api; chmod 644 /etc/haus/three/credentials/api/DATABASE_PASSWORD; \
            echo '# by hand' >> /etc/systemd/system/haus-three-api.service; rm /etc/haus/firewall.nft";
        assert!(three.hosts[1].ssh(Login::Root, broken).expect("done").is_success());
        let drift = three.expect(1, "drift", &[]);
        for part in ["by hand", "0644", "file:/etc/haus/firewall.nft", "unit:haus-three-api.service"] {
            assert!(drift.contains(part), "{part} is missing:\n{drift}");
        }
        three.expect(0, "apply", &["--yes"]);
        assert!(three.expect(0, "drift", &[]).contains("no drift"));
        assert!(three.wait_for_visits() > first);

        let history = three.expect(0, "history", &["--host", "app"]);
        assert!(history.contains("from nothing") && history.matches("done").count() == 2, "{history}");
        three.nothing_secret_is_left();
    }

    impl Three {
        /// The password stands in the one file that systemd hands over, and nowhere else on any host.
        fn nothing_secret_is_left(&self) {
            let path = "/etc/haus/three/credentials/api/DATABASE_PASSWORD";
            let value = self.hosts[1].ssh(Login::Root, &format!("cat {path}")).expect("asked").stdout;
            assert!(value.len() >= 32, "{} characters", value.len());
            for host in &self.hosts {
                // Compared there: the value is in no argument.
                let search = "pattern=$(mktemp) && cat >$pattern && grep -rlFf $pattern /etc /var/lib/haus-remote \
                    /var/log /srv /run/systemd /usr/local --exclude-dir=credentials 2>/dev/null; rm -f $pattern";
                let mut child = host.ssh_command(Login::Root);
                child.arg(search).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
                let mut child = child.spawn().expect("ssh runs");
                let mut input = child.stdin.take().expect("piped");
                input.write_all(value.trim().as_bytes()).expect("given");
                drop(input);
                let found = child.wait_with_output().expect("ends");
                assert_eq!(
                    String::from_utf8_lossy(&found.stdout),
                    "",
                    "the password stands on {}",
                    host.name
                );
            }
        }
    }
}
