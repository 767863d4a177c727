//! The kept ring: created once, replaced whole, refused when somebody else could have had a hand in it.

use crate::CountedEntropy;
use haus_model::Secret;
use haus_testkit::{is_root, loud_skip};
use haus_vault::KeyRing;
use haus_vault::custody::passphrase::{Cost, seal_ring};
use haus_vault::custody::{Custody, CustodyError, Fault, change_passphrase, create, open, replace};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn ring() -> KeyRing {
    KeyRing::generate(&mut CountedEntropy::default()).unwrap()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A folder with a kept ring.
fn kept() -> (TempDir, PathBuf, Custody) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault").join("key-ring");
    let custody = Custody::File(path.clone());
    create(&custody, &ring()).unwrap();
    (folder, path, custody)
}

/// Spoils a kept ring and opens it; the fault, or the part of the error that must be in it.
fn check(spoil: impl FnOnce(&Path), expected: Result<Fault, &str>) {
    let (_folder, path, custody) = kept();
    spoil(&path);
    let error = open(&custody).unwrap_err();
    match (&error, expected) {
        (CustodyError::Unsafe { fault, .. }, Ok(expected)) => assert_eq!(*fault, expected),
        (error, Err(part)) => assert!(format!("{error:?} {error}").contains(part), "{error:?}"),
        (error, expected) => panic!("{error:?} instead of {expected:?}"),
    }
    // What is not opened is not overwritten either.
    let before = fs::symlink_metadata(&path).ok().map(|about| about.len());
    assert!(replace(&custody, &ring()).is_err());
    assert_eq!(fs::symlink_metadata(&path).ok().map(|about| about.len()), before);
}

#[test]
fn a_ring_is_created_for_us_alone_and_never_twice() {
    let (_folder, path, custody) = kept();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let again = create(&custody, &KeyRing::generate(&mut CountedEntropy(9)).unwrap());
    assert!(matches!(again, Err(CustodyError::Exists { .. })), "{again:?}");
    let opened = open(&custody).unwrap();
    assert_eq!((opened.ring.ids(), opened.warnings), (ring().ids(), Vec::new()));
    assert_eq!(
        fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1,
        "nothing else is left in the folder"
    );
}

#[test]
fn a_ring_that_is_not_there_is_missing_and_is_not_made_by_replacing() {
    let folder = tempfile::tempdir().unwrap();
    let custody = Custody::File(folder.path().join("key-ring"));
    assert!(matches!(open(&custody), Err(CustodyError::Missing { .. })));
    assert!(matches!(replace(&custody, &ring()), Err(CustodyError::Missing { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_others_can_have_a_hand_in_is_refused() {
    check(|path| mode(path, 0o640), Ok(Fault::Mode { mode: 0o640, wanted: 0o600 }));
    check(|path| mode(path, 0o604), Ok(Fault::Mode { mode: 0o604, wanted: 0o600 }));
    check(|path| mode(path, 0o620), Ok(Fault::Mode { mode: 0o620, wanted: 0o600 }));
    check(|path| mode(path.parent().unwrap(), 0o707), Ok(Fault::Folder { mode: 0o707 }));
    let link = |path: &Path| {
        fs::rename(path, path.with_extension("real")).unwrap();
        symlink(path.with_extension("real"), path).unwrap();
    };
    check(link, Ok(Fault::Link));
    let folder = |path: &Path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    };
    check(folder, Ok(Fault::NotAFile));
    let socket = |path: &Path| {
        fs::remove_file(path).unwrap();
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    };
    check(socket, Ok(Fault::NotAFile));
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    if !is_root() {
        return loud_skip("a_file_of_somebody_else_is_refused", "only root can give files away");
    }
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(65_534), None).unwrap();
    check(give, Ok(Fault::Owner { owner: 65_534, us: 0 }));
}

#[test]
fn what_is_no_good_ring_is_refused_and_left_alone() {
    check(|path| fs::write(path, "").unwrap(), Err("Empty"));
    check(|path| fs::write(path, "00".repeat(32)).unwrap(), Err("Weak"));
    check(|path| fs::write(path, "changeme\n").unwrap(), Err("BareKey"));
    check(|path| fs::write(path, [0u8; 32]).unwrap(), Err("BareKey"));
    check(|path| fs::write(path, vec![b'x'; 20_000]).unwrap(), Err("TooLarge"));
}

#[test]
fn what_is_only_doubtful_is_warned_of() {
    let (_folder, path, custody) = kept();
    fs::hard_link(&path, path.with_extension("copy")).unwrap();
    mode(path.parent().unwrap(), 0o770);
    let warnings = open(&custody).unwrap().warnings.join("\n");
    assert!(warnings.contains("has 2 names") && warnings.contains("can exchange"), "{warnings}");
}

#[test]
fn a_ring_is_replaced_only_by_one_that_opens_what_it_sealed() {
    let (_folder, path, custody) = kept();
    let stranger = KeyRing::generate(&mut CountedEntropy(1)).unwrap();
    let refused = replace(&custody, &stranger);
    assert!(matches!(refused, Err(CustodyError::Stranger { .. })), "{refused:?}");
    let mut rotated = ring();
    rotated.rotate(&mut CountedEntropy(1)).unwrap();
    // What a killed writer left behind is in nobody's way, and goes.
    fs::write(path.with_file_name("key-ring.new"), "half a r").unwrap();
    replace(&custody, &rotated).unwrap();
    assert_eq!(open(&custody).unwrap().ring.ids(), rotated.ids());
    rotated.retire(&ring().ids()[0]).unwrap();
    replace(&custody, &rotated).unwrap();
    assert_eq!(open(&custody).unwrap().ring.ids(), rotated.ids());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_ring_behind_a_passphrase_opens_changes_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key-ring.sealed");
    let secret = |text: &str| Secret::from(text.to_owned());
    let with = |text: &str| Custody::Passphrase { file: file.clone(), passphrase: secret(text) };
    let (first, second) = (with("gaslight otter plinth"), with("basil rumor quarry"));
    // Cheaper than what we write by ourselves; replacing keeps the cost of the file.
    let sealed =
        seal_ring(&ring(), &secret("gaslight otter plinth"), Cost::LEAST, &mut CountedEntropy(5)).unwrap();
    fs::write(&file, sealed.expose_bytes()).unwrap();
    mode(&file, 0o600);
    assert!(matches!(create(&first, &ring()), Err(CustodyError::Exists { .. })));
    let mut rotated = ring();
    rotated.rotate(&mut CountedEntropy(1)).unwrap();
    // Another passphrase cannot slip in by replacing.
    assert!(matches!(replace(&second, &rotated), Err(CustodyError::Sealed { .. })));
    replace(&first, &rotated).unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("\"memory_kib\": 19456"));
    change_passphrase(&first, &secret("basil rumor quarry")).unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("\"memory_kib\": 65536"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(open(&second).unwrap().ring.ids(), rotated.ids());
}

#[test]
fn a_write_that_fails_says_so_and_keeps_the_old_ring() {
    let (_folder, path, custody) = kept();
    // A folder in the place of the temporary file makes writing fail for every account.
    fs::create_dir(path.with_file_name("key-ring.new")).unwrap();
    let refused = replace(&custody, &ring());
    assert!(matches!(refused, Err(CustodyError::Write { .. })), "{refused:?}");
    assert_eq!(open(&custody).unwrap().ring.ids(), ring().ids());
}
