//! How open to attacks a service is, in systemd's own words.

use crate::run::{Order, Ran, capture};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(20);

/// A note such as `security exposure 2.1 OK`. None where systemd cannot say it.
pub(crate) fn exposure(unit: &str) -> Option<String> {
    let argv = ["systemd-analyze", "security", "--no-pager", "--", unit].map(str::to_owned);
    let ran = capture(&Order::new(&argv, WITHIN)).ok().filter(Ran::is_good)?;
    exposure_of(&String::from_utf8_lossy(&ran.stdout))
}

fn exposure_of(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.contains("Overall exposure level for "))?;
    let (_, level) = line.rsplit_once(": ")?;
    let mut words = level.split(' ');
    let (score, word) = (words.next()?, words.next()?);
    Some(format!("security exposure {score} {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_tells_the_level() {
        // As systemd 252 says it with and without UTF-8.
        let lines = [
            "\n→ Overall exposure level for t.service: 9.4 UNSAFE 😨\n",
            "-> Overall exposure level for t.service: 9.4 UNSAFE :-{\n",
        ];
        for line in lines {
            assert_eq!(exposure_of(line).as_deref(), Some("security exposure 9.4 UNSAFE"));
        }
        assert_eq!(exposure_of("Unknown operation security.\n"), None);
    }
}
