//! An address that the core before may still hold: asked for again until that one is gone.
//!
//! A core that was killed keeps its sockets until its last thread has come back from the kernel, and one that
//! waits for a slow disk takes seconds. It does not know what is opened there.

use crate::occupant;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// Whoever has it longer than this stays.
const PATIENCE: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(50);

/// Opens what listens on this address. It blocks while the address is taken by what may be a core on its way
/// out; a stranger is told of at once.
///
/// # Errors
/// That of the last try.
pub(crate) fn once_free<T, E>(
    address: SocketAddr,
    mut open: impl FnMut() -> Result<T, E>,
    is_taken: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(error)
                if is_taken(&error) && begun.elapsed() < PATIENCE && occupant::may_be_leaving(address) =>
            {
                thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::net::TcpListener;

    fn is_taken(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::AddrInUse
    }

    #[test]
    fn an_address_is_had_as_soon_as_the_one_before_is_gone() {
        let before = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = before.local_addr().unwrap();
        let (mut before, mut refused) = (Some(before), 0);
        let open = || {
            let outcome = TcpListener::bind(address);
            refused += u32::from(outcome.is_err());
            if refused == 2 {
                before = None;
            }
            outcome
        };
        assert_eq!(once_free(address, open, is_taken).unwrap().local_addr().unwrap(), address);
        assert_eq!(refused, 2);
    }

    #[test]
    fn what_is_wrong_otherwise_is_told_at_once() {
        let mut tries = 0;
        let open = || {
            tries += 1;
            Err::<(), _>(io::Error::from(io::ErrorKind::AddrNotAvailable))
        };
        let told = once_free("192.0.2.1:80".parse().unwrap(), open, is_taken).unwrap_err();
        assert_eq!((told.kind(), tries), (io::ErrorKind::AddrNotAvailable, 1));
    }
}
