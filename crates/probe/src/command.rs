//! A command as a probe: its own process group, a clean environment, a bounded output, an end in any case.
//! What left the group is [`crate::leftover`]'s.

use crate::evidence::{io_reason, shorten};
use crate::leftover::Mark;
use crate::{Answer, Limit};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, kill_process_group, pidfd_open, setrlimit};
use rustix::thread::set_no_new_privs;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::task::Poll;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

/// Characters of the last line of output that are shown.
const LINE_CHARACTERS_MAX: usize = 200;
/// Bytes taken from the pipe at once.
const BLOCK_BYTES: usize = 4 << 10;
/// Bytes at the end of the output among which the last line is looked for.
const TAIL_BYTES_MAX: usize = 4 << 10;
/// A command that writes more than this is no probe.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// How long the end of a killed process may take; one that hangs in the kernel is left to be reaped later.
const REAP_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) async fn run(
    argv: &[String],
    env: &BTreeMap<String, String>,
    folder: &Path,
    account: Option<(u32, u32)>,
    limit: Limit,
) -> Answer {
    let (program, arguments) = argv.split_first().ok_or("there is no program to start")?;
    let mut command = Command::new(program);
    let mark = Mark::new();
    let (name, value) = mark.variable();
    command.args(arguments).env_clear().envs(env).env(name, value).current_dir(folder).process_group(0);
    if let Some((user, group)) = account {
        // With another user std also drops our supplementary groups.
        command.gid(group).uid(user);
    }
    // SAFETY: both are single system calls; nothing is allocated or locked between fork and exec.
    unsafe { command.pre_exec(confine) };
    let (mut running, output) = Running::start(command, mark)
        .map_err(|error| format!("could not be started: {}", why_not(&error, folder)))?;
    let mut output = Output { pipe: output, tail: Vec::new(), total: 0 };
    let ended = tokio::time::timeout_at(limit.deadline, running.follow(&mut output)).await;
    // Nothing of the group stays in any case. The number is still its own: nobody reaped the leader.
    running.group.kill();
    let status = tokio::time::timeout(REAP_TIMEOUT, running.child.wait()).await;
    running.group.reaped = matches!(status, Ok(Ok(_)));
    running.group.mark.end_all(running.group.leader).await;
    running.group.swept = true;
    match ended {
        Err(_) => Err(format!("no end within {}, killed{}", limit.words(), output.said())),
        Ok(Err(reason)) => Err(format!("{reason}{}", output.said())),
        Ok(Ok(())) => match status {
            Ok(Ok(status)) => judge(status, &output.said()),
            Ok(Err(error)) => Err(format!("its end could not be learned: {}", io_reason(&error))),
            Err(_) => Err("its end could not be learned in time".to_owned()),
        },
    }
}

/// As for services: no rights by set-user-id programs, and no memory with secrets written to the disk.
fn confine() -> io::Result<()> {
    set_no_new_privs(true)?;
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

fn judge(status: ExitStatus, said: &str) -> Answer {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(format!("exit 0{said}")),
        (Some(code), _) => Err(format!("exit {code}, expected 0{said}")),
        (None, signal) => Err(format!("ended by signal {}{said}", signal.unwrap_or_default())),
    }
}

// The system reports a missing folder and a missing program alike.
fn why_not(error: &io::Error, folder: &Path) -> String {
    let reason = io_reason(error);
    if folder.is_dir() { reason } else { format!("{reason} (folder {})", folder.display()) }
}

struct Running {
    // Dropped before the child: a group must be killed while its leader still keeps the number.
    group: Group,
    child: Child,
    /// Readable when the leader has ended, without taking its exit status.
    ended: AsyncFd<OwnedFd>,
}

impl Running {
    fn start(mut command: Command, mark: Mark) -> io::Result<(Running, Receiver)> {
        let (reader, writer) = io::pipe()?;
        let receiver = Receiver::from_owned_fd(OwnedFd::from(reader))?;
        // One pipe for both, so that the last line is the last that was written.
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let child = command.spawn()?;
        // Our copies of the writing end stand in `command` and go with it.
        drop(command);
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("a started process has no number"))?;
        let group = Group { leader: pid, mark, reaped: false, swept: false };
        let ended = pidfd_open(pid, PidfdFlags::empty())?;
        // SAFETY: an `OwnedFd` stays open under its number for as long as it lives; the `AsyncFd` owns it.
        let ended = unsafe { AsyncFd::register_with_interest(ended, Interest::READABLE) };
        Ok((Running { group, child, ended: ended.map_err(io::Error::from)? }, receiver))
    }

    /// Takes output until the leader has ended. Others of its group may still hold the pipe open then.
    async fn follow(&mut self, output: &mut Output) -> Answer<()> {
        let mut ended = pin!(self.ended.readable());
        let mut open = true;
        while open {
            let read = {
                let mut more = pin!(output.read());
                poll_fn(|context| match more.as_mut().poll(context) {
                    Poll::Ready(read) => Poll::Ready(Some(read)),
                    Poll::Pending => ended.as_mut().poll(context).map(|_| None),
                })
                .await
            };
            match read {
                Some(read) => open = read?,
                None => return output.drain(),
            }
        }
        // All writers have closed; the process may go on for a while.
        ended.await.map(|_| ()).map_err(|error| io_reason(&error))
    }
}

/// A process group that is killed with this value, so that a dropped probe leaves nothing either.
struct Group {
    leader: Pid,
    mark: Mark,
    reaped: bool,
    /// What left the group has been ended as well.
    swept: bool,
}

impl Group {
    fn kill(&self) {
        // All of it may have ended already.
        let _ = kill_process_group(self.leader, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
        }
        if !self.swept {
            self.mark.end_all_later(self.leader);
        }
    }
}

struct Output {
    pipe: Receiver,
    tail: Vec<u8>,
    total: usize,
}

impl Output {
    /// Takes what is there or comes next; false when nothing can come any more.
    async fn read(&mut self) -> Answer<bool> {
        let mut block = [0; BLOCK_BYTES];
        let count = self.pipe.read(&mut block).await.map_err(|error| io_reason(&error))?;
        self.take(&block[..count])?;
        Ok(count > 0)
    }

    /// Takes what the leader wrote between our last look and its end. Asks the pipe itself: the runtime may
    /// not have heard of it yet.
    fn drain(&mut self) -> Answer<()> {
        let mut block = [0; BLOCK_BYTES];
        loop {
            match rustix::io::read(&self.pipe, &mut block) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(()),
                Ok(count) => self.take(&block[..count])?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(io_reason(&errno.into())),
            }
        }
    }

    fn take(&mut self, block: &[u8]) -> Answer<()> {
        self.total += block.len();
        if self.total > OUTPUT_BYTES_MAX {
            return Err(format!("wrote more than {} MiB, killed", OUTPUT_BYTES_MAX >> 20));
        }
        self.tail.extend_from_slice(block);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..surplus);
        Ok(())
    }

    /// The last line with words in it, as the end of a sentence.
    fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        last.map_or(String::new(), |line| format!(", said: {}", shorten(line, LINE_CHARACTERS_MAX)))
    }
}
