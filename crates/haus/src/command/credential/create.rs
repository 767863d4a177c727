//! `haus credential create`: a value that is asked for, read or generated.

use super::resolve::{called, check};
use super::{Running, offline};
use crate::arguments::CredentialCreate;
use crate::exit::{Code, DONE, Failure, WRONG_USE};
use crate::{listing, secret_input, terminal};
use haus_api::credential::{Credential, CredentialCreate as Request};
use haus_model::ServiceName;

pub(super) fn cmd_create(arguments: &CredentialCreate) -> Result<Code, Failure> {
    let (owner, name) = owner_and_name(arguments)?;
    let running = Running::of(&arguments.asked.target)?;
    let is_generated = arguments.generate || arguments.length.is_some();
    if owner.is_none() && !is_generated && offline::nobody_runs(&running) {
        return offline::create(arguments, &running, name);
    }
    // Known before anybody is asked to type a secret for nothing.
    running.ask(running.client.vault())?;
    let value = if is_generated {
        None
    } else {
        Some(secret_input::value(arguments.from.as_deref(), &format!("credential `{name}`"))?)
    };
    let request = Request {
        name: name.to_owned(),
        credential_type: arguments.kind,
        service_name: owner,
        value,
        length: arguments.length,
        description: arguments.description.clone(),
        metadata: None,
        scope: arguments.scope.clone(),
        expires_at: arguments.expires_at.clone(),
        ttl_s: arguments.ttl.map(|ttl| ttl.as_secs()),
        rotation_required: false,
        rotate_days: arguments.rotate_days,
    };
    let made = running.order(running.client.create_credential(&request))?;
    if arguments.asked.json {
        terminal::json(&made);
    } else {
        terminal::line(&told(&made, is_generated));
    }
    Ok(DONE)
}

fn owner_and_name(arguments: &CredentialCreate) -> Result<(Option<ServiceName>, &str), Failure> {
    check(&arguments.name)?;
    let Some((owner, name)) = arguments.name.split_once('/') else {
        return Ok((arguments.service.clone(), &arguments.name));
    };
    if owner.is_empty() && arguments.service.is_none() {
        return Ok((None, name));
    }
    let owner: ServiceName = owner.parse().map_err(|error| {
        Failure::from_error(WRONG_USE, &error, "write NAME with --service SERVICE, or SERVICE/NAME")
    })?;
    match &arguments.service {
        Some(other) if *other != owner => Err(Failure::new(
            WRONG_USE,
            format!("`{}` is of {owner}, and --service says {other}", arguments.name),
        )
        .hint("name one service")),
        Some(_) | None => Ok((Some(owner), name)),
    }
}

fn told(made: &Credential, is_generated: bool) -> String {
    let how = if is_generated { "generated" } else { "taken over" };
    let until = made.expires_at.as_ref().map(|at| format!(", until {at}")).unwrap_or_default();
    let readers = if made.scope.is_empty() {
        "nobody may have it yet".to_owned()
    } else {
        format!("for {}", listing::names(&made.scope))
    };
    format!("{}: {how}, version {}{until}, {readers} (id {})", called(made), made.version, made.id)
}

#[cfg(test)]
mod tests {
    use super::super::resolve::tests::credential;
    use super::*;
    use crate::arguments::{Arguments, Command, Credential as Act};
    use clap::Parser;

    /// Owner and name of these arguments; none when they contradict each other.
    #[track_caller]
    fn check(arguments: &[&str], expected: Option<(Option<&str>, &str)>) {
        let line = [&["haus", "credential", "create"], arguments].concat();
        let parsed = Arguments::try_parse_from(line).expect("arguments that can be parsed");
        let Command::Credential(Act::Create(create)) = parsed.command else { panic!("another command") };
        let told = owner_and_name(&create);
        let told = told.as_ref().ok().map(|(owner, name)| (owner.as_ref().map(ServiceName::as_str), *name));
        assert_eq!(told, expected);
    }

    #[test]
    fn the_owner_stands_before_the_name_or_beside_it() {
        check(&["key"], Some((None, "key")));
        check(&["/key"], Some((None, "key")));
        check(&["key", "--service", "web"], Some((Some("web"), "key")));
        check(&["web/key"], Some((Some("web"), "key")));
        check(&["web/key", "-s", "web"], Some((Some("web"), "key")));
        check(&["web/key", "-s", "api"], None);
        check(&["WEB/key"], None);
        check(&["key=value"], None);
    }

    #[test]
    fn who_may_have_it_is_told() {
        let mut made = credential("id-1", Some("web"), "key");
        assert_eq!(told(&made, true), "web/key: generated, version 1, nobody may have it yet (id id-1)");
        made.scope = vec!["web".parse().expect("a name"), "api".parse().expect("a name")];
        assert_eq!(told(&made, false), "web/key: taken over, version 1, for web, api (id id-1)");
    }
}
