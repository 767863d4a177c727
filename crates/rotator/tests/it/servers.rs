//! PostgreSQL and Redis as child processes. Ended when dropped; they keep a log that tests can search.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haus_rotator::Server;
use haus_testkit::{Signal, free_port, is_root, kill, loud_skip_mandatory, wait_until};
use tempfile::TempDir;

/// Time for a server's start under load.
const START: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    child: Child,
    goodbye: Signal,
}

impl Running {
    pub(crate) fn server(&self) -> Server {
        Server { address: self.address, within: Duration::from_secs(30) }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Ends the server; its address answers no more.
    pub(crate) fn stop(&mut self) {
        kill(self.child.id(), self.goodbye);
        self.child.wait().unwrap();
    }

    fn start(command: &mut Command, folder: TempDir, address: SocketAddr, goodbye: Signal) -> Running {
        let log = File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let running = Running { address, folder, child, goodbye };
        wait_until("the server to listen", START, || TcpStream::connect(address).is_ok());
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill(self.child.id(), self.goodbye);
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

/// Folder with PostgreSQL's programs; Debian keeps every major version in a folder of its own.
fn postgres_programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|e| e.path().join("bin")).collect();
    found.retain(|bin| bin.join("postgres").exists());
    found.sort();
    found.pop()
}

/// User and group of an account by its name.
fn account(name: &str) -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> =
        accounts.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
}

/// PostgreSQL refuses to run as root; its package has brought an account.
fn as_somebody(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        let (uid, gid) = account("postgres").expect("the package of PostgreSQL makes this account");
        chown(folder, Some(uid), Some(gid)).unwrap();
        command.uid(uid).gid(gid);
    }
    command.current_dir(folder).env("LC_ALL", "C.UTF-8");
    command
}

/// A cluster whose superuser `hausherr` has the password `superuser`, and which logs every statement.
/// None, loudly, where PostgreSQL is not installed.
pub(crate) fn postgres(test: &str) -> Option<Running> {
    let Some(programs) = postgres_programs() else {
        loud_skip_mandatory(test, "PostgreSQL is not installed (Debian: postgresql)");
        return None;
    };
    let folder = tempfile::Builder::new().prefix("haus-pg").tempdir_in("/tmp").unwrap();
    let password_file = folder.path().join("password");
    fs::write(&password_file, "superuser").unwrap();
    fs::set_permissions(&password_file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let made = as_somebody(&programs.join("initdb"), folder.path())
        .args(["--pgdata=cluster", "--username=hausherr", "--pwfile=password", "--auth=scram-sha-256"])
        .args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let address = free_address();
    let mut command = as_somebody(&programs.join("postgres"), folder.path());
    command.args(["-D", "cluster", "-p", &address.port().to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "shared_buffers=8MB",
        "fsync=off",
        "log_statement=all",
        "log_connections=on",
        "log_min_error_statement=debug5",
        "log_min_messages=debug1",
    ] {
        command.args(["-c", setting]);
    }
    let running = Running::start(&mut command, folder, address, Signal::QUIT);
    wait_until("PostgreSQL to take logins", START, || execute(&running, "SELECT 1").is_ok());
    Some(running)
}

/// Runs statements as the superuser.
pub(crate) fn execute(running: &Running, statements: &str) -> Result<(), tokio_postgres::Error> {
    execute_after(running, "", statements)
}

/// The same for statements with planted values: the log does not get them.
pub(crate) fn execute_unlogged(running: &Running, statements: &str) {
    execute_after(running, "SET log_statement = 'none'", statements).unwrap();
}

fn execute_after(running: &Running, setting: &str, statements: &str) -> Result<(), tokio_postgres::Error> {
    crate::run(async {
        let mut config = tokio_postgres::Config::new();
        config.user("hausherr").password("superuser").dbname("postgres");
        config.host("127.0.0.1").port(running.address.port());
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        let work = async move {
            client.batch_execute(setting).await?;
            client.batch_execute(statements).await
        };
        let (done, _) = tokio::join!(work, connection);
        done
    })
}

/// Replaces the rules of who must log in how, and waits until they count.
pub(crate) fn set_rules(running: &Running, rules: &str) {
    fs::write(running.folder.path().join("cluster/pg_hba.conf"), rules).unwrap();
    execute(running, "SELECT pg_reload_conf()").unwrap();
    wait_until("the new rules", START, || {
        running.log().contains("received SIGHUP, reloading configuration files")
    });
}

/// A Redis with these settings beside address and folder. None, loudly, where it is not installed.
pub(crate) fn redis(test: &str, settings: &str) -> Option<Running> {
    let found = Command::new("redis-server").arg("--version").output();
    if found.is_err() {
        loud_skip_mandatory(test, "redis-server is not installed (Debian: redis-server)");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let common = format!("bind 127.0.0.1\nport {}\nsave \"\"\nloglevel debug\n", address.port());
    fs::write(folder.path().join("settings"), format!("{common}{settings}\n")).unwrap();
    fs::write(folder.path().join("users"), "user default on nopass ~* &* +@all\n").unwrap();
    let mut command = Command::new("redis-server");
    command.arg("settings").current_dir(folder.path());
    let running = Running::start(&mut command, folder, address, Signal::KILL);
    wait_until("Redis to answer", START, || running.log().contains("Ready to accept connections"));
    Some(running)
}

/// One exchange in Redis' inline form, for what the rotator itself would never ask.
pub(crate) fn ask_redis(running: &Running, lines: &[&str]) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut stream = TcpStream::connect(running.address).unwrap();
    stream.set_read_timeout(Some(START)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut last = String::new();
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        last.clear();
        reader.read_line(&mut last).unwrap();
    }
    last.trim_end().to_owned()
}
