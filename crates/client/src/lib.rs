//! Hausmeister client.
