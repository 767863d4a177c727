//! The client against a server that answers what a test tells it to: what is sent, what is done with tokens,
//! and what is made of answers that are none.

mod answers;
mod fake;
mod sessions;
