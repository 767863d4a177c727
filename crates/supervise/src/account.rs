//! Accounts of the machine: looking them up, and creating our own for services.
//! It does not know which service gets which account, only how a name of ours is formed.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::process::{Command, Stdio};

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// All groups, the primary one included.
    pub groups: Vec<u32>,
    /// Home folder as the account database says.
    pub home: String,
}

/// Why an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name cannot be an account.
    #[error("`{name}` cannot be the name of an account")]
    Name {
        /// The name.
        name: String,
    },
    /// The account database could not be read.
    #[error("cannot look up account {name}")]
    Lookup {
        /// The account.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such account, and it is not one of ours to create.
    #[error("there is no account {name}")]
    Missing {
        /// The account.
        name: String,
    },
    /// `useradd` could not be run.
    #[error("cannot run useradd for account {name}")]
    Run {
        /// The account.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `useradd` refused.
    #[error("useradd refused account {name}: {message}")]
    Refused {
        /// The account.
        name: String,
        /// What it said.
        message: String,
    },
}

impl AccountError {
    /// What the reader can do about it.
    pub fn remedy(&self) -> String {
        match self {
            AccountError::Name { .. } => {
                format!("use at most {NAME_BYTES_MAX} of a-z, 0-9, `-` and `_`, a letter first")
            }
            AccountError::Lookup { .. } => String::from("look at /etc/passwd and /etc/nsswitch.conf"),
            AccountError::Missing { name }
            | AccountError::Run { name, .. }
            | AccountError::Refused { name, .. } => {
                format!("create it as root: useradd {} {name}", USERADD_ARGUMENTS.join(" "))
            }
        }
    }
}

const PREFIX: &str = "haus-";
const NAME_BYTES_MAX: usize = 32;
const USERADD_ARGUMENTS: [&str; 7] = [
    "--system",
    "--user-group",
    "--no-create-home",
    "--home-dir",
    "/nonexistent",
    "--shell",
    "/usr/sbin/nologin",
];

/// Looks an account up by name.
pub fn lookup(name: &str) -> Result<Option<Account>, AccountError> {
    let bad_name = || AccountError::Name { name: name.to_owned() };
    let c_name = CString::new(name).map_err(|_| bad_name())?;
    let ask = |entry: *mut libc::passwd, buffer: &mut [libc::c_char], found: *mut *mut libc::passwd| {
        // SAFETY: all pointers are valid for the call, and the lengths are theirs.
        unsafe { libc::getpwnam_r(c_name.as_ptr(), entry, buffer.as_mut_ptr(), buffer.len(), found) }
    };
    read_entry(ask).map_err(|source| AccountError::Lookup { name: name.to_owned(), source })
}

/// Name of the account this process runs as; the number when it has no name.
pub fn own_user_name() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let ask = |entry: *mut libc::passwd, buffer: &mut [libc::c_char], found: *mut *mut libc::passwd| {
        // SAFETY: all pointers are valid for the call, and the lengths are theirs.
        unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), found) }
    };
    match read_entry(ask) {
        Ok(Some(account)) => account.name,
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}

/// Looks an account up and, when it is one of ours (`haus-…`) and we are root, creates it.
pub fn ensure(name: &str) -> Result<Account, AccountError> {
    if let Some(account) = lookup(name)? {
        return Ok(account);
    }
    if !name.starts_with(PREFIX) || !rustix::process::geteuid().is_root() {
        return Err(AccountError::Missing { name: name.to_owned() });
    }
    if name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(AccountError::Name { name: name.to_owned() });
    }
    let output = Command::new("useradd")
        .args(USERADD_ARGUMENTS)
        .arg(name)
        .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| AccountError::Run { name: name.to_owned(), source })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(AccountError::Refused { name: name.to_owned(), message });
    }
    lookup(name)?.ok_or_else(|| AccountError::Missing { name: name.to_owned() })
}

/// Our name for the account of a service: `haus-HOUSE-SERVICE`, shortened with a hash where that would not be
/// a unique, valid name.
pub fn own_name(house: &str, service: &str) -> String {
    let plain = format!("{PREFIX}{house}-{service}");
    // With a dash in the house, `a-b` + `c` and `a` + `b-c` would share an account.
    let is_unique = !house.contains('-') && plain.bytes().all(is_plain);
    if is_unique && plain.len() <= NAME_BYTES_MAX {
        return plain;
    }
    let hash = stable_hash(house.bytes().chain([0]).chain(service.bytes()));
    let readable: String =
        plain.bytes().map(|byte| if is_plain(byte) { char::from(byte) } else { '-' }).collect();
    let room = NAME_BYTES_MAX - 9;
    format!("{}-{hash:08x}", &readable[..readable.len().min(room)])
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
}

/// FNV-1a, folded to 32 bits: names of accounts must be the same in every release, which std's hasher does
/// not promise.
fn stable_hash(bytes: impl Iterator<Item = u8>) -> u32 {
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32) as u32 ^ hash as u32
}

fn read_entry(
    ask: impl Fn(*mut libc::passwd, &mut [libc::c_char], *mut *mut libc::passwd) -> i32,
) -> io::Result<Option<Account>> {
    let mut buffer = vec![0; 4096];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = std::ptr::null_mut();
        match ask(entry.as_mut_ptr(), &mut buffer, &mut found) {
            0 if found.is_null() => return Ok(None),
            // SAFETY: on success `found` points to `entry`, whose strings live in `buffer`.
            0 => return Ok(Some(unsafe { account_of(&*found) })),
            libc::ERANGE if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 2, 0),
            libc::ENOENT | libc::ESRCH => return Ok(None),
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// # Safety
/// The strings of `entry` must be valid.
unsafe fn account_of(entry: &libc::passwd) -> Account {
    // SAFETY: by contract.
    let (name, home) = unsafe { (CStr::from_ptr(entry.pw_name), CStr::from_ptr(entry.pw_dir)) };
    let mut groups = vec![0; 64];
    loop {
        let mut count = groups.len() as libc::c_int;
        // SAFETY: `count` is the room in `groups`; the call writes no more and says how many there are.
        let fits =
            unsafe { libc::getgrouplist(name.as_ptr(), entry.pw_gid, groups.as_mut_ptr(), &mut count) };
        let known = usize::try_from(count).unwrap_or(0);
        if fits >= 0 || known <= groups.len() {
            groups.truncate(known);
            break;
        }
        groups.resize(known, 0);
    }
    let text = |text: &CStr| text.to_string_lossy().into_owned();
    Account { name: text(name), uid: entry.pw_uid, gid: entry.pw_gid, groups, home: text(home) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(house: &str, service: &str, expected: &str) {
        let name = own_name(house, service);
        assert_eq!(name, expected);
        assert!(name.len() <= NAME_BYTES_MAX && name.bytes().all(is_plain), "{name}");
    }

    #[test]
    fn names_of_our_accounts_are_short_valid_and_unique() {
        check("zimmer", "api", "haus-zimmer-api");
        check("zimmer", "speicher-redis", "haus-zimmer-speicher-redis");
        check("zimmer", "a-service-with-a-very-long-name", "haus-zimmer-a-service-w-79a23fda");
        check("zimmer", "Über", "haus-zimmer---ber-21a283df");
        assert_ne!(own_name("a-b", "c"), own_name("a", "b-c"));
        assert_ne!(own_name("a.b", "c"), own_name("a_b", "c"));
    }

    #[test]
    fn root_is_found_and_a_stranger_is_not() {
        let root = lookup("root").expect("reads").expect("root exists");
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(lookup("haus-nobody-has-this-name").expect("reads"), None);
        assert!(!own_user_name().is_empty());
    }

    #[test]
    fn a_missing_foreign_account_is_never_created_and_the_remedy_names_the_command() {
        let refusal = ensure("ltc-does-not-exist").expect_err("missing");
        assert!(matches!(refusal, AccountError::Missing { .. }));
        assert!(
            refusal.remedy().contains("useradd --system") && refusal.remedy().ends_with("ltc-does-not-exist")
        );
        assert!(matches!(lookup("a\0b"), Err(AccountError::Name { .. })));
    }
}
