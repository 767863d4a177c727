//! Places that one party alone cannot take all of.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// So many places, and of them so many for each party.
#[derive(Debug)]
pub(crate) struct Shares {
    all: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_party: BTreeMap<String, usize>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    shares: Arc<Shares>,
    party: String,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The party has all that it may have.
    Party,
    /// All are taken.
    All,
}

impl Shares {
    /// So many places.
    pub(crate) fn new(all: usize) -> Arc<Shares> {
        Arc::new(Shares { all, taken: Mutex::default() })
    }

    /// A place for this party, which has fewer than `own` of them.
    pub(crate) fn take(self: &Arc<Shares>, party: &str, own: usize) -> Result<Place, Full> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.by_party.get(party).copied().unwrap_or_default() >= own {
            return Err(Full::Party);
        }
        if taken.all >= self.all {
            return Err(Full::All);
        }
        taken.all += 1;
        *taken.by_party.entry(party.to_owned()).or_default() += 1;
        Ok(Place { shares: Arc::clone(self), party: party.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.by_party.get_mut(&self.party) {
            *count -= 1;
            if *count == 0 {
                taken.by_party.remove(&self.party);
            }
        }
    }
}

/// The party that an address belongs to: one network of a home or a hoster has 2^64 addresses of IPv6, and
/// this machine has more than one of its own.
pub(crate) fn party_of(address: IpAddr) -> String {
    match address.to_canonical() {
        address if address.is_loopback() => "loopback".to_owned(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_party_leaves_places_to_others_and_gets_its_own_back() {
        let shares = Shares::new(3);
        let first = shares.take("a", 2).unwrap();
        let _second = shares.take("a", 2).unwrap();
        assert_eq!(shares.take("a", 2).unwrap_err(), Full::Party);
        let _third = shares.take("b", 2).unwrap();
        assert_eq!(shares.take("c", 2).unwrap_err(), Full::All);
        drop(first);
        assert!(shares.take("a", 2).is_ok());
        assert_eq!(shares.taken.lock().unwrap().by_party.len(), 2, "who has none is forgotten");
    }

    fn check(address: &str, expected: &str) {
        assert_eq!(party_of(address.parse().unwrap()), expected, "{address}");
    }

    #[test]
    fn addresses_that_one_peer_has_for_itself_are_one_party() {
        check("127.0.0.1", "loopback");
        check("127.8.9.1", "loopback");
        check("::1", "loopback");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
    }
}
