//! Runs a house without a plan, for the tests of this crate: once as the parent, and once as a core that
//! passes orders and reports on to whoever listens at `ROOT/core.sock`. It knows no services of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use haus_supervise::{CoreLink, LinkError, ParentError, ParentOptions, run_parent};

const ROLE: &str = "HAUS_TEST_ROLE";
const ROOT: &str = "HAUS_TEST_ROOT";
const DRAIN_WITHIN_MS: &str = "HAUS_TEST_DRAIN_WITHIN_MS";
const CORE_PROGRAM: &str = "HAUS_TEST_CORE_PROGRAM";

fn main() {
    match std::env::var(ROLE).as_deref() {
        Ok("core") => play_core(),
        _ => play_parent(),
    }
}

fn play_parent() -> ! {
    let root = PathBuf::from(std::env::var(ROOT).expect("the root is given"));
    let own = std::env::current_exe().expect("own path").to_string_lossy().into_owned();
    let core_argv = match std::env::var(CORE_PROGRAM) {
        Ok(program) => vec![program],
        Err(_) => vec![own],
    };
    let mut options = ParentOptions::new("test", &root, &root.join("state"), &root.join("run"), core_argv);
    options.core_env = BTreeMap::from([(ROLE.to_owned(), String::from("core"))]);
    options.hangup_drains = false;
    if let Ok(within) = std::env::var(DRAIN_WITHIN_MS) {
        options.drain_within_ms = within.parse().expect("number");
    }
    match run_parent(options) {
        Ok(code) => std::process::exit(i32::from(code)),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "haus: {}", chain(&error));
            std::process::exit(match error {
                ParentError::Lock { .. } => 3,
                ParentError::Folder { .. }
                | ParentError::System { .. }
                | ParentError::Identity { .. }
                | ParentError::Core { .. }
                | ParentError::CoreNeverWorked { .. } => 5,
            })
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

/// Passes orders from the test to the parent, and reports the other way, one JSON document per line.
fn play_core() -> ! {
    let root = std::env::var(ROOT).expect("the root is given");
    let mut to_test = UnixStream::connect(Path::new(&root).join("core.sock")).expect("test listens");
    let from_test = BufReader::new(to_test.try_clone().expect("clones"));
    let link = CoreLink::from_env().expect("link is whole").expect("parent leaves a link");
    assert!(matches!(CoreLink::from_env(), Err(LinkError::Taken)));
    let (sender, mut receiver) = link.split().expect("splits");
    writeln!(to_test, "{}", std::process::id()).expect("test reads");
    std::thread::spawn(move || {
        for line in from_test.lines().map_while(Result::ok) {
            match line.strip_prefix("exit ") {
                Some(code) => std::process::exit(code.parse().expect("number")),
                None => sender.send(&serde_json::from_str(&line).expect("order")).expect("sends"),
            }
        }
    });
    while let Ok(report) = receiver.recv() {
        // A test that has failed listens no more.
        if writeln!(to_test, "{}", serde_json::to_string(&report).expect("writes")).is_err() {
            break;
        }
    }
    std::process::exit(1)
}
