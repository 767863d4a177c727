//! Ranges of addresses in CIDR notation. Knows no networks and no hosts.

use super::host_form::digits;
use std::net::IpAddr;

/// A range of addresses (RFC 4632, section 3.1; RFC 4291, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    first: IpAddr,
    length: u8,
}

impl Range {
    /// One address alone.
    pub(crate) fn single(address: IpAddr) -> Range {
        Range { first: address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether the address lies inside.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                first.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                first.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether some address lies in both. Of two ranges that meet, one holds the other.
    pub(crate) fn overlaps(self, other: Range) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// First and last address, to sort ranges by.
    pub(crate) fn bounds(self) -> (IpAddr, IpAddr) {
        let last = match self.first {
            IpAddr::V4(first) => {
                let rest = u32::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                IpAddr::from((first.to_bits() | rest).to_be_bytes())
            }
            IpAddr::V6(first) => {
                let rest = u128::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                IpAddr::from((first.to_bits() | rest).to_be_bytes())
            }
        };
        (self.first, last)
    }
}

/// Reads `10.20.0.0/24`; an address that is not the first of its range is none.
pub(crate) fn parse_range(text: &str) -> Option<Range> {
    let (address, length) = text.split_once('/')?;
    let first: IpAddr = address.parse().ok()?;
    let most = if first.is_ipv4() { 32 } else { 128 };
    let length: u8 = digits(length)?.try_into().ok().filter(|length| *length <= most)?;
    let range = Range { first, length };
    let one_less = first_of(range);
    (one_less == first).then_some(range)
}

/// The address with everything behind the length set to zero.
fn first_of(range: Range) -> IpAddr {
    match range.first {
        IpAddr::V4(first) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(range.length)).unwrap_or(0);
            IpAddr::from((first.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(first) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(range.length)).unwrap_or(0);
            IpAddr::from((first.to_bits() & mask).to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        parse_range(text).unwrap()
    }

    #[test]
    fn ranges_know_what_lies_in_them() {
        let lan = range("10.20.0.0/24");
        assert!(lan.contains("10.20.0.255".parse().unwrap()));
        assert!(!lan.contains("10.20.1.0".parse().unwrap()));
        assert!(!lan.contains("::1".parse().unwrap()));
        assert!(range("0.0.0.0/0").contains("1.2.3.4".parse().unwrap()));
        assert!(lan.overlaps(range("10.0.0.0/8")) && range("10.0.0.0/8").overlaps(lan));
        assert!(!lan.overlaps(range("10.20.1.0/24")));
        assert!(range("fd00::/8").contains("fd12::1".parse().unwrap()));
        assert_eq!(lan.bounds().1, "10.20.0.255".parse::<IpAddr>().unwrap());
        assert_eq!(range("::/0").bounds().1, IpAddr::from([255; 16]));
        assert_eq!(Range::single("10.0.0.1".parse().unwrap()), range("10.0.0.1/32"));
    }
}
