//! The core's own listeners: the control socket, the read-only API's socket, and the port of
//! the plan's coordinator service.

use crate::addresses::Addresses;
use crate::http::{self, Context};
use crate::occupant;
use crate::places::Places;
use crate::start::CoreError;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use haus_api::{Problem, ProblemCode};
use haus_model::InstanceId;
use haus_model::house::House;
use haus_model::service::{RunsAs, Service};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::unix::SocketAddr as UnixAddress;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Connections at the same time on the API's own port.
const TCP_CONNECTIONS_MAX: usize = 128;

/// How long a request head may take, and a connection may idle.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens every listener and serves on each until the runtime ends. Call it inside a runtime.
///
/// # Errors
/// The first that cannot be opened.
pub(crate) fn all(
    house: &House,
    addresses: &Addresses,
    places: &Places,
    context: &Context,
) -> Result<(), CoreError> {
    let public = http::public(context.clone());
    serve(OwnAccountOnly(unix(&places.control_socket())?), http::control(context.clone()));
    serve(OwnAccountOnly(unix(&places.api_socket())?), public.clone());
    let guarded = public.layer(axum::middleware::from_fn_with_state(house.domain.clone(), only_own_hosts));
    for service in house.services.values().filter(|service| service.runs_as == RunsAs::Coordinator) {
        if let Some(address) = address_of(service, addresses) {
            tokio::spawn(serve_tcp(tcp(address)?, guarded.clone()));
        }
    }
    Ok(())
}

/// Serves on a port that every process of the machine can reach: bounded in connections and in
/// the time that a request head may take.
async fn serve_tcp(listener: TcpListener, router: Router) {
    let turns = Arc::new(Semaphore::new(TCP_CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, mostly: waiting is all that helps.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let _turn = turn;
            let mut connection = http1::Builder::new();
            connection.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
            // A broken connection is its client's business.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Refuses names that are not ours: a web page whose name resolves to this machine (DNS
/// rebinding) must not read what runs here.
async fn only_own_hosts(State(domain): State<String>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    if is_own_host(host, &domain) {
        return next.run(request).await;
    }
    http::refuse(
        Problem::new(ProblemCode::NotFound, format!("host `{host}` is none of this house"))
            .with_hint(format!("ask for an address of this machine, localhost or a name below {domain}")),
    )
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

fn serve<L>(listener: L, router: Router)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    tokio::spawn(async move {
        // Serving only ends with the runtime; errors of single connections stay with them.
        let _ = axum::serve(listener, router).await;
    });
}

fn address_of(service: &Service, addresses: &Addresses) -> Option<SocketAddr> {
    let id = InstanceId { service: service.name.clone(), ordinal: 1 };
    Some(SocketAddr::new(service.address.parse().ok()?, addresses.port(&id, None)?))
}

fn tcp(address: SocketAddr) -> Result<TcpListener, CoreError> {
    let open = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    open().map_err(|source: io::Error| {
        if source.kind() == io::ErrorKind::AddrInUse {
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

/// Accepts only peers of our own account and root, by the kernel's word.
struct OwnAccountOnly(UnixListener);

impl axum::serve::Listener for OwnAccountOnly {
    type Io = UnixStream;
    type Addr = UnixAddress;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let own = rustix::process::geteuid().as_raw();
        loop {
            // The trait's own accept waits out errors such as too many open files.
            let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
            if stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0) {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
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
