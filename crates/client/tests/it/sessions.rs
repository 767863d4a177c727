//! Tokens are shown, renewed in time and after a refusal, and never shown twice.

use crate::fake::{Asked, Fake, answer, block_on, problem};
use haus_api::ProblemCode;
use haus_api::identity::Tokens;
use haus_client::{Client, ClientError};
use haus_model::Secret;

const WHO: &str =
    r#"{"subject":"service:api/1","service":"api","instance":"1","scopes":[],"expires_at":null}"#;

fn tokens(round: &str, expires_in: u64) -> Tokens {
    let json = format!(
        r#"{{"access_token":"access-{round}","token_type":"Bearer","expires_in":{expires_in},
            "refresh_token":"refresh-{round}","refresh_expires_in":9,"scope":"read","subject":"service:api/1"}}"#
    );
    serde_json::from_str(&json).expect("tokens")
}

fn renewed(asked: &Asked) -> String {
    let body = serde_json::to_string(&tokens("2", 900)).expect("plain data");
    if asked.body == r#"{"refresh_token":"refresh-1"}"# {
        answer(200, &body)
    } else {
        problem(ProblemCode::Unauthorized)
    }
}

/// Takes `access-2` alone, and exchanges `refresh-1` for it.
fn house(asked: &Asked) -> String {
    match (asked.line.as_str(), asked.bearer.as_deref()) {
        ("POST /api/identity/refresh", None) => renewed(asked),
        ("GET /api/identity/whoami", Some("access-2")) => answer(200, WHO),
        _ => problem(ProblemCode::Unauthorized),
    }
}

fn client(fake: &Fake) -> Client {
    Client::at(&fake.base).expect("an address")
}

#[test]
fn a_token_whose_end_is_near_is_renewed_before_it_is_shown() {
    let fake = Fake::new(house);
    let client = client(&fake).with_tokens(tokens("1", 0));
    assert_eq!(block_on(client.who_am_i()).expect("let in").subject, "service:api/1");
    assert_eq!(fake.lines(), ["POST /api/identity/refresh", "GET /api/identity/whoami"]);
    let refresh = block_on(client.refresh_token()).expect("there is one");
    assert_eq!(refresh.expose_bytes(), b"refresh-2");
}

#[test]
fn a_refused_token_is_renewed_and_the_question_asked_once_more() {
    let fake = Fake::new(house);
    let client = client(&fake).with_tokens(tokens("1", 900));
    block_on(client.who_am_i()).expect("let in");
    block_on(client.who_am_i()).expect("let in");
    let lines = fake.lines();
    let expected = ["GET /api/identity/whoami", "POST /api/identity/refresh", "GET /api/identity/whoami"];
    assert_eq!(lines[..3], expected);
    assert_eq!(lines[3..], ["GET /api/identity/whoami"], "the new one is kept");
}

#[test]
fn many_that_are_refused_at_once_renew_once() {
    let fake = Fake::new(house);
    let client = client(&fake).with_tokens(tokens("1", 900));
    block_on(async {
        let calls: Vec<_> = (0..8).map(|_| tokio::spawn(calling(client.clone()))).collect();
        for call in calls {
            assert!(call.await.expect("no panic").is_ok());
        }
    });
    let renewals = fake.lines().into_iter().filter(|line| line.contains("refresh")).count();
    assert_eq!(renewals, 1, "a refresh token that is shown twice ends the session");
}

async fn calling(client: Client) -> Result<haus_api::identity::WhoAmI, ClientError> {
    client.who_am_i().await
}

#[test]
fn a_renewal_that_is_refused_is_the_answer() {
    let fake = Fake::new(house);
    let client = client(&fake).with_tokens(tokens("9", 900));
    let error = block_on(client.who_am_i()).expect_err("the session has ended");
    assert_eq!(error.code(), Some(ProblemCode::Unauthorized));
    assert_eq!(fake.lines(), ["GET /api/identity/whoami", "POST /api/identity/refresh"]);
}

#[test]
fn a_token_without_refresh_is_shown_as_it_is() {
    let fake = Fake::new(house);
    let token = |text: &str| client(&fake).with_access_token(Secret::from(text.to_owned()));
    assert!(block_on(token("access-2").who_am_i()).is_ok());
    let error = block_on(token("access-1").who_am_i()).expect_err("another token");
    assert_eq!(error.code(), Some(ProblemCode::Unauthorized));
    assert_eq!(fake.lines().len(), 2);
}

#[test]
fn no_error_and_no_debug_text_holds_a_token() {
    let fake = Fake::new(|_| answer(500, "access-1 refresh-1"));
    let client = client(&fake).with_tokens(tokens("1", 0));
    let error = block_on(client.who_am_i()).expect_err("no house");
    let told = format!("{client:?} {error:?} {}", haus_model::error::chain(&error));
    assert!(!told.contains("access-1") && !told.contains("refresh-1"), "{told}");
}
