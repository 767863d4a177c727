//! What `up` prints while a house comes up: one moving line on a terminal, plain lines elsewhere.
//! It decides what is worth a line; `outlet` writes, so that a held terminal never holds the core.

use super::check::plural;
use super::reload;
use crate::outlet::Outlet;
use crate::terminal::{self, paint};
use haus_coordinator::progress::{Count, Observer, Progress};
use std::fmt::Write;

/// Prints the core's progress.
pub(crate) struct Printer {
    outlet: Outlet,
    live: bool,
    colour: bool,
    /// After the house is up only what matters is printed.
    up: bool,
}

impl Printer {
    /// `live`: a person watches, so a line may move.
    pub(crate) fn new(outlet: Outlet, live: bool) -> Printer {
        Printer { outlet, live, colour: terminal::colour_out(), up: false }
    }

    fn move_line(&self, count: &Count) {
        if !self.live || self.up {
            return;
        }
        let text =
            format!("  {}/{} healthy · waiting for {}", count.ready, count.total, names(&count.waiting));
        let width = terminal::width().unwrap_or(terminal::WIDTH_DEFAULT);
        self.outlet.show(text.chars().take(width - 1).collect());
    }

    fn changed(&self, subject: &str, to: &str, why: &str, count: &Count) {
        let worth = match to {
            "healthy" | "offline" | "degraded" | "backing off" | "given up" | "completed" => true,
            // The way up is told by the moving line; a log wants every step's reason once.
            _ => self.up,
        };
        if worth {
            let state = paint(&format!("{to:<11}"), to, self.colour);
            self.outlet.say(&format!("  {state} {subject:<31} {why}"));
        }
        self.move_line(count);
    }

    /// One block, so that a long list of addresses takes one place in the queue.
    fn is_up(&mut self, count: &Count, took_ms: u64, failed: &[(String, String)], urls: &[(String, String)]) {
        self.up = true;
        let took = format!("{}.{} s", took_ms / 1_000, took_ms % 1_000 / 100);
        let mut text = if failed.is_empty() {
            format!("\nup: all healthy after {took} · {}\n", plural(count.total, "service"))
        } else {
            let (ready, total) = (count.ready, count.total);
            format!("\nup, but not whole: {ready}/{total} services are healthy after {took}\n")
        };
        // Writing into a String cannot fail.
        for (name, why) in failed {
            let _ = writeln!(text, "  {name}: {why}");
        }
        let width = urls.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, url) in urls {
            let _ = writeln!(text, "  {name:<width$}  {url}");
        }
        let stop = if self.live { "; Ctrl-C brings it down" } else { "" };
        let _ = writeln!(text, "`haus status` shows it, `haus logs SERVICE` what it prints{stop}");
        self.outlet.say(&text);
    }

    fn indented(&self, heading: &str, lines: &str) {
        let lines: String = lines.lines().map(|line| format!("\n  {line}")).collect();
        self.outlet.say(&format!("{heading}{lines}"));
    }
}

impl Observer for Printer {
    fn tell(&mut self, progress: Progress) {
        match progress {
            Progress::Settled { orphans } => {
                let lines: Vec<String> = orphans.iter().map(|orphan| format!("settled: {orphan}")).collect();
                self.outlet.say(&lines.join("\n"));
            }
            Progress::Returned { running } => {
                self.up = true;
                let running = plural(running, "instance");
                self.outlet.say(&format!("the core is back; {running} ran on untouched"));
            }
            Progress::Listening { gateway, domain } => {
                self.outlet.say(&format!("gateway: http://{gateway} · names end in {domain}"));
            }
            Progress::Changed { subject, from: _, to, why, count } => {
                self.changed(&subject, to, &why, &count);
            }
            Progress::Up { count, took_ms, failed, urls } => self.is_up(&count, took_ms, &failed, &urls),
            Progress::Reloaded(reloaded) => self.indented("reloaded:", &reload::describe(&reloaded)),
            Progress::Note(text) => self.outlet.say(&format!("note: {text}")),
            Progress::Draining { why } => self.outlet.say(&format!("going down: {why}")),
            Progress::Drained => self.outlet.say("down: nothing is left running"),
        }
    }
}

fn names(names: &[String]) -> String {
    const SHOWN: usize = 4;
    if names.len() <= SHOWN {
        return names.join(", ");
    }
    format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outlet::tests::Terminal;

    fn told(live: bool, steps: Vec<Progress>) -> String {
        let terminal = Terminal::default();
        let mut printer = Printer::new(Outlet::new(terminal.clone()).unwrap(), live);
        steps.into_iter().for_each(|step| printer.tell(step));
        drop(printer);
        terminal.text()
    }

    fn change(to: &'static str, waiting: &[&str]) -> Progress {
        let waiting: Vec<String> = waiting.iter().map(|name| (*name).to_owned()).collect();
        let count = Count { ready: 2 - waiting.len(), total: 2, waiting };
        Progress::Changed { subject: "web/1".into(), from: "waiting", to, why: "because".into(), count }
    }

    #[test]
    fn on_the_way_up_a_terminal_has_a_moving_line_and_a_file_only_results() {
        let steps = || vec![change("starting", &["web", "db"]), change("healthy", &["db"])];
        let healthy = format!("  healthy     {:<31} because\n", "web/1");
        assert_eq!(told(false, steps()), healthy);
        let waiting = |number, names| format!("\r\x1b[K  {number}/2 healthy · waiting for {names}");
        let live = format!("{}\r\x1b[K{healthy}{}", waiting(0, "web, db"), waiting(1, "db"));
        assert_eq!(told(true, steps()), live);
    }

    #[test]
    fn the_end_of_the_way_up_lists_what_failed_and_where_the_rest_is() {
        let pair = |name: &str, text: &str| vec![(name.to_owned(), text.to_owned())];
        let count = Count { ready: 1, total: 2, waiting: vec!["db".to_owned()] };
        let (failed, urls) = (pair("db", "no port"), pair("web", "http://web/"));
        let text = told(false, vec![Progress::Up { count, took_ms: 1_290, failed, urls }]);
        let expected =
            "\nup, but not whole: 1/2 services are healthy after 1.2 s\n  db: no port\n  web  http://web/\n";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        let list: Vec<String> = (1..=6).map(|number| format!("s{number}")).collect();
        assert_eq!(names(&list), "s1, s2, s3, s4 and 2 more");
        assert_eq!(names(&list[..2]), "s1, s2");
    }
}
