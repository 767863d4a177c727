//! What goes into the image: Debian's packages, this machine's own package sources and its trust, one script.
//! Everything that was taken over is part of the recipe's hash, so a machine that changes gets a new image.
//! Nothing of it is ever written into the repository.

use crate::error::LabError;
use crate::files;
use crate::hash::fnv64;
use crate::tool::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a small server has, and what the product's transports and peers need on it.
pub(crate) const PACKAGES: [&str; 16] = [
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "udev",
    "dbus",
    "openssh-server",
    "sudo",
    "python3",
    "nftables",
    "iproute2",
    "iputils-ping",
    "procps",
    "ca-certificates",
    "curl",
    "git",
    "rsync",
];

/// Inside the image, once.
pub(crate) const FURNISH: &str = include_str!("furnish.sh");

/// Raised when the way an image is built changes without any of its inputs.
const EDITION: &str = "1";

/// Variables with which a machine tells its package tools about proxies and certificates.
const INHERITED_VARIABLES: [&str; 11] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
];

/// A file of this machine that every host gets as well.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(crate) path: PathBuf,
    contents: Vec<u8>,
}

/// All that an image is made of.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) suite: String,
    /// Files that say where packages come from; also what the image is built from.
    pub(crate) sources: Vec<PathBuf>,
    pub(crate) inherited: Vec<Inherited>,
    /// Settings of apt that are about fetching: proxies, time-outs, languages.
    pub(crate) apt_settings: String,
    pub(crate) environment: String,
}

impl Recipe {
    /// Reads it off this machine.
    pub(crate) fn of_this_machine() -> Result<Recipe, LabError> {
        let suite = suite(&files::read(Path::new("/etc/os-release"))?)?;
        let sources = sources()?;
        let mut paths = sources.clone();
        for folder in ["/etc/apt/trusted.gpg.d", "/etc/apt/keyrings", "/usr/share/keyrings"] {
            paths.extend(files_in(Path::new(folder))?);
        }
        for folder in ["/etc/apt/preferences.d", "/etc/apt/auth.conf.d", "/usr/local/share/ca-certificates"] {
            paths.extend(files_in(Path::new(folder))?);
        }
        paths.extend(["/etc/apt/trusted.gpg", "/etc/pip.conf", "/etc/npmrc"].map(PathBuf::from));
        let mut inherited = Vec::new();
        for path in paths {
            match std::fs::read(&path) {
                Ok(contents) => inherited.push(Inherited { path, contents }),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(LabError::file("read", path)(source)),
            }
        }
        let dump = run("read apt's settings", Command::new("apt-config").args(["dump", "Acquire"]))?;
        let variables = INHERITED_VARIABLES
            .iter()
            .filter_map(|name| std::env::var(name).ok().map(|value| ((*name).to_owned(), value)));
        Ok(Recipe {
            suite,
            sources,
            inherited,
            apt_settings: fetching(&dump),
            environment: environment(variables),
        })
    }

    /// The name of the image that it makes.
    pub(crate) fn hash(&self) -> String {
        let mut bytes = Vec::new();
        let texts = [EDITION, std::env::consts::ARCH, &self.suite, &self.apt_settings, &self.environment];
        for text in texts.into_iter().chain(PACKAGES).chain([FURNISH]) {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        for file in &self.inherited {
            bytes.extend_from_slice(file.path.as_os_str().as_encoded_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&file.contents);
            bytes.push(0);
        }
        format!("{:016x}", fnv64(&bytes))
    }

    /// Puts what was taken over into an image.
    pub(crate) fn place_inherited(&self, root: &Path) -> Result<(), LabError> {
        for file in &self.inherited {
            let to = inside(root, &file.path);
            if let Some(parent) = to.parent() {
                files::make_folder(parent)?;
            }
            // A keyring may be a link into a package; the image keeps its own.
            files::remove(&to)?;
            std::fs::write(&to, &file.contents).map_err(LabError::file("write", &to))?;
            if file.path.starts_with("/etc/apt/auth.conf.d") {
                files::set_mode(&to, 0o600)?;
            }
        }
        files::write(&root.join("etc/apt/apt.conf.d/90machine"), &self.apt_settings)?;
        files::write(&root.join("etc/environment"), &self.environment)
    }
}

/// An absolute path as it is inside of an image.
pub(crate) fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The name of the release, where this machine is one that the lab can copy.
fn suite(os_release: &str) -> Result<String, LabError> {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_matches('"').to_owned())
    };
    match (value("ID=").as_deref(), value("VERSION_CODENAME=")) {
        (Some("debian"), Some(suite)) => Ok(suite),
        (Some(_) | None, Some(_) | None) => Err(LabError::Unfit {
            reason:
                "its hosts are copies of a Debian machine with a released suite, and /etc/os-release says \
                     that this is none"
                    .to_owned(),
        }),
    }
}

fn sources() -> Result<Vec<PathBuf>, LabError> {
    let mut sources = vec![PathBuf::from("/etc/apt/sources.list")];
    sources.retain(|path| path.is_file());
    let more = files_in(Path::new("/etc/apt/sources.list.d"))?;
    sources.extend(more.into_iter().filter(|path| {
        path.extension().is_some_and(|extension| extension == "list" || extension == "sources")
    }));
    if sources.is_empty() {
        let reason = "it names no package source, neither in /etc/apt/sources.list nor beside it".to_owned();
        return Err(LabError::Unfit { reason });
    }
    Ok(sources)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, LabError> {
    let paths = files::names_in(folder)?.into_iter().map(|name| folder.join(name));
    Ok(paths.filter(|path| path.is_file()).collect())
}

/// From everything that apt knows about fetching, the lines that somebody has set. Hooks are not among them:
/// they name programs of this machine.
fn fetching(dump: &str) -> String {
    let is_wanted = |line: &&str| {
        let name = line.split_whitespace().next().unwrap_or_default();
        let told = !line.ends_with(" \"\";");
        let generic = ["Acquire::IndexTargets", "Acquire::cdrom", "Acquire::CompressionTypes"];
        told && !generic.iter().any(|start| name.starts_with(start))
    };
    dump.lines().filter(is_wanted).map(|line| format!("{line}\n")).collect()
}

fn environment(variables: impl Iterator<Item = (String, String)>) -> String {
    let mut lines: Vec<String> = variables
        // A bundle somewhere else on this machine is not on a host; the system's own bundle is.
        .filter(|(name, value)| {
            name.to_lowercase().ends_with("proxy") || value == "/etc/ssl/certs/ca-certificates.crt"
        })
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    lines.sort();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_a_debian_is_found() {
        assert_eq!(suite("ID=debian\nVERSION_CODENAME=bookworm\n").unwrap(), "bookworm");
        assert_eq!(suite("ID=\"debian\"\nVERSION_CODENAME=\"trixie\"\n").unwrap(), "trixie");
    }

    #[test]
    fn another_system_is_no_model_for_a_host() {
        assert!(suite("ID=ubuntu\nVERSION_CODENAME=noble\n").unwrap_err().is_missing_tool());
        assert!(suite("ID=debian\n").is_err());
    }

    #[test]
    fn only_settings_with_a_value_and_about_fetching_are_taken_over() {
        let dump = "Acquire \"\";\nAcquire::http::Proxy \"http://10.0.0.1:3142\";\n\
                    Acquire::IndexTargets::deb::Packages::MetaKey \"x\";\nAcquire::Languages \"\";\n\
                    Acquire::Languages:: \"none\";\n";
        let kept = "Acquire::http::Proxy \"http://10.0.0.1:3142\";\nAcquire::Languages:: \"none\";\n";
        assert_eq!(fetching(dump), kept);
    }

    #[test]
    fn proxies_and_the_systems_bundle_go_along_other_bundles_do_not() {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let variables = [
            set("http_proxy", "http://p:1"),
            set("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt"),
            set("SSL_CERT_FILE", "/home/me/ca.pem"),
        ];
        let text = environment(variables.into_iter());
        assert_eq!(text, "PIP_CERT=/etc/ssl/certs/ca-certificates.crt\nhttp_proxy=http://p:1\n");
    }
}
