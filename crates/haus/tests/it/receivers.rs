//! Receivers of alerts as child processes of a test: a webhook that checks signatures, a mail server, an MQTT
//! broker. Each is ended when it is dropped.

use crate::home::{SOON, free_port};
use haus_testkit::{Signal, kill, loud_skip_mandatory, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const WEBHOOK: &str = include_str!("fixtures/receiver.py");
const MAIL: &str = include_str!("../../../notify/tests/it/mail_server.py");

/// The key of the webhook, the password of the mail server and that of the broker.
pub(crate) const HOOK_KEY: &str = "key-of-the-webhook-for-tests";
pub(crate) const MAIL_PASSWORD: &str = "planted-Grüße";
pub(crate) const MQTT_PASSWORD: &str = "password-of-the-broker-for-tests";

/// A program that listens, in a folder of its own.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    child: Child,
}

impl Receiver {
    fn start(command: &mut Command, folder: TempDir, port: u16) -> Receiver {
        let log = File::create(folder.path().join("log")).expect("the test's own folder is writable");
        let error = log.try_clone().expect("a file can be had twice");
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log).stderr(error);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let receiver = Receiver { port, folder, child };
        wait_until("a receiver to listen", SOON, || TcpStream::connect(address).is_ok());
        receiver
    }

    fn write(folder: &TempDir, name: &str, text: &str) {
        fs::write(folder.path().join(name), text).expect("the test's own folder is writable");
    }

    /// Answers 503 from now on, or does not any more.
    pub(crate) fn set_busy(&self, busy: bool) {
        if busy {
            Receiver::write(&self.folder, "busy", "");
        } else {
            fs::remove_file(self.folder.path().join("busy")).expect("it was busy");
        }
    }

    /// What the webhook heard, oldest first. Everything must have been signed with the key.
    pub(crate) fn heard(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("heard")).unwrap_or_default();
        // The last line may be half written.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let lines: Vec<Value> =
            lines.map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        assert!(lines.iter().all(|line| line["refused"].is_null() && line["same"] == true), "{lines:?}");
        lines
    }

    /// What the webhook took, as `SUBJECT KIND STATE`. What came twice under one id counts once: who does not
    /// know that it arrived brings it again.
    pub(crate) fn taken(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut is_taken = |line: &&Value| {
            line["status"] == 204 && seen.insert(line["delivery"].as_str().map(str::to_owned))
        };
        let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let words = |line: &Value| {
            format!("{} {} {}", word(line, "subject"), word(line, "kind"), word(line, "state"))
        };
        self.heard().iter().filter(|line| is_taken(line)).map(words).collect()
    }

    /// The mails that came, oldest first.
    pub(crate) fn mails(&self) -> Vec<String> {
        let read = |number: u32| fs::read(self.folder.path().join(format!("mail-{number}"))).ok();
        (1..).map_while(read).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    /// The retained message of a topic, when there is one.
    pub(crate) fn retained(&self, topic: &str) -> Option<Value> {
        let output = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-V", "5", "-u", "haus"])
            .args(["-P", MQTT_PASSWORD, "-t", topic, "-C", "1", "-W", "1", "--retained-only"])
            .output()
            .expect("mosquitto_sub starts");
        serde_json::from_slice(&output.stdout).ok()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        kill(self.child.id(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A webhook.
pub(crate) fn webhook() -> Receiver {
    let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
    let port = free_port();
    Receiver::write(&folder, "receiver.py", WEBHOOK);
    Receiver::write(&folder, "key", HOOK_KEY);
    let mut command = Command::new("python3");
    command.args(["-I", "receiver.py", &port.to_string(), "key"]);
    Receiver::start(&mut command, folder, port)
}

/// A mail server that wants a login. None, loudly, where aiosmtpd is not installed.
pub(crate) fn mail_server(test: &str) -> Option<Receiver> {
    let found = Command::new("/usr/bin/python3").args(["-c", "import aiosmtpd"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        loud_skip_mandatory(test, "aiosmtpd is not installed (Debian: python3-aiosmtpd)");
        return None;
    }
    let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
    let port = free_port();
    Receiver::write(&folder, "mail_server.py", MAIL);
    let mut command = Command::new("/usr/bin/python3");
    command.args(["mail_server.py", &port.to_string(), "login"]);
    Some(Receiver::start(&mut command, folder, port))
}

/// A broker that wants a login. None, loudly, where mosquitto is not installed.
pub(crate) fn broker(test: &str) -> Option<Receiver> {
    let installed = |name: &str| Command::new(name).arg("-h").output().is_ok();
    if !["mosquitto", "mosquitto_sub", "mosquitto_passwd"].into_iter().all(installed) {
        loud_skip_mandatory(test, "mosquitto is not installed (Debian: mosquitto, mosquitto-clients)");
        return None;
    }
    let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
    let port = free_port();
    let settings = format!("listener {port} 127.0.0.1\npersistence false\npassword_file accounts\n");
    // As root it would drop to an account that cannot read the test's folder.
    let user = if haus_testkit::is_root() { "user root\n" } else { "" };
    Receiver::write(&folder, "settings", &format!("{settings}{user}"));
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c", "accounts", "haus", MQTT_PASSWORD])
        .current_dir(folder.path())
        .output()
        .expect("mosquitto_passwd starts");
    assert!(made.status.success(), "{made:?}");
    let mut command = Command::new("mosquitto");
    command.args(["-c", "settings"]);
    Some(Receiver::start(&mut command, folder, port))
}
