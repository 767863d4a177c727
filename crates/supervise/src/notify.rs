//! Messages to the service manager (systemd's notify protocol): one datagram per message.
//! It does not know what the messages mean; without a manager it does nothing.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Name of the variable that carries the address; it must never reach a child.
pub(crate) const NOTIFY_VARIABLE: &str = "NOTIFY_SOCKET";

/// The way to the service manager, if there is one.
pub(crate) struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    pub(crate) fn new(address: Option<&OsStr>) -> Notifier {
        Notifier(address.and_then(|address| {
            let address = match address.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok()?,
                [b'/', ..] => SocketAddr::from_pathname(address).ok()?,
                _ => return None,
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        }))
    }

    /// Best effort: a manager that does not listen must not hold the house up.
    pub(crate) fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.0 {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }

    /// Status of one line; a line break would begin a message of its own.
    pub(crate) fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", text.replace(['\n', '\r'], " ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_arrives_as_one_line() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("binds");
        let notifier = Notifier::new(Some(path.as_os_str()));
        notifier.status("three rooms\nREADY=1");
        let mut received = [0; 64];
        let length = manager.recv(&mut received).expect("receives");
        assert_eq!(&received[..length], b"STATUS=three rooms READY=1");
    }

    #[test]
    fn an_absent_or_strange_manager_is_no_fault() {
        for address in [None, Some("relative"), Some("/nowhere/at/all")] {
            Notifier::new(address.map(OsStr::new)).send("READY=1");
        }
        assert!(Notifier::new(Some(OsStr::new("relative"))).0.is_none());
    }
}
