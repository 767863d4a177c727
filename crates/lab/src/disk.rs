//! The disk of a host: a file of limited size with a file system of its own, and on it the layers that lie
//! over the image. A snapshot is a layer that is only read from then on; restoring one is an empty layer on
//! top of it, so it costs the same whatever the snapshot holds. Knows nothing of what runs on the host; it
//! must be off, or frozen.

use crate::error::LabError;
use crate::files;
use crate::image::Image;
use crate::places::HostPlaces;
use crate::tool::{run, run_within};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The snapshot that every host has: the image with the host's own name and keys.
pub const CLEAN: &str = "clean";
/// Copying what a long test has installed.
const COPY_DEADLINE: Duration = Duration::from_secs(300);

/// Makes the disk; its blocks take space on this machine only when something is written there.
pub(crate) fn make(host: &HostPlaces, size_mib: u32) -> Result<(), LabError> {
    let path = host.disk_file();
    let file = File::create(&path).map_err(LabError::file("make", &path))?;
    file.set_len(u64::from(size_mib) << 20).map_err(LabError::file("size", &path))?;
    // Nothing is kept back for root: a full disk is full for everybody.
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1"]).arg(&path);
    run("make the host's file system", command).map(drop)
}

/// Mounts what is not mounted: the disk, and the root of the host over image and snapshots.
pub(crate) fn mount(host: &HostPlaces, image: &Image) -> Result<(), LabError> {
    if !is_mounted(&host.disk())? {
        files::make_folder(&host.disk())?;
        let mut command = Command::new("mount");
        // Barriers would wait for a disk whose contents nobody misses.
        command.args(["-o", "loop,nobarrier"]).arg(host.disk_file()).arg(host.disk());
        run("mount the host's disk", command)?;
    }
    if is_mounted(&host.root())? {
        return Ok(());
    }
    let current = host.current();
    let (upper, work) = (current.join("upper"), current.join("work"));
    for folder in [&upper, &work, &host.root()] {
        files::make_folder(folder)?;
    }
    let mut lower: Vec<PathBuf> = chain(&current)?.iter().rev().map(|name| layer(host, name)).collect();
    lower.extend([host.identity(), image.root.clone()]);
    let lower: Vec<String> = lower.iter().map(|path| path.display().to_string()).collect();
    // Without redirect_dir a folder of the image could not be renamed, which no other file system refuses.
    let options = format!(
        "redirect_dir=on,metacopy=off,index=off,lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        upper.display(),
        work.display()
    );
    let mut command = Command::new("mount");
    command.args(["-t", "overlay", "overlay", "-o", &options]).arg(host.root());
    run("mount the host's root", command).map(drop)
}

/// Keeps what the host has written so far. The host is off or frozen.
pub(crate) fn snapshot(host: &HostPlaces, name: &str) -> Result<(), LabError> {
    let to = host.snapshots().join(name);
    let partial = host.snapshots().join(format!("{name}.partial"));
    files::remove(&partial)?;
    files::make_folder(&partial)?;
    let current = host.current();
    let mut command = Command::new("cp");
    command.arg("-a").arg(current.join("upper")).arg(partial.join("upper"));
    run_within("copy the host's layer", command, COPY_DEADLINE)?;
    files::write(&partial.join("chain"), &chain(&current)?.join("\n"))?;
    files::remove(&to)?;
    std::fs::rename(&partial, &to).map_err(LabError::file("put into place", &to))
}

/// Goes back to a snapshot, or to the beginning. The host is off.
pub(crate) fn restore(host: &HostPlaces, image: &Image, name: &str) -> Result<(), LabError> {
    unmount(&host.root())?;
    files::remove(&host.ballast())?;
    let mut layers = Vec::new();
    if name != CLEAN {
        layers = chain(&host.snapshots().join(name))?;
        layers.push(name.to_owned());
    }
    files::remove(&host.current())?;
    files::write(&host.current().join("chain"), &layers.join("\n"))?;
    mount(host, image)
}

/// The snapshots besides `clean`.
pub(crate) fn snapshots(host: &HostPlaces) -> Result<Vec<String>, LabError> {
    let mut names = files::names_in(&host.snapshots())?;
    names.retain(|name| !name.ends_with(".partial"));
    Ok(names)
}

/// Whether something stands on this snapshot, so that it must not change.
pub(crate) fn is_stood_on(host: &HostPlaces, name: &str) -> Result<bool, LabError> {
    let mut folders = vec![host.current()];
    folders.extend(snapshots(host)?.iter().map(|other| host.snapshots().join(other)));
    for folder in folders {
        if chain(&folder)?.iter().any(|layer| layer == name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes all the space that is left. Blocks are reserved, not written: it costs this machine nothing.
pub(crate) fn fill(host: &HostPlaces) -> Result<(), LabError> {
    let path = host.ballast();
    let failed = || LabError::file("fill the disk with", &path);
    let file = File::options().create(true).append(true).open(&path).map_err(failed())?;
    let about = statvfs(host.disk()).map_err(|errno| failed()(errno.into()))?;
    let mut size = file.metadata().map_err(failed())?.len();
    let mut step = (about.f_bfree * about.f_frsize).next_power_of_two();
    while step >= about.f_frsize {
        match fallocate(&file, FallocateFlags::empty(), size, step) {
            Ok(()) => size += step,
            // A failed call may have got a part of what it wanted.
            Err(Errno::NOSPC) => {
                size = size.max(file.metadata().map_err(failed())?.len());
                step /= 2;
            }
            Err(errno) => return Err(failed()(errno.into())),
        }
    }
    Ok(())
}

/// Gives the space back.
pub(crate) fn empty(host: &HostPlaces) -> Result<(), LabError> {
    files::remove(&host.ballast())
}

/// Unmounts everything at or below this folder, the last first.
pub(crate) fn unmount_below(folder: &Path) -> Result<(), LabError> {
    for point in mount_points()?.iter().rev().filter(|point| point.starts_with(folder)) {
        unmount(point)?;
    }
    Ok(())
}

/// Whether something is mounted right here.
pub(crate) fn is_mounted(path: &Path) -> Result<bool, LabError> {
    Ok(mount_points()?.iter().any(|point| point == path))
}

fn unmount(path: &Path) -> Result<(), LabError> {
    if !is_mounted(path)? {
        return Ok(());
    }
    run("unmount", Command::new("umount").arg(path)).map(drop)
}

fn layer(host: &HostPlaces, snapshot: &str) -> PathBuf {
    host.snapshots().join(snapshot).join("upper")
}

/// The snapshots below a layer, the oldest first.
fn chain(folder: &Path) -> Result<Vec<String>, LabError> {
    let text = files::read_if_there(&folder.join("chain"))?.unwrap_or_default();
    Ok(text.lines().map(str::to_owned).collect())
}

fn mount_points() -> Result<Vec<PathBuf>, LabError> {
    Ok(parse_mount_points(&files::read(Path::new("/proc/self/mountinfo"))?))
}

fn parse_mount_points(mountinfo: &str) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points.map(|point| PathBuf::from(point.replace("\\040", " ").replace("\\134", "\\"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_in_their_order() {
        let text = "21 1 8:1 / / rw - ext4 /dev/sda rw\n22 21 0:5 / /a\\040b/c rw shared:1 - tmpfs t rw\n";
        assert_eq!(parse_mount_points(text), [PathBuf::from("/"), PathBuf::from("/a b/c")]);
    }
}
