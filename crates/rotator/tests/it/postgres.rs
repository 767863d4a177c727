//! Roles of a real PostgreSQL, with every statement in its log.

use haus_model::Secret;
use haus_rotator::{Account, RotateErrorKind, prove, retire_old, tell_new, tell_old};

use crate::servers::{Running, execute, execute_unlogged, postgres, set_rules};
use crate::{kind, run, secret};

/// A name that has to be quoted.
const ROLE: &str = "zimmer \"05\"; DROP ROLE hausherr; --";
const ACCOUNT: Account<'_> = Account::Postgres { role: ROLE, database: "postgres" };

fn with_role(test: &str) -> Option<Running> {
    let running = postgres(test)?;
    let role = ROLE.replace('"', "\"\"");
    let statement = format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'planted-old'");
    execute_unlogged(&running, &statement);
    Some(running)
}

#[test]
fn a_role_gets_a_new_password_and_the_old_one_ends() {
    let Some(running) = with_role("a_role_gets_a_new_password_and_the_old_one_ends") else { return };
    let server = running.server();
    let (old, new) = (secret("planted-old"), secret("planted-new-Grüße-'\"\\$"));
    run(prove(&server, &ACCOUNT, &old)).unwrap();
    run(tell_new(&server, &ACCOUNT, &old, &new)).unwrap();
    run(prove(&server, &ACCOUNT, &new)).unwrap();
    assert_eq!(kind(run(prove(&server, &ACCOUNT, &old))), RotateErrorKind::Refused);
    run(retire_old(&server, &ACCOUNT, &new, &old)).unwrap();

    // Half done before: told again with the same values, from either side.
    run(tell_new(&server, &ACCOUNT, &old, &new)).unwrap();
    run(prove(&server, &ACCOUNT, &new)).unwrap();
    run(tell_old(&server, &ACCOUNT, &old, &new)).unwrap();
    run(tell_old(&server, &ACCOUNT, &old, &new)).unwrap();
    run(prove(&server, &ACCOUNT, &old)).unwrap();
    assert_eq!(kind(run(prove(&server, &ACCOUNT, &new))), RotateErrorKind::Refused);

    let log = running.log();
    let statements = log.matches("PASSWORD 'SCRAM-SHA-256$4096:").count();
    assert!(statements >= 2, "the statements were logged, else this proves nothing: {log}");
    assert!(!log.contains("planted"), "{log}");
    assert!(log.contains("ALTER ROLE \"zimmer \"\"05\"\"; DROP ROLE hausherr; --\" PASSWORD"), "{log}");
}

#[test]
fn neither_value_known_is_a_refusal_that_names_account_and_server() {
    let Some(running) = with_role("neither_value_known_is_a_refusal") else { return };
    let server = running.server();
    let (wrong, new) = (secret("planted-wrong"), secret("planted-new"));
    let error = run(tell_new(&server, &ACCOUNT, &wrong, &new)).unwrap_err();
    assert_eq!(error.kind, RotateErrorKind::Refused);
    assert!(!error.is_worth_retrying());
    let text = haus_model::error::chain(&error);
    for expected in ["zimmer", &running.address.to_string(), "haus credential import", "28P01"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    run(prove(&server, &ACCOUNT, &secret("planted-old"))).unwrap();
}

#[test]
fn readers_and_roles_that_act_as_another_change_their_own_password() {
    let Some(running) = postgres("readers_and_roles_that_act_as_another_change_their_own_password") else {
        return;
    };
    execute_unlogged(
        &running,
        "CREATE ROLE leser LOGIN PASSWORD 'planted-old'; CREATE ROLE other; \
         GRANT other TO leser; ALTER ROLE leser SET role = other; \
         ALTER ROLE leser SET default_transaction_read_only = on; ALTER ROLE leser SET synchronous_commit = off",
    );
    let server = running.server();
    let account = Account::Postgres { role: "leser", database: "postgres" };
    run(tell_new(&server, &account, &secret("planted-old"), &secret("planted-new"))).unwrap();
    run(prove(&server, &account, &secret("planted-new"))).unwrap();
}

#[test]
fn a_password_from_older_times_becomes_scram() {
    let Some(running) = postgres("a_password_from_older_times_becomes_scram") else { return };
    execute_unlogged(&running, "SET password_encryption = md5; CREATE ROLE alt LOGIN PASSWORD 'planted-old'");
    set_rules(&running, "host all all 127.0.0.1/32 md5\n");
    let server = running.server();
    let account = Account::Postgres { role: "alt", database: "postgres" };
    run(tell_new(&server, &account, &secret("planted-old"), &secret("planted-new"))).unwrap();
    set_rules(&running, "host all all 127.0.0.1/32 scram-sha-256\n");
    run(prove(&server, &account, &secret("planted-new"))).unwrap();
}

#[test]
fn a_server_that_does_not_check_passwords_proves_nothing() {
    let Some(running) = with_role("a_server_that_does_not_check_passwords_proves_nothing") else { return };
    let server = running.server();
    let (old, new) = (secret("planted-old"), secret("planted-new"));
    for rule in ["trust", "password"] {
        let rules =
            format!("host all hausherr 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 {rule}\n");
        set_rules(&running, &rules);
        haus_testkit::wait_until("the rule to count", server.within, || {
            run(prove(&server, &ACCOUNT, &old)).is_err_and(|error| error.kind == RotateErrorKind::NoProof)
        });
        assert_eq!(kind(run(tell_new(&server, &ACCOUNT, &old, &new))), RotateErrorKind::NoProof, "{rule}");
    }
    set_rules(&running, "host all all 127.0.0.1/32 scram-sha-256\n");
    haus_testkit::wait_until("the password is the old one", server.within, || {
        run(prove(&server, &ACCOUNT, &old)).is_ok()
    });
}

#[test]
fn values_and_names_that_postgresql_cannot_take_are_refused_before_anything_is_sent() {
    let Some(running) = with_role("values_that_postgresql_cannot_take_are_refused") else { return };
    let server = running.server();
    let old = secret("planted-old");
    for value in [Secret::new(vec![b'a', 0xFF]), Secret::default(), secret("planted\0zero")] {
        assert_eq!(kind(run(tell_new(&server, &ACCOUNT, &old, &value))), RotateErrorKind::Unfit);
    }
    for account in [
        Account::Postgres { role: "", database: "postgres" },
        Account::Postgres { role: "a\0user\0hausherr", database: "postgres" },
    ] {
        assert_eq!(kind(run(prove(&server, &account, &old))), RotateErrorKind::Unfit);
    }
    let elsewhere = Account::Postgres { role: ROLE, database: "attic" };
    assert_eq!(kind(run(prove(&server, &elsewhere, &old))), RotateErrorKind::NotAllowed);
    run(prove(&server, &ACCOUNT, &old)).unwrap();
}

#[test]
fn a_full_or_ended_server_is_worth_another_try() {
    let Some(mut running) = with_role("a_full_or_ended_server_is_worth_another_try") else { return };
    let server = running.server();
    let old = secret("planted-old");
    let role = ROLE.replace('"', "\"\"");
    execute(&running, &format!("ALTER ROLE \"{role}\" CONNECTION LIMIT 0")).unwrap();
    assert_eq!(kind(run(prove(&server, &ACCOUNT, &old))), RotateErrorKind::Unreachable);
    running.stop();
    let error = run(prove(&server, &ACCOUNT, &old)).unwrap_err();
    assert!(error.kind == RotateErrorKind::Unreachable && error.is_worth_retrying(), "{error:?}");
}
