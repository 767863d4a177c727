//! What the disk can do by itself: one small write after the other, each waited for. And a slower disk, for a
//! machine on which the processor is the limit.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::TaskError;

/// A page of the database's log.
const BLOCK: [u8; 4096] = [0x5A; 4096];
const SPAN: Duration = Duration::from_secs(2);

/// What every sync of slower disks takes beside its own time: as a good SSD without a protected cache, and as
/// an ordinary one.
pub(super) const SLOWER: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(2)];

/// The library that makes a program's disk slower.
const SOURCE: &str = include_str!("slow_sync.c");

/// Appends and waits for the disk, as often as it goes; each sync takes `slower` longer.
pub(super) fn serial_syncs_per_second(folder: &Path, slower: Duration) -> Result<f64, TaskError> {
    let path = folder.join("pace");
    let measure = || -> std::io::Result<f64> {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let (begun, mut count) = (Instant::now(), 0_u32);
        while begun.elapsed() < SPAN {
            file.write_all(&BLOCK)?;
            file.sync_data()?;
            std::thread::sleep(slower);
            count += 1;
        }
        let rate = f64::from(count) / begun.elapsed().as_secs_f64();
        std::fs::remove_file(&path)?;
        Ok(rate)
    };
    measure().map_err(|source| TaskError::Write { path: path.clone(), source })
}

/// Makes the library; none where there is no C compiler.
pub(super) fn slower_library(folder: &Path) -> Result<Option<PathBuf>, TaskError> {
    let (source, library) = (folder.join("slow_sync.c"), folder.join("slow_sync.so"));
    super::super::core::write(&source, SOURCE)?;
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let is_made = command.status().is_ok_and(|status| status.success());
    Ok(is_made.then_some(library))
}

/// The variables of a program on the slower disk.
pub(super) fn slower_environment(library: &Path, slower: Duration) -> [(&'static str, String); 2] {
    let us = slower.as_micros().to_string();
    [("LD_PRELOAD", library.display().to_string()), ("HAUS_BENCH_SYNC_US", us)]
}
