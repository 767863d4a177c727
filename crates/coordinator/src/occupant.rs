//! Who sits on a port: tells the process that listens there, as far as we may see it.

use std::fs;
use std::net::{SocketAddr, TcpListener};

/// Whether an address is free to listen on; otherwise what is known of the one who has it.
///
/// The port is free again when this returns, so somebody else may still take it first: the
/// answer makes a good error, not a guarantee.
///
/// # Errors
/// One sentence for people.
pub(crate) fn check_free(address: SocketAddr) -> Result<(), String> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(in_use(address)),
        Err(error) => Err(format!("cannot listen on {address}: {error}")),
    }
}

/// The sentence for an address in use.
pub(crate) fn in_use(address: SocketAddr) -> String {
    match listener(address.port()) {
        Some((pid, name)) => format!("{address} is in use by process {pid} ({name})"),
        None => format!("{address} is in use by another process"),
    }
}

/// Whether the one who has it may be a core that was killed and is not gone yet: one of our own program, or
/// nobody who can be told, since a process on its way out shows its descriptors no more.
pub(crate) fn may_be_leaving(address: SocketAddr) -> bool {
    let own = fs::read_to_string("/proc/self/comm").unwrap_or_default();
    listener(address.port()).is_none_or(|(_, name)| name == own.trim())
}

/// The process that listens on a TCP port.
fn listener(port: u16) -> Option<(u32, String)> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| table.lines().filter_map(|line| listening_inode(line, port)).collect::<Vec<_>>())
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else { continue };
        let has_it = files.flatten().any(|file| {
            fs::read_link(file.path())
                .is_ok_and(|target| wanted.iter().any(|want| target.as_os_str() == want.as_str()))
        });
        if has_it {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

/// The inode of a line of `/proc/net/tcp` (proc(5)) when it listens (state 0A) on the port.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, hex_port) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == "0A" && u16::from_str_radix(hex_port, 16) == Ok(port);
    if listens { fields.get(9).map(|inode| (*inode).to_owned()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_occupant_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = check_free(address).unwrap_err();
        assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
        drop(listener);
        assert_eq!(check_free(address), Ok(()));
    }
}
