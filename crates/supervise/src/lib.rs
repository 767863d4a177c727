//! Hausmeister supervise.
