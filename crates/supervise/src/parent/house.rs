//! The one loop: waits for signals, orders, output and time, and deals with each in bounded rounds.
//! It has no threads and never waits for a child, a disk or the core beyond one system call.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::child::{Child, ChildFd};
use super::core::Core;
use super::course::{Course, EndStep, FORCED_EXIT_CODE};
use super::stop::{Stop, StopDue};
use super::{ParentError, ParentOptions, say};
use crate::cgroup::Cgroups;
use crate::identity::ProcessIdentity;
use crate::notify::Notifier;
use crate::process_table::{ProcessTable, is_alive};
use crate::roster;
use crate::spawn::{self, Failure, error_chain};
use crate::sys::{self, SignalFd};
use crate::wire::{ExitKind, FileSpec, Order, Report, SpawnSpec, Step, StopSpec};

/// How often we look for processes that outlive their leader, as long as there are any.
const LINGER_LOOK_MS: u64 = 50;
/// How often we look whether the core has read what must not be lost, as long as it may not have.
const UNREAD_LOOK_MS: u64 = 500;
/// How long a core may take to end after it has announced it, and after it was asked to.
const CORE_END_WITHIN_MS: u64 = 5_000;
/// Files that only their owner may read, and nobody write.
const SECRET_MODE: u32 = 0o400;

/// Everything the parent holds. Children are found by pid, which the kernel keeps unique until we reap.
pub(super) struct House {
    options: ParentOptions,
    identity: ProcessIdentity,
    signals: SignalFd,
    cgroups: Cgroups,
    notifier: Notifier,
    settled: Vec<String>,
    children: BTreeMap<u32, Child>,
    core: Core,
    core_stop: Stop,
    course: Course,
    spawns: u64,
    /// Every file that was given to an instance and ends with the house, and whose it is.
    files: BTreeMap<PathBuf, String>,
    roster_is_stale: bool,
    next_linger_look_ms: u64,
    begun: Instant,
}

/// Who has something to say.
#[derive(Debug, Clone, Copy)]
enum Ready {
    Signals,
    Core,
    Child(u32, ChildFd),
}

impl House {
    pub(super) fn new(
        options: ParentOptions,
        identity: ProcessIdentity,
        signals: SignalFd,
        cgroups: Cgroups,
        notifier: Notifier,
        settled: Vec<String>,
    ) -> House {
        House {
            options,
            identity,
            signals,
            cgroups,
            notifier,
            settled,
            children: BTreeMap::new(),
            core: Core::new(),
            core_stop: Stop::Unasked,
            course: Course::Serving,
            spawns: 0,
            files: BTreeMap::new(),
            // The list of an earlier parent is settled and must not be met again.
            roster_is_stale: true,
            next_linger_look_ms: 0,
            begun: Instant::now(),
        }
    }

    /// Runs until nothing is left.
    pub(super) fn run(mut self) -> Result<u8, ParentError> {
        let outcome = self.serve();
        if outcome.is_err() {
            // Whatever went wrong, the promise that nothing is left holds.
            self.course.handle_announcement(FORCED_EXIT_CODE);
            self.stop_all();
            while !self.round_of_ending() {}
        }
        self.sweep();
        spawn::remove_files(self.files.keys());
        outcome
    }

    fn serve(&mut self) -> Result<u8, ParentError> {
        loop {
            self.start_core_when_due()?;
            self.commit();
            if let Some(exit_code) = self.finished() {
                return Ok(exit_code);
            }
            for ready in self.wait() {
                self.handle_ready(ready)?;
            }
            self.handle_time();
        }
    }

    /// One round of an end after a fault of our own; true when all is done.
    fn round_of_ending(&mut self) -> bool {
        self.core.never_start_again();
        self.commit();
        if self.finished().is_some() {
            return true;
        }
        for ready in self.wait() {
            // The core cannot do worse than it has done.
            let _ = self.handle_ready(ready);
        }
        self.handle_time();
        false
    }

    fn finished(&self) -> Option<u8> {
        match self.course {
            Course::Ending { exit_code } if self.children.is_empty() && self.core.pid().is_none() => {
                Some(exit_code)
            }
            Course::Serving | Course::Draining { .. } | Course::Ending { .. } => None,
        }
    }

    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn start_core_when_due(&mut self) -> Result<(), ParentError> {
        let now_ms = self.now_ms();
        if self.core.start_at_ms().is_none_or(|at_ms| at_ms > now_ms) {
            return Ok(());
        }
        let mut children: Vec<_> = self.children.values().map(Child::state).collect();
        children.sort_by(|one, other| one.key.cmp(&other.key));
        let greeting = Report::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            parent_pid: self.identity.pid,
            boot_id: self.identity.boot_id.clone(),
            core_start: self.core.starts() + 1,
            children,
            settled: self.settled.clone(),
        };
        let Err(source) = self.core.start(&self.options, now_ms, &greeting) else { return Ok(()) };
        let program = self.options.core_argv.first().cloned().unwrap_or_default();
        if self.core.starts() == 1 {
            return Err(ParentError::Core { program, source });
        }
        say(&format!("cannot start the core {program}: {source}; trying again"));
        self.plan_next_core(&source.to_string())
    }

    fn plan_next_core(&mut self, last: &str) -> Result<(), ParentError> {
        let now_ms = self.now_ms();
        self.core
            .handle_crash(now_ms)
            .map_err(|times| ParentError::CoreNeverWorked { times, last: last.to_owned() })
    }

    /// Waits for the next event and returns who is ready.
    fn wait(&self) -> Vec<Ready> {
        let mut who = vec![Ready::Signals];
        let mut fds = vec![PollFd::new(self.signals.fd(), PollFlags::IN)];
        if let Some((stream, has_outgoing)) = self.core.stream() {
            let out = if has_outgoing { PollFlags::OUT } else { PollFlags::empty() };
            who.push(Ready::Core);
            fds.push(PollFd::new(stream, PollFlags::IN | out));
        }
        for child in self.children.values() {
            for (fd, file) in child.fds() {
                who.push(Ready::Child(child.pid(), fd));
                fds.push(PollFd::new(file, PollFlags::IN));
            }
        }
        let timeout = self.poll_timeout().map(|at_ms| {
            let wait_ms = at_ms.saturating_sub(self.now_ms());
            Timespec { tv_sec: (wait_ms / 1_000) as i64, tv_nsec: ((wait_ms % 1_000) * 1_000_000) as i64 }
        });
        // Only a signal that is not ours to handle interrupts; the next round looks again.
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        who.into_iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(who, _)| who).collect()
    }

    fn poll_timeout(&self) -> Option<u64> {
        let lingers = self.children.values().any(Child::is_lingering).then_some(self.next_linger_look_ms);
        let children = self.children.values().filter_map(Child::poll_timeout);
        let core_stop = self.core.pid().and(self.core_stop.poll_timeout());
        let unread = self.core.has_unread().then(|| self.now_ms() + UNREAD_LOOK_MS);
        let own = [lingers, unread, core_stop, self.core.start_at_ms(), self.course.poll_timeout()];
        children.chain(own.into_iter().flatten()).min()
    }

    fn handle_ready(&mut self, ready: Ready) -> Result<(), ParentError> {
        match ready {
            Ready::Signals => {
                while let Some(signal) = self.signals.next_signal() {
                    self.handle_signal(signal)?;
                }
            }
            Ready::Core => {
                let (orders, outcome) = self.core.exchange();
                self.handle_orders(orders);
                if outcome.is_err() {
                    self.core.hang_up();
                    // Alone it would serve requests without being heard.
                    self.core_stop.handle_ask(self.now_ms(), CORE_END_WITHIN_MS);
                }
            }
            Ready::Child(pid, fd) => {
                let report = self.children.get_mut(&pid).and_then(|child| child.handle_readable(fd));
                if let Some(report) = report {
                    self.core.send(&report);
                }
            }
        }
        Ok(())
    }

    fn handle_signal(&mut self, signal: i32) -> Result<(), ParentError> {
        match signal {
            libc::SIGCHLD => return self.reap(),
            libc::SIGHUP if !self.options.hangup_drains => self.core.send_or_queue_once(Report::Reload),
            libc::SIGHUP => self.handle_end_request("the terminal was closed"),
            libc::SIGINT => self.handle_end_request("interrupted"),
            _ => self.handle_end_request("asked to terminate"),
        }
        Ok(())
    }

    fn handle_end_request(&mut self, reason: &str) {
        let now_ms = self.now_ms();
        self.notifier.send("STOPPING=1");
        match self.course.handle_end_request(now_ms, self.core.listens(), self.options.drain_within_ms) {
            EndStep::AskCore => self.core.send(&Report::Drain { reason: reason.to_owned() }),
            EndStep::GoOn => say(&format!("{reason}: the house is draining already")),
            EndStep::StopAll => {
                say(&format!("{reason}: stopping all services without the core"));
                self.stop_all();
            }
            EndStep::KillAll => {
                say(&format!("{reason} again: killing all services"));
                self.stop_all();
                self.children.values_mut().for_each(|child| child.kill(now_ms));
                self.core_stop.handle_ask(now_ms, 0);
            }
        }
    }

    /// The core drains by itself.
    fn note_drain(&mut self, reason: &str, within_ms: u64) {
        if self.course.handle_drain_begun(self.now_ms(), within_ms) {
            self.notifier.send("STOPPING=1");
            self.notifier.status(&format!("draining: {reason}"));
        }
    }

    /// The end without the core: it is asked to go as well.
    fn stop_all(&mut self) {
        if let Some(pid) = self.core.pid() {
            sys::signal_group(pid, libc::SIGTERM);
        }
        self.stop_what_is_left();
    }

    fn stop_what_is_left(&mut self) {
        let now_ms = self.now_ms();
        self.core.never_start_again();
        self.core_stop.handle_ask(now_ms, CORE_END_WITHIN_MS);
        let table = ProcessTable::read();
        self.children.values_mut().for_each(|child| child.ask_to_stop_as_specified(now_ms, &table));
    }

    /// Deals with every child that has ended. Each is looked at before it is reaped, while its number is
    /// still its own.
    fn reap(&mut self) -> Result<(), ParentError> {
        let mut table = None;
        // The core first: what is reported to a core that is dead already would be lost.
        while let Some(ended) = self.core.pid().and_then(sys::peek_ended_child).or_else(sys::peek_ended) {
            if self.core.pid() == Some(ended.pid) {
                self.handle_core_end(ended.pid, ended.exit)?;
            } else if let Some(child) = self.children.get_mut(&ended.pid) {
                let now_ms = self.begun.elapsed().as_millis() as u64;
                let at_ms = jiff::Timestamp::now().as_millisecond() as u64;
                let spawned = child.handle_end(ended.exit, now_ms, at_ms);
                let nobody_left = child.look_for_lingering(table.get_or_insert_with(ProcessTable::read));
                if let Some(report) = spawned {
                    self.core.send(&report);
                }
                sys::reap(ended.pid);
                self.next_linger_look_ms = now_ms + LINGER_LOOK_MS;
                if nobody_left {
                    self.finish(ended.pid);
                }
            } else {
                // An orphan that we adopted has ended by itself.
                sys::reap(ended.pid);
            }
        }
        Ok(())
    }

    fn handle_core_end(&mut self, pid: u32, exit: ExitKind) -> Result<(), ParentError> {
        let last_orders = self.core.handle_end();
        // What the core started for itself ends with it; the number is still its own.
        sys::signal_group(pid, libc::SIGKILL);
        sys::reap(pid);
        self.core_stop = Stop::Unasked;
        self.handle_orders(last_orders);
        let was_ending = matches!(self.course, Course::Ending { .. });
        if self.course.handle_core_crash() {
            say(&format!("the core ended with {exit}; services go on, and it is started again"));
            return self.plan_next_core(&exit.to_string());
        }
        if !was_ending {
            say(&format!("the core ended with {exit} while draining; stopping what is left"));
            self.stop_all();
        }
        Ok(())
    }

    fn handle_orders(&mut self, orders: Vec<Order>) {
        let now_ms = self.now_ms();
        // Many stops come together when a house drains; one look serves them all.
        let mut table = None;
        for order in orders {
            match order {
                Order::Spawn(spec) => {
                    table = None;
                    self.spawn(&spec);
                }
                Order::Stop { key, signal, within_ms } => {
                    let table = table.get_or_insert_with(ProcessTable::read);
                    self.with_children(&key, |child| {
                        child.ask_to_stop(now_ms, table, StopSpec { signal, within_ms });
                    });
                }
                Order::StopAsSpecified { key } => {
                    let table = table.get_or_insert_with(ProcessTable::read);
                    self.with_children(&key, |child| child.ask_to_stop_as_specified(now_ms, table));
                }
                Order::Deliver { key, run, files, remove, signal } => {
                    let outcome = self.deliver(&key, run, &files, &remove, signal);
                    self.core.send_or_queue(match outcome {
                        Ok(()) => Report::Delivered { key, run },
                        Err(Failure { error, hint, .. }) => Report::DeliverFailed { key, run, error, hint },
                    });
                }
                Order::Kill { key } => self.with_children(&key, |child| child.kill(now_ms)),
                Order::Ready => self.notifier.send("READY=1"),
                Order::Status { text } => self.notifier.status(&text),
                Order::DrainBudget { within_ms } => self.options.drain_within_ms = within_ms,
                Order::Draining { reason, within_ms } => self.note_drain(&reason, within_ms),
                Order::Refused { exit_code } | Order::Drained { exit_code } => {
                    self.course.handle_announcement(exit_code);
                    self.stop_what_is_left();
                }
            }
        }
    }

    fn with_children(&mut self, key: &str, act: impl FnMut(&mut Child)) {
        self.children.values_mut().filter(|child| child.key == key).for_each(act);
    }

    fn spawn(&mut self, spec: &SpawnSpec) {
        let busy = self.children.values().find(|child| child.key == spec.key);
        let outcome = match (busy, self.course) {
            (Some(child), _) => {
                let (pid, run) = (child.pid(), child.run());
                Err(Failure::new(Step::Slot, format!("{} is held by run {run}, process {pid}", spec.key)))
            }
            (None, Course::Ending { .. }) => Err(Failure::new(Step::Slot, "the house is ending")),
            (None, Course::Serving | Course::Draining { .. }) => {
                self.spawns += 1;
                let files = self.passing_files(spec);
                self.take_back_former(&spec.key, &files);
                // Also those of a start that fails: they may have been written.
                self.files.extend(files.iter().map(|file| (file.clone(), spec.key.clone())));
                // Our own count: a core that counts its runs anew after a crash must not make two runs look
                // like one.
                let mark = format!("{}-{}-{}", self.identity.pid, self.identity.start_ticks, self.spawns);
                spawn::start(spec, &mark, &self.cgroups).map(|started| {
                    let at_ms = jiff::Timestamp::now().as_millisecond() as u64;
                    Child::new(spec, mark, started, at_ms, files)
                })
            }
        };
        match outcome {
            Ok(child) => {
                self.children.insert(child.pid(), child);
                self.roster_is_stale = true;
            }
            Err(Failure { step, error, hint }) => {
                let (key, run) = (spec.key.clone(), spec.run);
                self.core.send_or_queue(Report::SpawnFailed { key, run, step, error, hint });
            }
        }
    }

    fn deliver(
        &mut self,
        key: &str,
        run: u64,
        files: &[FileSpec],
        remove: &[PathBuf],
        signal: Option<i32>,
    ) -> Result<(), Failure> {
        let Some(child) = self.children.values_mut().find(|child| child.key == key) else {
            return Err(Failure::new(
                Step::Slot,
                format!("cannot deliver to run {run} of {key}: it does not run"),
            ));
        };
        child.check_delivery(run, signal)?;
        let pid = child.pid();
        // Recorded before they are written: a later parent has to find what a killed one left.
        self.roster_is_stale |= child.note_files(files);
        self.files.extend(files.iter().map(|file| (file.path.clone(), key.to_owned())));
        self.commit();
        let Some(child) = self.children.get_mut(&pid) else { return Ok(()) };
        let (spawned, outcome) = child.deliver(files, remove, signal);
        if let Some(report) = spawned {
            self.core.send(&report);
        }
        outcome
    }

    /// Takes back what earlier runs of this instance were given and the next one is not: a credential that
    /// the plan has taken away, a value that is no longer valid.
    fn take_back_former(&mut self, key: &str, next: &[PathBuf]) {
        let is_former = |path: &PathBuf, owner: &String| owner == key && !next.contains(path);
        let former: Vec<PathBuf> = self
            .files
            .iter()
            .filter(|(path, owner)| is_former(path, owner))
            .map(|(path, _)| path.clone())
            .collect();
        spawn::remove_files(&former);
        former.iter().for_each(|path| drop(self.files.remove(path)));
    }

    /// The files of a spec that end with the house: secrets, and all below the run folder.
    fn passing_files(&self, spec: &SpawnSpec) -> Vec<PathBuf> {
        let is_passing =
            |file: &&FileSpec| file.mode == SECRET_MODE || file.path.starts_with(&self.options.run_folder);
        spec.files.iter().filter(is_passing).map(|file| file.path.clone()).collect()
    }

    fn finish(&mut self, pid: u32) {
        if let Some(child) = self.children.remove(&pid) {
            self.core.send_or_queue(child.finish());
            self.roster_is_stale = true;
        }
    }

    fn handle_time(&mut self) {
        let now_ms = self.now_ms();
        if self.course.handle_timeout(now_ms) {
            say("the core did not drain in time; stopping what is left");
            self.stop_all();
        }
        let given_up: Vec<u32> = self
            .children
            .iter_mut()
            .filter_map(|(pid, child)| child.handle_timeout(now_ms).then_some(*pid))
            .collect();
        for pid in given_up {
            say(&format!("process {pid} left processes behind that not even SIGKILL ends"));
            self.finish(pid);
        }
        if let (Some(pid), StopDue::Kill) = (self.core.pid(), self.core_stop.handle_timeout(now_ms)) {
            sys::signal_group(pid, libc::SIGKILL);
        }
        self.core.forget_read();
        self.look_for_lingering(now_ms);
    }

    fn look_for_lingering(&mut self, now_ms: u64) {
        if now_ms < self.next_linger_look_ms || !self.children.values().any(Child::is_lingering) {
            return;
        }
        self.next_linger_look_ms = now_ms + LINGER_LOOK_MS;
        let table = ProcessTable::read();
        let lingering = self.children.iter_mut().filter(|(_, child)| child.is_lingering());
        let done: Vec<u32> =
            lingering.filter_map(|(pid, child)| child.look_for_lingering(&table).then_some(*pid)).collect();
        done.into_iter().for_each(|pid| self.finish(pid));
    }

    /// Records who runs, and only then lets new programs run. A full disk must not stop the house.
    fn commit(&mut self) {
        if !std::mem::take(&mut self.roster_is_stale) {
            return;
        }
        let records = self.children.values().map(Child::record).collect();
        let fault = roster::write(&self.options.state, records).err().map(|error| error_chain(&error));
        for child in self.children.values_mut() {
            if let Some(fault) = &fault {
                child.note(format!("not recorded for a later parent: {fault}"));
            }
            child.open_gate();
        }
    }

    /// Ends whatever our children left behind and the kernel gave to us.
    fn sweep(&self) {
        let until = Instant::now() + std::time::Duration::from_millis(CORE_END_WITHIN_MS);
        while sys::has_children() && Instant::now() < until {
            for stray in ProcessTable::read().children_of(self.identity.pid) {
                sys::signal_if(stray.0, libc::SIGKILL, || is_alive(stray));
            }
            while let Some(ended) = sys::peek_ended() {
                sys::reap(ended.pid);
            }
            let short = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
            let _ = poll(&mut [PollFd::new(self.signals.fd(), PollFlags::IN)], Some(&short));
            while self.signals.next_signal().is_some() {}
        }
    }
}
