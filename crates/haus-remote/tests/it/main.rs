//! The program as `haus` uses it: started, talked to over its streams, killed anywhere.
//!
//! Most tests give it a root of its own in a temporary folder; those in `lab` use booted hosts.

mod apply;
mod crash;
mod lab;
mod protocol;
mod silent;
mod talk;
mod world;
