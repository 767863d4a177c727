//! The plan that `haus init` writes: commented, without findings, and running on a bare system.

/// The text of a first `house.yaml`.
pub fn starter(house: &str) -> String {
    include_str!("starter.yaml").replace("HOUSE", house)
}
