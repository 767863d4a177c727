//! `haus logs`: the captured output, read from the log files, so it works without a running house.

use crate::arguments::Logs;
use crate::exit::{Code, DONE, FAILED, Failure, WRONG_USE};
use crate::terminal::Reader;
use crate::{locate, terminal};
use haus_coordinator::Places;
use haus_model::InstanceId;
use haus_supervise::logfile::Follower;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a follower looks for new lines.
const POLL: Duration = Duration::from_millis(200);
/// After so many looks it also looks for instances that were added.
const POLLS_PER_SEARCH: u32 = 10;

pub(crate) fn cmd_logs(arguments: &Logs) -> Result<Code, Failure> {
    let places = locate::running(arguments.target.path.as_deref(), arguments.target.state.as_deref())?;
    let files = files(&places, &arguments.service);
    if files.is_empty() {
        return Err(unknown(&places, &arguments.service));
    }
    let mut reading = Reading { logs: Vec::new(), several: files.len() > 1 };
    if reading.open(files, arguments.lines)? == Reader::Gone {
        return Ok(DONE);
    }
    for polls in 1.. {
        if !arguments.follow || reading.poll()? == Reader::Gone || terminal::reader() == Reader::Gone {
            break;
        }
        if polls % POLLS_PER_SEARCH == 0 && reading.open_new(&places, &arguments.service)? == Reader::Gone {
            break;
        }
        std::thread::sleep(POLL);
    }
    Ok(DONE)
}

/// The logs that are being read, in the order in which they were found.
struct Reading {
    logs: Vec<(LogFile, Follower)>,
    /// Lines of several instances bear the name of theirs.
    several: bool,
}

impl Reading {
    fn open(&mut self, files: Vec<LogFile>, lines: usize) -> Result<Reader, Failure> {
        for file in files {
            let opened = Follower::after_tail(&file.path, lines);
            let (lines, follower) = opened.map_err(|error| unreadable(&file.path, &error))?;
            let reader = print(&file.name, &lines, self.several)?;
            self.logs.push((file, follower));
            if reader == Reader::Gone {
                return Ok(reader);
            }
        }
        Ok(Reader::There)
    }

    fn open_new(&mut self, places: &Places, wanted: &str) -> Result<Reader, Failure> {
        let mut files = files(places, wanted);
        files.retain(|file| !self.logs.iter().any(|(known, _)| known.name == file.name));
        self.several |= !files.is_empty();
        // All of it came after the reader did.
        self.open(files, usize::MAX)
    }

    fn poll(&mut self) -> Result<Reader, Failure> {
        for (file, follower) in &mut self.logs {
            let lines = follower.poll().map_err(|error| unreadable(&file.path, &error))?;
            if print(&file.name, &lines, self.several)? == Reader::Gone {
                return Ok(Reader::Gone);
            }
        }
        Ok(Reader::There)
    }
}

fn print(name: &str, lines: &[String], several: bool) -> Result<Reader, Failure> {
    if lines.is_empty() {
        return Ok(Reader::There);
    }
    let text: String = lines.iter().map(|line| format!("{}\n", label(name, line, several))).collect();
    terminal::follow(&text)
}

fn label(name: &str, line: &str, several: bool) -> String {
    let line = if std::io::stdout().is_terminal() { terminal::harmless(line) } else { Cow::Borrowed(line) };
    if several { format!("{name} {line}") } else { line.into_owned() }
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(FAILED, format!("cannot read {}: {}", path.display(), crate::exit::chain(error)))
        .hint("logs belong to the account that runs the house; use that one or root")
}

/// A captured log.
#[derive(Debug)]
struct LogFile {
    /// `SERVICE/2`, or `gateway`.
    name: String,
    path: PathBuf,
}

/// The logs of a service, of one instance, or of the gateway.
fn files(places: &Places, wanted: &str) -> Vec<LogFile> {
    if wanted == "gateway" {
        // It is there, also before the first request has been written.
        return vec![LogFile { name: wanted.to_owned(), path: places.access_log() }];
    }
    let known = instances(&names(&places.logs()));
    let meant = known.iter().filter(|id| id.to_string() == wanted || id.service.as_str() == wanted);
    meant.map(|id| LogFile { name: id.to_string(), path: places.log(id) }).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The instances whose captured output is kept, from the names of files (`SERVICE.2.log`). Numbers may be
/// missing: an instance that never ran has no log. In a rotation only the files before are there for a moment
/// (`SERVICE.2.log.1`).
fn instances(names: &[String]) -> BTreeSet<InstanceId> {
    let parts = names.iter().filter_map(|name| unrotated(name).strip_suffix(".log")?.rsplit_once('.'));
    parts.filter_map(|(service, ordinal)| format!("{service}/{ordinal}").parse().ok()).collect()
}

/// The name without the number that a rotation gave it.
fn unrotated(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((before, number)) if number.parse::<u32>().is_ok() => before,
        Some(_) | None => name,
    }
}

fn unknown(places: &Places, wanted: &str) -> Failure {
    let folder = places.logs();
    let services: BTreeSet<String> =
        instances(&names(&folder)).into_iter().map(|id| id.service.to_string()).collect();
    let message = format!("there is no log of `{}` in {}", wanted.escape_debug(), folder.display());
    let failure = Failure::new(WRONG_USE, message);
    if services.is_empty() {
        return failure.hint("no service has run in this house yet; start it with `haus up DIR`");
    }
    let services: Vec<String> = services.into_iter().collect();
    failure.hint(format!("logs are kept of: {}", services.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], expected: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let found: Vec<String> = instances(&names).iter().map(InstanceId::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_log_in_the_middle_of_its_rotation_is_found() {
        check(&["web.2.log.1", "web.2.log.3", "access.log.1", "web.1.log.x", "web.3.1"], &["web/2"]);
    }

    #[test]
    fn instances_are_found_over_gaps_in_their_numbers() {
        check(
            &["web.10.log", "web.2.log", "web.2.log.1", "api.1.log", "access.log", "web.x.log", "note"],
            &["api/1", "web/2", "web/10"],
        );
    }
}
