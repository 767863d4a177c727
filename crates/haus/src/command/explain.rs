//! `haus explain`: what a finding means, with an example and its remedy.

use crate::arguments::Explain;
use crate::exit::{Code, DONE, Failure, WRONG_USE};
use crate::terminal;
use haus_model::host_code::HostCode;

pub(crate) fn cmd_explain(arguments: &Explain) -> Result<Code, Failure> {
    let Some(code) = &arguments.code else {
        for info in haus_houseplan::codes() {
            terminal::line(&format!("{}  {:<7}  {}", info.code, info.severity.as_str(), info.title));
        }
        for code in HostCode::ALL {
            terminal::line(&format!("{}  {:<7}  {}", code.code(), code.severity().as_str(), code.title()));
        }
        return Ok(DONE);
    };
    let code = code.trim().to_ascii_uppercase();
    let of_host = || HostCode::ALL.iter().find(|known| known.code() == code).map(|known| known.page());
    let Some(page) = haus_houseplan::explain(&code).or_else(of_host) else {
        return Err(Failure::new(WRONG_USE, format!("there is no finding with the code `{code}`"))
            .hint("`haus explain` lists all codes"));
    };
    terminal::out(page);
    Ok(DONE)
}
