//! Which names this house answers to on its own port.
//!
//! Threat: a web page whose name resolves to this machine (DNS rebinding) would read with the browser of
//! whoever looks at it what only this machine may see.

use crate::api::Peer;
use crate::api::refusal::Refusal;
use crate::desk::Desk;
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use haus_api::{Problem, ProblemCode};
use std::net::IpAddr;

/// Refuses names that are not ours. What comes over a socket was asked by our gateway or the house's own
/// account.
pub(super) async fn only_own_hosts(
    desk: &Desk,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    if !matches!(request.extensions().get::<Peer>(), Some(Peer::Tcp(_))) {
        return next(request).await;
    }
    let house = desk.house();
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    if is_own_host(host, &house.domain) {
        return next(request).await;
    }
    let host = crate::api::input::shown(host);
    let problem = Problem::new(ProblemCode::NotFound, format!("host `{host}` is none of this house"))
        .with_hint(format!("ask for an address of this machine, localhost or a name below {}", house.domain));
    Refusal::from(problem).into_response()
}

fn is_own_host(host: &str, domain: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let name = name.trim_matches(['[', ']']).to_ascii_lowercase();
    let is_below =
        |suffix: &str| name == suffix || name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    name.is_empty() || name.parse::<IpAddr>().is_ok() || is_below("localhost") || is_below(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_house_and_addresses_are_answered() {
        for own in [
            "",
            "127.0.0.1:8000",
            "[::1]:8000",
            "localhost",
            "a.localhost:8000",
            "home.example",
            "x.home.example",
        ] {
            assert!(is_own_host(own, "home.example"), "{own}");
        }
        for foreign in ["evil.example", "evilhome.example", "home.example.evil", "localhost.evil:8000"] {
            assert!(!is_own_host(foreign, "home.example"), "{foreign}");
        }
    }
}
