//! The HTTP API on the paths of the zimmer document, for the coordinator's port and both sockets.
//!
//! Threat: any process of the machine can reach the port. Without a token it learns names, addresses and
//! states (or nothing, as the plan says) and changes nothing. A token carries its scopes; on the control
//! socket the kernel's word for the peer's account stands for `admin`.

mod alerts;
mod caller;
mod credentials;
mod discover;
mod gateway;
mod health;
mod identity;
pub(crate) mod input;
mod layers;
mod metrics;
mod openapi;
mod proxy;
mod refusal;
mod roll;
mod services;
mod tokens;
mod trail;
mod vault;
mod watch;

pub(crate) use caller::{Caller, Peer, Who};
pub(crate) use layers::{Place, Shares, party_of, until_sent};
pub(crate) use refusal::{Refusal, bad};

use crate::desk::Desk;
use crate::engine::{Ask, Input};
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::{Extension, Json, Router};
use haus_api::status::HouseStatus;
use haus_api::{Problem, ProblemCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;

/// Largest body of a request that is not passed on to a service.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

/// How long such a body may take to arrive.
pub(crate) const BODY_PATIENCE: Duration = Duration::from_secs(20);

/// What handlers get.
pub(crate) type DeskState = axum::extract::State<Arc<Desk>>;

/// An answer in JSON, or the problem.
pub(crate) type Answer<T> = Result<Json<T>, Refusal>;

/// Marks an answer that holds a secret: it is not kept for repetitions of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confidential;

/// An answer that holds a secret. Answers are `no-store` unless their handler says otherwise.
pub(crate) fn confidential<T>(body: T) -> (Extension<Confidential>, Json<T>) {
    (Extension(Confidential), Json(body))
}

/// All operations, with what the document says of them.
pub(crate) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .merge(alerts::operations())
        .merge(gateway::operations())
        .merge(health::operations())
        .merge(identity::operations())
        .merge(services::operations())
        .merge(discover::operations())
        .merge(watch::operations())
        .merge(tokens::operations())
        .merge(credentials::operations())
        .merge(trail::operations())
        .merge(vault::operations())
        .merge(metrics::operations())
        .merge(openapi::operations())
        .merge(proxy::operations())
}

/// Makes the API with its layers, once for each door: a crowd at one leaves the others free.
pub(crate) fn doors(desk: &Arc<Desk>) -> impl Fn() -> Router + use<> {
    let (desk, memory) = (Arc::clone(desk), Arc::default());
    move || build(Router::new(), &desk, &memory)
}

/// The API beside further routes, with the layers around all of them.
pub(crate) fn finish(further: Router<Arc<Desk>>, desk: &Arc<Desk>) -> Router {
    build(further, desk, &Arc::default())
}

fn build(further: Router<Arc<Desk>>, desk: &Arc<Desk>, memory: &Arc<layers::Memory>) -> Router {
    let (router, _) = operations().split_for_parts();
    let router = router.merge(further).fallback(unknown).method_not_allowed_fallback(wrong_method);
    // Handlers that read a body by themselves; `input` has its own limit.
    let router = router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    layers::around(router, desk, memory).with_state(Arc::clone(desk))
}

async fn unknown(uri: Uri) -> Refusal {
    let detail = format!("there is nothing at {}", input::shown(uri.path()));
    Problem::new(ProblemCode::NotFound, detail).with_hint("GET /openapi.json describes all paths").into()
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Problem::new(
        ProblemCode::MethodNotAllowed,
        format!("{method} is not offered at {}", input::shown(uri.path())),
    )
    .with_hint("the header Allow names the methods of this path")
    .into()
}

/// Asks the engine.
pub(crate) async fn ask<T>(desk: &Desk, make: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Problem> {
    let (reply, answer) = oneshot::channel();
    let gone = || Problem::new(ProblemCode::Unavailable, "the house is ending and answers nothing any more");
    desk.inputs.send(Input::Ask(make(reply))).map_err(|_| gone())?;
    answer.await.map_err(|_| gone())
}

/// The state of the whole house.
pub(crate) async fn house(desk: &Desk) -> Result<Arc<HouseStatus>, Problem> {
    ask(desk, Ask::Status).await
}
