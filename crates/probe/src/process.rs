//! Whether a process still runs, by `/proc`. A number alone is never trusted: it may be another's by now.

use crate::Answer;
use crate::evidence::io_reason;
use std::io::ErrorKind;

pub(crate) fn look(pid: u32, start_ticks: u64) -> Answer {
    let stat = match std::fs::read(format!("/proc/{pid}/stat")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err("has ended".to_owned()),
        Err(error) => return Err(format!("cannot be looked up: {}", io_reason(&error))),
    };
    judge(&stat, start_ticks)
}

/// Judges one line of `/proc/PID/stat`.
fn judge(stat: &str, start_ticks: u64) -> Answer {
    // The name in brackets may hold anything, also brackets; state is the third field, start time the 22nd.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
    let state_and_start =
        fields.and_then(|fields| Some((*fields.first()?, fields.get(19)?.parse::<u64>().ok()?)));
    match state_and_start {
        None => Err("cannot be looked up: unexpected text in /proc".to_owned()),
        Some((_, start)) if start != start_ticks => {
            Err("has ended; its number belongs to another process".to_owned())
        }
        Some(("Z" | "X" | "x", _)) => Err("has ended and waits for its parent".to_owned()),
        Some(_) => Ok("runs".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "1 2 3 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 1 2";

    fn check(stat: &str, expected: Result<&str, &str>) {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(judge(stat, 4711), expected, "{stat:?}");
    }

    #[test]
    fn a_process_is_known_by_its_start_time() {
        check(&format!("9 (sleep) S {TAIL}"), Ok("runs"));
        check(&format!("9 (a) Z (b) R {TAIL}"), Ok("runs"));
        check(&format!("9 (sleep) Z {TAIL}"), Err("has ended and waits for its parent"));
        let other = TAIL.replace("4711", "4712");
        check(&format!("9 (x) S {other}"), Err("has ended; its number belongs to another process"));
        check("9 (x) S 1 2", Err("cannot be looked up: unexpected text in /proc"));
        check("", Err("cannot be looked up: unexpected text in /proc"));
    }
}
