//! Releases: built once in a folder of their own by the account of the service, then never changed; and the
//! link that makes one of them the current one.
//!
//! A release is complete when the note beside its folder says so; what has none is left over from an attempt.
//! The repository's history (`.git`) does not stay: it is large, and a service may serve its folder.

use super::link::put;
use super::{Job, Made};
use crate::account::{Account, Owned};
use crate::die::step;
use crate::disk::{self, Place};
use crate::journal::note::{Also, Note, PathWas, Was, in_the_way, keeps_folder};
use crate::machine::now;
use crate::observe::{CURRENT, RELEASES, git_env};
use crate::refusal::{Attempt as _, Result};
use crate::run::{Order, Ran, run};
use crate::wire::Refusal;
use haus_model::argv;
use haus_model::change::ActKind;
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::operation::{release_folder, release_note};
use haus_model::resource::{BuildCommand, ReleaseSource, ReleaseSpec, SwitchSpec};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

const FETCH_WITHIN: Duration = Duration::from_secs(20 * 60);
const BUILD_WITHIN: Duration = Duration::from_secs(60 * 60);

fn id_of(spec: &ReleaseSpec) -> Result<String> {
    spec.release_id().ok_or_else(|| {
        let what = format!("build a release in {}", spec.root.display());
        let remedy =
            "see that the host reaches the repository and that the reference is there, then plan again";
        Refusal::new(HostCode::ReferenceMissing, what, "it is not known which commit is meant", remedy)
    })
}

pub(super) fn note(job: &Job<'_>, act: ActKind, spec: &ReleaseSpec) -> Result<Note> {
    let root = job.machine.at(&spec.root);
    if act == ActKind::Remove {
        let paths = if root.join(RELEASES).exists() {
            vec![PathWas { path: root.join(RELEASES), was: Was::Moved(aside(job, &root)) }]
        } else {
            Vec::new()
        };
        return Ok(Note { paths, also: Also::Nothing });
    }
    let id = id_of(spec)?;
    if is_complete(job.before, &id) {
        return Ok(Note::default());
    }
    let paths = vec![job.keeper().keep(&spec.root.join(RELEASES), false)?];
    Ok(Note { paths, also: Also::Release { root, id } })
}

fn is_complete(before: &State, id: &str) -> bool {
    matches!(before, State::Releases { complete, .. } if complete.iter().any(|known| known == id))
}

/// Where releases go that are removed, until the apply ends.
fn aside(job: &Job<'_>, root: &Path) -> PathBuf {
    root.join(format!(".haus-removed-{}", job.apply))
}

/// Takes away what was moved aside when an apply has ended.
pub(crate) fn forget_aside(path: &Path) -> Result<()> {
    if path.exists() { disk::remove_tree(path) } else { Ok(()) }
}

pub(super) fn build(job: &mut Job<'_>, spec: &ReleaseSpec) -> Result<Made> {
    let id = id_of(spec)?;
    if is_complete(job.before, &id) {
        return Ok(Made::default());
    }
    let account = job.accounts.expect_user(&spec.user)?;
    let owned = Owned { uid: account.uid, gid: account.gid, mode: 0o755 };
    let root = job.machine.at(&spec.root);
    let releases = root.join(RELEASES);
    if !releases.exists() {
        disk::make_folder(&releases, disk::own(0o755))?;
    }
    let (place, home) = (release_folder(&root, &id), home_of(&root, &id));
    disk::remove(&release_note(&root, &id))?;
    for folder in [&place, &home] {
        disk::remove_tree(folder)?;
        disk::make_folder(folder, owned)?;
    }
    let builder = Builder { account, place: &place, home: &home };
    let outcome = fill(job, spec, &builder)
        .and_then(|()| spec.build.iter().try_for_each(|command| builder.build(job, command)))
        .and_then(|()| complete(&place, spec));
    disk::remove_tree(&home)?;
    outcome?;
    step();
    let note =
        serde_json::json!({ "format": 1, "id": id, "source": spec.source, "built": now().to_string() });
    disk::write(&release_note(&root, &id), note.to_string().as_bytes(), disk::own(0o644))?;
    Ok(Made { notes: vec![format!("release {id}")], ..Made::default() })
}

/// The home of the builder, which is thrown away.
pub(crate) fn home_of(root: &Path, id: &str) -> PathBuf {
    root.join(RELEASES).join(format!(".{id}.home"))
}

struct Builder<'a> {
    account: Account,
    place: &'a Path,
    home: &'a Path,
}

impl Builder<'_> {
    fn run(&self, job: &mut Job<'_>, order: Order<'_>) -> Result<Ran> {
        let order =
            Order { account: Some(&self.account), mark: job.layout.mark(), ends_with_us: true, ..order };
        run(&order, job.sink)
    }

    /// git uses the keys of the account, so its own home.
    fn git(&self, job: &mut Job<'_>, argv: &[String]) -> Result<Ran> {
        let mut env = git_env();
        if !job.machine.at(&self.account.home).is_dir() {
            env.insert("HOME".to_owned(), self.home.display().to_string());
        }
        self.run(job, Order { env, folder: self.place, ..Order::new(argv, FETCH_WITHIN) })
    }

    fn build(&self, job: &mut Job<'_>, command: &BuildCommand) -> Result<()> {
        let folder = self.place.join(inside(&command.folder)?);
        let mut env: BTreeMap<String, String> = command.env.clone();
        env.insert("HOME".to_owned(), self.home.display().to_string());
        let order = Order { env, folder: &folder, ..Order::new(&command.argv, BUILD_WITHIN) };
        let remedy = "see the output; the release that runs is not touched";
        self.run(job, order.clone())?.expect_good(&order, remedy).map(drop)
    }
}

/// A path that stays inside the release.
fn inside(path: &Path) -> Result<&Path> {
    if path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Ok(path);
    }
    let what = format!("use {} in a release", path.display());
    Err(Refusal::new(
        HostCode::ActFailed,
        what,
        "it leads out of the release",
        "name a path inside the release",
    ))
}

fn fill(job: &mut Job<'_>, spec: &ReleaseSpec, builder: &Builder<'_>) -> Result<()> {
    match &spec.source {
        ReleaseSource::Git { url, reference, commit } => {
            let commit = commit.as_deref().unwrap_or(reference);
            fetch(job, builder, url, commit)
        }
        ReleaseSource::Archive { hash, .. } => {
            let blob = job.layout.blobs().join(hash.to_string());
            let argv = argv::tar_extract(builder.place);
            // Opened by us: the blob is ours alone, and the builder only gets its bytes.
            let order = Order { stdin: Some(blob), ..Order::new(&argv, FETCH_WITHIN) };
            builder.run(job, order.clone())?.expect_good(&order, "see the output").map(drop)
        }
    }
}

fn fetch(job: &mut Job<'_>, builder: &Builder<'_>, url: &str, commit: &str) -> Result<()> {
    let remedy = "see that the host reaches the repository, with the keys of the account that builds";
    let place = builder.place;
    let init = argv::git_init(place);
    let order = Order::new(&init, FETCH_WITHIN);
    builder.git(job, &init)?.expect_good(&order, "install git, for example under `packages:` of the host")?;
    let one = argv::git_fetch_commit(place, url, commit);
    if !builder.git(job, &one)?.is_good() {
        let all = argv::git_fetch_all(place, url);
        builder.git(job, &all)?.expect_good(&Order::new(&all, FETCH_WITHIN), remedy)?;
    }
    let checkout = argv::git_checkout(place, commit);
    let order = Order::new(&checkout, FETCH_WITHIN);
    let ran = builder.git(job, &checkout)?;
    ran.expect_good(&order, "name a tag, branch or commit that is there").map_err(|refusal| Refusal {
        code: HostCode::ReferenceMissing,
        why: format!("{url} does not give commit {commit}"),
        ..refusal
    })?;
    Ok(())
}

/// Links, and everything on disk.
fn complete(place: &Path, spec: &ReleaseSpec) -> Result<()> {
    let git = place.join(".git");
    if Place::of(&git)?.metadata()?.is_some() {
        disk::remove_tree(&git)?;
    }
    for (path, target) in &spec.links {
        put(&place.join(inside(path)?), target, keeps_folder)?;
    }
    step();
    // One call for thousands of files.
    let folder = File::open(place).attempt("open", place)?;
    rustix::fs::syncfs(&folder).attempt("sync", place)
}

pub(super) fn remove(job: &mut Job<'_>, spec: &ReleaseSpec) -> Result<Made> {
    let root = job.machine.at(&spec.root);
    let releases = root.join(RELEASES);
    if !releases.exists() {
        return Ok(Made::default());
    }
    let aside = aside(job, &root);
    step();
    fs::rename(&releases, &aside).attempt("move aside", &releases)?;
    Place::of(&aside)?.sync_folder()?;
    Ok(Made::default())
}

pub(super) fn note_switch(job: &Job<'_>, spec: &SwitchSpec) -> Result<Note> {
    Ok(Note { paths: vec![job.keeper().keep(&spec.root.join(CURRENT), false)?], also: Also::Nothing })
}

pub(super) fn switch(job: &mut Job<'_>, spec: &SwitchSpec) -> Result<Made> {
    let root = job.machine.at(&spec.root);
    let what = format!("switch {} to its new release", spec.root.display());
    let Some(release) = &spec.release else {
        let why = "it is not known which release is meant";
        return Err(Refusal::new(HostCode::ReferenceMissing, what, why, "plan again"));
    };
    if !release_note(&root, release).exists() || !release_folder(&root, release).is_dir() {
        let why = format!("the release {release} is not there or not complete");
        return Err(Refusal::new(HostCode::Moved, what, why, "plan again"));
    }
    let current = root.join(CURRENT);
    if Place::of(&current)?.metadata()?.is_some_and(|is| !is.is_symlink()) {
        return Err(in_the_way(&current, "something that is no link stands there"));
    }
    disk::link(&current, &Path::new(RELEASES).join(release), None)?;
    Ok(Made::default())
}

pub(super) fn remove_switch(job: &mut Job<'_>, spec: &SwitchSpec) -> Result<Made> {
    let current = job.machine.at(&spec.root).join(CURRENT);
    if current.parent().is_some_and(Path::exists) {
        disk::remove(&current)?;
    }
    Ok(Made::default())
}

/// Removes releases that are older than the last `keep` besides the current one.
pub(crate) fn prune(root: &Path, keep: u32, state: &State) -> Result<()> {
    let State::Releases { complete, current, .. } = state else { return Ok(()) };
    let old: Vec<&String> = complete.iter().filter(|id| Some(*id) != current.as_ref()).collect();
    let surplus = old.len().saturating_sub(keep as usize);
    for id in &old[..surplus] {
        disk::remove(&release_note(root, id))?;
        disk::remove_tree(&release_folder(root, id))?;
    }
    Ok(())
}
