//! The id of one apply: when it began, which round of its `haus` it is, and which process that is. It asks
//! nobody for the time.

use haus_model::Timestamp;
use std::fmt;

/// What tells an apply from all others. Written, later ones sort behind earlier ones, also those of two
/// processes within one second: a host refuses an apply that sorts before one that it knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct ApplyId {
    /// When the round began.
    pub began: Timestamp,
    /// From 1; at most 9, so that the tenth never sorts before the second.
    pub round: u32,
    /// The process of `haus`.
    pub pid: u32,
}

impl fmt::Display for ApplyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.began.to_string();
        let time: String = time.chars().filter(char::is_ascii_alphanumeric).take(18).collect();
        write!(formatter, "{time}-{}-{:x}", self.round, self.pid)
    }
}

/// The process that began an apply with such an id; none when no `haus` made the id.
pub(super) fn beginner(apply: &str) -> Option<u32> {
    u32::from_str_radix(apply.rsplit_once('-')?.1, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn id(at_ms: u64, round: u32, pid: u32) -> String {
        let began = Timestamp::default().after(Duration::from_millis(at_ms));
        ApplyId { began, round, pid }.to_string()
    }

    #[test]
    fn an_id_says_when_which_round_and_who() {
        assert_eq!(id(0, 1, 0xbeef), "19700101T000000000-1-beef");
    }

    #[test]
    fn later_ids_sort_behind_earlier_ones_also_within_a_second() {
        let first = [id(9, 1, 0xffff), id(9, 2, 0xffff), id(10, 1, 0x1000)];
        let later = [id(1_000, 1, 1), id(86_400_000, 1, 1)];
        // As versions before rounds wrote it.
        let in_order = [&["19700101T000000-ffff".to_owned()], first.as_slice(), &later].concat();
        assert!(in_order.is_sorted_by(|earlier, later| earlier < later), "{in_order:?}");
    }

    #[test]
    fn the_process_is_found_in_an_id() {
        assert_eq!(beginner(&id(9, 3, 0x12ab)), Some(0x12ab));
        // As versions before rounds wrote it.
        assert_eq!(beginner("20261130T101112-12ab"), Some(0x12ab));
        assert_eq!((beginner("by hand"), beginner("20261130-by-hand"), beginner("")), (None, None, None));
    }
}
