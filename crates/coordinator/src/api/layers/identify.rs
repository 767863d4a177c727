//! Who asks: by the connection, by a token, or nobody known; and what strangers may ask at all.

use super::named::RequestId;
use crate::api::caller::{Caller, Peer, Who};
use crate::api::refusal::Refusal;
use crate::desk::Desk;
use crate::guard;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use haus_api::{Problem, ProblemCode};
use haus_model::Secret;
use haus_model::house::Anonymous;
use std::net::IpAddr;

/// What is answered to everybody in every house: whether it lives, and how one comes in.
const OPEN: [&str; 4] = ["/health", "/ready", "/api/identity/enrol", "/api/identity/refresh"];

/// Finds out who asks. A token that is not valid is refused here, whatever was asked for.
pub(super) async fn identify(
    desk: &Desk,
    mut request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let request_id = RequestId::of(&request);
    let peer = request.extensions().get::<Peer>().cloned();
    let address = address(peer.as_ref(), request.headers());
    let mut caller = Caller { who: Who::Anonymous, address, request_id };
    let who = match peer {
        Some(Peer::Account { uid }) => Ok(Who::Account { uid }),
        Some(Peer::Tcp(_) | Peer::Gateway) | None => match bearer(request.headers()) {
            Ok(Some(token)) => desk.guard.identify(desk, &token, &caller).await.map(Who::Token),
            Ok(None) => stranger(desk, request.uri().path()),
            Err(problem) => Err(problem),
        },
    };
    match who {
        Ok(who) => caller.who = who,
        Err(problem) => return with_caller(Refusal::from(problem).into_response(), caller),
    }
    request.extensions_mut().insert(caller.clone());
    with_caller(next(request).await, caller)
}

/// The log outside of this layer tells who asked.
fn with_caller(mut response: Response, caller: Caller) -> Response {
    response.extensions_mut().insert(caller);
    response
}

/// What the plan lets strangers ask.
fn stranger(desk: &Desk, path: &str) -> Result<Who, Problem> {
    match desk.house().api.anonymous {
        Anonymous::None if !OPEN.contains(&path) => Err(guard::stranger()),
        Anonymous::None | Anonymous::Registry => Ok(Who::Anonymous),
    }
}

/// The peer's address; behind our own gateway what it says, since only it can open that socket.
fn address(peer: Option<&Peer>, headers: &HeaderMap) -> Option<String> {
    match peer {
        Some(Peer::Tcp(address)) => Some(address.ip().to_string()),
        Some(Peer::Account { .. }) | None => None,
        Some(Peer::Gateway) => {
            // Our gateway adds its own peer at the end of the last one; all before that is hearsay.
            let list = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
            let last = list.rsplit(',').next()?.trim();
            last.parse::<IpAddr>().ok().map(|address| address.to_string())
        }
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<Secret>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refused = || {
        Problem::new(ProblemCode::Unauthorized, "the header Authorization is not one `Bearer TOKEN`")
            .with_hint("get a token with POST /api/identity/enrol")
    };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(refused)?;
    let token = token.trim();
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(refused());
    }
    Ok(Some(Secret::from(token.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn check(values: &[&str], expected: Result<Option<&str>, ProblemCode>) {
        let found = bearer(&headers("authorization", values)).map_err(|problem| problem.code);
        let found =
            found.map(|token| token.map(|token| String::from_utf8(token.expose_bytes().to_vec()).unwrap()));
        assert_eq!(found, expected.map(|token| token.map(str::to_owned)), "{values:?}");
    }

    #[test]
    fn a_token_comes_in_one_header_of_one_form() {
        check(&[], Ok(None));
        check(&["Bearer abc"], Ok(Some("abc")));
        check(&["bearer  abc "], Ok(Some("abc")));
        check(&["Basic abc"], Err(ProblemCode::Unauthorized));
        check(&["abc"], Err(ProblemCode::Unauthorized));
        check(&["Bearer "], Err(ProblemCode::Unauthorized));
        check(&["Bearer a", "Bearer b"], Err(ProblemCode::Unauthorized));
    }

    #[test]
    fn only_our_gateway_is_believed_where_somebody_sits() {
        let told = headers("x-forwarded-for", &["198.51.100.1", "203.0.113.9, 192.0.2.7"]);
        let peer = Peer::Tcp("127.0.0.1:9".parse().unwrap());
        assert_eq!(address(Some(&peer), &told).as_deref(), Some("127.0.0.1"));
        assert_eq!(address(Some(&Peer::Gateway), &told).as_deref(), Some("192.0.2.7"));
        assert_eq!(address(Some(&Peer::Gateway), &HeaderMap::new()), None);
        assert_eq!(address(Some(&Peer::Account { uid: 0 }), &told), None);
    }
}
