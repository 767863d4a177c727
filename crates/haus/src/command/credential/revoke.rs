//! `haus credential revoke`: gone with all its versions, after a confirmation.

use super::Running;
use super::resolve::{called, meant};
use crate::arguments::CredentialRevoke;
use crate::exit::{Code, DONE, Failure};
use crate::{listing, secret_input, terminal};

pub(super) fn cmd_revoke(arguments: &CredentialRevoke) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let found = meant(&running, &arguments.name)?;
    let name = called(&found);
    if !arguments.yes {
        let readers = listing::names(&found.scope);
        let what =
            format!("{name} and all its versions will be gone for good; those that may have it: {readers}");
        secret_input::confirm(&name, &what)?;
    }
    running.order(running.client.delete_credential(&found.id))?;
    if arguments.asked.json {
        terminal::json(&found);
    } else {
        terminal::line(&format!("{name}: revoked; what was handed out before is still known to its readers"));
    }
    Ok(DONE)
}
