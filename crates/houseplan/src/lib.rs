//! Hausmeister houseplan.
