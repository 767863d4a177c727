//! Hausmeister coordinator.
