//! `haus trail export`: the whole trail as JSON lines, as it arrives.

use super::Running;
use crate::arguments::TrailExport;
use crate::exit::{Code, DONE, FAILED, Failure, REFUSED, WRONG_USE};
use crate::terminal;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub(super) fn cmd_export(arguments: &TrailExport) -> Result<Code, Failure> {
    let running = Running::of(&arguments.target)?;
    let Some(path) = &arguments.to else {
        let mut stdout = io::stdout().lock();
        return match write(&running, &mut stdout)? {
            ControlFlow::Continue(()) => Ok(DONE),
            // A reader that has enough (`| head`) is no fault of ours.
            ControlFlow::Break(error) if error.kind() == ErrorKind::BrokenPipe => Ok(DONE),
            ControlFlow::Break(error) => Err(unwritable(Path::new("standard output"), &error)),
        };
    };
    let mut file = new_file(path)?;
    let written = write(&running, &mut file).and_then(|flow| match flow {
        ControlFlow::Continue(()) => file.sync_all().map_err(|error| unwritable(path, &error)),
        ControlFlow::Break(error) => Err(unwritable(path, &error)),
    });
    if let Err(failure) = written {
        // A part must not be taken for the whole.
        let _ = std::fs::remove_file(path);
        return Err(failure);
    }
    terminal::line(&format!(
        "wrote {}; verify it with `haus trail verify {}`",
        path.display(),
        path.display()
    ));
    Ok(DONE)
}

fn write(running: &Running, sink: &mut impl Write) -> Result<ControlFlow<io::Error>, Failure> {
    let take = |part: &[u8]| match sink.write_all(part) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    };
    let flow = running.ask(running.client.export_trail(take))?;
    Ok(match (flow, sink.flush()) {
        (ControlFlow::Continue(()), Err(error)) => ControlFlow::Break(error),
        (flow, _) => flow,
    })
}

fn new_file(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let code = if error.kind() == ErrorKind::AlreadyExists { REFUSED } else { WRONG_USE };
        Failure::new(code, format!("cannot make {}: {error}", path.display()))
            .hint("name a new file in a folder that this account may write to")
    })
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(FAILED, format!("cannot write {}: {error}", path.display()))
        .hint("see that it has space and can be written")
}
