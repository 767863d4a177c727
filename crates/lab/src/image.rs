//! The image that all hosts stand on: built once per recipe, read-only from then on. It appears under its
//! name only when it is complete, so an interrupted build is never taken for an image.

use crate::claim::Claim;
use crate::error::LabError;
use crate::files;
use crate::places::Places;
use crate::recipe::{FURNISH, PACKAGES, Recipe};
use crate::tool::{run, run_within};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A slow mirror may need its time; a mirror that hangs must not have all of it.
const BUILD_DEADLINE: Duration = Duration::from_secs(15 * 60);

const LOCK: &str = "lock";

/// A built image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) hash: String,
    pub(crate) root: PathBuf,
}

impl Image {
    /// The image for this machine as it is; builds it where it is missing.
    pub(crate) fn prepare(places: &Places, progress: &dyn Fn(&str)) -> Result<Image, LabError> {
        let recipe = Recipe::of_this_machine()?;
        files::make_folder(places.images())?;
        // Two labs may share their images.
        let _lock = Claim::wait(&places.images().join(LOCK), "the folder of images", BUILD_DEADLINE)?;
        let hash = recipe.hash();
        let root = places.images().join(&hash);
        if root.is_dir() {
            return Ok(Image { hash, root });
        }
        let begun = Instant::now();
        progress(&format!("build the image {hash} (Debian {}, once per recipe)", recipe.suite));
        let partial = places.images().join(format!("{hash}.partial"));
        files::remove(&partial)?;
        bootstrap(&recipe, &partial)?;
        recipe.place_inherited(&partial)?;
        furnish(&partial)?;
        std::fs::rename(&partial, &root).map_err(LabError::file("put into place", &root))?;
        progress(&format!("image {hash}: done in {} s", begun.elapsed().as_secs()));
        Ok(Image { hash, root })
    }

    /// Removes images that no host stands on, other than this one.
    pub(crate) fn forget_others(places: &Places, keep: Option<&Image>) -> Result<(), LabError> {
        let mounted = files::read(Path::new("/proc/self/mountinfo"))?;
        for name in files::names_in(places.images())? {
            let is_kept = name == LOCK || keep.is_some_and(|image| image.hash == name);
            // The layers of a host's root stand among its options.
            if !is_kept && !mounted.contains(&format!("/{name}")) {
                files::remove(&places.images().join(name))?;
            }
        }
        Ok(())
    }
}

fn bootstrap(recipe: &Recipe, to: &Path) -> Result<(), LabError> {
    let settings = to.with_extension("apt.conf");
    files::write(&settings, &recipe.apt_settings)?;
    let mut command = contained("mmdebstrap");
    command
        .args(["--quiet", "--mode=root", "--format=directory", "--variant=apt"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        // The lists stay: a host can install packages at once.
        .args(["--skip=cleanup/apt/lists", "--skip=output/dev", "--dpkgopt=force-unsafe-io"])
        .arg(format!("--aptopt={}", settings.display()))
        .arg(&recipe.suite)
        .arg(to)
        .args(&recipe.sources)
        .env("LC_ALL", "C.UTF-8");
    let built = run_within("build the image from Debian's packages", &mut command, BUILD_DEADLINE);
    files::remove(&settings)?;
    // The sources come as they are on this machine, not as the builder has rewritten them.
    let lists = to.join("etc/apt/sources.list.d");
    built.and_then(|_| files::remove(&to.join("etc/apt/sources.list"))).and_then(|()| files::remove(&lists))
}

/// Dies with this program, together with everything that it has started: nobody must go on writing into an
/// image that the next run begins anew.
fn contained(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig=KILL", "unshare", "--fork", "--pid", "--mount-proc", "--kill-child=KILL"]);
    command.arg(program);
    command
}

fn furnish(root: &Path) -> Result<(), LabError> {
    let mut command = contained("/usr/sbin/chroot");
    command.arg(root).args(["/bin/sh", "-c", FURNISH]).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    run("furnish the image", &mut command).map(drop)
}
