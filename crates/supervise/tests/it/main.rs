//! Integration tests of the supervisor with real processes. Parent and core are `examples/bare_house.rs`.

mod comes_and_goes;
mod crashes;
mod deliveries;
mod ends;
mod failures;
mod fixture;
mod floods;
mod isolation;
