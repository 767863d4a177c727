//! `haus restart`: a service (as its rollout says) or one instance.

use super::{block_on, client, order_failure};
use crate::arguments::Restart;
use crate::exit::{Code, DONE, Failure};
use crate::{locate, terminal};
use haus_api::control::RestartRequest;

pub(crate) fn cmd_restart(arguments: &Restart) -> Result<Code, Failure> {
    let places = locate::running(arguments.target.path.as_deref(), arguments.target.state.as_deref())?;
    let request =
        RestartRequest { target: arguments.service.clone(), why: "asked by haus restart".to_owned() };
    let done = block_on(client(&places).restart(&request))?;
    let done = done.map_err(|error| order_failure(&error, &places))?;
    terminal::line(&done.message);
    Ok(DONE)
}
