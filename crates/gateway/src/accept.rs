//! Accepting, sweeping and draining client connections.

use crate::access::AccessSink;
use crate::answer::answer;
use crate::body::AnswerBody;
use crate::client::ClientState;
use crate::client_stream::ClientStream;
use crate::gateway::{Drained, Shared};
use crate::limits::HEAD_BYTES_MAX;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

/// Accepting again after the system refused, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(crate) async fn accept_loop(
    listener: TcpListener,
    shared: Arc<Shared>,
    sink: Arc<dyn AccessSink>,
    drain: impl Future<Output = Duration>,
) -> Drained {
    let mut drain = pin!(drain);
    let mut tick = interval(shared.limits.tick());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0_u64;
    let grace = loop {
        let has_room = shared.clients().len() < shared.limits.connections_max;
        tokio::select! {
            accepted = listener.accept(), if has_room => match accepted {
                Ok((socket, peer)) => {
                    number += 1;
                    open(number, socket, peer, &shared, &sink);
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            _ = tick.tick() => sweep(&shared),
            grace = &mut drain => break grace,
        }
    };
    drop(listener);
    finish(&shared, grace).await
}

fn open(number: u64, socket: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, sink: &Arc<dyn AccessSink>) {
    // Failing means the client is gone already; reading will tell.
    let _ = socket.set_nodelay(true);
    let state = Arc::new(ClientState::new(peer.ip().to_canonical(), Arc::clone(&shared.coarse_ms)));
    shared.clients().insert(number, Arc::clone(&state));
    let registered = Registered { number, shared: Arc::clone(shared) };
    tokio::spawn(converse(socket, state, Arc::clone(shared), Arc::clone(sink), registered));
}

/// Takes the connection off the list however its task ends.
struct Registered {
    number: u64,
    shared: Arc<Shared>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.clients().remove(&self.number);
    }
}

/// The whole life of one client connection.
async fn converse(
    socket: TcpStream,
    state: Arc<ClientState>,
    shared: Arc<Shared>,
    sink: Arc<dyn AccessSink>,
    _registered: Registered,
) {
    let stream = ClientStream::new(socket, Arc::clone(&state), Arc::clone(&shared.ids));
    let service_state = Arc::clone(&state);
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, sink, client) = (Arc::clone(&shared), Arc::clone(&sink), Arc::clone(&service_state));
        async move { Ok::<Response<AnswerBody>, Infallible>(answer(shared, sink, client, request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(2 * HEAD_BYTES_MAX)
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut is_known = false;
    let mut is_draining = false;
    poll_fn(|context| {
        if !is_known {
            state.wake_me(context);
            is_known = true;
        }
        if state.is_closing() {
            return Poll::Ready(());
        }
        if state.is_draining() && !is_draining {
            is_draining = true;
            connection.as_mut().graceful_shutdown();
        }
        // Errors are the client's: broken connections and heads. What can be said was said to it.
        connection.as_mut().poll(context).map(drop)
    })
    .await;
}

fn sweep(shared: &Shared) {
    let now_ms = u64::try_from(shared.clock.now().0).unwrap_or(0);
    shared.coarse_ms.store(now_ms, Ordering::Relaxed);
    for client in shared.clients().values() {
        client.sweep(now_ms, &shared.limits);
    }
    for instance in shared.table.load().instances() {
        instance.pool.sweep(now_ms, &shared.limits);
    }
}

async fn finish(shared: &Shared, grace: Duration) -> Drained {
    let deadline = Instant::now() + grace;
    for client in shared.clients().values() {
        client.drain();
    }
    let mut tick = interval(shared.limits.tick().min(Duration::from_millis(20)));
    while !shared.clients().is_empty() {
        if timeout_at(deadline, tick.tick()).await.is_err() {
            break;
        }
        sweep(shared);
    }
    let mut aborted = 0;
    for client in shared.clients().values() {
        aborted += u64::from(client.has_request());
        client.close();
    }
    Drained { aborted }
}
