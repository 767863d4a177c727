//! `haus explain`: what a finding means, with an example and its remedy.

use crate::arguments::Explain;
use crate::exit::{Code, DONE, Failure, WRONG_USE};
use crate::terminal;

pub(crate) fn cmd_explain(arguments: &Explain) -> Result<Code, Failure> {
    let Some(code) = &arguments.code else {
        for info in haus_houseplan::codes() {
            terminal::line(&format!("{}  {:<7}  {}", info.code, info.severity.as_str(), info.title));
        }
        return Ok(DONE);
    };
    let code = code.to_ascii_uppercase();
    let Some(page) = haus_houseplan::explain(&code) else {
        return Err(Failure::new(WRONG_USE, format!("there is no finding with the code `{code}`"))
            .hint("`haus explain` lists all codes"));
    };
    terminal::out(page);
    Ok(DONE)
}
