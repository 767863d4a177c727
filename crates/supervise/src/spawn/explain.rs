//! Puts a failed start into words: what was attempted, why it failed, what to do.
//! It looks at files to find the cause but changes nothing.

use std::fs::{self, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::fork::Fault;
use super::{Explain, Failure, Who};
use crate::wire::Step;

pub(super) fn in_words(explain: &Explain, fault: Fault) -> Failure {
    let cause = io::Error::from_raw_os_error(fault.errno);
    let who = &explain.who;
    match fault.step {
        Step::Exec => exec(explain, fault.errno, &cause),
        Step::Folder => {
            let folder = explain.folder.display();
            match fault.errno {
                libc::ENOENT => Failure::new(Step::Folder, format!("working folder {folder} does not exist"))
                    .hint("make it, or correct the folder in the plan"),
                libc::EACCES => Failure {
                    step: Step::Folder,
                    error: format!("account {} cannot enter working folder {folder}", who.name),
                    hint: closed_folder(&explain.folder, who),
                },
                _ => Failure::new(Step::Folder, format!("cannot enter working folder {folder}: {cause}")),
            }
        }
        Step::Account => Failure::new(Step::Account, format!("cannot become account {}: {cause}", who.name)),
        step @ (Step::Slot | Step::File | Step::Link | Step::Limits | Step::Fork) => {
            Failure::new(step, format!("cannot prepare the new process: {cause}"))
        }
    }
}

fn exec(explain: &Explain, errno: i32, cause: &io::Error) -> Failure {
    let program = &explain.program;
    if !program.contains('/') && errno == libc::ENOENT {
        return Failure::new(Step::Exec, format!("there is no program `{program}` in {}", explain.path))
            .hint(format!("install `{program}`, or give its full path"));
    }
    let file = found_file(explain);
    let shown = file.display();
    match errno {
        libc::ENOENT if file.exists() => {
            let interpreter = interpreter(&file).unwrap_or_else(|| String::from("its interpreter"));
            Failure::new(Step::Exec, format!("{shown} needs {interpreter}, which does not exist"))
                .hint("install it, or correct the first line of the file")
        }
        libc::ENOENT => Failure::new(Step::Exec, format!("there is no program {shown}"))
            .hint("build or install it, or correct the path in the plan"),
        libc::EACCES => Failure {
            step: Step::Exec,
            error: format!("account {} may not run {shown}", explain.who.name),
            hint: closed_folder(file.parent().unwrap_or(&file), &explain.who)
                .or_else(|| Some(format!("make it executable: chmod a+rx {shown}"))),
        },
        libc::ENOEXEC => {
            Failure::new(Step::Exec, format!("{shown} is neither a program of this machine nor a script"))
                .hint("give a script a first line such as `#!/bin/sh`; check the architecture of a program")
        }
        _ => Failure::new(Step::Exec, format!("cannot run {shown}: {cause}")),
    }
}

/// The file the kernel was asked to run, as far as it can be told from outside.
fn found_file(explain: &Explain) -> PathBuf {
    if explain.program.contains('/') {
        return explain.folder.join(&explain.program);
    }
    let mut candidates = explain.path.split(':').map(|folder| Path::new(folder).join(&explain.program));
    candidates.find(|file| file.exists()).unwrap_or_else(|| PathBuf::from(&explain.program))
}

fn interpreter(file: &Path) -> Option<String> {
    let mut line = String::new();
    BufReader::new(fs::File::open(file).ok()?.take(256)).read_line(&mut line).ok()?;
    line.strip_prefix("#!")?.split_ascii_whitespace().next().map(str::to_owned)
}

/// Names the first folder on the way that the account may not enter, with the remedy.
fn closed_folder(folder: &Path, who: &Who) -> Option<String> {
    let mut way: Vec<&Path> = folder.ancestors().collect();
    way.reverse();
    let closed = way.into_iter().find_map(|step| {
        let metadata = fs::metadata(step).ok()?;
        (!may_enter(&metadata, who)).then_some((step, metadata))
    });
    let (step, metadata) = closed?;
    let (shown, mode, owner) = (step.display(), metadata.mode() & 0o7777, metadata.uid());
    Some(format!(
        "{shown} has mode {mode:04o} and belongs to uid {owner}: run `chmod o+x {shown}`, or move the house to a folder \
         that every account may enter, such as /srv"
    ))
}

fn may_enter(metadata: &Metadata, who: &Who) -> bool {
    let shift = if metadata.uid() == who.uid {
        6
    } else if who.groups.contains(&metadata.gid()) {
        3
    } else {
        0
    };
    who.uid == 0 || metadata.mode() >> shift & 0o1 != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn check(program: &str, folder: &Path, step: Step, errno: i32, expected: &[&str]) {
        let who = Who { name: String::from("haus-x"), uid: 4_000_000, groups: vec![4_000_000] };
        let explain = Explain {
            program: program.into(),
            path: String::from("/usr/bin:/bin"),
            folder: folder.into(),
            who,
        };
        let failure = in_words(&explain, Fault { step, errno });
        let said = format!("{}: {} | {}", failure.step, failure.error, failure.hint.unwrap_or_default());
        for part in expected {
            assert!(said.contains(part), "{said} lacks {part}");
        }
    }

    #[test]
    fn a_missing_program_is_named_with_the_path_searched() {
        let here = Path::new("/srv");
        check("uvicorn", here, Step::Exec, libc::ENOENT, &["exec:", "`uvicorn`", "/usr/bin:/bin", "install"]);
        check("./bin/x", here, Step::Exec, libc::ENOENT, &["no program /srv/./bin/x", "build or install"]);
    }

    #[test]
    fn a_script_with_a_missing_interpreter_names_the_interpreter() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("run"), "#!/opt/no/python3 -u\n").expect("writes");
        check("./run", folder.path(), Step::Exec, libc::ENOENT, &["needs /opt/no/python3"]);
    }

    #[test]
    fn a_closed_folder_on_the_way_is_named_with_its_mode() {
        let folder = tempfile::tempdir().expect("folder");
        let closed = folder.path().join("closed");
        let inner = closed.join("inner");
        fs::create_dir_all(&inner).expect("makes");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("opens");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("closes");
        let named = format!("{} has mode 0700", closed.display());
        check("x", &inner, Step::Folder, libc::EACCES, &["account haus-x cannot enter", &named, "chmod o+x"]);
        check("./inner/x", &closed, Step::Exec, libc::EACCES, &["may not run", &named]);
    }

    #[test]
    fn a_folder_that_does_not_exist_is_said_so() {
        check("x", Path::new("/nowhere"), Step::Folder, libc::ENOENT, &["/nowhere does not exist"]);
    }
}
