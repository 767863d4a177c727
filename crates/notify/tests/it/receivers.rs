//! Receivers as child processes and threads, ended when dropped.

use std::fs::{self, File};
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use haus_testkit::{Signal, free_port, kill, loud_skip_mandatory, wait_until};
use tempfile::TempDir;

/// Time for a program's start under load.
const START: Duration = Duration::from_secs(60);

/// A program that listens, in a folder of its own.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    child: Child,
}

impl Program {
    fn start(command: &mut Command, folder: TempDir, port: u16) -> Program {
        let log = File::create(folder.path().join("log")).unwrap();
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let program = Program { address, folder, child };
        wait_until("the program to listen", START, || TcpStream::connect(address).is_ok());
        program
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        kill(self.child.id(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A real mail server that writes each mail to `mail-N` and may refuse by settings; its script is beside
/// this file. None, loudly, where aiosmtpd is not installed.
pub(crate) fn mail_server(test: &str, mode: &str) -> Option<Program> {
    let found = Command::new("/usr/bin/python3").args(["-c", "import aiosmtpd"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        loud_skip_mandatory(test, "aiosmtpd is not installed (Debian: python3-aiosmtpd)");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mail_server.py");
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(port.to_string()).arg(mode);
    Some(Program::start(&mut command, folder, port))
}

/// A real broker with these settings. None, loudly, where mosquitto is not installed.
pub(crate) fn broker(test: &str, settings: &str) -> Option<Program> {
    let installed = |name: &str| Command::new(name).arg("-h").output().is_ok();
    if !installed("mosquitto") || !installed("mosquitto_sub") {
        loud_skip_mandatory(test, "mosquitto is not installed (Debian: mosquitto, mosquitto-clients)");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let text = format!("listener {port} 127.0.0.1\npersistence false\nuser root\n{settings}\n");
    fs::write(folder.path().join("settings"), text).unwrap();
    fs::write(folder.path().join("rules"), "user haus\ntopic write haus/#\ntopic read haus/#\n").unwrap();
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c", "accounts", "haus", "planted-password"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut command = Command::new("mosquitto");
    command.args(["-c", "settings", "-v"]);
    Some(Program::start(&mut command, folder, port))
}

/// What `mosquitto_sub` gets first for a topic: topic, whether it was retained, text.
pub(crate) fn retained(broker: &Program, topic: &str) -> String {
    let output = Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &broker.address.port().to_string()])
        .args(["-V", "5", "-u", "haus", "-P", "planted-password"])
        .args(["-t", topic, "-C", "1", "-W", "30", "-F", "%t %r %q %p"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// One request that a listener got.
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

/// An HTTP server that gives one of `answers` per connection, in order, and hands out what it was asked.
/// It keeps the connection open after the answer when that ends in the middle.
pub(crate) fn http_server(answers: Vec<String>) -> (SocketAddr, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, hears) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let asked = read_request(&mut reader);
            (&stream).write_all(answer.as_bytes()).unwrap();
            if heard.send(asked).is_err() {
                return;
            }
            // Until the other side ends.
            let _ = reader.read(&mut [0; 1]);
        }
    });
    (address, hears)
}

fn read_request(reader: &mut impl std::io::BufRead) -> Asked {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let first = line();
    let mut headers = Vec::new();
    loop {
        let next = line();
        let Some((name, value)) = next.split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().unwrap());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    Asked { line: first, headers, body }
}

/// A server that says `greeting` to everybody and nothing more.
pub(crate) fn silent_server(greeting: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(greeting);
            kept.push(stream);
        }
    });
    address
}

/// An address where nobody listens.
pub(crate) fn dead_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}
