//! Mails to a real server.

use std::time::{Duration, Instant};

use haus_model::CredentialName;
use haus_model::alert::{MailTls, Road};
use haus_notify::{Keys, State};
use haus_testkit::wait_until;

use crate::receivers::{Program, dead_address, mail_server, silent_server};
use crate::{PATIENCE, deliver, keys, message};

struct To<'a> {
    port: u16,
    to: &'a [&'a str],
    user: Option<&'a str>,
}

fn road(to: &To<'_>) -> Road {
    let password: CredentialName = "mail-password".parse().unwrap();
    Road::Mail {
        host: String::from("127.0.0.1"),
        port: to.port,
        tls: MailTls::None,
        from: String::from("Hausmeister <haus@zimmer.example>"),
        to: to.to.iter().map(|to| (*to).to_owned()).collect(),
        user: to.user.map(str::to_owned),
        password: to.user.map(|_| password),
    }
}

fn plain(server: &Program) -> Road {
    road(&To { port: server.address.port(), to: &["anna@zimmer.example"], user: None })
}

fn mail(server: &Program) -> String {
    wait_until("the mail", PATIENCE, || !server.read("mail-1").is_empty());
    server.read("mail-1")
}

/// The text as a mail program shows it (quoted-printable, RFC 2045, 6.7).
fn shown(mail: &str) -> String {
    let (_, body) = mail.split_once("\r\n\r\n").unwrap();
    let joined = body.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'=' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_mail_has_both_languages_and_says_that_a_machine_wrote_it() {
    let Some(server) = mail_server("a_mail_has_both_languages", "open") else { return };
    let receipt = deliver(&plain(&server), &Keys::default(), &message(State::Firing), PATIENCE).unwrap();
    assert_eq!(receipt.evidence, "SMTP 250 for anna@zimmer.example (2.0.0 kept)");
    let mail = mail(&server);
    assert!(mail.is_ascii(), "{mail}");
    for header in [
        "From: Hausmeister <haus@zimmer.example>\r\n",
        "To: anna@zimmer.example\r\n",
        "Message-ID: <d-4711@zimmer.example>\r\n",
        "References: <alert.a-17@zimmer.example>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "X-Haus-Event: service-offline.firing\r\n",
        "MIME-Version: 1.0\r\n",
        "Date: ",
    ] {
        assert!(mail.contains(header), "{header}{mail}");
    }
    let shown = shown(&mail);
    let (german, english) = (shown.find("Drei Prüfungen").unwrap(), shown.find("Three probes").unwrap());
    assert!(german < english, "{shown}");
    assert!(
        shown.contains("Drei Prüfungen schlugen fehl.\r\n.\r\nSiehe"),
        "a lone dot does not end the mail: {shown}"
    );
    assert!(
        shown.contains("Stufe: kritisch") && shown.contains("Since: 2026-11-21T03:00:00.000Z"),
        "{shown}"
    );
}

#[test]
fn no_text_can_add_a_header_or_end_the_mail() {
    let Some(server) = mail_server("no_text_can_add_a_header_or_end_the_mail", "open") else { return };
    let mut message = message(State::Resolved);
    let attack = "x\r\nBcc: thief@evil.example\r\n\r\n.\r\nMAIL FROM:<thief@evil.example>\r\n";
    for field in [
        &mut message.house,
        &mut message.kind,
        &mut message.subject,
        &mut message.title_de,
        &mut message.text_de,
    ] {
        *field = format!("{attack}ü");
    }
    deliver(&plain(&server), &Keys::default(), &message, PATIENCE).unwrap();
    let mail = mail(&server);
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    for line in head.lines().filter(|line| !line.starts_with([' ', '\t'])) {
        let name = line.split_once(':').expect("every line of the head is a header").0;
        assert!(!name.eq_ignore_ascii_case("bcc") && !name.starts_with("MAIL"), "{head}");
    }
    assert_eq!(server.read("envelope-1"), "haus@zimmer.example anna@zimmer.example");
    assert_eq!(server.read("mail-2"), "");
}

#[test]
fn addresses_that_are_none_are_errors_of_the_plan() {
    for to in ["", "anna", "anna@zimmer.example\r\nBcc: thief@evil.example", "<>"] {
        let road = road(&To { port: 1, to: &[to], user: None });
        let error = deliver(&road, &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
        assert!(!error.retry && error.what.contains("in the plan"), "{to}: {error}");
    }
    let nobody = road(&To { port: 1, to: &[], user: None });
    assert!(!deliver(&nobody, &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err().retry);
}

#[test]
fn a_login_works_and_a_wrong_one_shows_nothing() {
    let Some(server) = mail_server("a_login_works_and_a_wrong_one_shows_nothing", "login") else { return };
    let road = road(&To { port: server.address.port(), to: &["anna@zimmer.example"], user: Some("haus") });
    let wrong = deliver(&road, &keys("planted-wrong"), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(!wrong.retry && wrong.what.contains("code 535"), "{wrong}");
    let missing = deliver(&road, &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(missing.retry && missing.what.contains("password"), "{missing}");
    deliver(&road, &keys("planted-Grüße"), &message(State::Firing), PATIENCE).unwrap();
}

#[test]
fn a_password_never_leaves_this_machine_in_clear_text() {
    let Road::Mail { port, from, to, user, password, .. } =
        road(&To { port: 25, to: &["anna@zimmer.example"], user: Some("haus") })
    else {
        unreachable!("a road for mail")
    };
    // A documentation address (RFC 5737): refused before anything is sent there.
    let host = String::from("192.0.2.1");
    let road = Road::Mail { host, port, tls: MailTls::None, from, to, user, password };
    let error = deliver(&road, &keys("planted-password"), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(!error.retry && error.what.contains("clear text"), "{error}");
}

#[test]
fn a_server_without_starttls_gets_neither_mail_nor_password() {
    let Some(server) = mail_server("a_server_without_starttls_gets_neither_mail_nor_password", "login")
    else {
        return;
    };
    let Road::Mail { host, port, from, to, user, password, .. } =
        road(&To { port: server.address.port(), to: &["anna@zimmer.example"], user: Some("haus") })
    else {
        unreachable!("a road for mail")
    };
    let road = Road::Mail { host, port, tls: MailTls::Starttls, from, to, user, password };
    let error = deliver(&road, &keys("planted-Grüße"), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(!error.retry && error.what.contains("does not offer STARTTLS"), "{error}");
}

#[test]
fn one_wrong_recipient_does_not_keep_the_alert_from_the_others() {
    let Some(server) = mail_server("one_wrong_recipient_does_not_keep_the_alert", "picky") else { return };
    let to = ["bad@zimmer.example", "later@zimmer.example", "anna@zimmer.example"];
    let road = road(&To { port: server.address.port(), to: &to, user: None });
    let receipt = deliver(&road, &Keys::default(), &message(State::Firing), PATIENCE).unwrap();
    assert!(receipt.evidence.contains("for anna@zimmer.example"), "{}", receipt.evidence);
    assert!(
        receipt.evidence.contains("refused for bad@zimmer.example: permanent error (550)"),
        "{}",
        receipt.evidence
    );
    assert_eq!(server.read("envelope-1"), "haus@zimmer.example anna@zimmer.example");
}

fn check(mode: &str, to: &str, retry: bool) {
    let Some(server) = mail_server("refusals_tell_what_passes_from_what_stays", mode) else { return };
    let road = road(&To { port: server.address.port(), to: &[to], user: None });
    let error = deliver(&road, &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert_eq!(error.retry, retry, "{mode} {to}: {error}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn refusals_tell_what_passes_from_what_stays() {
    check("busy", "anna@zimmer.example", true);
    check("picky", "later@zimmer.example", true);
    check("picky", "bad@zimmer.example", false);
    check("no", "anna@zimmer.example", false);
}

#[test]
fn servers_that_are_dead_silent_or_strange_do_not_hold_us() {
    let at = |port| road(&To { port, to: &["anna@zimmer.example"], user: None });
    let dead =
        deliver(&at(dead_address().port()), &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
    assert!(dead.retry && dead.what.contains("no connection"), "{dead}");

    let begun = Instant::now();
    for greeting in [b"".as_slice(), b"220 mail.test ESMTP\r\n"] {
        let short = Duration::from_millis(200);
        let road = at(silent_server(greeting).port());
        let silent = deliver(&road, &Keys::default(), &message(State::Firing), short).unwrap_err();
        assert!(silent.retry && silent.what.contains("no answer within"), "{silent}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));

    let strange = at(silent_server(b"HTTP/1.1 400 Bad Request\r\n\r\n").port());
    deliver(&strange, &Keys::default(), &message(State::Firing), PATIENCE).unwrap_err();
}
