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
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bounds::Bounds;
use std::sync::Arc;

/// What all requests at one door share.
struct Door {
    desk: Arc<Desk>,
    memory: Arc<Memory>,
    bounds: Bounds,
}

/// Puts the layers around. Each router has bounds of its own, so that a crowd at one door leaves the other
/// free; doors at which the same callers come share the memory of what was asked.
pub(super) fn around(router: Router<Arc<Desk>>, desk: &Arc<Desk>, memory: &Arc<Memory>) -> Router<Arc<Desk>> {
    let door = Door { desk: Arc::clone(desk), memory: Arc::clone(memory), bounds: Bounds::default() };
    router.layer(from_fn_with_state(Arc::new(door), all))
}

/// One layer of the router that holds all of ours as plain functions: as layers of their own, each would cost
/// every request a copy of all those below it.
async fn all(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let once = |door: Arc<Door>| {
        move |request| async move { once::once(&door.desk, &door.memory, request, |it| next.run(it)).await }
    };
    let known = |request| bounds::bounded(&door.bounds, request, once(Arc::clone(&door)));
    let whole = |request| identify::identify(&door.desk, request, known);
    let caught = |request| panics::caught(&door.desk, request, whole);
    let logged = |request| logged::logged(&door.desk, request, caught);
    let own = async |request| hardened(host::only_own_hosts(&door.desk, request, logged).await);
    named::named(request, own).await
}

/// No answer is guessed at by a browser, and none is kept by a cache unless its handler says so.
fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
