//! Any trail, any single damage: it is found. And what is not found, which the documentation says too.

use crate::sample::{brief_entry, chain, trail, verify};
use haus_trail::{Entry, Fault, Hash, Head, NewEntry, seal};
use proptest::prelude::*;

/// Trails begin at the genesis unless a test says otherwise.
fn check(trail: &[Entry], anchor: Option<&Head>, sound: bool) -> Result<(), TestCaseError> {
    let report = verify(Head::GENESIS, trail, anchor);
    prop_assert_eq!(report.is_sound(), sound, "{:?}", report.faults);
    prop_assert_eq!(report.entries, trail.len() as u64);
    Ok(())
}

/// Changes one field in one way.
fn change(entry: &mut Entry, field: usize, other: &NewEntry, bit: usize) {
    let mine = &mut entry.entry;
    match field {
        0 => entry.seq ^= 1 << (bit % 64),
        1 => entry.prev.0[bit / 8] ^= 1 << (bit % 8),
        2 => entry.hash.0[bit / 8] ^= 1 << (bit % 8),
        3 => mine.at = other.at,
        4 => mine.actor.clone_from(&other.actor),
        5 => mine.action = other.action,
        6 => mine.subject.clone_from(&other.subject),
        7 => mine.outcome = other.outcome,
        8 => mine.request_id.clone_from(&other.request_id),
        9 => mine.address.clone_from(&other.address),
        10 => mine.why.clone_from(&other.why),
        _ => mine.details.clone_from(&other.details),
    }
}

proptest! {
    #[test]
    fn an_untouched_trail_is_sound_and_ends_at_its_head(trail in trail(0)) {
        let head = trail.last().map_or(Head::GENESIS, Entry::head);
        let report = verify(Head::GENESIS, &trail, Some(&head));
        prop_assert_eq!(report.faults, []);
        prop_assert_eq!(report.head, head);
    }

    #[test]
    fn any_part_of_a_trail_is_sound_from_where_it_begins(
        trail in trail(1), cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(trail.len());
        let report = verify(trail[cut].head(), &trail[cut + 1..], Some(&trail[trail.len() - 1].head()));
        prop_assert_eq!(report.faults, []);
    }

    #[test]
    fn a_change_of_any_field_is_found(
        mut trail in trail(1), at in any::<prop::sample::Index>(), field in 0..12_usize,
        other in brief_entry(), bit in 0..256_usize,
    ) {
        let at = at.index(trail.len());
        let before = trail[at].clone();
        change(&mut trail[at], field, &other, bit);
        prop_assume!(trail[at] != before);
        check(&trail, None, false)?;
    }

    #[test]
    fn a_replaced_entry_with_a_fitting_hash_is_found_unless_it_is_the_last(
        mut trail in trail(2), at in any::<prop::sample::Index>(), other in brief_entry(),
    ) {
        let head = trail[trail.len() - 1].head();
        let at = at.index(trail.len());
        let other = seal(&Head { seq: trail[at].seq - 1, hash: trail[at].prev }, other);
        prop_assume!(trail[at] != other);
        trail[at] = other;
        check(&trail, None, at + 1 == trail.len())?;
        check(&trail, Some(&head), false)?;
    }

    #[test]
    fn a_removed_entry_is_found_unless_it_is_the_last(
        mut trail in trail(1), at in any::<prop::sample::Index>(),
    ) {
        let head = trail[trail.len() - 1].head();
        let at = at.index(trail.len());
        trail.remove(at);
        check(&trail, None, at == trail.len())?;
        check(&trail, Some(&head), false)?;
    }

    #[test]
    fn a_cut_tail_is_found_with_an_anchor_and_only_with_one(
        trail in trail(1), keep in any::<prop::sample::Index>(),
    ) {
        let keep = keep.index(trail.len());
        let head = trail[trail.len() - 1].head();
        check(&trail[..keep], None, true)?;
        let faults = verify(Head::GENESIS, &trail[..keep], Some(&head)).faults;
        prop_assert_eq!(faults, [Fault::TooShort { anchor_seq: head.seq, last_seq: keep as u64 }]);
    }

    #[test]
    fn two_swapped_entries_are_found(
        mut trail in trail(2), one in any::<prop::sample::Index>(), two in any::<prop::sample::Index>(),
    ) {
        let (one, two) = (one.index(trail.len()), two.index(trail.len()));
        prop_assume!(one != two);
        trail.swap(one, two);
        check(&trail, None, false)?;
    }

    #[test]
    fn any_other_order_is_found(
        (before, after) in trail(2).prop_flat_map(|trail| (Just(trail.clone()), Just(trail).prop_shuffle())),
    ) {
        check(&after, None, before == after)?;
    }

    #[test]
    fn a_copied_entry_is_found_wherever_it_is_put(
        mut trail in trail(1), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(),
    ) {
        let copy = trail[from.index(trail.len())].clone();
        trail.insert(to.index(trail.len() + 1), copy);
        check(&trail, None, false)?;
    }

    #[test]
    fn an_inserted_entry_is_found_unless_it_continues_the_end(
        mut trail in trail(1), at in any::<prop::sample::Index>(), other in brief_entry(),
    ) {
        let head = trail[trail.len() - 1].head();
        let at = at.index(trail.len());
        let before = at.checked_sub(1).map_or(Head::GENESIS, |before| trail[before].head());
        trail.insert(at, seal(&before, other));
        check(&trail, None, false)?;
        check(&trail, Some(&head), false)?;
    }

    #[test]
    fn a_whole_rewrite_is_found_only_with_the_anchor(
        trail in trail(1), others in prop::collection::vec(brief_entry(), 8),
    ) {
        let head = trail[trail.len() - 1].head();
        let rewritten = chain(Head::GENESIS, others[..trail.len()].to_vec());
        prop_assume!(rewritten != trail);
        check(&rewritten, None, true)?;
        check(&rewritten, Some(&head), rewritten[rewritten.len() - 1].hash == head.hash)?;
    }

    #[test]
    fn one_more_damage_is_never_hidden_by_a_change_elsewhere(
        mut trail in trail(4), first in 0..2_usize, bit in 0..256_usize,
    ) {
        let last = trail.len() - 1;
        trail[first].hash = Hash(trail[first].hash.0.map(|byte| !byte));
        trail[last].hash.0[bit / 8] ^= 1 << (bit % 8);
        let faults = verify(Head::GENESIS, &trail, None).faults;
        prop_assert!(faults.contains(&Fault::Changed { seq: first as u64 + 1 }), "{faults:?}");
        prop_assert!(faults.contains(&Fault::Changed { seq: last as u64 + 1 }), "{faults:?}");
    }
}
