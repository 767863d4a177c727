//! `haus credential`: one file per act. No act shows a value.

mod create;
mod import;
mod list;
mod offline;
mod resolve;
mod revoke;
mod rotate;
mod show;

pub(super) use offline::failure as offline_failure;

use super::running::Running;
use crate::arguments::Credential;
use crate::exit::{Code, Failure};

pub(crate) fn cmd_credential(arguments: &Credential) -> Result<Code, Failure> {
    match arguments {
        Credential::Create(arguments) => create::cmd_create(arguments),
        Credential::List(arguments) => list::cmd_list(arguments),
        Credential::Show(arguments) => show::cmd_show(arguments),
        Credential::Versions(arguments) => show::cmd_versions(arguments),
        Credential::Rotate(arguments) => rotate::cmd_rotate(arguments),
        Credential::Revoke(arguments) => revoke::cmd_revoke(arguments),
        Credential::Import(arguments) => import::cmd_import(arguments),
    }
}
