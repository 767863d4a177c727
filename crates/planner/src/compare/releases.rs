//! Releases and which of them is the current one.

use super::{Around, Difference, Obstacle, Verdict, other_kind};
use crate::diff::{gone, new};
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::resource::{ReleaseSource, ReleaseSpec, Spec, SwitchSpec};

pub(super) fn release(spec: &ReleaseSpec, state: &State, around: &Around<'_>) -> Verdict {
    let State::Releases { commit, complete, .. } = state else {
        if *state == State::Absent {
            return build(spec, false);
        }
        return Verdict::Blocked(other_kind(&Spec::Release(spec.clone()), state));
    };
    if let ReleaseSource::Git { url, reference, commit: None } = &spec.source {
        return unresolved(url, reference, commit.as_ref(), around);
    }
    let id = spec.release_id().unwrap_or_default();
    if complete.contains(&id) {
        return Verdict::AsWished;
    }
    build(spec, !complete.is_empty())
}

/// What the reference is, nobody could say.
fn unresolved(
    url: &str,
    reference: &str,
    answer: Option<&Result<String, String>>,
    around: &Around<'_>,
) -> Verdict {
    if let Some(what) = around.road_comes {
        return Verdict::Later(format!("{what} first; what {reference} of {url} is shows then"));
    }
    match answer {
        Some(Err(why)) => Verdict::Blocked(Obstacle {
            code: HostCode::ReferenceMissing,
            message: format!("{reference} of {url} cannot be found: {why}"),
            remedy: "push the tag or branch, correct `source`, or let the host reach the repository"
                .to_owned(),
        }),
        Some(Ok(_)) | None => Verdict::Blocked(Obstacle {
            code: HostCode::NotObserved,
            message: format!("the host did not say what {reference} of {url} is"),
            remedy: "plan again".to_owned(),
        }),
    }
}

fn build(spec: &ReleaseSpec, others: bool) -> Verdict {
    let id = spec.release_id().unwrap_or_default();
    let mut diff = vec![new(format!("release {id}"))];
    match &spec.source {
        ReleaseSource::Git { url, reference, commit } => {
            let commit = commit.as_deref().unwrap_or("?");
            diff.push(new(format!("{url} at {reference}, commit {commit}")));
        }
        ReleaseSource::Archive { hash, bytes } => {
            diff.push(new(format!("an archive of {bytes} bytes, SHA-256 {}", hash.short())));
        }
    }
    let built = spec.build.iter().map(|command| {
        let folder = if command.folder.as_os_str().is_empty() {
            String::new()
        } else {
            format!(" in {}", command.folder.display())
        };
        new(format!("built{folder}: {}", command.argv.join(" ")))
    });
    diff.extend(built);
    let links = spec.links.iter();
    diff.extend(links.map(|(path, target)| new(format!("link {} to {}", path.display(), target.display()))));
    let reason = if others { "this release was not built yet" } else { "there is no release yet" };
    let difference = Difference::create(reason, diff);
    if spec.build.is_empty() {
        difference.into()
    } else {
        difference.unknown("the commands of the build decide what comes out").into()
    }
}

pub(super) fn switch(spec: &SwitchSpec, state: &State) -> Verdict {
    let current = if let State::Releases { current, .. } = state { current.as_ref() } else { None };
    if !matches!(state, State::Releases { .. } | State::Absent) {
        return Verdict::Blocked(other_kind(&Spec::Switch(spec.clone()), state));
    }
    let Some(wanted) = &spec.release else {
        return Verdict::Later("which release becomes the current one shows when it is known".to_owned());
    };
    let after = new(format!("current release {wanted}"));
    match current {
        Some(current) if current == wanted => Verdict::AsWished,
        Some(current) => {
            let before = gone(format!("current release {current}"));
            Difference::update("another release is the current one", vec![before, after]).into()
        }
        None => Difference::create("no release is the current one", vec![after]).into(),
    }
}
