//! `haus-remote`: the program that is put on hosts.

fn main() {}
