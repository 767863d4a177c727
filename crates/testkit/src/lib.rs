//! Hausmeister testkit.
