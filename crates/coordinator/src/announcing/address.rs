//! Which addresses an instance may register: whatever it names, the gateway will call and the prober will
//! ask.
//!
//! Threat: the holder of one token turns the gateway into a deputy: it registers the address of another
//! service, of our own API or gateway, of a cloud's metadata service, or a name that means something else
//! tomorrow, or a server of this machine that only this machine can reach. So names are resolved once, at the
//! registration, and what they mean then is judged and kept; and whoever asks from another machine registers
//! that machine and no other.

use crate::api::{Caller, Who};
use haus_api::{Problem, ProblemCode};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How long a name may take to resolve.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(2);

/// Longest name (RFC 1035, section 2.3.4).
const HOST_CHARS_MAX: usize = 253;

/// Ports of this machine that belong to somebody, and whom: `the gateway`, `postgres/1`.
pub(super) type Taken = Vec<(SocketAddr, String)>;

/// The address that `host` means at the moment.
///
/// # Errors
/// It means none, or only ones that nobody may register.
pub(super) async fn resolve(host: &str, port: u16) -> Result<IpAddr, Problem> {
    if let Some(ip) = literal(host) {
        return permitted(ip).map_err(|why| refused(host, why)).map(|()| ip);
    }
    if host.len() > HOST_CHARS_MAX || !is_host_name(host) {
        return Err(Problem::new(ProblemCode::Invalid, "`address` is neither an address nor a host name")
            .with_hint("give an IP address such as 192.168.1.7, or a name that this machine can resolve"));
    }
    let unknown = |why: &str| {
        Problem::new(
            ProblemCode::Invalid,
            format!("the host name in `address` cannot be resolved here: {why}"),
        )
        .with_hint("give the IP address, or make the name known to this machine")
    };
    let found = tokio::time::timeout(RESOLVE_PATIENCE, tokio::net::lookup_host((host, port))).await;
    let found =
        found.map_err(|_| unknown("no answer within 2 s"))?.map_err(|error| unknown(&error.to_string()))?;
    let found: Vec<IpAddr> = found.map(|address| plain(address.ip())).collect();
    // Whoever lets a name mean a good and a bad address at once wants to be believed for the good one.
    for ip in &found {
        permitted(*ip).map_err(|why| refused(host, why))?;
    }
    let first_v4 = found.iter().find(|ip| ip.is_ipv4());
    first_v4.or(found.first()).copied().ok_or_else(|| unknown("it has no address"))
}

/// Whether an address and port belong to somebody of this house. `is_local` tells our machine's own
/// addresses.
///
/// # Errors
/// Whose it is.
pub(super) fn not_taken(address: SocketAddr, is_local: bool, taken: &Taken) -> Result<(), Problem> {
    let is_own = |other: IpAddr| other.is_loopback() || other.is_unspecified();
    let hit = taken.iter().find(|(other, _)| {
        let same_host =
            other.ip() == address.ip() || is_local && (is_own(other.ip()) || is_own(address.ip()));
        same_host && other.port() == address.port()
    });
    match hit {
        None => Ok(()),
        Some((_, whose)) => {
            let detail = format!("{address} belongs to {whose}: calls of this service would reach it");
            Err(Problem::new(ProblemCode::Conflict, detail)
                .with_hint("register the address and port that this instance itself listens on"))
        }
    }
}

/// Whether somebody may register this address: from this machine any, from another one only the address that
/// the request came from. Who may do everything may register everything.
///
/// # Errors
/// Why not.
pub(super) fn of_caller(caller: &Caller, ip: IpAddr) -> Result<(), String> {
    if caller.is_admin() {
        return Ok(());
    }
    let peer = match (&caller.who, &caller.address) {
        (Who::Account { .. } | Who::House, _) => return Ok(()),
        (Who::Anonymous | Who::Token(_), peer) => {
            peer.as_ref().and_then(|peer| peer.parse::<IpAddr>().ok()).map(plain)
        }
    };
    match peer {
        Some(peer) if peer == ip || is_local(peer) => Ok(()),
        Some(peer) => Err(format!(
            "the request came from {peer}, and from another machine only its own address can be registered, not {ip}"
        )),
        None => Err(format!("nobody can tell where the request came from, so {ip} may be somebody else's")),
    }
}

/// Whether this machine has the address: only its own ones can be bound.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || std::net::UdpSocket::bind((ip, 0)).is_ok()
}

fn literal(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    host.trim_start_matches('[').trim_end_matches(']').parse().ok().map(plain)
}

/// An IPv4 address in IPv6's clothes is the IPv4 address.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
    }
}

fn permitted(ip: IpAddr) -> Result<(), &'static str> {
    let is_link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        // fe80::/10
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    let is_broadcast =
        matches!(ip, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0 && !v4.is_unspecified());
    if ip.is_unspecified() {
        Err("it means every address of a machine and no certain one")
    } else if ip.is_multicast() || is_broadcast {
        Err("it means many machines at once")
    } else if is_link_local {
        Err(
            "it is link-local: addresses there belong to the network itself, such as a cloud's metadata service",
        )
    } else if carries_v4(ip) {
        Err("it carries another address in itself")
    } else {
        Ok(())
    }
}

/// Whether an IPv6 address carries an IPv4 address of any kind: 6to4 (2002::/16), NAT64 (64:ff9b::/96), or
/// the old compatible form (::/96).
fn carries_v4(ip: IpAddr) -> bool {
    let IpAddr::V6(v6) = ip else { return false };
    let parts = v6.segments();
    let is_compatible = parts[..6] == [0; 6] && !v6.is_loopback() && !v6.is_unspecified();
    is_compatible || parts[0] == 0x2002 || parts[..6] == [0x64, 0xff9b, 0, 0, 0, 0]
}

fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(is_inner) && !label.starts_with('-')
    };
    // A name of digits only is a number in disguise: some resolvers take 2130706433 for 127.0.0.1.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.chars().all(|c| c.is_ascii_digit());
    !is_number && host.trim_end_matches('.').split('.').all(is_label)
}

fn refused(host: &str, why: &str) -> Problem {
    let shown: String = host.chars().take(64).filter(|c| !c.is_control()).collect();
    Problem::new(ProblemCode::Invalid, format!("`address` {shown} cannot be registered: {why}"))
        .with_hint("give an address at which only this instance is reached")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: Result<&str, &str>) {
        let found = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = found.block_on(resolve(host, 80));
        match (found, expected) {
            (Ok(ip), Ok(expected)) => assert_eq!(ip.to_string(), expected, "{host}"),
            (Err(problem), Err(part)) => {
                assert!(problem.detail.contains(part), "{host}: {}", problem.detail);
                assert_eq!(problem.status, 422);
            }
            (found, expected) => panic!("{host}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn only_addresses_of_one_machine_can_be_registered() {
        check("192.168.1.7", Ok("192.168.1.7"));
        check("127.0.0.1", Ok("127.0.0.1"));
        check("LOCALHOST", Ok("127.0.0.1"));
        check("[::1]", Ok("::1"));
        check("2001:db8::7", Ok("2001:db8::7"));
        check("::ffff:10.0.0.7", Ok("10.0.0.7"));
        check("0.0.0.0", Err("every address"));
        check("::", Err("every address"));
        check("::ffff:0.0.0.0", Err("every address"));
        check("224.0.0.251", Err("many machines"));
        check("255.255.255.255", Err("many machines"));
        check("0.1.2.3", Err("many machines"));
        check("ff02::1", Err("many machines"));
        check("169.254.169.254", Err("link-local"));
        check("::ffff:169.254.169.254", Err("link-local"));
        check("fe80::1", Err("link-local"));
        check("febf::1", Err("link-local"));
        check("64:ff9b::a9fe:a9fe", Err("carries another"));
        check("2002:a9fe:a9fe::", Err("carries another"));
        check("::a9fe:a9fe", Err("carries another"));
    }

    #[test]
    fn what_is_no_name_is_not_resolved() {
        for host in
            ["", "2130706433", "0x7f000001", "127.1", "a b", "a/b", "user@host", "host:80", "-a", "a..b", "ä"]
        {
            check(host, Err("neither an address nor a host name"));
        }
        check(&"a.".repeat(200), Err("neither an address nor a host name"));
    }

    #[track_caller]
    fn check_caller(peer: Option<&str>, address: &str, expected: bool) {
        let caller =
            Caller { who: Who::Anonymous, address: peer.map(str::to_owned), request_id: "test".to_owned() };
        let found = of_caller(&caller, address.parse().unwrap());
        assert_eq!(found.is_ok(), expected, "{peer:?} registers {address}: {found:?}");
    }

    #[test]
    fn from_another_machine_only_its_own_address_is_registered() {
        check_caller(Some("192.0.2.7"), "192.0.2.7", true);
        check_caller(Some("::ffff:192.0.2.7"), "192.0.2.7", true);
        check_caller(Some("127.0.0.1"), "127.0.0.1", true);
        check_caller(Some("127.0.0.1"), "192.0.2.7", true);
        check_caller(Some("::1"), "127.0.0.1", true);
        for other in ["127.0.0.1", "::1", "192.0.2.8", "10.0.0.1"] {
            check_caller(Some("192.0.2.7"), other, false);
        }
        check_caller(None, "127.0.0.1", false);
        assert!(of_caller(&Caller::house("test"), "127.0.0.1".parse().unwrap()).is_ok());
    }

    #[track_caller]
    fn check_taken(address: &str, is_local: bool, expected: Option<&str>) {
        let taken =
            [("127.0.0.1:8080", "the gateway"), ("0.0.0.0:8000", "the API"), ("10.0.0.1:5432", "db/1")];
        let taken: Taken =
            taken.iter().map(|(at, whose)| (at.parse().unwrap(), (*whose).to_owned())).collect();
        let found = not_taken(address.parse().unwrap(), is_local, &taken).err();
        assert_eq!(found.is_some(), expected.is_some(), "{address}");
        if let (Some(problem), Some(whose)) = (found, expected) {
            assert!(problem.detail.contains(whose) && problem.status == 409, "{}", problem.detail);
        }
    }

    #[test]
    fn nobody_registers_the_address_of_somebody_else() {
        check_taken("127.0.0.1:8080", true, Some("the gateway"));
        check_taken("127.0.0.2:8080", true, Some("the gateway"));
        check_taken("10.0.0.9:8080", true, Some("the gateway"));
        check_taken("10.0.0.9:8000", true, Some("the API"));
        check_taken("10.0.0.9:8080", false, None);
        check_taken("10.0.0.1:5432", false, Some("db/1"));
        check_taken("127.0.0.1:5432", true, Some("db/1"));
        check_taken("127.0.0.1:9000", true, None);
    }

    #[test]
    fn this_machine_knows_its_own_addresses() {
        assert!(is_local("127.0.0.1".parse().unwrap()));
        assert!(!is_local("192.0.2.1".parse().unwrap()));
    }
}
