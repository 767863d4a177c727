//! The hidden `haus core`: the core, started by the parent.

use super::progress::Printer;
use crate::arguments::Parent;
use crate::exit::{Code, FAILED, Failure, WRONG_USE};
use crate::outlet::Outlet;
use crate::terminal;
use haus_coordinator::{KeyPlace, Options, Places, Standpoint};
use std::io::IsTerminal;

pub(crate) fn cmd_core(arguments: &Parent) -> Result<Code, Failure> {
    super::parent::without_core_dumps();
    // Whatever the core writes is its own account's business; what others may read is opened on purpose.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let stage = arguments.stage.parse().map_err(|error| {
        Failure::from_error(WRONG_USE, &error, "start the house with `haus up DIR --stage STAGE`")
    })?;
    let host = arguments.standpoint.host.as_deref().map(str::parse).transpose().map_err(|error| {
        Failure::from_error(WRONG_USE, &error, "start the house with `haus up DIR --host NAME`")
    })?;
    let options = Options {
        path: arguments.path.clone(),
        stage,
        standpoint: Standpoint { host, places_file: arguments.standpoint.places.clone() },
        places: Places::new(&arguments.state, &arguments.run),
        keys: KeyPlace {
            file: arguments.keys.key_file.clone(),
            passphrase_file: arguments.keys.passphrase_file.clone(),
        },
    };
    let live = !arguments.plain && std::io::stdout().is_terminal();
    let outlet = Outlet::new(std::io::stdout()).map_err(|error| no_thread(&error))?;
    match haus_coordinator::run(&options, Box::new(Printer::new(outlet, live))) {
        Ok(code) => Ok(Code(code)),
        Err(error) => {
            let failure = Failure::from_error(Code(error.exit_code()), &error, error.remedy());
            // Also these last words may meet a held terminal, and the parent waits for our end.
            let last_words = Outlet::new(std::io::stderr()).map_err(|error| no_thread(&error))?;
            last_words.say(&terminal::failure_text(&failure));
            Ok(failure.code)
        }
    }
}

fn no_thread(error: &std::io::Error) -> Failure {
    Failure::new(FAILED, format!("cannot start the thread that prints: {error}"))
        .hint("see the limits of this account (`ulimit -u`)")
}
