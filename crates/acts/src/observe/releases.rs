//! Releases of services: which are complete, which is the current one, and what a reference is at its source.

use super::Observer;
use crate::account::{Account, Accounts};
use crate::run::{Order, capture};
use haus_model::argv::git_ls_remote;
use haus_model::inventory::State;
use haus_model::operation::release_note;
use haus_model::resource::{ReleaseSource, ReleaseSpec, ResourceId, Spec};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long a repository may take to answer.
const WITHIN: Duration = Duration::from_secs(20);

/// The folder of releases, and the link to the current one, below the folder of a service.
pub(crate) const RELEASES: &str = "releases";
/// See [`RELEASES`].
pub(crate) const CURRENT: &str = "current";

impl Observer<'_> {
    pub(super) fn releases(
        &self,
        specs: &[&Spec],
        accounts: &Accounts,
        states: &mut BTreeMap<ResourceId, State>,
    ) {
        let mut asked: Vec<(&ReleaseSpec, Option<Account>)> = Vec::new();
        for spec in specs {
            if let Spec::Release(release) = spec {
                states.insert(spec.id(), self.release_state(&release.root));
                asked.push((release, accounts.user(&release.user)));
            } else if let Spec::Switch(switch) = spec {
                states.insert(spec.id(), self.release_state(&switch.root));
            }
        }
        // Repositories answer slowly, so all are asked at once.
        let answers: Vec<(ResourceId, Option<Result<String, String>>)> = std::thread::scope(|scope| {
            let ask = |(spec, account): (&ReleaseSpec, Option<Account>)| {
                let id = Spec::Release(spec.clone()).id();
                let source = spec.source.clone();
                scope.spawn(move || (id, self.commit(&source, account.as_ref())))
            };
            let threads: Vec<_> = asked.into_iter().map(ask).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        for (id, answer) in answers {
            if let Some(State::Releases { commit, .. }) = states.get_mut(&id) {
                *commit = answer;
            }
        }
    }

    fn release_state(&self, root: &Path) -> State {
        let root = self.machine.at(root);
        let current = root.join(CURRENT);
        if fs::symlink_metadata(&current).is_ok_and(|metadata| !metadata.is_symlink()) {
            return State::Other(format!("{} is no link", current.display()));
        }
        let target = fs::read_link(current).ok();
        let current = target.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let mut complete = Vec::new();
        for entry in fs::read_dir(root.join(RELEASES)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // The note is the last thing that is written of a release.
            if let Ok(note) = fs::metadata(release_note(&root, &name))
                && entry.path().is_dir()
            {
                complete.push((note.modified().ok(), name));
            }
        }
        complete.sort();
        State::Releases {
            commit: None,
            complete: complete.into_iter().map(|(_, name)| name).collect(),
            current,
        }
    }

    fn commit(&self, source: &ReleaseSource, account: Option<&Account>) -> Option<Result<String, String>> {
        let ReleaseSource::Git { url, reference, .. } = source else { return None };
        if is_commit(reference) {
            return Some(Ok(reference.clone()));
        }
        let argv = git_ls_remote(url, reference);
        let order = Order { account, env: git_env(), mark: self.mark, ..Order::new(&argv, WITHIN) };
        let ran = match capture(&order) {
            Ok(ran) => ran,
            Err(refusal) => return Some(Err(refusal.why)),
        };
        if !ran.is_good() {
            let lines: Vec<String> = ran.tail.iter().cloned().collect();
            return Some(Err(format!("{}: {}", ran.ending(), lines.join(" / "))));
        }
        let found = commit_of(&String::from_utf8_lossy(&ran.stdout), reference);
        Some(found.ok_or_else(|| format!("{url} has no tag or branch {reference}")))
    }
}

/// git asks nobody: no terminal, no agent's window.
pub(crate) fn git_env() -> BTreeMap<String, String> {
    let fixed = [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", "true"),
        ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=10"),
        ("GIT_CONFIG_COUNT", "1"),
        // A repository on the host itself may belong to somebody else.
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", "*"),
    ];
    fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn is_commit(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64) && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A tag's commit before a tag before a branch; what only ends like the reference is not meant.
fn commit_of(text: &str, reference: &str) -> Option<String> {
    let wanted = [
        format!("refs/tags/{reference}^{{}}"),
        format!("refs/tags/{reference}"),
        format!("refs/heads/{reference}"),
        format!("{reference}^{{}}"),
        reference.to_owned(),
    ];
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    let found = wanted.iter().find_map(|name| lines.iter().find(|(_, known)| known == name));
    found.map(|(commit, _)| (*commit).to_owned()).filter(|commit| is_commit(commit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_its_commit_and_comes_before_a_branch() {
        let (tag, commit, branch) = ("1".repeat(40), "2".repeat(40), "3".repeat(40));
        let text = format!("{branch}\trefs/heads/v1\n{tag}\trefs/tags/v1\n{commit}\trefs/tags/v1^{{}}\n");
        assert_eq!(commit_of(&text, "v1"), Some(commit));
        assert_eq!(commit_of(&format!("{branch}\trefs/heads/x/v1\n"), "v1"), None);
        assert_eq!(commit_of(&format!("{branch}\tHEAD\n"), "HEAD"), Some(branch));
    }
}
