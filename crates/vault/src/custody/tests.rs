//! What comes from outside the process: systemd's folder and the variable.

use super::*;
use crate::KeyId;
use crate::entropy::tests::CountedEntropy;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn ring() -> KeyRing {
    KeyRing::generate(&mut CountedEntropy::default()).unwrap()
}

fn write(path: &Path, mode: u32) {
    fs::write(path, ring().render().expose_bytes()).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Opens the systemd credential `name` from a folder with the ring in `haus.ring`; the active key or the
/// error.
fn check(name: &str, mode: u32, expected: Result<KeyId, &str>) {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("haus.ring"), mode);
    let credentials_directory = Some(folder.path().to_owned());
    let custody = Custody::SystemdCredential { name: name.to_owned() };
    let opened = open_in(&custody, Surroundings { credentials_directory, variable: None });
    match (opened, expected) {
        (Ok(opened), Ok(id)) => assert_eq!(*opened.ring.active(), id),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (opened, expected) => panic!("{opened:?} instead of {expected:?}"),
    }
}

#[test]
fn a_systemd_credential_is_read_by_its_plain_name() {
    check("haus.ring", 0o400, Ok(*ring().active()));
    // With an access list systemd shows the list's mask in the place of the group.
    check("haus.ring", 0o440, Ok(*ring().active()));
    check("haus.ring", 0o444, Err("others can get at it (mode 0444)"));
    check("other", 0o400, Err("LoadCredential=other:FILE"));
    check("../haus.ring", 0o400, Err("is no name of a systemd credential"));
    check("", 0o400, Err("is no name of a systemd credential"));
}

#[test]
fn without_systemd_the_credential_is_missing() {
    let custody = Custody::SystemdCredential { name: String::from("haus.ring") };
    let error = open_in(&custody, Surroundings::default()).unwrap_err();
    assert!(matches!(error, CustodyError::Missing { .. }), "{error}");
}

#[test]
fn the_variable_works_and_is_warned_of() {
    let text = String::from_utf8(ring().render().expose_bytes().to_vec()).unwrap();
    let variable = Some(OsString::from(&text));
    let surroundings = Surroundings { credentials_directory: None, variable };
    let opened = open_in(&Custody::Environment, surroundings).unwrap();
    assert_eq!(opened.ring.ids(), ring().ids());
    let [warning] = &opened.warnings[..] else { panic!("{:?}", opened.warnings) };
    assert!(warning.contains(VARIABLE) && !warning.contains(&text[..40]), "{warning}");
    let missing = open_in(&Custody::Environment, Surroundings::default()).unwrap_err();
    assert!(matches!(missing, CustodyError::Missing { .. }), "{missing}");
    let weak = Surroundings { credentials_directory: None, variable: Some(OsString::from("00".repeat(32))) };
    assert!(matches!(open_in(&Custody::Environment, weak), Err(CustodyError::Ring { .. })));
}

#[test]
fn what_can_only_be_read_is_not_written() {
    for custody in [Custody::SystemdCredential { name: String::from("ring") }, Custody::Environment] {
        for refused in [create(&custody, &ring()), replace(&custody, &ring())] {
            assert!(matches!(refused, Err(CustodyError::ReadOnly { .. })), "{refused:?}");
        }
    }
}
