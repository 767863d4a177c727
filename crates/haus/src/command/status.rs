//! `haus status`: what runs, since when and why.

use super::{block_on, client, client_failure, table};
use crate::arguments::Status;
use crate::exit::{Code, DONE, FINDINGS, Failure};
use crate::terminal::Reader;
use crate::{locate, terminal};
use haus_api::status::HouseStatus;
use haus_client::Client;
use haus_coordinator::Places;
use std::io::IsTerminal;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);

pub(crate) fn cmd_status(arguments: &Status) -> Result<Code, Failure> {
    let places = locate::running(arguments.path.as_deref(), arguments.state.as_deref())?;
    let client = client(&places);
    if arguments.watch {
        return watch(&client, &places, arguments.json);
    }
    let status = block_on(client.status())?.map_err(|error| client_failure(&error, &places))?;
    let text = if arguments.json { json(&status) } else { table(&status) };
    terminal::out(&text);
    Ok(code(&status))
}

fn watch(client: &Client, places: &Places, as_json: bool) -> Result<Code, Failure> {
    let on_terminal = std::io::stdout().is_terminal();
    let mut wipe = on_terminal;
    loop {
        let text = match block_on(client.status())? {
            // A program that reads along wants one value per line.
            Ok(status) if as_json && !on_terminal => line(&status),
            Ok(status) if as_json => json(&status),
            Ok(status) => table(&status),
            // A watcher outlives a core that is being restarted, and a house that is being started. Its
            // words are no JSON, so a program is told nothing.
            Err(error) if error.is_transient() && as_json && !on_terminal => String::new(),
            Err(error) if error.is_transient() => format!("{}\n", client_failure(&error, places).message),
            Err(error) => return Err(client_failure(&error, places)),
        };
        let text = if on_terminal { frame(&text, terminal::height(), wipe) } else { text };
        wipe = false;
        if terminal::follow(&text)? == Reader::Gone || terminal::reader() == Reader::Gone {
            return Ok(DONE);
        }
        std::thread::sleep(EVERY);
    }
}

/// One picture over the one before. Each line wipes only its own rest and the end what is below, so
/// nothing flickers; the first picture begins on an empty screen. What does not fit is cut, since a
/// screen that scrolls would push the top out of sight.
fn frame(text: &str, height: Option<usize>, wipe: bool) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let rows = height.unwrap_or(usize::MAX).max(2) - 1;
    let more;
    if lines.len() > rows {
        more = format!("… {} more lines", lines.len() - rows + 1);
        lines.truncate(rows - 1);
        lines.push(&more);
    }
    let wipe = if wipe { "\x1b[2J" } else { "" };
    format!("{wipe}\x1b[H{}\x1b[K\n\x1b[J", lines.join("\x1b[K\n"))
}

fn json(status: &HouseStatus) -> String {
    format!("{}\n", serde_json::to_string_pretty(status).expect("a status is plain data"))
}

fn line(status: &HouseStatus) -> String {
    format!("{}\n", serde_json::to_string(status).expect("a status is plain data"))
}

fn table(status: &HouseStatus) -> String {
    table::render(status, terminal::colour_out(), terminal::width())
}

fn code(status: &HouseStatus) -> Code {
    if status.ready { DONE } else { FINDINGS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_replaces_the_one_before_without_wiping_the_screen() {
        assert_eq!(frame("a\nb\n", Some(24), false), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert!(frame("a\n", None, true).starts_with("\x1b[2J\x1b[Ha"));
    }

    #[test]
    fn a_picture_higher_than_the_screen_is_cut() {
        assert_eq!(frame("a\nb\nc\n", Some(4), false), "\x1b[Ha\x1b[K\nb\x1b[K\nc\x1b[K\n\x1b[J");
        assert_eq!(
            frame("a\nb\nc\nd\n", Some(4), false),
            "\x1b[Ha\x1b[K\nb\x1b[K\n… 2 more lines\x1b[K\n\x1b[J"
        );
        assert_eq!(frame("a\nb\n", Some(1), false), "\x1b[H… 2 more lines\x1b[K\n\x1b[J");
    }
}
