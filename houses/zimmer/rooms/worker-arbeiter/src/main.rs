//! Zimmer 14: computes jobs that wait in Redis; several instances share one queue.
//!
//! This file owns the wiring: settings from the environment, the threads, and the clean end at SIGTERM. It
//! knows neither how a job is computed (`jobs`) nor the bytes of HTTP (`http`) and Redis (`redis`).

mod api;
mod front;
mod http;
mod jobs;
mod member;
mod membership;
mod queue;
mod redis;
mod signals;

use std::io::Write as _;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use front::Front;
use http::Server;
use membership::Membership;
use queue::Queue;
use redis::Redis;

/// How long requests and the job under way may still take after SIGTERM. A job that takes longer is not lost:
/// it stays in this instance's running list and is taken up again at the next start.
const END_WITHIN: Duration = Duration::from_millis(1500);
/// How long deregistering may take beyond that.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("worker-arbeiter: {error}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    // Before the first thread, so that every thread inherits the blocked signals.
    let signals = signals::block_ending_signals();
    let port: u16 = setting("PORT")?.parse().map_err(|_| "PORT is not a port number")?;
    let instance = std::env::var("HAUS_INSTANCE").unwrap_or_else(|_| "1".to_owned());
    let redis_at = format!("{}:{}", setting("REDIS_HOST")?, setting("REDIS_PORT")?);
    let password_file = setting("REDIS_PASSWORD_FILE")?;
    let password =
        std::fs::read_to_string(&password_file).map_err(|error| format!("{password_file}: {error}"))?;
    let connect = || Redis::new(redis_at.clone(), password.trim().to_owned());

    let listener = TcpListener::bind(("127.0.0.1", port)).map_err(|error| format!("port {port}: {error}"))?;
    let ending = Arc::new(AtomicBool::new(false));
    // Two connections: taking a job blocks its connection until one comes.
    let worker = {
        let queue = Queue::new(connect(), instance.clone());
        let ending = Arc::clone(&ending);
        std::thread::spawn(move || queue.work_until(&ending))
    };
    let front = Front::new(Queue::new(connect(), instance.clone()), instance);
    let server = Arc::new(Server::new(Box::new(move |request| front.answer(request))));
    {
        let server = Arc::clone(&server);
        std::thread::spawn(move || server.accept(&listener));
    }

    let membership = Membership::begin(port);

    signals.wait();
    // First, so that nobody is sent here any more while the last requests are answered.
    membership.end();
    ending.store(true, Ordering::SeqCst);
    server.end(END_WITHIN);
    membership.left(LEAVE_WITHIN);
    // The worker looks at `ending` at least once a second; a job that it still holds does not delay the end.
    drop(worker);
    Ok(())
}

fn setting(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set"))
}

/// One line to stderr, where the supervisor collects the log; a broken pipe is nobody's problem here.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
