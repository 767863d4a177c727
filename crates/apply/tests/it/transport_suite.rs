//! The conformance suite of the port `Transport`: what every road must do.

use haus_apply::transport::{Purpose, Transport};
use haus_testkit::{is_running, wait_until};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

const ENOUGH: Duration = Duration::from_secs(20);

fn soon() -> Instant {
    Instant::now() + ENOUGH
}

fn sh(script: &str, arguments: &[&str]) -> Vec<String> {
    ["sh", "-c", script, "test"].iter().chain(arguments).map(|word| (*word).to_owned()).collect()
}

/// All of it. `folder` is one on the host; `is_there` says whether a file in it exists.
pub(crate) fn transport_conformance(
    transport: &dyn Transport,
    folder: &Path,
    is_there: &dyn Fn(&Path) -> bool,
) {
    for purpose in [Purpose::Work, Purpose::Proof] {
        arguments_arrive_as_they_are(transport, purpose);
    }
    exit_code_and_errors_come_back(transport);
    large_data_flows_both_ways_at_once(transport);
    what_is_written_is_answered_before_the_input_ends(transport);
    a_deadline_holds_and_the_process_is_ended(transport);
    the_process_on_the_host_finds_its_input_closed(transport, folder, is_there);
    many_at_once_do_not_mix(transport);
}

fn arguments_arrive_as_they_are(transport: &dyn Transport, purpose: Purpose) {
    let words =
        ["plain", "two words", "$HOME", "it's", "\"quoted\"", "", "a;b|c&d", "`x`", "*", "ü", "-n", "a\\b"];
    let mut channel = transport.start(&sh("printf \"%s|\" \"$@\"", &words), purpose).expect("starts");
    let mut said = String::new();
    channel.until(soon()).read_to_string(&mut said).expect("reads");
    assert_eq!(said, format!("{}|", words.join("|")));
    assert_eq!(channel.finish(soon()).expect("ends").code, Some(0));
}

fn exit_code_and_errors_come_back(transport: &dyn Transport) {
    let channel = transport.start(&sh("echo why >&2; exit 7", &[]), Purpose::Work).expect("starts");
    let ended = channel.finish(soon()).expect("ends");
    assert_eq!((ended.code, ended.last_words().as_str()), (Some(7), "why"));
}

fn large_data_flows_both_ways_at_once(transport: &dyn Transport) {
    // More than any buffer on the way, so whoever does not read while he writes stands still.
    let sent: Vec<u8> = (0..6_000_000_u32).map(|number| (number % 251) as u8).collect();
    let flood = "i=0; while [ $i -lt 3000 ]; do echo noise noise noise noise >&2; i=$((i+1)); done; exec cat";
    let mut channel = transport.start(&sh(flood, &[]), Purpose::Work).expect("starts");
    let mut came = Vec::new();
    for part in sent.chunks(700_000) {
        channel.until(soon()).write_all(part).expect("writes");
        let mut answer = vec![0; part.len()];
        channel.until(soon()).read_exact(&mut answer).expect("reads");
        came.extend(answer);
    }
    channel.close_input();
    let mut rest = Vec::new();
    channel.until(soon()).read_to_end(&mut rest).expect("reads");
    assert!(came == sent && rest.is_empty(), "the bytes differ");
    assert_eq!(channel.finish(soon()).expect("ends").code, Some(0));
}

fn what_is_written_is_answered_before_the_input_ends(transport: &dyn Transport) {
    let echo = "while read -r line; do echo \"got $line\"; done";
    let mut channel = transport.start(&sh(echo, &[]), Purpose::Work).expect("starts");
    for word in ["one", "two"] {
        channel.until(soon()).write_all(format!("{word}\n").as_bytes()).expect("writes");
        let mut answer = vec![0; 8];
        channel.until(soon()).read_exact(&mut answer).expect("reads");
        assert_eq!(answer, format!("got {word}\n").as_bytes());
    }
}

fn a_deadline_holds_and_the_process_is_ended(transport: &dyn Transport) {
    let mut channel = transport.start(&sh("exec sleep 300", &[]), Purpose::Work).expect("starts");
    let began = Instant::now();
    let answer = channel.until(began + Duration::from_millis(300)).read(&mut [0; 10]);
    assert_eq!(answer.expect_err("nothing comes").kind(), std::io::ErrorKind::TimedOut);
    assert!(began.elapsed() < ENOUGH / 2, "it waited for {:?}", began.elapsed());
    let process = channel.id();
    drop(channel);
    wait_until("the local process is gone", ENOUGH, || !is_running(process));
}

fn the_process_on_the_host_finds_its_input_closed(
    transport: &dyn Transport,
    folder: &Path,
    is_there: &dyn Fn(&Path) -> bool,
) {
    let (ready, gone) = (folder.join("ready"), folder.join("gone"));
    let script = "echo > \"$1\"; cat > /dev/null; echo > \"$2\"";
    let argv = sh(script, &[&ready.display().to_string(), &gone.display().to_string()]);
    let channel = transport.start(&argv, Purpose::Work).expect("starts");
    wait_until("the process on the host runs", ENOUGH, || is_there(&ready));
    drop(channel);
    wait_until("the process on the host has seen the end", ENOUGH, || is_there(&gone));
}

fn many_at_once_do_not_mix(transport: &dyn Transport) {
    std::thread::scope(|scope| {
        for number in 0..6_u32 {
            scope.spawn(move || {
                let word = number.to_string().repeat(1000);
                let mut channel =
                    transport.start(&sh("echo \"$1\"", &[&word]), Purpose::Work).expect("starts");
                let mut said = String::new();
                channel.until(soon()).read_to_string(&mut said).expect("reads");
                assert_eq!(said.trim_end(), word);
            });
        }
    });
}
