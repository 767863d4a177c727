//! Who listens where: the kernel's tables of sockets, and the processes and units behind them as far as we
//! may see.

use haus_model::host::Protocol;
use haus_model::inventory::Listener;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TABLES: [(&str, Protocol, &str); 4] = [
    ("/proc/net/tcp", Protocol::Tcp, LISTEN),
    ("/proc/net/tcp6", Protocol::Tcp, LISTEN),
    ("/proc/net/udp", Protocol::Udp, UNCONNECTED),
    ("/proc/net/udp6", Protocol::Udp, UNCONNECTED),
];

/// States of sockets as the kernel writes them.
const LISTEN: &str = "0A";
const UNCONNECTED: &str = "07";

/// Everything that listens.
pub(super) fn listeners() -> BTreeSet<Listener> {
    let mut sockets = Vec::new();
    for (table, protocol, state) in TABLES {
        let text = fs::read_to_string(table).unwrap_or_default();
        sockets
            .extend(text.lines().filter_map(|line| socket_of(line, state)).map(|socket| (protocol, socket)));
    }
    let owners = owners(&sockets.iter().map(|(_, socket)| socket.inode).collect());
    let listener = |(protocol, socket): (Protocol, Socket)| {
        let owner = owners.get(&socket.inode);
        Listener {
            protocol,
            address: socket.address,
            port: socket.port,
            process: owner.map(|owner| owner.0.clone()),
            unit: owner.and_then(|owner| owner.1.clone()),
        }
    };
    sockets.into_iter().map(listener).collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

fn socket_of(line: &str, state: &str) -> Option<Socket> {
    let parts: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = parts.get(1)?.split_once(':')?;
    if *parts.get(3)? != state {
        return None;
    }
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes())),
        32 => IpAddr::V6(Ipv6Addr::from(six(address)?)),
        _ => return None,
    };
    let port = u16::from_str_radix(port, 16).ok().filter(|port| *port != 0)?;
    Some(Socket { address, port, inode: parts.get(9)?.parse().ok()? })
}

/// Four words in the order of the machine.
fn six(digits: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    for (at, word) in bytes.chunks_exact_mut(4).enumerate() {
        let digits = digits.get(at * 8..at * 8 + 8)?;
        word.copy_from_slice(&u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    }
    Some(bytes)
}

/// Process and unit by socket. Other accounts' descriptors are only seen by root.
fn owners(wanted: &BTreeSet<u64>) -> BTreeMap<u64, (String, Option<String>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            continue;
        }
        let process = entry.path();
        let mut owner = None;
        for descriptor in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let inode = target.to_str().and_then(inode_of).filter(|inode| wanted.contains(inode));
            if let Some(inode) = inode {
                let owner = owner.get_or_insert_with(|| {
                    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
                    let group = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
                    (name.trim().to_owned(), unit_of(&group))
                });
                // systemd holds the sockets of a socket-activated service as well; the service is who counts.
                if owner.0 == "systemd" {
                    found.entry(inode).or_insert_with(|| owner.clone());
                } else {
                    found.insert(inode, owner.clone());
                }
            }
        }
    }
    found
}

fn inode_of(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The innermost service of a control group.
fn unit_of(text: &str) -> Option<String> {
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix("0::").or(line.split_once("name=systemd:").map(|it| it.1)))?;
    path.rsplit('/').find(|part| part.ends_with(".service")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_sockets() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        let socket = Socket { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 8080, inode: 4711 };
        assert_eq!(socket_of(line, LISTEN), Some(socket));
        assert_eq!(socket_of(line, UNCONNECTED), None);
        assert_eq!(socket_of("  sl  local_address rem_address   st", LISTEN), None);
        let six = "0: 00000000000000000000000001000000:0016 0:0 0A 0 0 0 0 0 9";
        assert_eq!(
            socket_of(six, LISTEN).map(|socket| socket.address),
            Some(IpAddr::V6(Ipv6Addr::LOCALHOST))
        );
    }

    #[test]
    fn the_unit_is_the_innermost_service() {
        assert_eq!(unit_of("0::/system.slice/nginx.service\n").as_deref(), Some("nginx.service"));
        assert_eq!(unit_of("0::/user.slice/user-0.slice/session-1.scope\n"), None);
    }

    #[test]
    fn our_own_listener_is_seen_with_its_process() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
        let port = server.local_addr().expect("has one").port();
        let all = listeners();
        let ours = all.iter().find(|one| one.port == port && one.protocol == Protocol::Tcp).expect("is seen");
        assert_eq!(ours.address, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(ours.process.is_some());
    }
}
