//! Hausmeister watch.
