//! A machine of a test's own: this one, with another `/var/lib` or another account, so that nothing of a test
//! lies on the machine that it runs on.

use haus_apply::channel::{Channel, Ended};
use haus_apply::local::Local;
use haus_apply::transport::{Obstacle, Purpose, Transport, TransportError};
use haus_testkit::is_root;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// The local road into such a machine. It counts its connections.
#[derive(Debug)]
pub(crate) struct Private {
    folder: TempDir,
    local: Local,
    pub(crate) started: AtomicU32,
    /// Put in front of each command, such as another account.
    pub(crate) through: Vec<String>,
}

impl Private {
    pub(crate) fn new() -> Private {
        let folder = tempfile::tempdir().expect("a folder");
        let mut local = Local::default();
        local.environment.insert("HOME".into(), folder.path().into());
        Private { folder, local, started: AtomicU32::new(0), through: Vec::new() }
    }

    /// As an account that is not root and has a home of its own. Only root can do that.
    pub(crate) fn as_nobody() -> Private {
        let mut private = Private::new();
        let words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
        private.through = words.map(str::to_owned).to_vec();
        std::os::unix::fs::chown(private.folder.path(), Some(65534), Some(65534)).expect("root may");
        private
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the program lies, seen from outside.
    pub(crate) fn programs(&self) -> PathBuf {
        let as_root = is_root() && self.through.first().is_none_or(|word| word != "setpriv");
        self.path().join(if as_root { "haus-remote/bin" } else { ".local/state/haus-remote/bin" })
    }

    pub(crate) fn put_in_path(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.path().join("path");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(name), script).expect("writes");
        let access = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.join(name), access).expect("may be run");
    }
}

impl Transport for Private {
    fn road(&self) -> String {
        "private".to_owned()
    }

    fn start(&self, argv: &[String], purpose: Purpose) -> Result<Channel, TransportError> {
        self.started.fetch_add(1, Ordering::SeqCst);
        let folder = self.path().display().to_string();
        let mut words: Vec<String> = Vec::new();
        if is_root() {
            let script = "mount --bind \"$0\" /var/lib && PATH=$0/path:$PATH exec \"$@\"";
            words.extend(["unshare", "--mount", "--", "sh", "-c", script, &folder].map(str::to_owned));
        }
        words.extend(self.through.iter().cloned());
        words.extend(argv.iter().cloned());
        self.local.start(&words, purpose)
    }

    fn explain(&self, _ended: &Ended) -> Option<Obstacle> {
        None
    }
}
