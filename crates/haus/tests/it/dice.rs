//! Chance that can be repeated: one number, printed by the test, leads to the same order again.

/// xorshift64 (Marsaglia 2003).
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// From `HAUS_SEED`, else from the number of this process; says which.
    #[allow(clippy::print_stderr, reason = "whoever wants to repeat a failure reads it there")]
    pub(crate) fn new() -> Dice {
        let given = std::env::var("HAUS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()) << 16 | 1);
        eprintln!("repeat with HAUS_SEED={seed}");
        Dice::of(seed)
    }

    /// From this seed; zero would give nothing but zeros.
    pub(crate) fn of(seed: u64) -> Dice {
        Dice { state: seed.max(1) }
    }

    /// A number below `count`.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % count
    }
}
