//! Hausmeister gateway.
