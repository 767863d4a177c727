//! The dead-man: takes an apply back by itself unless somebody confirms over a new connection that the host
//! is still reached. Armed before the change that could lock us out; it holds over a restart of the machine.
//!
//! Confirming and reverting race for one file: whoever renames it first has won, so never both happen.

use crate::account::Owned;
use crate::disk;
use crate::journal::Journal;
use crate::journal::lock::Lock;
use crate::journal::note::in_the_way;
use crate::journal::recover::{clear_left_over, roll_back};
use crate::journal::undo::Undo;
use crate::machine::{Layout, Machine, now};
use crate::refusal::{Attempt as _, Result};
use crate::run::{Order, Sink, run};
use crate::wire::{Claim, Finished, Outcome, Refusal};
use haus_model::argv;
use haus_model::host_code::HostCode;
use haus_model::host_path::UNITS;
use haus_model::{HouseName, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);
const LOCK_WITHIN: Duration = Duration::from_secs(30);
const ARMED_BYTES_MAX: u64 = 64 * 1024;

/// What is armed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Armed {
    apply: String,
    until: Timestamp,
}

/// Names of the units of a house.
struct Units {
    name: String,
    /// Units for this boot are gone with it.
    run: PathBuf,
    boot: PathBuf,
    wanted: PathBuf,
}

impl Units {
    fn of(machine: &Machine, house: &str) -> Units {
        let name = format!("haus-revert-{house}");
        let etc = machine.at(Path::new(UNITS));
        let boot = etc.join(format!("{name}-boot.service"));
        let wanted = etc.join("sysinit.target.wants").join(format!("{name}-boot.service"));
        Units { name, run: machine.at(Path::new("/run/systemd/system")), boot, wanted }
    }

    fn service(&self) -> PathBuf {
        self.run.join(format!("{}.service", self.name))
    }

    fn timer(&self) -> PathBuf {
        self.run.join(format!("{}.timer", self.name))
    }

    fn timer_name(&self) -> String {
        format!("{}.timer", self.name)
    }
}

fn reverting(layout: &Layout) -> PathBuf {
    layout.folder.join("reverting")
}

fn read(path: &Path) -> Option<Armed> {
    serde_json::from_slice(&disk::read(path, ARMED_BYTES_MAX).ok()?).ok()
}

/// Whether something is to be confirmed or is being reverted.
pub(crate) fn is_armed(layout: &Layout) -> bool {
    layout.armed().exists() || reverting(layout).exists()
}

/// Whether this apply has to be taken back unless it is confirmed.
pub(crate) fn holds(layout: &Layout, apply: &str) -> bool {
    [layout.armed(), reverting(layout)]
        .iter()
        .any(|path| read(path).is_some_and(|armed| armed.apply == apply))
}

/// Arms it, or winds it up anew. When it comes back the timer runs and the unit for the next boot is on disk.
pub(crate) fn arm(
    machine: &Machine,
    layout: &Layout,
    house: &str,
    apply: &str,
    guard_s: u32,
    sink: Sink<'_>,
) -> Result<Timestamp> {
    if !machine.is_real() || !Path::new("/run/systemd/system").is_dir() {
        let what = "arm the dead-man for a change that could lock us out";
        let remedy =
            "leave the firewall, sshd, net.* and the account that logs in out of the plan for this host";
        return Err(Refusal::new(HostCode::NoSystemd, what, "systemd does not run on the host", remedy));
    }
    let units = Units::of(machine, house);
    let until = now().after(Duration::from_secs(u64::from(guard_s)));
    let armed = Armed { apply: apply.to_owned(), until };
    let text = serde_json::to_vec(&armed).expect("plain data");
    if !layout.armed().exists() {
        let root = disk::own(0o644);
        write_unit(&units.boot, &boot_unit(machine, house, apply), root)?;
        let folder = units.wanted.parent().unwrap_or(Path::new("/"));
        if !folder.exists() {
            disk::make_folder(folder, disk::own(0o755))?;
        }
        disk::link(&units.wanted, &units.boot, None)?;
        write_unit(&units.service(), &revert_unit(machine, house, apply), root)?;
        write_unit(&units.timer(), &timer_unit(house, guard_s), root)?;
        system(&argv::daemon_reload(), sink)?;
    }
    // Behind the units: what is armed can be reverted.
    disk::write_own(&layout.armed(), &text)?;
    // A restart winds a timer up anew.
    let words = ["systemctl", "restart", "--", units.timer_name().as_str()].map(str::to_owned);
    system(&words, sink)?;
    Ok(until)
}

fn write_unit(path: &Path, text: &str, owned: Owned) -> Result<()> {
    if path.is_dir() {
        return Err(in_the_way(path, "a folder stands in the place of a unit of ours"));
    }
    disk::write(path, text.as_bytes(), owned)
}

fn system(argv: &[String], sink: Sink<'_>) -> Result<()> {
    let order = Order::new(argv, WITHIN);
    run(&order, sink)?.expect_good(&order, "see whether systemd works on the host").map(drop)
}

fn revert_unit(machine: &Machine, house: &str, apply: &str) -> String {
    let program = machine.program.display();
    format!(
        "# written by haus while a change waits for its confirmation\n[Unit]\nDescription=haus takes back a change of {house} that nobody confirmed\n\n[Service]\nType=oneshot\nExecStart={program} revert {house} {apply}\n"
    )
}

fn timer_unit(house: &str, guard_s: u32) -> String {
    format!(
        "# written by haus while a change waits for its confirmation\n[Unit]\nDescription=haus waits for the confirmation of a change of {house}\n\n[Timer]\nOnActiveSec={guard_s}\nAccuracySec=1s\n"
    )
}

/// Before everything that could read what is taken back: all ordinary units come behind sysinit.target.
fn boot_unit(machine: &Machine, house: &str, apply: &str) -> String {
    let program = machine.program.display();
    let state = machine.state.display();
    format!(
        "# written by haus while a change waits for its confirmation\n[Unit]\nDescription=haus takes back a change of {house} that nobody confirmed before the restart\nDefaultDependencies=no\nRequiresMountsFor={state}\nAfter=local-fs.target systemd-remount-fs.service\nBefore=sysinit.target network-pre.target systemd-sysctl.service systemd-networkd.service networking.service NetworkManager.service nftables.service netfilter-persistent.service ufw.service firewalld.service haus-firewall.service ssh.service sshd.service ssh.socket shutdown.target\nConflicts=shutdown.target\n\n[Service]\nType=oneshot\nExecStart={program} revert {house} {apply} --boot\n\n[Install]\nWantedBy=sysinit.target\n"
    )
}

/// Confirms an apply: nothing is taken back any longer.
pub(crate) fn confirm(machine: &Machine, layout: &Layout, house: &str, apply: &str) -> Result<()> {
    let what = || format!("confirm the apply {apply}");
    match read(&layout.armed()) {
        Some(armed) if armed.apply == apply => {}
        Some(_) | None => {
            let taken_back = reverting(layout).exists() || was_reverted(layout, apply);
            let (why, remedy) = if taken_back {
                (
                    "it was too late: the host has taken the change back",
                    "see why the host could not be reached in time",
                )
            } else {
                ("nothing of it waits for a confirmation", "look at `haus history`")
            };
            return Err(Refusal::new(HostCode::NotConfirmed, what(), why, remedy));
        }
    }
    let confirmed = layout.folder.join("confirmed");
    fs::rename(layout.armed(), &confirmed).attempt("confirm with", &confirmed)?;
    disk::remove(&confirmed)?;
    disarm(machine, layout, house)
}

fn was_reverted(layout: &Layout, apply: &str) -> bool {
    let end = Journal::read(layout, apply).ok().and_then(|journal| journal.end);
    matches!(end, Some((Outcome::Reverted, _)))
}

/// Takes everything of the dead-man away.
pub(crate) fn disarm(machine: &Machine, layout: &Layout, house: &str) -> Result<()> {
    let units = Units::of(machine, house);
    let (wanted, boot, service, timer) =
        (units.wanted.clone(), units.boot.clone(), units.service(), units.timer());
    let files = [layout.armed(), reverting(layout), wanted, timer, service, boot];
    if !files.iter().any(|path| fs::symlink_metadata(path).is_ok()) {
        return Ok(());
    }
    if machine.is_real() && units.timer().exists() {
        let words = ["systemctl", "stop", "--", units.timer_name().as_str()].map(str::to_owned);
        let _ = system(&words, &mut |_| {});
    }
    for path in &files {
        if path.parent().is_some_and(Path::exists) {
            disk::remove(path)?;
        }
    }
    if machine.is_real() && Path::new("/run/systemd/system").is_dir() {
        let words = ["systemctl", "--no-block", "daemon-reload"].map(str::to_owned);
        let _ = system(&words, &mut |_| {});
    }
    Ok(())
}

/// What the units run: takes the apply back when it is still not confirmed. None when there was nothing to
/// do.
pub fn revert(
    machine: &Machine,
    house: &HouseName,
    apply: &str,
    booting: bool,
    sink: Sink<'_>,
) -> Result<Option<Finished>> {
    let layout = Layout::of(machine, house);
    if !holds(&layout, apply) {
        disarm(machine, &layout, house.as_str())?;
        return Ok(None);
    }
    // From here on a confirmation comes too late. After a crash of ours this has been done already.
    if layout.armed().exists() && fs::rename(layout.armed(), reverting(&layout)).is_err() {
        return Ok(None);
    }
    let claim =
        Claim { owner: "haus-remote".to_owned(), reason: Some("nobody confirmed the change".to_owned()) };
    let _lock = Lock::take_over(&layout, &claim, LOCK_WITHIN)?;
    let mut undo = Undo { machine, layout: &layout, house: house.as_str(), booting, sink };
    if !booting {
        clear_left_over(&mut undo)?;
    }
    let journal = Journal::read(&layout, apply)?;
    if journal.end.is_some() {
        disarm(machine, &layout, house.as_str())?;
        return Ok(None);
    }
    roll_back(&mut undo, journal, Outcome::Reverted).map(Some)
}
