//! The vault from outside: the published vectors, an independent implementation of the cipher, and the kept
//! ring with hostile files and a killed writer.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod custody;
mod killed;
mod oracle;
mod vectors;

use aws_lc_rs::digest::{SHA256, digest};
use haus_vault::{Entropy, EntropyError};

/// Bytes that are the same in every run and look random: SHA-256 of a counter.
#[derive(Default)]
struct CountedEntropy(u64);

impl Entropy for CountedEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for part in bytes.chunks_mut(32) {
            part.copy_from_slice(&digest(&SHA256, &self.0.to_be_bytes()).as_ref()[..part.len()]);
            self.0 += 1;
        }
        Ok(())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
