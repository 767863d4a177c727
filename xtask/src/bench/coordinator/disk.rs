//! What the disk can do by itself: one small write after the other, each waited for.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::TaskError;

/// A page of the database's log.
const BLOCK: [u8; 4096] = [0x5A; 4096];
const SPAN: Duration = Duration::from_secs(2);

/// Appends and waits for the disk, as often as it goes.
pub(super) fn serial_syncs_per_second(folder: &Path) -> Result<f64, TaskError> {
    let path = folder.join("pace");
    let measure = || -> std::io::Result<f64> {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let (begun, mut count) = (Instant::now(), 0_u32);
        while begun.elapsed() < SPAN {
            file.write_all(&BLOCK)?;
            file.sync_data()?;
            count += 1;
        }
        let rate = f64::from(count) / begun.elapsed().as_secs_f64();
        std::fs::remove_file(&path)?;
        Ok(rate)
    };
    measure().map_err(|source| TaskError::Write { path: path.clone(), source })
}
