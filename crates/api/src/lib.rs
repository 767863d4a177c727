//! Hausmeister api.
