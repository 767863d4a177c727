//! What a job is and how it is computed. Pure: no clock, no network.

use serde_json::{Value, json};

/// The largest number a job may name; about 50 ms of work.
const NUMBER_MAX: u64 = 3_000_000;

/// The kinds of jobs, with a sentence about each in German and English.
pub(crate) const KINDS: [(&str, &str, &str); 3] = [
    ("primes", "Anzahl der Primzahlen bis n", "how many primes there are up to n"),
    (
        "collatz",
        "die Startzahl bis n mit der längsten Collatz-Folge",
        "the start up to n with the longest Collatz run",
    ),
    ("perfect", "vollkommene Zahlen bis n", "the perfect numbers up to n"),
];

/// A job that has been checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Job {
    kind: String,
    number: u64,
}

impl Job {
    /// Reads `{"kind": "primes", "n": 1000}`; the error is meant for the caller.
    pub(crate) fn from_json(value: &Value) -> Result<Job, String> {
        let kind = value["kind"].as_str().unwrap_or_default();
        if !KINDS.iter().any(|(name, _, _)| *name == kind) {
            return Err("`kind` is primes, collatz or perfect".to_owned());
        }
        match value["n"].as_u64() {
            Some(number) if (1..=NUMBER_MAX).contains(&number) => Ok(Job { kind: kind.to_owned(), number }),
            Some(_) | None => Err(format!("`n` is a whole number from 1 to {NUMBER_MAX}")),
        }
    }

    /// The job as it waits in the queue.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "kind": self.kind, "n": self.number })
    }

    /// Computes the job.
    pub(crate) fn compute(&self) -> Value {
        match self.kind.as_str() {
            "primes" => json!(count_primes(self.number)),
            "collatz" => {
                let (start, steps) = longest_collatz(self.number);
                json!({ "start": start, "steps": steps })
            }
            _ => json!(perfect_numbers(self.number)),
        }
    }
}

fn count_primes(up_to: u64) -> usize {
    let size = usize::try_from(up_to).expect("bounded by NUMBER_MAX") + 1;
    let mut composite = vec![false; size];
    let mut count = 0;
    for number in 2..size {
        if composite[number] {
            continue;
        }
        count += 1;
        for multiple in (number * number..size).step_by(number) {
            composite[multiple] = true;
        }
    }
    count
}

fn longest_collatz(up_to: u64) -> (u64, u32) {
    let size = usize::try_from(up_to).expect("bounded by NUMBER_MAX") + 1;
    let mut known = vec![0_u32; size];
    let mut best = (1, 0);
    for start in 2..=up_to {
        let (mut number, mut steps) = (start, 0);
        // Every smaller start has been counted already, so the run ends as soon as it falls below its start.
        while number >= start {
            number = if number.is_multiple_of(2) { number / 2 } else { 3 * number + 1 };
            steps += 1;
        }
        steps += known[usize::try_from(number).expect("smaller than start")];
        known[usize::try_from(start).expect("bounded by NUMBER_MAX")] = steps;
        if steps > best.1 {
            best = (start, steps);
        }
    }
    best
}

fn perfect_numbers(up_to: u64) -> Vec<u64> {
    let size = usize::try_from(up_to).expect("bounded by NUMBER_MAX") + 1;
    let mut sums = vec![1_u64; size];
    for divisor in 2..size {
        for multiple in (divisor * 2..size).step_by(divisor) {
            sums[multiple] += divisor as u64;
        }
    }
    (2..=up_to)
        .filter(|number| sums[usize::try_from(*number).expect("bounded by NUMBER_MAX")] == *number)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(job: &Value, expected: &Value) {
        let job = Job::from_json(job).expect("a good job");
        assert_eq!(job.compute(), *expected);
        assert_eq!(Job::from_json(&job.to_json()), Ok(job));
    }

    #[test]
    fn jobs_compute_what_their_kind_says() {
        check(&json!({ "kind": "primes", "n": 100 }), &json!(25));
        check(&json!({ "kind": "primes", "n": 1 }), &json!(0));
        check(&json!({ "kind": "collatz", "n": 30 }), &json!({ "start": 27, "steps": 111 }));
        check(&json!({ "kind": "perfect", "n": 10000 }), &json!([6, 28, 496, 8128]));
    }

    #[test]
    fn a_job_that_is_unknown_or_too_large_is_refused() {
        for bad in [json!({}), json!({ "kind": "format", "n": 1 }), json!({ "kind": "primes", "n": 0 })] {
            assert!(Job::from_json(&bad).is_err(), "{bad}");
        }
        assert!(Job::from_json(&json!({ "kind": "primes", "n": NUMBER_MAX + 1 })).is_err());
    }
}
