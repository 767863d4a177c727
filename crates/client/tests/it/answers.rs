//! What is sent for a call, and what is made of each kind of answer.

use crate::fake::{Fake, answer, block_on, problem};
use haus_api::ProblemCode;
use haus_api::credential::{CredentialCreate, RotateRequest};
use haus_client::{Client, ClientError};
use haus_model::Secret;
use std::ops::ControlFlow;

fn client(fake: &Fake) -> Client {
    Client::at(&fake.base).expect("an address")
}

#[test]
fn a_refusal_keeps_its_code_and_its_hint() {
    let fake = Fake::new(|_| problem(ProblemCode::Conflict));
    let error = block_on(client(&fake).vault()).expect_err("refused");
    let ClientError::Refused { problem } = error else { panic!("{error:?}") };
    assert_eq!((problem.code, problem.hint.as_deref()), (ProblemCode::Conflict, Some("ask otherwise")));
}

#[test]
fn an_answer_of_another_shape_is_told_by_its_path() {
    let fake = Fake::new(|_| answer(200, r#"{"strange":true}"#));
    let error = block_on(client(&fake).alerts()).expect_err("another shape");
    assert!(matches!(&error, ClientError::Shape { path, .. } if path == "/api/alerts"), "{error:?}");
    let fake = Fake::new(|_| answer(502, "<html>"));
    let error = block_on(client(&fake).alerts()).expect_err("no problem");
    assert!(matches!(&error, ClientError::Shape { .. }), "{error:?}");
}

#[test]
fn nobody_at_the_port_is_told_with_the_address() {
    let fake = Client::at("http://127.0.0.1:1").expect("an address");
    let error = block_on(fake.services()).expect_err("nobody listens");
    assert!(error.is_unreachable() && error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[test]
fn an_act_without_a_body_in_its_answer_succeeds() {
    let fake = Fake::new(|_| "HTTP/1.1 204 X\r\nConnection: close\r\n\r\n".to_owned());
    block_on(client(&fake).delete_credential("a/b")).expect("204");
    assert_eq!(fake.lines(), ["DELETE /api/credentials/a%2Fb"]);
}

#[test]
fn a_value_travels_in_the_body_and_nowhere_else() {
    let fake = Fake::new(|_| problem(ProblemCode::Invalid));
    let request = CredentialCreate {
        name: "key".to_owned(),
        credential_type: None,
        service_name: None,
        value: Some(Secret::from("hunter2 \"ü\"".to_owned())),
        length: None,
        description: None,
        metadata: None,
        scope: Vec::new(),
        expires_at: None,
        ttl_s: None,
        rotation_required: false,
        rotate_days: None,
    };
    let error = block_on(client(&fake).create_credential(&request)).expect_err("refused");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    let asked = fake.asked().remove(0);
    assert_eq!(asked.line, "POST /api/credentials");
    let sent: CredentialCreate = serde_json::from_str(&asked.body).expect("it reads back");
    assert_eq!(sent.value.expect("sent").expose_bytes(), "hunter2 \"ü\"".as_bytes());
}

#[test]
fn a_value_that_is_no_text_is_not_sent() {
    let fake = Fake::new(|_| problem(ProblemCode::Invalid));
    let request = RotateRequest { value: Some(Secret::new(vec![0xff, 0xfe])), emergency: false };
    let error = block_on(client(&fake).rotate_credential("x", &request)).expect_err("no text");
    assert!(matches!(error, ClientError::Unsendable { .. }) && !error.may_have_acted(), "{error:?}");
    assert!(fake.lines().is_empty());
}

/// All bytes of an export, or the error that it ended with.
fn exported(fake: &Fake) -> Result<Vec<u8>, ClientError> {
    let mut bytes = Vec::new();
    let take = |part: &[u8]| {
        bytes.extend_from_slice(part);
        ControlFlow::<()>::Continue(())
    };
    let flow: ControlFlow<()> = block_on(client(fake).export_trail(take))?;
    assert!(flow.is_continue());
    Ok(bytes)
}

#[test]
fn an_export_arrives_in_parts() {
    let whole = Fake::new(|_| {
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n"
            .to_owned()
    });
    assert_eq!(exported(&whole).expect("whole"), b"one\ntwo\n");
    let cut = Fake::new(|_| {
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n".to_owned()
    });
    let error = exported(&cut).expect_err("a part is not the whole");
    assert!(matches!(error, ClientError::Exchange { .. }), "{error:?}");
    let refused = Fake::new(|_| problem(ProblemCode::TrailUnavailable));
    assert_eq!(exported(&refused).expect_err("refused").code(), Some(ProblemCode::TrailUnavailable));
}

#[test]
fn a_reader_of_an_export_may_have_enough() {
    let fake = Fake::new(|_| answer(200, "one\ntwo\n"));
    let flow = block_on(client(&fake).export_trail(|part| ControlFlow::Break(part.len())));
    assert_eq!(flow.expect("no error"), ControlFlow::Break(8));
}
