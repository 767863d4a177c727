//! Any bytes as a talk with a host, in both directions: no panic, no memory for a length that is only
//! claimed.
//!
//! `cargo +nightly fuzz run remote` from the root.

#![no_main]

use haus_acts::frame::{read_message, skip_noise};
use haus_acts::wire::{Reply, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let mut requests = content;
    while read_message::<Request>(&mut requests).is_ok() {}
    let mut replies = content;
    if skip_noise(&mut replies).is_ok() {
        while read_message::<Reply>(&mut replies).is_ok() {}
    }
    let _ = serde_json::from_slice::<Request>(content);
});
