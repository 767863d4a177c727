//! One HTTP/1.1 GET or HEAD on a connection of its own: no redirects, no retries, a bounded answer.

use crate::body::{self, Body};
use crate::evidence::io_reason;
use crate::socket::Socket;
use crate::{Answer, HttpMethod, Limit, tcp};
use bytes::Bytes;
use haus_model::health::Expectation;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Method, Request, Response};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;

/// Bytes of a body that are read.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes of head that are kept in memory; hyper wants at least 8 KiB.
const BUFFER_BYTES_MAX: usize = 64 << 10;

pub(crate) async fn ask(
    method: HttpMethod,
    address: SocketAddr,
    (host, path): (&str, &str),
    expect: &Expectation,
    limit: Limit,
) -> Answer {
    let request = request(method, host, path)?;
    let stream = tcp::connect(address, limit).await?;
    let handshake = http1::Builder::new().max_buf_size(BUFFER_BYTES_MAX).handshake(Socket::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| reason(&error))?;
    let mut connection = pin!(connection);
    let mut exchange = pin!(async {
        let answered = limit.wait("answer", sender.send_request(request)).await?;
        let response = answered.map_err(|error| reason(&error))?;
        judge(response, expect, limit).await
    });
    // The connection is driven here instead of in a task of its own, so that nothing outlives the probe. It
    // may end before everything that it has read is taken.
    let mut ended = false;
    poll_fn(|context| {
        if !ended {
            ended = connection.as_mut().poll(context).is_ready();
        }
        exchange.as_mut().poll(context)
    })
    .await
}

fn request(method: HttpMethod, host: &str, path: &str) -> Answer<Request<Empty<Bytes>>> {
    if !path.starts_with('/') {
        return Err("could not be asked: the path does not start with /".to_owned());
    }
    Request::builder()
        .method(match method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Head => Method::HEAD,
        })
        .uri(path)
        .header(HOST, host)
        .header(ACCEPT, "*/*")
        .header(USER_AGENT, "haus-probe")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| format!("could not be asked: {error}"))
}

async fn judge(response: Response<Incoming>, expect: &Expectation, limit: Limit) -> Answer {
    let status = response.status().as_u16();
    if status != expect.status {
        return Err(format!("status {status}, expected {}", expect.status));
    }
    let body = limit.wait("end of the answer", read(response.into_body())).await??;
    body::check(&body, expect)?;
    Ok(status.to_string())
}

async fn read(mut incoming: Incoming) -> Answer<Body> {
    let mut body = Body { bytes: Vec::new(), cut: false };
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {}", reason(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = BODY_BYTES_MAX - body.bytes.len();
        body.bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            body.cut = true;
            break;
        }
    }
    Ok(body)
}

fn reason(error: &hyper::Error) -> String {
    if error.is_parse() {
        return format!("the answer is not HTTP ({error})");
    }
    if error.is_incomplete_message() {
        return "the connection was closed before the answer was complete".to_owned();
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return io_reason(io);
        }
        cause = inner.source();
    }
    error.to_string()
}
