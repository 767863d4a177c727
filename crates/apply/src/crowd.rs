//! Many hosts at once, but not all of them. It does not know what is done with each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does the work for each item, so many at once, and gives the answers in the order of the items.
pub(crate) fn each<T: Sync, A: Send>(items: &[T], at_once: usize, work: impl Fn(&T) -> A + Sync) -> Vec<A> {
    let next = AtomicUsize::new(0);
    let answers: Vec<Mutex<Option<A>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(item), Some(place)) = (items.get(number), answers.get(number)) else { break };
                    let answer = work(item);
                    *place.lock().expect("nobody panics while holding an answer") = Some(answer);
                }
            });
        }
    });
    let take = |place: Mutex<Option<A>>| {
        let answer = place.into_inner().expect("nobody panics while holding an answer");
        answer.expect("every item was worked on, since all workers have ended")
    };
    answers.into_iter().map(take).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_the_order_and_the_crowd_its_size() {
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<usize> = (0..50).collect();
        let answers = each(&items, 4, |item| {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
            item * 2
        });
        assert_eq!(answers, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= 4);
        assert!(each(&Vec::<usize>::new(), 4, |item| *item).is_empty());
    }
}
