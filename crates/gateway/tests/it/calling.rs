//! What a test needs to call a service: requests, bodies that come as they please, and what came of it.

use crate::rig::{Rig, upstream};
use crate::wire::Instance;
use bytes::Bytes;
use haus_gateway::{CallBody, CallOptions, CallProblem, Called, RequestBody, Snapshot, Upstream};
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

pub(crate) const SHORT: Duration = Duration::from_millis(80);

/// The service can be called and has no route.
pub(crate) fn callable(shop: Upstream) -> Snapshot {
    let services = BTreeMap::from([("shop".parse().unwrap(), Arc::new(shop))]);
    Snapshot { house: "test".to_owned(), services, ..Snapshot::default() }
}

pub(crate) fn before(instance: &Instance) -> Rig {
    Rig::start(callable(upstream(&[instance.address])))
}

pub(crate) fn options() -> CallOptions {
    CallOptions {
        timeout: Duration::from_secs(10),
        caller: "zimmer-05".to_owned(),
        peer: Some("192.0.2.7".parse().unwrap()),
        request_id: Some("call-0001".to_owned()),
    }
}

pub(crate) fn empty() -> RequestBody {
    RequestBody::new(Empty::new().map_err(|never| match never {}))
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> RequestBody {
    RequestBody::new(Full::new(bytes.into()).map_err(|never| match never {}))
}

/// A body of which nobody knows how long it will be, fed by a channel that says where it breaks off.
pub(crate) fn stream() -> (mpsc::Sender<Result<&'static [u8], &'static str>>, RequestBody) {
    let (sender, mut pieces) = mpsc::channel::<Result<&'static [u8], &'static str>>(4);
    let frames = async_frames(move |context| {
        pieces.poll_recv(context).map(|piece| {
            piece.map(|piece| match piece {
                Ok(bytes) => Ok(Frame::data(Bytes::from_static(bytes))),
                Err(why) => Err(why.into()),
            })
        })
    });
    (sender, RequestBody::new(frames))
}

pub(crate) type PieceResult = Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>;

pub(crate) struct Frames<F>(F, pub(crate) SizeHint);

pub(crate) fn async_frames<F>(poll: F) -> Frames<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<PieceResult>> + Unpin,
{
    Frames(poll, SizeHint::default())
}

impl<F> Body for Frames<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<PieceResult>> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PieceResult>> {
        (self.0)(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.1
    }
}

pub(crate) fn request(method: Method, target: &str, body: RequestBody) -> Request<RequestBody> {
    Request::builder().method(method).uri(target).body(body).unwrap()
}

pub(crate) async fn call(rig: &Rig, request: Request<RequestBody>) -> Called {
    rig.handle.call(&"shop".parse().unwrap(), request, options()).await
}

pub(crate) async fn get(rig: &Rig) -> Called {
    call(rig, request(Method::GET, "/", empty())).await
}

pub(crate) async fn text(answer: Response<CallBody>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(crate) fn problem(called: Called) -> CallProblem {
    let problem = called.outcome.expect_err("a problem");
    assert!(called.why.is_some(), "{problem:?} is explained in the record");
    problem
}
