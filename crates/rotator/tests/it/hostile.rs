//! What listens on the port is not the server: it says nothing, says nonsense, or wants the value.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use haus_rotator::{Account, RotateErrorKind, Server, prove, tell_new};

use crate::{kind, run, secret};

const POSTGRES: Account<'_> = Account::Postgres { role: "zimmer", database: "zimmer" };
const REDIS: Account<'_> = Account::Redis { user: "default" };

/// Answers every connection's first bytes with `answer`, keeps it open, and hands out what else came in.
fn listener(answer: &'static [u8]) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, hears) = channel();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut all = Vec::new();
            let mut buffer = [0; 4096];
            let mut answered = false;
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                all.extend_from_slice(&buffer[..count]);
                if !answered {
                    answered = true;
                    let _ = stream.write_all(answer);
                }
            }
            let _ = heard.send(all);
        }
    });
    (address, hears)
}

fn ask(account: Account<'_>, answer: &'static [u8], within: Duration) -> (RotateErrorKind, Vec<u8>) {
    let (address, hears) = listener(answer);
    let server = Server { address, within };
    let failed = kind(run(prove(&server, &account, &secret("planted-value"))));
    (failed, hears.recv_timeout(Duration::from_secs(30)).expect("the connection ends"))
}

#[test]
fn a_server_that_says_nothing_ends_in_time() {
    for account in [POSTGRES, REDIS] {
        let (address, _hears) = listener(b"");
        let server = Server { address, within: Duration::from_millis(200) };
        let begun = Instant::now();
        let (old, new) = (secret("planted-old"), secret("planted-new"));
        let error = run(tell_new(&server, &account, &old, &new)).unwrap_err();
        assert!(error.kind == RotateErrorKind::Timeout && error.is_worth_retrying(), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_password_in_clear_text_is_not_given_to_whoever_asks() {
    let (failed, heard) = ask(POSTGRES, b"R\0\0\0\x08\0\0\0\x03", Duration::from_secs(30));
    assert_eq!(failed, RotateErrorKind::NoProof);
    assert!(!heard.windows(7).any(|window| window == b"planted"), "{heard:?}");
}

#[test]
fn an_impostor_that_lets_everybody_in_proves_nothing() {
    let answer = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    assert_eq!(ask(POSTGRES, answer, Duration::from_secs(30)).0, RotateErrorKind::NoProof);
}

#[test]
fn another_kind_of_server_is_not_understood() {
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    assert_eq!(ask(REDIS, http, Duration::from_secs(30)).0, RotateErrorKind::Protocol);
    assert_eq!(ask(POSTGRES, http, Duration::from_secs(30)).0, RotateErrorKind::Protocol);
    assert_eq!(ask(POSTGRES, b"+OK planted\r\n", Duration::from_secs(30)).0, RotateErrorKind::Protocol);
}

#[test]
fn words_of_the_server_that_repeat_the_value_are_left_out() {
    let echo = b"-ERR cannot read planted-value\r\n";
    assert_eq!(ask(REDIS, echo, Duration::from_secs(30)).0, RotateErrorKind::Protocol);
}

#[test]
fn a_flood_ends_as_nonsense() {
    assert_eq!(ask(REDIS, b"*2147483647\r\n", Duration::from_secs(30)).0, RotateErrorKind::Protocol);
}
