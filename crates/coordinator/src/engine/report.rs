//! What the parent reports about processes.

use super::Engine;
use haus_model::InstanceId;
use haus_store::{EventKind, NewEvent};
use haus_supervise::{ExitKind, Report};

impl Engine {
    pub(super) fn handle_report(&mut self, report: Report) {
        match report {
            // The first Hello is read before the engine begins; a parent sends only one.
            Report::Hello { .. } => {}
            Report::Spawned { key, run, pid, started_at_ms: _, notes } => {
                self.spawned(&key, run, pid, &notes);
            }
            Report::SpawnFailed { key, run, step, error, hint } => {
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                self.spawn_failed(&key, run, format!("cannot start ({step}): {error}{hint}"));
            }
            Report::Exited { key, run, pid, exit, at_ms: _, lingering_killed, notes } => {
                let mut text = exit_text(exit);
                notes.iter().for_each(|note| text.push_str(&format!("; {note}")));
                self.exited(&key, run, pid, exit == ExitKind::Code(0), text, lingering_killed);
            }
            Report::Delivered { key, run } => self.delivered(key, run, Ok(())),
            Report::DeliverFailed { key, run, error, hint } => {
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                self.delivered(key, run, Err(format!("{error}{hint}")));
            }
            Report::Drain { reason } => self.drain(&reason),
            Report::Reload => self.reload(None),
        }
    }

    fn spawned(&mut self, key: &str, run: u64, pid: u32, notes: &[String]) {
        let Ok(id) = key.parse::<InstanceId>() else { return };
        self.event(NewEvent::new(self.clock.wall(), EventKind::Spawn, key, format!("process {pid} runs")));
        for note in notes {
            self.event(NewEvent::new(self.clock.wall(), EventKind::Spawn, key, note.clone()));
        }
        let now = self.clock.now();
        self.conductor.handle_spawned(now, &id, run, pid);
    }

    fn spawn_failed(&mut self, key: &str, run: u64, why: String) {
        self.event(NewEvent::new(self.clock.wall(), EventKind::Spawn, key, why.clone()));
        let now = self.clock.now();
        match key.parse::<InstanceId>() {
            Ok(id) => self.conductor.handle_spawn_failed(now, &id, run, why),
            Err(_) => self.prepare_ended(run, Err(why)),
        }
    }

    fn exited(&mut self, key: &str, run: u64, pid: u32, success: bool, text: String, lingering: u32) {
        let mut why = format!("process {pid} ended: {text}");
        if lingering > 0 {
            why.push_str(&format!("; {lingering} processes that it left behind were ended"));
        }
        self.event(NewEvent::new(self.clock.wall(), EventKind::Exit, key, why));
        let now = self.clock.now();
        match key.parse::<InstanceId>() {
            Ok(id) => {
                self.end_deliveries(key, run);
                self.conductor.handle_exited(now, &id, run, success, text);
            }
            Err(_) => self.prepare_ended(run, if success { Ok(()) } else { Err(text) }),
        }
    }
}

/// How a process ended, in words: `exit code 3`, `killed by SIGKILL`.
pub(super) fn exit_text(exit: ExitKind) -> String {
    match exit {
        ExitKind::Code(code) => format!("exit code {code}"),
        ExitKind::Signal(signal) => match signal_name(signal) {
            Some(name) => format!("killed by {name}"),
            None => format!("killed by signal {signal}"),
        },
        ExitKind::Unknown => "nobody could tell how".to_owned(),
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_told_in_words() {
        assert_eq!(exit_text(ExitKind::Code(3)), "exit code 3");
        assert_eq!(exit_text(ExitKind::Signal(9)), "killed by SIGKILL");
        assert_eq!(exit_text(ExitKind::Signal(60)), "killed by signal 60");
    }
}
