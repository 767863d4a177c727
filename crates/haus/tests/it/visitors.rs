//! Visitors who ask without pause while something happens to the house, and remember every answer that
//! failed.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use haus_testkit::{http_get, wait_until};

use crate::home::SOON;

/// Two visitors: one keeps its connection, the other takes a new one for every request.
pub(crate) struct Visitors {
    enough: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Tally>>,
}

/// What a visitor has met.
#[derive(Default)]
struct Tally {
    failures: Vec<String>,
    slowest: Duration,
}

/// What all visitors have met together.
pub(crate) struct Visit {
    pub(crate) answers: usize,
    pub(crate) slowest: Duration,
}

impl Visitors {
    pub(crate) fn start(gateway: SocketAddr, host: String) -> Visitors {
        let (enough, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let spawn = |keeps: bool| {
            let (enough, answers, host) = (Arc::clone(&enough), Arc::clone(&answers), host.clone());
            std::thread::spawn(move || visit(gateway, &host, keeps, &enough, &answers))
        };
        let threads = vec![spawn(true), spawn(false)];
        let visitors = Visitors { enough, answers, threads };
        visitors.wait_for_more(20);
        visitors
    }

    /// Waits until so many more answers have come.
    pub(crate) fn wait_for_more(&self, count: usize) {
        let wanted = self.answers.load(Ordering::Relaxed) + count;
        wait_until("more answers", SOON, || self.answers.load(Ordering::Relaxed) >= wanted);
    }

    /// Sends them home.
    ///
    /// # Panics
    /// When a request failed.
    pub(crate) fn end(self) -> Visit {
        self.enough.store(true, Ordering::Relaxed);
        let mut visit = Visit { answers: self.answers.load(Ordering::Relaxed), slowest: Duration::ZERO };
        let mut failures = Vec::new();
        for thread in self.threads {
            let tally = thread.join().expect("a visitor does not panic");
            visit.slowest = visit.slowest.max(tally.slowest);
            failures.extend(tally.failures);
        }
        let shown = failures.len().min(5);
        assert!(
            failures.is_empty(),
            "{} of {} requests failed: {:#?}",
            failures.len(),
            visit.answers,
            &failures[..shown]
        );
        visit
    }
}

fn visit(gateway: SocketAddr, host: &str, keeps: bool, enough: &AtomicBool, answers: &AtomicUsize) -> Tally {
    let mut tally = Tally::default();
    let mut kept = None;
    while !enough.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let outcome = if keeps {
            ask_again(&mut kept, gateway, host)
        } else {
            http_get(gateway, host, "/who").map(|answer| (answer.status, answer.text()))
        };
        tally.slowest = tally.slowest.max(begun.elapsed());
        answers.fetch_add(1, Ordering::Relaxed);
        let way = if keeps { "kept connection" } else { "new connection" };
        match outcome {
            Ok((200, _)) => {}
            Ok((status, body)) => tally.failures.push(format!("{way}: {status} {body}")),
            Err(error) => {
                kept = None;
                tally.failures.push(format!("{way}: {error}"));
            }
        }
    }
    tally
}

/// One GET over the connection of the last one.
fn ask_again(
    kept: &mut Option<BufReader<TcpStream>>,
    gateway: SocketAddr,
    host: &str,
) -> io::Result<(u16, String)> {
    let stream = match kept {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(gateway)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SOON))?;
            kept.insert(BufReader::new(stream))
        }
    };
    stream.get_mut().write_all(format!("GET /who HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
    let odd = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| odd(format!("no status in {line:?}")))?;
    let mut length = None;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header)?;
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
    }
    let mut body = vec![0; length.ok_or_else(|| odd("an answer without length".to_owned()))?];
    stream.read_exact(&mut body)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
