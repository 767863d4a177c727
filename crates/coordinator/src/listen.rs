//! The core's own listeners: the control socket, the socket that the gateway passes requests on to, and the
//! port of the plan's coordinator service.
//!
//! Threat: somebody opens connections and leaves them so. Nobody has all of them, whoever comes when there
//! are enough is told so and let go, and one that neither asks nor takes its answer ends.

use crate::addresses::Addresses;
use crate::api::{self, Peer, Place, Refusal, Shares};
use crate::desk::Desk;
use crate::http;
use crate::occupant;
use crate::places::Places;
use crate::start::CoreError;
use axum::{Extension, Router};
use haus_api::{Problem, ProblemCode};
use haus_model::InstanceId;
use haus_model::house::House;
use haus_model::service::{RunsAs, Service};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pace::Pace;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

mod pace;
pub(crate) mod vacancy;

/// Connections at the same time on the API's own port; among them all of this machine, and those of one other
/// address.
const TCP_CONNECTIONS_MAX: usize = 1_024;
const LOCAL_CONNECTIONS_MAX: usize = 768;
const PEER_CONNECTIONS_MAX: usize = 64;

/// Connections at the same time that are only told that there are too many, and for how long at most.
const TURNED_AWAY_MAX: usize = 64;
const TURNING_AWAY: Duration = Duration::from_secs(1);

/// How long a request head may take, and a connection may idle.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);

/// How long the peer of a connection may take nothing of its answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Every listener of the core, open and not yet served.
pub(crate) struct Listeners {
    control: UnixListener,
    gateway: UnixListener,
    tcp: Vec<std::net::TcpListener>,
}

impl Listeners {
    /// Opens all of them. Call it inside a runtime.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub(crate) fn open(
        house: &House,
        addresses: &Addresses,
        places: &Places,
    ) -> Result<Listeners, CoreError> {
        let coordinators = house.services.values().filter(|service| service.runs_as == RunsAs::Coordinator);
        let wanted = coordinators.filter_map(|service| address_of(service, addresses));
        Ok(Listeners {
            control: unix(&places.control_socket())?,
            gateway: unix(&places.api_socket())?,
            tcp: wanted.map(tcp).collect::<Result<_, _>>()?,
        })
    }

    /// Serves on each until the runtime ends.
    pub(crate) fn serve(self, desk: &Arc<Desk>) {
        let public = api::doors(desk);
        let control = api::finish(http::control(), desk);
        tokio::spawn(serve_unix(self.control, control, |uid| Peer::Account { uid }));
        tokio::spawn(serve_unix(self.gateway, public(), |_| Peer::Gateway));
        for listener in self.tcp {
            match TcpListener::from_std(listener) {
                Ok(listener) => drop(tokio::spawn(serve_tcp(listener, public(), Crowd::default()))),
                // It was made non-blocking when it was opened; nothing else can fail inside a runtime.
                Err(error) => desk.note(&format!("the API's port is not served: {error}")),
            }
        }
    }
}

/// Who may be connected to a port at the same time.
struct Crowd {
    all: Arc<Shares>,
    local: usize,
    peer: usize,
    turned_away: Arc<Shares>,
}

impl Default for Crowd {
    fn default() -> Crowd {
        Crowd {
            all: Shares::new(TCP_CONNECTIONS_MAX),
            local: LOCAL_CONNECTIONS_MAX,
            peer: PEER_CONNECTIONS_MAX,
            turned_away: Shares::new(TURNED_AWAY_MAX),
        }
    }
}

impl Crowd {
    fn place(&self, address: IpAddr) -> Option<Place> {
        let own = if address.to_canonical().is_loopback() { self.local } else { self.peer };
        self.all.take(&api::party_of(address), own).ok()
    }
}

/// Serves on a port that every process of the machine can reach: bounded in connections, and in the time that
/// a request head may take to come and an answer to go.
async fn serve_tcp(listener: TcpListener, router: Router, crowd: Crowd) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, mostly: waiting is all that helps.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(place) = crowd.place(peer.ip()) else {
            if let Ok(place) = crowd.turned_away.take("", TURNED_AWAY_MAX) {
                tokio::spawn(turn_away(stream, place));
            }
            continue;
        };
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        serve_one(stream, router.clone(), Peer::Tcp(peer), Some(place));
    }
}

/// Tells that there are too many connections. What the peer sends is read and forgotten: closing over it
/// would take back the answer as well.
async fn turn_away(mut stream: TcpStream, _place: Place) {
    let work = async {
        stream.write_all(too_many().as_bytes()).await?;
        stream.shutdown().await?;
        let mut nothing = [0; 1_024];
        while stream.read(&mut nothing).await? > 0 {}
        io::Result::Ok(())
    };
    // Whoever neither reads nor hangs up has been waited for long enough.
    let _ = tokio::time::timeout(TURNING_AWAY, work).await;
}

fn too_many() -> String {
    let problem = Problem::new(ProblemCode::Unavailable, "more connections are open than this port takes")
        .with_hint("keep one connection and send requests over it, or come again in a moment")
        .with_retry_after(1);
    let Refusal(problem) = problem.into();
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let (kind, length) = (haus_api::problem::MEDIA_TYPE, body.len());
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         retry-after: 1\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{body}"
    )
}

/// Serves on a socket, only for our own account and root, by the kernel's word.
async fn serve_unix(listener: UnixListener, router: Router, peer: fn(u32) -> Peer) {
    let own = rustix::process::geteuid().as_raw();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(uid) = stream.peer_cred().map(|peer| peer.uid()) else { continue };
        if uid == own || uid == 0 {
            serve_one(stream, router.clone(), peer(uid), None);
        }
    }
}

/// One connection in a task of its own; the peer goes with every request.
fn serve_one<S>(stream: S, router: Router, peer: Peer, place: Option<Place>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    tokio::spawn(async move {
        let _place = place;
        let mut connection = http1::Builder::new();
        connection.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
        // A broken connection is its client's business.
        let _ = connection.serve_connection(TokioIo::new(Pace::new(stream, WRITE_PATIENCE)), service).await;
    });
}

fn address_of(service: &Service, addresses: &Addresses) -> Option<SocketAddr> {
    let id = InstanceId { service: service.name.clone(), ordinal: 1 };
    Some(SocketAddr::new(service.address.parse().ok()?, addresses.port(&id, None)?))
}

fn tcp(address: SocketAddr) -> Result<std::net::TcpListener, CoreError> {
    let open = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    vacancy::once_free(address, open, is_taken).map_err(|source| {
        if is_taken(&source) {
            return CoreError::Occupied { told: occupant::in_use(address) };
        }
        CoreError::Socket { path: address.to_string().into(), source }
    })
}

fn unix(path: &Path) -> Result<UnixListener, CoreError> {
    let open = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // We hold the house's lock, so a socket that is still there is a leftover.
        if path.exists() {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    open().map_err(|source| CoreError::Socket { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;

    const DEADLINE: Duration = Duration::from_secs(20);

    async fn ask(address: SocketAddr) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        let read = tokio::time::timeout(DEADLINE, stream.read_to_string(&mut text)).await;
        read.expect("an answer comes in any crowd").unwrap();
        (stream, text)
    }

    #[tokio::test]
    async fn whoever_comes_when_all_places_are_taken_hears_so_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let crowd = Crowd { local: 1, ..Crowd::default() };
        tokio::spawn(serve_tcp(listener, Router::new().route("/", get(async || "in")), crowd));
        let idle = TcpStream::connect(address).await.unwrap();
        let (_, text) = ask(address).await;
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("retry-after: 1"), "{text}");
        let body = text.split("\r\n\r\n").nth(1).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(body).unwrap().code, ProblemCode::Unavailable);
        drop(idle);
        let served = async { while !ask(address).await.1.ends_with("in") {} };
        tokio::time::timeout(DEADLINE, served).await.expect("the place is free again");
    }

    #[test]
    fn one_peer_leaves_places_to_others() {
        let crowd = Crowd { all: Shares::new(4), local: 3, peer: 1, ..Crowd::default() };
        let place = |address: &str| crowd.place(address.parse().unwrap());
        let held = [place("192.0.2.7"), place("127.0.0.1"), place("127.0.0.2")];
        assert!(held.iter().all(Option::is_some));
        assert!(place("192.0.2.7").is_none());
        assert!(place("::1").is_some(), "this machine is many");
    }
}
