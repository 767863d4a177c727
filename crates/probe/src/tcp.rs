//! Connecting to a socket.

use crate::evidence::io_reason;
use crate::{Answer, Limit};
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(crate) async fn connect(address: SocketAddr, limit: Limit) -> Answer<TcpStream> {
    let connected = limit.wait("connection", TcpStream::connect(address)).await?;
    let stream = connected.map_err(|error| io_reason(&error))?;
    // Where nobody listens on a port that the kernel also hands out for outgoing connections, a socket can
    // meet itself; that proves nothing about a service.
    if stream.local_addr().is_ok_and(|local| local == address) {
        return Err("connection refused".to_owned());
    }
    Ok(stream)
}
