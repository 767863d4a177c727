//! The worker room.

fn main() {}
