//! The command `haus`: one file per command, printing, exit codes.

fn main() {}
