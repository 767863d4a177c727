//! The proof that something answers, asked from the host itself until it is good or the time is over.

mod http;

use super::unit::{properties, said};
use super::{Job, Made};
use crate::refusal::Result;
use crate::run::{GONE, Order, capture};
use crate::wire::Refusal;
use haus_model::host_code::HostCode;
use haus_model::operation::question;
use haus_model::resource::{HealthQuestion, HealthSpec};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(150);
/// A unit that restarts in a loop is active now and then.
const STAYS: Duration = Duration::from_millis(1200);

pub(super) fn prove(job: &mut Job<'_>, spec: &HealthSpec) -> Result<Made> {
    let begun = Instant::now();
    let within = Duration::from_millis(spec.within_ms);
    job.step(question(spec));
    let mut told = String::new();
    loop {
        let why = match ask(job, spec) {
            Ok(()) => {
                let notes = vec![format!("answered after {} ms", begun.elapsed().as_millis())];
                return Ok(Made { inputs: Some(spec.inputs), notes, ..Made::default() });
            }
            Err(why) => why,
        };
        if why != told {
            job.step(why.clone());
            told.clone_from(&why);
        }
        if begun.elapsed() >= within || GONE.load(Ordering::Relaxed) {
            return Err(not_proven(spec, why));
        }
        std::thread::sleep(PAUSE);
    }
}

fn not_proven(spec: &HealthSpec, why: String) -> Refusal {
    let what = format!("prove {} ({})", spec.name, question(spec));
    let why = format!("not within {} ms: {why}", spec.within_ms);
    let refusal = Refusal::new(HostCode::NotProven, what, why, "see what the service says, and correct it");
    match &spec.question {
        HealthQuestion::Unit { name } => refusal.with_evidence(said(name)),
        HealthQuestion::Http { .. } | HealthQuestion::Tcp { .. } | HealthQuestion::Command { .. } => refusal,
    }
}

/// One question. The text says what was answered instead.
fn ask(job: &Job<'_>, spec: &HealthSpec) -> std::result::Result<(), String> {
    let timeout = Duration::from_millis(spec.timeout_ms.max(1));
    match &spec.question {
        HealthQuestion::Tcp { address } => connect(job, address, timeout).map(drop),
        HealthQuestion::Http { address, path, status, json, text } => {
            let stream = connect(job, address, timeout)?;
            let answer = http::get(stream, address, path, timeout)?;
            http::check(&answer, *status, json.as_ref(), text.as_deref())
        }
        HealthQuestion::Command { argv, user, folder } => {
            let account = job.accounts.user(user).ok_or_else(|| format!("there is no account {user}"))?;
            let folder = job.machine.at(folder);
            let order = Order {
                account: Some(&account),
                folder: &folder,
                mark: job.layout.mark(),
                ..Order::new(argv, timeout)
            };
            let ran = capture(&order).map_err(|refusal| refusal.to_string())?;
            if ran.is_good() {
                return Ok(());
            }
            let last = ran.tail.back().map(|line| format!(": {line}")).unwrap_or_default();
            Err(format!("{}{last}", ran.ending()))
        }
        HealthQuestion::Unit { name } => unit(name),
    }
}

fn unit(name: &str) -> std::result::Result<(), String> {
    let look = || -> std::result::Result<String, String> {
        let properties = properties(name).map_err(|refusal| refusal.to_string())?;
        let value = |name: &str| properties.get(name).cloned().unwrap_or_default();
        if value("ActiveState") == "active" {
            Ok(value("NRestarts"))
        } else {
            Err(format!("{name} is {}", value("ActiveState")))
        }
    };
    let restarts = look()?;
    std::thread::sleep(STAYS);
    if look()? == restarts { Ok(()) } else { Err(format!("{name} restarts again and again")) }
}

/// Names are found in the host's own file: the C library's way would load other libraries at run time.
fn connect(job: &Job<'_>, address: &str, timeout: Duration) -> std::result::Result<TcpStream, String> {
    let addresses = resolve(&job.machine.text("/etc/hosts"), address)?;
    let mut why = String::new();
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(why)
}

fn resolve(hosts: &str, address: &str) -> std::result::Result<Vec<SocketAddr>, String> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let parts = address.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
    let (name, port) = parts.ok_or_else(|| format!("{address} is no address with a port"))?;
    let mut found: Vec<SocketAddr> = Vec::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
        if let Some(address) = address
            && words.any(|word| word == name)
        {
            found.push(SocketAddr::new(address, port));
        }
    }
    if found.is_empty() && name == "localhost" {
        found.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    if found.is_empty() { Err(format!("{name} stands not in /etc/hosts of the host")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n10.0.0.7 db # the database\n";
        let texts = |address: &str| {
            resolve(hosts, address)
                .map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(texts("127.0.0.1:80").as_deref(), Ok("127.0.0.1:80"));
        assert_eq!(texts("localhost:80").as_deref(), Ok("127.0.0.1:80 [::1]:80"));
        assert_eq!(texts("db:5432").as_deref(), Ok("10.0.0.7:5432"));
        assert!(texts("database:5432").is_err() && texts("db").is_err());
    }
}
