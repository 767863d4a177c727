//! A process on the other end of three pipes, and nothing that waits without an end.
//!
//! Every call takes the moment at which it must be over. While one pipe is waited for the others are emptied,
//! so that neither side can block the other. It does not know what the bytes mean, nor what kind of road the
//! process is.

use crate::shown::shown;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What may lie here unread; beyond it the process has to wait.
const INBOX_BYTES_MAX: usize = 1 << 20;
/// How much of the end of its error texts is kept.
const ERRORS_BYTES_MAX: usize = 16 << 10;
/// How long a process that was asked to end is waited for before it is killed.
const GRACE: Duration = Duration::from_millis(300);

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The end of what it wrote to standard error, as it came. It must not be printed raw.
    pub errors: String,
}

impl Ended {
    /// The last lines of its error texts, fit to be shown, joined by `; `.
    pub fn last_words(&self) -> String {
        let lines: Vec<&str> = self.errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        shown(&lines[lines.len().saturating_sub(4)..].join("; "))
    }
}

/// A process with its pipes. It is killed, with everything in its process group, when this is dropped.
#[derive(Debug)]
pub struct Channel {
    child: Child,
    group: Pid,
    ended: Option<ExitStatus>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    inbox: Vec<u8>,
    taken: usize,
    errors: Vec<u8>,
}

impl Channel {
    /// Starts this command with pipes, in a process group of its own: Ctrl-C in a terminal reaches us, and we
    /// decide what becomes of it.
    pub fn start(command: &mut Command) -> io::Result<Channel> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = Pid::from_child(&child);
        let channel = Channel {
            child,
            group,
            ended: None,
            stdin,
            stdout,
            stderr,
            inbox: Vec::new(),
            taken: 0,
            errors: Vec::new(),
        };
        // Each end of a pipe has its own flags, so the process itself sees none of this.
        if let (Some(stdin), Some(stdout), Some(stderr)) = (&channel.stdin, &channel.stdout, &channel.stderr)
        {
            never_block(stdin)?;
            never_block(stdout)?;
            never_block(stderr)?;
        }
        Ok(channel)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A reader and writer for which everything must be over at this moment.
    pub fn until(&mut self, deadline: Instant) -> Timed<'_> {
        Timed { channel: self, deadline }
    }

    /// Tells it that nothing more comes.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Waits until it has ended. What it still writes to standard output is thrown away.
    pub fn finish(mut self, deadline: Instant) -> io::Result<Ended> {
        self.close_input();
        while self.stdout.is_some() {
            self.inbox.clear();
            self.taken = 0;
            if self.turn(Wish::Read, deadline)? == Turn::TooLate {
                return Err(too_late());
            }
        }
        self.wait(deadline)?;
        Ok(self.ending())
    }

    /// Ends it at once, first politely, and says how it ended.
    pub fn stop(mut self) -> Ended {
        // What it said before must not be lost: often it has ended already and the reason lies in the pipe.
        let _ = self.turn(Wish::Nothing, Instant::now());
        self.end();
        self.ending()
    }

    fn ending(&mut self) -> Ended {
        self.read_errors();
        Ended {
            code: self.ended.and_then(|status| status.code()),
            errors: String::from_utf8_lossy(&self.errors).into_owned(),
        }
    }

    fn end(&mut self) {
        self.close_input();
        for signal in [Signal::TERM, Signal::KILL] {
            if self.wait(Instant::now() + GRACE).is_ok() {
                return;
            }
            // A group that is gone already is what we want.
            let _ = kill_process_group(self.group, signal);
        }
        self.ended = self.ended.or_else(|| self.child.wait().ok());
    }

    fn wait(&mut self, deadline: Instant) -> io::Result<()> {
        while self.ended.is_none() {
            self.ended = self.child.try_wait()?;
            if self.ended.is_some() {
                break;
            }
            let process = pidfd_open(self.group, PidfdFlags::empty())?;
            self.read_errors();
            let stderr = self.stderr.as_ref().map(AsFd::as_fd);
            let mut fds = vec![PollFd::new(&process, PollFlags::IN)];
            fds.extend(stderr.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            if poll_until(&mut fds, deadline)? == Turn::TooLate {
                return Err(too_late());
            }
        }
        Ok(())
    }

    /// Waits for one thing to become possible and empties what came meanwhile.
    fn turn(&mut self, wish: Wish, deadline: Instant) -> io::Result<Turn> {
        let room = self.inbox.len() - self.taken < INBOX_BYTES_MAX;
        let mut fds = Vec::with_capacity(3);
        if let (Some(stdin), Wish::Write) = (&self.stdin, wish) {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        if let (Some(stdout), true) = (&self.stdout, room) {
            fds.push(PollFd::new(stdout, PollFlags::IN));
        }
        if let Some(stderr) = &self.stderr {
            fds.push(PollFd::new(stderr, PollFlags::IN));
        }
        let turn = poll_until(&mut fds, deadline)?;
        drop(fds);
        if room {
            self.read_output()?;
        }
        self.read_errors();
        Ok(turn)
    }

    fn read_output(&mut self) -> io::Result<()> {
        if self.taken == self.inbox.len() {
            self.inbox.clear();
            self.taken = 0;
        }
        let Some(stdout) = &mut self.stdout else { return Ok(()) };
        let mut buffer = [0; 64 << 10];
        match stdout.read(&mut buffer) {
            Ok(0) => self.stdout = None,
            Ok(count) => self.inbox.extend_from_slice(&buffer[..count]),
            Err(error) if would_wait(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes what lies in the pipe of errors. Its end is kept: that is where the reason stands.
    fn read_errors(&mut self) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut buffer = [0; 4 << 10];
        // Bounded, so that a host which floods us with errors cannot keep us here.
        for _ in 0..64 {
            match stderr.read(&mut buffer) {
                Ok(0) => {
                    self.stderr = None;
                    break;
                }
                Ok(count) => self.errors.extend_from_slice(&buffer[..count]),
                Err(error) if would_wait(&error) => break,
                Err(_) => {
                    self.stderr = None;
                    break;
                }
            }
        }
        let over = self.errors.len().saturating_sub(ERRORS_BYTES_MAX);
        self.errors.drain(..over);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.end();
        }
    }
}

/// A channel with a deadline, for whoever reads and writes.
#[derive(Debug)]
pub struct Timed<'a> {
    channel: &'a mut Channel,
    deadline: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let channel = &mut *self.channel;
            let waiting = &channel.inbox[channel.taken..];
            if !waiting.is_empty() {
                let count = waiting.len().min(buffer.len());
                buffer[..count].copy_from_slice(&waiting[..count]);
                channel.taken += count;
                return Ok(count);
            }
            if channel.stdout.is_none() {
                return Ok(0);
            }
            // What came is taken even when it came at the last moment.
            let turn = channel.turn(Wish::Read, self.deadline)?;
            if turn == Turn::TooLate && channel.inbox.len() == channel.taken && channel.stdout.is_some() {
                return Err(too_late());
            }
        }
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let Some(stdin) = &mut self.channel.stdin else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            match stdin.write(bytes) {
                Err(error) if would_wait(&error) => {}
                answer => return answer,
            }
            if self.channel.turn(Wish::Write, self.deadline)? == Turn::TooLate {
                return Err(too_late());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Read,
    Write,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Something,
    TooLate,
}

fn poll_until(fds: &mut [PollFd<'_>], deadline: Instant) -> io::Result<Turn> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(fds, Some(&timeout)) {
            Ok(0) => return Ok(Turn::TooLate),
            Ok(_) => return Ok(Turn::Something),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn never_block(pipe: &impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

fn would_wait(error: &io::Error) -> bool {
    [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind())
}

fn too_late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Whether an error means that a deadline passed.
pub(crate) fn is_too_late(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}
