//! Words of the core for a terminal that may be held (Ctrl-S, `| less`): a thread writes them, and
//! whoever speaks never waits. It does not know what is said.
//!
//! What does not fit into the queue is left out and counted; the count is said once the reader goes on.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

/// Blocks of lines that wait for a slow reader.
const QUEUE_MAX: usize = 2_048;
/// How long the end of the process waits for a reader.
const PATIENCE: Duration = Duration::from_secs(1);

/// Wipes the line that the cursor stands on.
const WIPE: &str = "\r\x1b[K";

enum Words {
    /// Whole lines.
    Lines(String),
    /// A line without end that the next words replace.
    Moving(String),
}

/// Takes words at once and has them written by a thread of its own. Dropping it waits until
/// everything is written, but not for long: a reader who holds the terminal must not hold the process.
pub(crate) struct Outlet {
    queue: Option<SyncSender<Words>>,
    left_out: Arc<AtomicUsize>,
    /// Closed by the end of the thread; nothing is ever sent.
    ended: Receiver<()>,
}

impl Outlet {
    /// An outlet into this sink.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn new(sink: impl Write + Send + 'static) -> io::Result<Outlet> {
        let (queue, words) = sync_channel(QUEUE_MAX);
        let (end, ended) = sync_channel::<()>(0);
        let left_out = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&left_out);
        std::thread::Builder::new().name("outlet".to_owned()).spawn(move || {
            Writer { sink, moving: false, left_out: counted }.run(&words);
            drop(end);
        })?;
        Ok(Outlet { queue: Some(queue), left_out, ended })
    }

    /// Says one or more whole lines; the last line break may be absent.
    pub(crate) fn say(&self, text: &str) {
        let mut block = text.to_owned();
        if !block.ends_with('\n') {
            block.push('\n');
        }
        let lines = block.matches('\n').count();
        if !self.offer(Words::Lines(block)) {
            self.left_out.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Shows a line until the next words. Nobody misses one that is left out.
    pub(crate) fn show(&self, line: String) {
        self.offer(Words::Moving(line));
    }

    fn offer(&self, words: Words) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.try_send(words).is_ok())
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // The thread ends when the queue is closed and empty.
        drop(self.queue.take());
        match self.ended.recv_timeout(PATIENCE) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
    }
}

struct Writer<W> {
    sink: W,
    /// A moving line stands on the terminal and must be wiped before other words.
    moving: bool,
    left_out: Arc<AtomicUsize>,
}

impl<W: Write> Writer<W> {
    fn run(mut self, words: &Receiver<Words>) {
        loop {
            let next = match words.try_recv() {
                Ok(next) => next,
                Err(TryRecvError::Empty) => {
                    self.tell_left_out();
                    let Ok(next) = words.recv() else { break };
                    next
                }
                Err(TryRecvError::Disconnected) => break,
            };
            match next {
                Words::Lines(text) => self.write(&text, false),
                Words::Moving(text) => self.write(&format!("{WIPE}{text}"), true),
            }
        }
        self.tell_left_out();
    }

    fn tell_left_out(&mut self) {
        let lines = self.left_out.swap(0, Ordering::Relaxed);
        if lines > 0 {
            self.write(&format!("note: {lines} lines were left out while the terminal was held\n"), false);
        }
    }

    fn write(&mut self, text: &str, moving: bool) {
        let wipe = if self.moving && !moving { WIPE } else { "" };
        self.moving = moving;
        // A reader who has gone (`haus up | head -1`) is no reason to end a house.
        let _ = self.sink.write_all(format!("{wipe}{text}").as_bytes()).and_then(|()| self.sink.flush());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::{Condvar, Mutex};

    /// A terminal that can be held, and what has been written to it.
    #[derive(Clone, Default)]
    pub(crate) struct Terminal(Arc<(Mutex<Screen>, Condvar)>);

    #[derive(Default)]
    struct Screen {
        held: bool,
        text: String,
    }

    impl Terminal {
        fn hold(&self, held: bool) {
            self.0.0.lock().unwrap().held = held;
            self.0.1.notify_all();
        }

        pub(crate) fn text(&self) -> String {
            self.0.0.lock().unwrap().text.clone()
        }
    }

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let screen = self.0.0.lock().unwrap();
            let mut screen = self.0.1.wait_while(screen, |screen| screen.held).unwrap();
            screen.text.push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_is_written_before_the_end_and_a_moving_line_is_wiped() {
        let terminal = Terminal::default();
        let outlet = Outlet::new(terminal.clone()).unwrap();
        outlet.say("one");
        outlet.show("1/2".to_owned());
        outlet.show("2/2".to_owned());
        outlet.say("two\nthree\n");
        drop(outlet);
        assert_eq!(terminal.text(), "one\n\r\x1b[K1/2\r\x1b[K2/2\r\x1b[Ktwo\nthree\n");
    }

    #[test]
    fn a_held_terminal_holds_nobody_and_later_learns_what_it_missed() {
        const SAID: usize = 2 * QUEUE_MAX;
        let terminal = Terminal::default();
        terminal.hold(true);
        let outlet = Outlet::new(terminal.clone()).unwrap();
        (0..SAID).for_each(|number| outlet.say(&format!("line {number}")));
        terminal.hold(false);
        drop(outlet);
        let text = terminal.text();
        let shown = text.lines().filter(|line| line.starts_with("line ")).count();
        assert!((QUEUE_MAX..SAID).contains(&shown), "{shown}");
        let missed = format!("note: {} lines were left out while the terminal was held", SAID - shown);
        assert_eq!(text.lines().last(), Some(missed.as_str()));
    }

    #[test]
    fn a_terminal_that_stays_held_does_not_keep_the_process() {
        let terminal = Terminal::default();
        terminal.hold(true);
        let outlet = Outlet::new(terminal.clone()).unwrap();
        outlet.say("nobody reads this");
        drop(outlet);
        assert_eq!(terminal.text(), "");
    }
}
