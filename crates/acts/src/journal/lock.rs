//! One house, one session that changes a host: the kernel's lock on a file, and in it who holds it.

use crate::disk;
use crate::machine::{Layout, now};
use crate::observe::{boot_id, started_ticks};
use crate::refusal::{Attempt as _, Result};
use crate::wire::{Claim, Refusal};
use haus_model::Timestamp;
use haus_model::host_code::HostCode;
use rustix::fs::{FlockOperation, OFlags};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

const BYTES_MAX: u64 = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(20);

/// Who holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) owner: String,
    pub(crate) reason: Option<String>,
    pub(crate) pid: i32,
    pub(crate) start_ticks: u64,
    pub(crate) boot_id: String,
    pub(crate) since: Timestamp,
}

impl Holder {
    /// Whether this very process still lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.boot_id == boot_id() && started_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it at once or not at all.
    pub(crate) fn take(layout: &Layout, claim: &Claim) -> Result<Lock> {
        disk::make_own_folder(&layout.folder)?;
        let path = layout.lock();
        // The file is never removed: a lock on a removed file would exclude nobody.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path);
        let mut file = match file {
            // Making it needs space; what cannot be read is something else.
            Err(error) if is_full(&error) => Err(error).attempt("make", &path)?,
            outcome => outcome.map_err(|error| unreadable(layout, error.to_string()))?,
        };
        let holder = read(&mut file, layout)?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(held(layout, holder));
        }
        let holder = Holder {
            owner: claim.owner.clone(),
            reason: claim.reason.clone(),
            pid: std::process::id().cast_signed(),
            start_ticks: started_ticks(std::process::id().cast_signed()).unwrap_or_default(),
            boot_id: boot_id(),
            since: now(),
        };
        let mut text = serde_json::to_vec(&holder).expect("a holder is plain data");
        text.push(b'\n');
        // In one write behind the old text's place, so that a reader sees the old or the new one: an empty
        // text counts as nobody's.
        let written = file
            .set_len(0)
            .and_then(|()| std::io::Seek::rewind(&mut file))
            .and_then(|()| file.write_all(&text));
        written.attempt("write", &path)?;
        Ok(Lock { _file: file })
    }

    /// Takes it from a session of the same owner that lost its road: behind a cut cable it would wait for the
    /// next request for long. It is asked to leave, so an act under way is completed first, and meanwhile
    /// this says who holds it.
    pub(crate) fn take_from_lost(layout: &Layout, claim: &Claim, within: Duration) -> Result<Lock> {
        let deadline = Instant::now() + within;
        let mut is_asked = false;
        loop {
            let refusal = match Lock::take(layout, claim) {
                Err(refusal) if refusal.code == HostCode::Locked && Instant::now() < deadline => refusal,
                outcome => return outcome,
            };
            let lost = holder(layout)?.filter(Holder::is_alive);
            if lost.as_ref().is_some_and(|holder| holder.owner != claim.owner) {
                return Err(refusal);
            }
            if let Some(pid) = lost.and_then(|holder| Pid::from_raw(holder.pid)).filter(|_| !is_asked) {
                let _ = rustix::process::kill_process(pid, Signal::TERM);
                is_asked = true;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends the process that holds it, if there is one, and takes it.
    pub(crate) fn take_over(layout: &Layout, claim: &Claim, within: Duration) -> Result<Lock> {
        let deadline = Instant::now() + within;
        loop {
            let holder = match holder(layout) {
                // Here the way back is worth more than whatever somebody wrote there.
                Err(_) => OpenOptions::new()
                    .write(true)
                    .open(layout.lock())
                    .and_then(|file| file.set_len(0))
                    .ok()
                    .and(None),
                Ok(holder) => holder,
            };
            if let Some(holder) = holder.filter(Holder::is_alive)
                && let Some(pid) = Pid::from_raw(holder.pid).filter(|pid| *pid != rustix::process::getpid())
            {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            match Lock::take(layout, claim) {
                Err(refusal) if refusal.code == HostCode::Locked && Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                outcome => return outcome,
            }
        }
    }
}

/// Who held it last; alive or not.
pub(crate) fn holder(layout: &Layout) -> Result<Option<Holder>> {
    match disk::optional(File::open(layout.lock())) {
        Ok(Some(mut file)) => read(&mut file, layout),
        Ok(None) => Ok(None),
        Err(error) => Err(unreadable(layout, error.to_string())),
    }
}

fn read(file: &mut File, layout: &Layout) -> Result<Option<Holder>> {
    let mut text = Vec::new();
    let outcome = file.take(BYTES_MAX).read_to_end(&mut text);
    outcome.map_err(|error| unreadable(layout, error.to_string()))?;
    if text.is_empty() {
        return Ok(None);
    }
    let holder = serde_json::from_slice(&text);
    holder
        .map(Some)
        .map_err(|error| unreadable(layout, format!("it is not what we write: line {}", error.line())))
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem)
}

fn unreadable(layout: &Layout, why: String) -> Refusal {
    let what = format!("read the lock file {}", layout.lock().display());
    let remedy = "look at the file; when nobody is changing the host, remove it and apply again";
    Refusal::new(HostCode::LockUnreadable, what, why, remedy)
}

fn held(layout: &Layout, holder: Option<Holder>) -> Refusal {
    let why = match holder {
        Some(holder) => {
            let reason = holder.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!(
                "{}{reason} has been changing it since {}, process {}",
                holder.owner, holder.since, holder.pid
            )
        }
        None => "another process holds the lock and has not said who it is".to_owned(),
    };
    let remedy = "wait until it has ended; a session whose road was cut ends by itself";
    Refusal::new(HostCode::Locked, format!("lock {}", layout.folder.display()), why, remedy)
}
