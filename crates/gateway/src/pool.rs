//! Connections to one instance: opened when needed, kept for the next request.

use crate::joined_write::JoinedWrites;
use crate::limits::Limits;
use crate::snapshot::Address;
use crate::upload::Upload;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// A connection that carries one request at a time.
pub(crate) type Connection = SendRequest<Upload>;

/// Unused connections. The one used last is taken first, so that the others can age and close.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    closed: bool,
    idle: Vec<Idle>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since_ms: u64,
}

/// Why no connection came to be. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("refused the connection")]
    Refused(#[source] io::Error),
    #[error("accepted no connection within {} ms", limit.as_millis())]
    Slow { limit: Duration },
    #[error("could not be spoken to")]
    Handshake(#[source] hyper::Error),
}

impl Pool {
    /// An unused connection that has been idle for at most `idle_max`.
    pub(crate) fn take(&self, now_ms: u64, idle_max: Duration) -> Option<Connection> {
        let idle_max_ms = u64::try_from(idle_max.as_millis()).unwrap_or(u64::MAX);
        let mut shelf = self.shelf();
        while let Some(idle) = shelf.idle.pop() {
            if now_ms.saturating_sub(idle.since_ms) > idle_max_ms {
                // Older ones lie below; the sweep closes them, and other methods may still use them.
                shelf.idle.push(idle);
                return None;
            }
            if idle.connection.is_ready() {
                return Some(idle.connection);
            }
        }
        None
    }

    /// Keeps a connection whose exchange is complete.
    pub(crate) fn put(&self, connection: Connection, now_ms: u64, limits: &Limits) {
        let mut shelf = self.shelf();
        if !shelf.closed && !connection.is_closed() && shelf.idle.len() < limits.instance_idle_max {
            shelf.idle.push(Idle { connection, since_ms: now_ms });
        }
    }

    /// Closes what has been idle too long.
    pub(crate) fn sweep(&self, now_ms: u64, limits: &Limits) {
        let idle_max_ms = u64::try_from(limits.instance_idle.as_millis()).unwrap_or(u64::MAX);
        self.shelf().idle.retain(|idle| {
            now_ms.saturating_sub(idle.since_ms) <= idle_max_ms && !idle.connection.is_closed()
        });
    }

    /// Forgets all unused connections: one of them was found dead, its siblings died with it.
    pub(crate) fn clear(&self) {
        self.shelf().idle.clear();
    }

    /// Closes all unused connections and keeps none from here on.
    pub(crate) fn close(&self) {
        let mut shelf = self.shelf();
        shelf.closed = true;
        shelf.idle.clear();
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection.
pub(crate) async fn connect(address: &Address, limits: &Limits) -> Result<Connection, ConnectError> {
    let limit = limits.connect;
    let slow = |_| ConnectError::Slow { limit };
    match address {
        Address::Tcp(address) => {
            let stream = timeout(limit, TcpStream::connect(address)).await.map_err(slow)?;
            let stream = stream.map_err(ConnectError::Refused)?;
            stream.set_nodelay(true).map_err(ConnectError::Refused)?;
            handshake(stream).await
        }
        Address::Unix(path) => {
            let stream = timeout(limit, UnixStream::connect(path)).await.map_err(slow)?;
            handshake(stream.map_err(ConnectError::Refused)?).await
        }
    }
}

async fn handshake<S>(socket: S) -> Result<Connection, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(JoinedWrites(socket));
    let (sender, connection) = http1::handshake(io).await.map_err(ConnectError::Handshake)?;
    // Its error reaches whoever waits for the answer; with nobody waiting there is nobody to tell.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
