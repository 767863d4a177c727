//! Where content and code come from: from words of the plan to bytes that are known by hash, and to commands
//! of a build. Whether a source can be reached is found out on a host, not here.

use super::collect::Collector;
use crate::names::Names;
use haus_model::deployment::{BuildStep, BuildTool, CodeSource, Deployment};
use haus_model::host::FileSource;
use haus_model::resource::{BuildCommand, Content, ReleaseSource, SecretVersion};
use haus_model::{CredentialName, ServiceName};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

impl Collector<'_> {
    /// The content behind a source; none when something is missing, which is noted.
    pub(crate) fn content(&mut self, source: &FileSource, why: &str) -> Option<Content> {
        match source {
            FileSource::Text(text) => self.filled(text, why).map(Content::Text),
            FileSource::From(path) => self.file(path, why).map(|file| file.content()),
            FileSource::Template(path) => match self.file(path, why)? {
                crate::FileInput::Text(text) => self.filled(&text, why).map(Content::Text),
                crate::FileInput::Blob(_) => {
                    let message = format!("{why}: {} is no text of at most 64 KiB", path.display());
                    self.missing(message, "use `from` for what has no variables");
                    None
                }
            },
            FileSource::Credential(name) => self.secret(name, why).map(Content::Secret),
        }
    }

    /// The current version of a credential.
    pub(crate) fn secret(&mut self, name: &CredentialName, why: &str) -> Option<SecretVersion> {
        if let Some(version) = self.view.inputs.credentials.get(name) {
            return Some(SecretVersion { credential: name.clone(), version: *version });
        }
        let message = format!("{why}: the credential {name} has no value yet");
        self.missing(message, format!("give it one: haus credential create {name}"));
        None
    }

    /// All of these that have a version.
    pub(crate) fn secrets(
        &mut self,
        names: &BTreeMap<String, CredentialName>,
        why: &str,
    ) -> BTreeMap<String, SecretVersion> {
        let pairs = names.iter().filter_map(|(file, name)| Some((file.clone(), self.secret(name, why)?)));
        pairs.collect()
    }

    fn file(&mut self, path: &Path, why: &str) -> Option<crate::FileInput> {
        if let Some(file) = self.view.inputs.files.get(path) {
            return Some(file.clone());
        }
        let message = format!("{why}: the file {} was not found beside the plan", path.display());
        self.missing(message, "correct the path, or put the file there");
        None
    }

    fn filled(&mut self, text: &str, why: &str) -> Option<String> {
        let filled = self.view.fill_text(text);
        filled.map_err(|variable| self.no_value(&variable.to_string(), why)).ok()
    }

    /// A variable without a value: mostly a port that somebody else chooses later.
    pub(crate) fn no_value(&mut self, variable: &str, why: &str) {
        self.missing(
            format!("{why}: ${{{variable}}} has no value on this host"),
            "write a fixed port where a process under a coordinator is meant, or correct the name",
        );
    }

    /// Where the code of a service comes from, with the packages that fetching it needs.
    pub(crate) fn code(
        &mut self,
        service: &ServiceName,
        source: &CodeSource,
        why: &str,
    ) -> Option<ReleaseSource> {
        match source {
            CodeSource::Git { url, reference } => {
                self.package("git", why);
                self.package("ca-certificates", why);
                Some(ReleaseSource::Git { url: url.clone(), reference: reference.clone(), commit: None })
            }
            CodeSource::Folder(path) => {
                if let Some(blob) = self.view.inputs.archives.get(path) {
                    return Some(ReleaseSource::Archive { hash: blob.hash, bytes: blob.bytes });
                }
                let message =
                    format!("{why}: the folder {} of service {service} was not packed", path.display());
                self.missing(message, "correct the path, or put the folder beside the plan");
                None
            }
        }
    }

    /// The commands of a build, with the packages that they need.
    pub(crate) fn build(&mut self, deployment: &Deployment, why: &str) -> Vec<BuildCommand> {
        let mut commands = Vec::new();
        for step in &deployment.build {
            match &step.tool {
                BuildTool::Python { lock } => {
                    self.package("python3-venv", why);
                    if is_poetry(lock) {
                        self.package("python3-poetry", why);
                    }
                    commands.extend(python(step, lock));
                }
                BuildTool::Npm { run } => {
                    // A foreign `nodejs` brings its own npm and cannot stand beside Debian's.
                    let packages = &self.view.host.settings.packages;
                    if !packages.contains("nodejs") && !packages.contains("npm") {
                        self.package("npm", why);
                    }
                    commands.extend(npm(step, run.as_deref()));
                }
                BuildTool::Run(argv) => commands.push(command(step, argv.clone())),
            }
        }
        commands
    }
}

fn is_poetry(lock: &Path) -> bool {
    lock.file_name().is_some_and(|name| name == "poetry.lock")
}

fn command(step: &BuildStep, argv: Vec<String>) -> BuildCommand {
    BuildCommand { folder: step.folder.clone(), argv, env: BTreeMap::new() }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A virtual environment `.venv` in the folder of the step. Nothing is installed that the lock does not pin.
fn python(step: &BuildStep, lock: &Path) -> Vec<BuildCommand> {
    if is_poetry(lock) {
        let install = ["poetry", "install", "--no-interaction", "--no-root", "--only", "main", "--sync"];
        let mut poetry = command(step, words(&install));
        poetry.env.insert("POETRY_VIRTUALENVS_IN_PROJECT".to_owned(), "true".to_owned());
        poetry.env.insert("POETRY_VIRTUALENVS_CREATE".to_owned(), "true".to_owned());
        return vec![poetry];
    }
    let lock = lock.display().to_string();
    // `env` finds a program by a relative path from the folder of the step, whoever starts it.
    let pip =
        ["env", ".venv/bin/pip", "install", "--disable-pip-version-check", "--require-hashes", "-r", &lock];
    vec![command(step, words(&["python3", "-m", "venv", ".venv"])), command(step, words(&pip))]
}

fn npm(step: &BuildStep, run: Option<&str>) -> Vec<BuildCommand> {
    let install = command(step, words(&["npm", "ci", "--no-audit", "--no-fund"]));
    let build = run.map(|script| command(step, words(&["npm", "run", script])));
    [Some(install), build].into_iter().flatten().collect()
}

/// Folders with programs that a build makes, inside the release.
pub(crate) fn program_folders(deployment: &Deployment) -> Vec<PathBuf> {
    let folder = |step: &BuildStep| match &step.tool {
        BuildTool::Python { .. } => Some(step.folder.join(".venv/bin")),
        BuildTool::Npm { .. } => Some(step.folder.join("node_modules/.bin")),
        BuildTool::Run(_) => None,
    };
    deployment.build.iter().filter_map(folder).collect()
}

/// Links of a service inside its release: the path from the release, and the way back to the data folder.
/// Relative, so that they also lead there from inside another root or mount.
pub(crate) fn release_links(names: &Names<'_>) -> BTreeMap<PathBuf, PathBuf> {
    let links = names.service.links.iter().map(|(link, data)| {
        let path: PathBuf = names.service.folder.join(link).components().collect();
        let depth = path.components().filter(|part| matches!(part, Component::Normal(_))).count();
        // From the folder of the link up to the release, then past `releases/ID`.
        let up: PathBuf = std::iter::repeat_n("..", depth + 1).collect();
        (path, up.join("data").join(data))
    });
    links.collect()
}
