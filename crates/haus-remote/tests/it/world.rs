//! A machine in a temporary folder: its root, our state folder, and what is wanted of it.

use super::talk::Talk;
use haus_model::Fingerprint;
use haus_model::host::Access;
use haus_model::resource::{
    BuildCommand, CommandSpec, Content, DirectorySpec, FileSpec, KeysSpec, LinkSpec, ReleaseSource,
    ReleaseSpec, Spec, SwitchSpec,
};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A machine.
pub(crate) struct World {
    folder: tempfile::TempDir,
    /// The account that runs the tests.
    pub(crate) user: String,
    /// Its group.
    pub(crate) group: String,
}

impl World {
    /// An empty one with the account of the tests.
    pub(crate) fn new() -> World {
        World::below(&std::env::temp_dir())
    }

    /// One in memory where that is possible: what is killed and not cut off from power needs no disk.
    pub(crate) fn in_memory() -> World {
        let memory = Path::new("/dev/shm");
        World::below(if memory.is_dir() { memory } else { Path::new("/tmp") })
    }

    fn below(folder: &Path) -> World {
        let folder = tempfile::tempdir_in(folder).expect("a folder");
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let root = folder.path().join("root");
        for name in ["etc", "home/tester", "srv/api", "run", "proc"] {
            fs::create_dir_all(root.join(name)).expect("makes");
        }
        let passwd = format!("tester:x:{uid}:{gid}::/home/tester:/bin/sh\n");
        fs::write(root.join("etc/passwd"), passwd).expect("writes");
        fs::write(root.join("etc/group"), format!("tester:x:{gid}:\n")).expect("writes");
        let name = || "tester".to_owned();
        World { folder, user: name(), group: name() }
    }

    /// Its root.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Our folder for the house.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state/zimmer")
    }

    /// The program on it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haus-remote"));
        command.arg("serve").env("HAUS_REMOTE_ROOT", self.root());
        command.env("HAUS_REMOTE_STATE", self.folder.path().join("state"));
        command
    }

    /// A session.
    pub(crate) fn talk(&self) -> Talk {
        Talk::start(&mut self.command())
    }

    /// These bits, owned by the tests.
    pub(crate) fn access(&self, mode: u32) -> Access {
        Access { owner: self.user.clone(), group: self.group.clone(), mode }
    }

    /// A file with text.
    pub(crate) fn file(&self, path: &str, text: &str) -> Spec {
        let content = Content::Text(text.to_owned());
        Spec::File(FileSpec { path: path.into(), content, access: self.access(0o644), check: None })
    }

    /// A file with a check.
    pub(crate) fn checked(&self, path: &str, text: &str, check: &[&str]) -> Spec {
        let check = Some(check.iter().map(|word| (*word).to_owned()).collect());
        let content = Content::Text(text.to_owned());
        Spec::File(FileSpec { path: path.into(), content, access: self.access(0o644), check })
    }

    /// A folder.
    pub(crate) fn folder(&self, path: &str, mode: u32) -> Spec {
        Spec::Directory(DirectorySpec { path: path.into(), access: self.access(mode) })
    }

    /// A link.
    pub(crate) fn link(path: &str, target: &str) -> Spec {
        Spec::Link(LinkSpec { path: path.into(), target: target.into() })
    }

    /// A release from an archive, with one build command.
    pub(crate) fn release(&self, archive: &[u8], build: &[&str]) -> ReleaseSpec {
        let argv = build.iter().map(|word| (*word).to_owned()).collect();
        ReleaseSpec {
            root: "/srv/api".into(),
            source: ReleaseSource::Archive { hash: Fingerprint::of(archive), bytes: archive.len() as u64 },
            build: vec![BuildCommand { folder: PathBuf::new(), argv, env: BTreeMap::new() }],
            links: BTreeMap::from([("data".into(), "/srv/api/data".into())]),
            user: self.user.clone(),
        }
    }

    /// The switch to a release.
    pub(crate) fn switch(release: &ReleaseSpec, keep: u32) -> Spec {
        Spec::Switch(SwitchSpec { root: release.root.clone(), release: release.release_id(), keep })
    }

    /// Keys of the account.
    pub(crate) fn keys(&self, keys: &[&str]) -> Spec {
        Spec::Keys(KeysSpec {
            user: self.user.clone(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        })
    }

    /// A command that runs in the root of this machine.
    pub(crate) fn step(&self, name: &str, run: &[&str]) -> CommandSpec {
        CommandSpec {
            name: name.to_owned(),
            run: run.iter().map(|word| (*word).to_owned()).collect(),
            unless: None,
            user: self.user.clone(),
            folder: "/".into(),
            credentials: BTreeMap::new(),
            inputs: Fingerprint::of(name.as_bytes()),
        }
    }

    /// Everything on it: kind, bits and content by path. Times and our own folders are left out.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, String> {
        let mut tree = BTreeMap::new();
        walk(&self.root(), &self.root(), &mut tree);
        tree
    }
}

fn walk(root: &Path, folder: &Path, tree: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("lists").map(|entry| entry.expect("an entry")) {
        let (path, metadata) = (entry.path(), entry.path().symlink_metadata().expect("is there"));
        let name = path.strip_prefix(root).expect("below").to_owned();
        let owner = format!("{}:{} {:o}", metadata.uid(), metadata.gid(), metadata.permissions().mode());
        let content = if metadata.is_symlink() {
            format!("link to {}", fs::read_link(&path).expect("reads").display())
        } else if metadata.is_dir() {
            walk(root, &path, tree);
            format!("folder {owner}")
        } else if path.parent().is_some_and(|folder| folder.ends_with("releases"))
            && name.extension().is_some_and(|extension| extension == "json")
        {
            format!("note {owner}")
        } else {
            format!("file {owner} {}", String::from_utf8_lossy(&fs::read(&path).expect("reads")))
        };
        tree.insert(name, content);
    }
}

/// A tar archive with these files, made by the system's tar.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("makes");
        fs::write(path, text).expect("writes");
    }
    let words = ["--create", "--file=-", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "."];
    let output = Command::new("tar").args(words).current_dir(folder.path()).output().expect("tar runs");
    assert!(output.status.success());
    output.stdout
}
