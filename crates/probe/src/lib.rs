//! Hausmeister probe.
