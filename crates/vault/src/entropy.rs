//! Where random bytes come from: an argument, so that vectors can be repeated. It does not know what they are
//! for.

/// A source of random bytes. Every implementation outside of tests must be fit for keys: unpredictable, never
/// repeating, also after a fork. A call may be repeated after an error; bytes of a failed call are not used.
pub trait Entropy {
    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// When the source has nothing to give; `bytes` may then hold anything.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

/// Why there are no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntropyError {
    /// The source failed.
    #[error("the kernel gives no random bytes; see whether the getrandom system call is forbidden here")]
    Unavailable,
    /// The source gave a key that nobody draws by chance.
    #[error(
        "the random source gave a key without randomness; nothing was sealed with it, see what is wrong with this machine"
    )]
    Weak,
}

/// The random generator of the process (AWS-LC's, seeded by the kernel and again after a fork).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| EntropyError::Unavailable)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Bytes that look random and are the same in every run: SHA-256 of a counter, byte by byte.
    #[derive(Default)]
    pub(crate) struct CountedEntropy(u64);

    impl Entropy for CountedEntropy {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
            for part in bytes.chunks_mut(32) {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.0.to_be_bytes());
                part.copy_from_slice(&digest.as_ref()[..part.len()]);
                self.0 += 1;
            }
            Ok(())
        }
    }

    /// A source that has nothing.
    pub(crate) struct NoEntropy;

    impl Entropy for NoEntropy {
        fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError::Unavailable)
        }
    }

    /// A source that is broken: zeroes for ever.
    pub(crate) struct ZeroEntropy;

    impl Entropy for ZeroEntropy {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
            bytes.fill(0);
            Ok(())
        }
    }

    #[test]
    fn the_system_never_gives_the_same_key_twice() {
        let mut keys = [[0u8; 32]; 2];
        for key in &mut keys {
            SystemEntropy.fill(key).unwrap();
        }
        assert_ne!(keys[0], keys[1]);
    }
}
