//! Round robin under random sets of candidates.

use haus_model::health::HealthState;
use haus_watch::balance::{RoundRobin, next};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn state() -> impl Strategy<Value = HealthState> {
    prop_oneof![
        Just(HealthState::Unknown),
        Just(HealthState::Healthy),
        Just(HealthState::Degraded),
        Just(HealthState::Offline)
    ]
}

proptest! {
    #[test]
    fn turns_differ_by_at_most_one(
        candidates in vec(state(), 0..12),
        excluded in vec(0_usize..12, 0..4),
        start in 0..u64::MAX / 2,
        rounds in 0_u64..100,
    ) {
        let mut turns: BTreeMap<usize, u64> = BTreeMap::new();
        for counter in start..start + rounds {
            if let Some(index) = next(counter, &candidates, &excluded) {
                *turns.entry(index).or_default() += 1;
            }
        }
        let of = |wanted| {
            let of_state = (0..candidates.len()).filter(move |index| candidates[*index] == wanted);
            of_state.filter(|index| !excluded.contains(index)).collect::<Vec<_>>()
        };
        let healthy = of.clone()(HealthState::Healthy);
        let eligible = if healthy.is_empty() { of(HealthState::Degraded) } else { healthy };
        let counted: Vec<u64> = eligible.iter().map(|index| turns.remove(index).unwrap_or(0)).collect();
        prop_assert!(turns.is_empty(), "{:?} should never have a turn", turns);
        prop_assert_eq!(counted.iter().sum::<u64>(), if eligible.is_empty() { 0 } else { rounds });
        let (least, most) = (counted.iter().min(), counted.iter().max());
        prop_assert!(most.unwrap_or(&0) - least.unwrap_or(&0) <= 1, "{:?}", counted);
    }
}

#[test]
fn threads_share_the_turns_evenly() {
    let round_robin = Arc::new(RoundRobin::default());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let round_robin = Arc::clone(&round_robin);
            std::thread::spawn(move || {
                let mut turns = [0_u32; 3];
                for _ in 0..3_000 {
                    turns[round_robin.pick(&[HealthState::Healthy; 3], &[]).unwrap()] += 1;
                }
                turns
            })
        })
        .collect();
    let turns = threads.into_iter().fold([0; 3], |sum, thread| {
        let turns = thread.join().unwrap();
        [sum[0] + turns[0], sum[1] + turns[1], sum[2] + turns[2]]
    });
    assert_eq!(turns, [4_000; 3]);
}
