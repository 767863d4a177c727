//! What happens around every handler, from the outside in: the request's id, whose host it is, the log,
//! panics, who asks, bounds of number and time, and what was asked before.

mod bounds;
mod held;
mod host;
mod identify;
mod keeping;
mod logged;
mod named;
mod once;
mod panics;
mod shares;

pub(crate) use held::until_sent;
pub(crate) use keeping::Memory;
pub(crate) use shares::{Place, Shares, party_of};

use crate::desk::Desk;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::Response;
use std::sync::Arc;

/// Puts the layers around. Each router has bounds of its own, so that a crowd at one door leaves the other
/// free; doors at which the same callers come share the memory of what was asked.
pub(super) fn around(router: Router<Arc<Desk>>, desk: &Arc<Desk>, memory: &Arc<Memory>) -> Router<Arc<Desk>> {
    let desk = || Arc::clone(desk);
    router
        .layer(from_fn_with_state((desk(), Arc::clone(memory)), once::once))
        .layer(from_fn_with_state(Arc::default(), bounds::bounded))
        .layer(from_fn_with_state(desk(), identify::identify))
        .layer(from_fn_with_state(desk(), panics::caught))
        .layer(from_fn_with_state(desk(), logged::logged))
        .layer(from_fn_with_state(desk(), host::only_own_hosts))
        .layer(map_response(hardened))
        .layer(from_fn(named::named))
}

/// No answer is guessed at by a browser, and none is kept by a cache unless its handler says so.
async fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
