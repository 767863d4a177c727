//! One run of one instance, from its gate to the moment nothing of it is left.
//! It reads its pipes and signals its processes when told; it does not decide when.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::stop::{LINGER_MS, Stop, StopDue};
use crate::cgroup::Group;
use crate::identity::ProcessIdentity;
use crate::logfile::{LineSplitter, LogStream, LogWriter};
use crate::process_table::{PidStart, ProcessTable, RunTrace, is_alive};
use crate::roster::Record;
use crate::spawn::{Explain, Failure, Ground, Started};
use crate::sys;
use crate::wire::{ChildState, ExitKind, FileSpec, Report, SpawnSpec, Step, StopSpec};

/// What one pipe may deliver in one round, so that a flood from one service leaves time for the others.
const READ_BYTES: usize = 64 << 10;
/// What is still read from a pipe after the end of its service: no pipe holds more.
const LAST_READS_MAX: usize = 16;
const CODE_OF_KILLED: i32 = 128 + libc::SIGKILL;

/// A run of an instance.
pub(super) struct Child {
    pub(super) key: String,
    run: u64,
    tag: String,
    process: ProcessIdentity,
    mark: String,
    started_at_ms: u64,
    notes: Vec<String>,
    stop_spec: StopSpec,
    group: Option<Group>,
    memory_bytes: Option<u64>,
    files: Vec<PathBuf>,
    gate: Option<File>,
    fault: Option<File>,
    explain: Explain,
    ground: Ground,
    failure: Option<Failure>,
    announced: bool,
    streams: [Stream; 2],
    log: LogWriter,
    stop: Stop,
    /// Members seen when the stop was asked for. One that left its session and its environment can only be
    /// told from strangers as long as its ancestors live.
    seen: BTreeSet<PidStart>,
    ended: Option<AfterEnd>,
}

struct Stream {
    pipe: Option<File>,
    kind: LogStream,
    splitter: LineSplitter,
}

/// The leader has ended; members may linger.
struct AfterEnd {
    notes: Vec<String>,
    exit: ExitKind,
    at_ms: u64,
    lingering: BTreeSet<PidStart>,
    met: u32,
}

/// Which descriptor of a child has something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChildFd {
    Fault,
    Stream(usize),
}

impl Child {
    pub(super) fn new(
        spec: &SpawnSpec,
        mark: String,
        started: Started,
        started_at_ms: u64,
        files: Vec<PathBuf>,
    ) -> Child {
        let stream =
            |pipe: OwnedFd, kind| Stream { pipe: Some(pipe.into()), kind, splitter: LineSplitter::default() };
        Child {
            key: spec.key.clone(),
            run: spec.run,
            tag: spec.tag.clone(),
            process: started.process,
            mark,
            started_at_ms,
            notes: started.notes,
            stop_spec: spec.stop,
            group: started.group,
            memory_bytes: spec.limits.memory_bytes,
            files,
            gate: Some(started.gate.into()),
            fault: Some(started.fault.into()),
            explain: started.explain,
            ground: started.ground,
            failure: None,
            announced: false,
            streams: [stream(started.out, LogStream::Out), stream(started.err, LogStream::Err)],
            log: started.log,
            stop: Stop::Unasked,
            seen: BTreeSet::new(),
            ended: None,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid
    }

    pub(super) fn run(&self) -> u64 {
        self.run
    }

    pub(super) fn record(&self) -> Record {
        Record {
            key: self.key.clone(),
            run: self.run,
            process: self.process.clone(),
            mark: self.mark.clone(),
            cgroup: self.group.clone(),
            stop: self.stop_spec,
            files: self.files.clone(),
        }
    }

    pub(super) fn state(&self) -> ChildState {
        ChildState {
            key: self.key.clone(),
            run: self.run,
            pid: self.process.pid,
            started_at_ms: self.started_at_ms,
            running: self.announced,
            stopping: self.stop.is_asked() || self.ended.is_some(),
            notes: self.notes.clone(),
            tag: self.tag.clone(),
        }
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = (ChildFd, &File)> {
        let streams = self.streams.iter().enumerate();
        let streams =
            streams.filter_map(|(index, stream)| Some((ChildFd::Stream(index), stream.pipe.as_ref()?)));
        self.fault.iter().map(|fault| (ChildFd::Fault, fault)).chain(streams)
    }

    /// Lets the program run. Nothing may run before it is recorded.
    pub(super) fn open_gate(&mut self) {
        if let Some(mut gate) = self.gate.take() {
            // A child that has been killed at its gate shows as ended anyway.
            let _ = gate.write_all(&[1]);
        }
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Reads what has come; returns `Spawned` when the program has begun to run.
    pub(super) fn handle_readable(&mut self, fd: ChildFd) -> Option<Report> {
        match fd {
            ChildFd::Fault => self.read_fault(),
            ChildFd::Stream(index) => {
                self.streams[index].read_into(&mut self.log);
                None
            }
        }
    }

    fn read_fault(&mut self) -> Option<Report> {
        let mut message = [0; 16];
        let length = match self.fault.as_mut()?.read(&mut message) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => 0,
        };
        self.fault = None;
        if let Some(failure) = self.explain.failure(&message[..length]) {
            self.failure = Some(failure);
            return None;
        }
        self.announced = true;
        Some(Report::Spawned {
            key: self.key.clone(),
            run: self.run,
            pid: self.process.pid,
            started_at_ms: self.started_at_ms,
            notes: self.notes.clone(),
        })
    }

    /// Asks the whole process group to end.
    pub(super) fn ask_to_stop(&mut self, now_ms: u64, table: &ProcessTable, stop: StopSpec) {
        self.stop.handle_ask(now_ms, stop.within_ms);
        if self.ended.is_none() && !self.stop.is_killed() {
            self.seen = self.members(table);
            self.signal_leader_group(stop.signal);
            // A process that was stopped (SIGSTOP) hears nothing else before it goes on.
            self.signal_leader_group(libc::SIGCONT);
        }
    }

    /// The same with what the spec says.
    pub(super) fn ask_to_stop_as_specified(&mut self, now_ms: u64, table: &ProcessTable) {
        if !self.stop.is_asked() {
            self.ask_to_stop(now_ms, table, self.stop_spec);
        }
    }

    pub(super) fn kill(&mut self, now_ms: u64) {
        self.stop.handle_ask(now_ms, 0);
    }

    /// Before setsid there is no group yet, only the leader. Never both: some programs end without grace at a
    /// second signal.
    fn signal_leader_group(&self, signal: i32) {
        if !sys::signal_group(self.process.pid, signal) {
            let process = (self.process.pid, self.process.start_ticks);
            sys::signal_if(self.process.pid, signal, || is_alive(process));
        }
    }

    /// Whether files may be delivered to this run, and this signal sent to it.
    pub(super) fn check_delivery(&self, run: u64, signal: Option<i32>) -> Result<(), Failure> {
        let refuse = |why: String| Err(Failure::new(Step::Slot, why));
        let key = &self.key;
        if self.run != run {
            return refuse(format!("cannot deliver to run {run} of {key}: it is at run {}", self.run));
        }
        if self.stop.is_asked() || self.ended.is_some() || self.failure.is_some() {
            return refuse(format!("cannot deliver to run {run} of {key}: it is ending"));
        }
        match signal {
            // Nobody can read files anew at SIGKILL and SIGSTOP.
            Some(libc::SIGKILL | libc::SIGSTOP) | Some(..=0) | Some(65..) => {
                let number = signal.unwrap_or_default();
                refuse(format!("cannot deliver to run {run} of {key}: {number} is no signal it can handle"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Notes files that end with the house; true when one of them was not known before.
    pub(super) fn note_files(&mut self, files: &[FileSpec]) -> bool {
        let known = self.files.len();
        for file in files {
            if !self.files.contains(&file.path) {
                self.files.push(file.path.clone());
            }
        }
        self.files.len() > known
    }

    /// Replaces files and tells the leader. Returns `Spawned` when it was not told before.
    pub(super) fn deliver(
        &mut self,
        files: &[FileSpec],
        remove: &[PathBuf],
        signal: Option<i32>,
    ) -> (Option<Report>, Result<(), Failure>) {
        if let Err(failure) = self.ground.deliver(files, remove) {
            return (None, Err(failure));
        }
        // Asked after the files are in place: a program that does not run yet will read them, and a signal
        // would end it before it can handle one.
        let spawned = self.read_fault();
        let Some(signal) = signal.filter(|_| self.announced) else { return (spawned, Ok(())) };
        let told = sys::signal_child(self.process.pid, signal).map_err(|error| {
            let pid = self.process.pid;
            Failure::new(
                Step::Slot,
                format!("the files are replaced, but signal {signal} did not reach process {pid}: {error}"),
            )
            .hint(format!("restart {}, so that it reads them", self.key))
        });
        (spawned, told)
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.stop.poll_timeout()
    }

    pub(super) fn is_lingering(&self) -> bool {
        self.ended.is_some()
    }

    /// The leader has ended but is not reaped yet, so its number still belongs to its group.
    pub(super) fn handle_end(&mut self, exit: ExitKind, now_ms: u64, at_ms: u64) -> Option<Report> {
        let spawned = self.read_fault();
        self.gate = None;
        let notes = self.memory_note(exit).into_iter().collect();
        // Whoever was asked to stop keeps the patience that was promised.
        if !self.stop.is_asked() {
            self.stop.handle_ask(now_ms, LINGER_MS);
        }
        self.ended = Some(AfterEnd { notes, exit, at_ms, lingering: BTreeSet::new(), met: 0 });
        spawned
    }

    /// A shell that waits for the process killed ends with 137 itself.
    fn memory_note(&self, exit: ExitKind) -> Option<String> {
        let is_killed = matches!(exit, ExitKind::Signal(libc::SIGKILL) | ExitKind::Code(CODE_OF_KILLED));
        let (group, bytes) = (self.group.as_ref()?, self.memory_bytes?);
        (is_killed && !self.stop.is_killed() && group.memory_kills() > 0)
            .then(|| format!("used more than its memory limit of {bytes} bytes"))
    }

    /// Looks who is left after the leader's end; true when nobody is.
    pub(super) fn look_for_lingering(&mut self, table: &ProcessTable) -> bool {
        let signal = if self.stop.is_killed() { libc::SIGKILL } else { libc::SIGTERM };
        let mut found = self.members(table);
        let Some(ended) = self.ended.as_mut() else { return false };
        found.extend(ended.lingering.iter().chain(&self.seen).copied());
        found.retain(|member| is_alive(*member));
        for member in &found {
            if !ended.lingering.contains(member) {
                ended.met += 1;
                sys::signal_if(member.0, signal, || is_alive(*member));
            }
        }
        ended.lingering = found;
        ended.lingering.is_empty()
    }

    fn members(&self, table: &ProcessTable) -> BTreeSet<PidStart> {
        let in_group = self.group.as_ref().map(Group::pids).unwrap_or_default();
        table.members(&RunTrace {
            leader: self.process.pid,
            leader_start_ticks: self.process.start_ticks,
            mark: &self.mark,
            in_group: &in_group,
        })
    }

    /// True when the run has to be given up as it is: not even SIGKILL ended everything.
    pub(super) fn handle_timeout(&mut self, now_ms: u64) -> bool {
        match self.stop.handle_timeout(now_ms) {
            StopDue::Nothing => false,
            StopDue::GiveUp => self.ended.is_some(),
            StopDue::Kill => {
                let mut members = self.members(&ProcessTable::read());
                members.extend(self.ended.iter().flat_map(|ended| &ended.lingering));
                members.extend(&self.seen);
                for member in members {
                    sys::signal_if(member.0, libc::SIGKILL, || is_alive(member));
                }
                if self.ended.is_none() {
                    self.signal_leader_group(libc::SIGKILL);
                }
                false
            }
        }
    }

    /// Nothing is left: takes the last output, gives back the control group, and says how it ended.
    pub(super) fn finish(mut self) -> Report {
        for stream in &mut self.streams {
            stream.finish(&mut self.log);
        }
        if let Some(group) = &self.group {
            group.remove();
        }
        let (key, run) = (self.key, self.run);
        let ended = self.ended.unwrap_or(AfterEnd {
            notes: Vec::new(),
            exit: ExitKind::Unknown,
            at_ms: self.started_at_ms,
            lingering: BTreeSet::new(),
            met: 0,
        });
        match self.failure {
            Some(Failure { step, error, hint }) => Report::SpawnFailed { key, run, step, error, hint },
            None => Report::Exited {
                key,
                run,
                pid: self.process.pid,
                exit: ended.exit,
                at_ms: ended.at_ms,
                lingering_killed: ended.met,
                notes: ended.notes,
            },
        }
    }
}

impl Stream {
    /// Reads once; returns whether there may be more at the moment.
    fn read_into(&mut self, log: &mut LogWriter) -> bool {
        let Some(pipe) = self.pipe.as_mut() else { return false };
        let mut buffer = [0; READ_BYTES];
        match pipe.read(&mut buffer) {
            Ok(length) if length > 0 => {
                log.take_in(jiff::Timestamp::now(), self.kind, &mut self.splitter, &buffer[..length], false);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Ok(_) | Err(_) => {
                self.pipe = None;
                log.take_in(jiff::Timestamp::now(), self.kind, &mut self.splitter, &[], true);
                false
            }
        }
    }

    fn finish(&mut self, log: &mut LogWriter) {
        let mut reads = 0;
        while reads < LAST_READS_MAX && self.read_into(log) {
            reads += 1;
        }
        self.pipe = None;
        log.take_in(jiff::Timestamp::now(), self.kind, &mut self.splitter, &[], true);
    }
}
