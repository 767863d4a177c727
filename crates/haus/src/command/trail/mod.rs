//! `haus trail`: who did what to what; all of it as lines; whether it is whole.

mod export;
mod show;
mod verify;

use super::running::Running;
use crate::arguments::{Trail, TrailAct};
use crate::exit::{Code, Failure};

pub(crate) fn cmd_trail(arguments: &Trail) -> Result<Code, Failure> {
    match &arguments.act {
        None => show::cmd_show(&arguments.show),
        Some(TrailAct::Show(arguments)) => show::cmd_show(arguments),
        Some(TrailAct::Export(arguments)) => export::cmd_export(arguments),
        Some(TrailAct::Verify(arguments)) => verify::cmd_verify(arguments),
    }
}
