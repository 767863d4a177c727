//! `haus schema`: the JSON Schema of the plan file.

use crate::exit::{Code, DONE, Failure};
use crate::terminal;

pub(crate) fn cmd_schema() -> Result<Code, Failure> {
    let text = serde_json::to_string_pretty(&haus_houseplan::schema()).expect("a schema is plain JSON");
    terminal::line(&text);
    Ok(DONE)
}
