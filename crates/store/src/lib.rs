//! Hausmeister store.
