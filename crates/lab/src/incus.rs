//! One host that Incus runs, for the way in that needs no sshd: `incus exec`. It comes from the same image,
//! behind the same bridge. The Incus is one of its own, with its state in the lab's folder: one that somebody
//! uses on this machine is neither seen nor touched.

use crate::claim::Claim;
use crate::disk;
use crate::error::LabError;
use crate::files;
use crate::identity::{self, Identity};
use crate::image::Image;
use crate::places::{HostPlaces, Places};
use crate::power::{Power, end_group, forget_group};
use crate::tool::{Output, is_there, output_within, run, run_within};
use crate::wait::wait_for;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Debian puts the daemon where no PATH leads.
const DAEMON: &str = "/usr/libexec/incus/incusd";
const NAME: &str = "incus1";
const DEADLINE: Duration = Duration::from_secs(120);
const SNAPSHOT: &str = "clean";

/// The host that Incus runs.
#[derive(Debug, Clone)]
pub struct IncusHost {
    /// What Incus calls it.
    pub name: String,
    /// Its address behind the lab's bridge; root can log in over ssh as on every host.
    pub address: Ipv4Addr,
    files: HostPlaces,
}

/// The same for as long as nobody else works with it.
#[derive(Debug)]
pub struct ClaimedIncusHost {
    host: IncusHost,
    _claim: Claim,
}

impl std::ops::Deref for ClaimedIncusHost {
    type Target = IncusHost;

    fn deref(&self) -> &IncusHost {
        &self.host
    }
}

impl IncusHost {
    /// The host, where it was made.
    pub(crate) fn find(places: &Places) -> Result<Option<IncusHost>, LabError> {
        let files = places.incus();
        let text = files::read_if_there(&files.address())?;
        let address = text.and_then(|text| text.trim().parse().ok());
        Ok(address.map(|address| IncusHost { name: places.machine(NAME), address, files }))
    }

    /// Makes what is missing of it and starts it.
    pub(crate) fn up(places: &Places, making: &IncusMaking) -> Result<IncusHost, LabError> {
        start_daemon(places)?;
        let files = places.incus();
        let IncusMaking { image, address, gateway, key } = making;
        let known = (files::read_if_there(&files.image())?, files::read_if_there(&files.address())?);
        let host = IncusHost { name: places.machine(NAME), address: *address, files };
        if known != (Some(image.hash.clone()), Some(address.to_string())) {
            let identity = Identity { name: &host.name, address: *address, gateway: *gateway, key };
            host.make(places, image, &identity)?;
        }
        if !host.is_running()? {
            host.incus("start the host", &["start", &host.name])?;
        }
        host.wait_booted()?;
        if !host.has_snapshot()? {
            host.incus("keep the clean host", &["snapshot", "create", &host.name, SNAPSHOT])?;
        }
        Ok(host)
    }

    /// The value of `INCUS_DIR` with which `incus` finds it.
    pub fn incus_dir(&self) -> PathBuf {
        self.files.incus_state()
    }

    /// `incus`, set to the lab's own.
    pub fn command(&self) -> Command {
        client(&self.files)
    }

    /// Runs a program as root on the host, by `incus exec`.
    pub fn exec(&self, words: &[&str]) -> Result<Output, LabError> {
        let mut command = self.command();
        command.args(["exec", &self.name, "--"]).args(words);
        output_within(&format!("run {} on {}", words.join(" "), self.name), &mut command, DEADLINE)
    }

    /// Back to how it came up, and booted.
    pub fn restore(&self) -> Result<(), LabError> {
        self.incus("stop the host", &["stop", "--force", &self.name])?;
        self.incus("restore the host", &["snapshot", "restore", &self.name, SNAPSHOT])?;
        self.incus("start the host", &["start", &self.name])?;
        self.wait_booted()
    }

    /// The process that works with it.
    pub fn claimed_by(&self) -> Option<String> {
        Claim::holder(&self.files.claim())
    }

    pub(crate) fn claim(self, deadline: Duration) -> Result<ClaimedIncusHost, LabError> {
        let claim = Claim::wait(&self.files.claim(), &self.name, deadline)?;
        Ok(ClaimedIncusHost { host: self, _claim: claim })
    }

    fn make(&self, places: &Places, image: &Image, identity: &Identity) -> Result<(), LabError> {
        let place = &self.files;
        // Whatever an older image or an interrupted run has left.
        let mut command = self.command();
        output_within("remove the old host", command.args(["delete", "--force", &self.name]), DEADLINE)?;
        files::remove(&place.identity())?;
        identity::write(&place.identity(), image, identity)?;
        // It runs with the machine's own accounts, since a shifted root could not enter the lab's folder; so
        // it could also change which formats of programs this machine knows.
        identity::mask(&place.identity(), image, "systemd-binfmt.service")?;
        let archive = place.folder().join("image.tar");
        pack(place, image, &archive)?;
        let alias = "lab";
        let archive_text = archive.display().to_string();
        self.incus("import the image", &["image", "import", &archive_text, "--alias", alias])?;
        files::remove(&archive)?;
        let init = ["init", alias, &self.name, "--quiet", "--config", "security.privileged=true"];
        self.incus("make the host", &init)?;
        self.incus("forget the image, which the host has", &["image", "delete", alias])?;
        let (bridge, link) = (places.kernel_name(), places.link(NAME));
        let (parent, link) = (format!("parent={bridge}"), format!("host_name={link}"));
        let nic = ["config", "device", "add", &self.name, "host0", "nic", "nictype=bridged", &parent, &link];
        self.incus("give the host its cable", &[&nic[..], &["name=host0"]].concat())?;
        files::write(&place.image(), &image.hash)?;
        files::write(&place.address(), &identity.address.to_string())
    }

    fn is_running(&self) -> Result<bool, LabError> {
        let state =
            self.incus("read the host's state", &["list", &self.name, "--format=csv", "--columns=s"])?;
        Ok(state.trim() == "RUNNING")
    }

    fn has_snapshot(&self) -> Result<bool, LabError> {
        let known = self.incus("list snapshots", &["snapshot", "list", &self.name, "--format=csv"])?;
        Ok(known.lines().any(|line| line.split(',').next() == Some(SNAPSHOT)))
    }

    fn wait_booted(&self) -> Result<(), LabError> {
        wait_for(&format!("{} to boot", self.name), DEADLINE, &self.files.console(), || {
            let state = self.exec(&["systemctl", "is-system-running", "--wait"]).ok()?;
            matches!(state.stdout.trim(), "running" | "degraded").then_some(())
        })
    }

    fn incus(&self, attempt: &str, words: &[&str]) -> Result<String, LabError> {
        run_within(attempt, self.command().args(words), DEADLINE)
    }
}

/// What the host is made of.
pub(crate) struct IncusMaking {
    pub(crate) image: Image,
    pub(crate) address: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) key: String,
}

/// Takes host, daemon and state away, whether the daemon answers or not.
pub(crate) fn down(places: &Places) -> Result<(), LabError> {
    let place = places.incus();
    if is_there("incus") && place.incus_state().join("unix.socket").exists() {
        let name = places.machine(NAME);
        for words in [&["delete", "--force", &name][..], &["admin", "shutdown", "--timeout=10"]] {
            let _ = output_within("stop Incus", client(&place).args(words), Duration::from_secs(30));
        }
    }
    Power::with_files(places, NAME, places.incus()).cut()?;
    for kind in ["monitor", "payload"] {
        let group = format!("lxc.{kind}.{}", places.machine(NAME));
        end_group(Path::new(&group))?;
        forget_group(Path::new(&group))?;
    }
    disk::unmount_below(place.folder())?;
    files::remove(place.folder())
}

fn start_daemon(places: &Places) -> Result<(), LabError> {
    if !Path::new(DAEMON).is_file() || !is_there("incus") {
        let packages = vec!["incus-base", "incus-client"];
        return Err(LabError::Missing { programs: vec!["incusd", "incus"], packages });
    }
    let place = places.incus();
    let state = place.incus_state();
    files::make_folder(&state)?;
    let power = Power::with_files(places, NAME, places.incus());
    let variable = format!("INCUS_DIR={}", state.display());
    power.start(&["env", &variable, "HOME=/root", DAEMON, "--group", "root"].map(str::to_owned))?;
    let mut ready = client(&place);
    run("wait for Incus", ready.args(["admin", "waitready", "--timeout=50"]))?;
    let pools = run("list Incus's pools", client(&place).args(["storage", "list", "--format=csv"]))?;
    if pools.trim().is_empty() {
        run("make Incus's pool", client(&place).args(["storage", "create", "default", "dir"]))?;
        let root = ["profile", "device", "add", "default", "root", "disk", "path=/", "pool=default"];
        run("name the disk of Incus's hosts", client(&place).args(root))?;
    }
    Ok(())
}

/// Image and identity as the one archive that Incus imports.
fn pack(place: &HostPlaces, image: &Image, archive: &Path) -> Result<(), LabError> {
    let folder = place.folder().join("packing");
    let root = folder.join("rootfs");
    files::make_folder(&root)?;
    let architecture = std::env::consts::ARCH;
    let metadata = format!("architecture: {architecture}\ncreation_date: 1\nproperties:\n  os: debian\n");
    files::write(&folder.join("metadata.yaml"), &metadata)?;
    let layers = format!("lowerdir={}:{}", place.identity().display(), image.root.display());
    run("lay the identity over the image", {
        let mut command = Command::new("mount");
        command.args(["-t", "overlay", "overlay", "-o", &layers]).arg(&root);
        command
    })?;
    let mut command = Command::new("tar");
    command.arg("--create").arg("--file").arg(archive).args(["--numeric-owner", "--directory"]).arg(&folder);
    let packed = run_within("pack the image", command.args(["metadata.yaml", "rootfs"]), DEADLINE);
    disk::unmount_below(&folder)?;
    files::remove(&folder)?;
    packed.map(drop)
}

fn client(place: &HostPlaces) -> Command {
    let mut command = Command::new("incus");
    command.env("INCUS_DIR", place.incus_state());
    command
}
