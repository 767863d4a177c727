//! `docs/formats/vault-vectors.json`: what every implementation of the format must open, and must not.

use crate::{CountedEntropy, bytes_of, hexadecimal};
use haus_model::Secret;
use haus_vault::custody::passphrase::{Cost, open_ring, seal_ring};
use haus_vault::{Binding, KeyRing, OpenError, Sealed, open, rewrap, seal};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const HERE: Binding<'_> =
    Binding { house: "zimmer", credential: "0f3c9a52", version: 3, owner: "archiv-postgres" };
const VALUE: &[u8] = b"not a secret: a test vector";
const PASSPHRASE: &str = "gaslight otter plinth rumor basil";

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vectors {
    about: String,
    format: u32,
    /// A ring of an active and an old key.
    ring: String,
    /// A ring that has neither of them.
    other_ring: String,
    /// Each with the one ring.
    cases: Vec<Case>,
    /// A sealed value that stays closed when it is cut off after any number of bytes.
    cut_anywhere: Case,
    derived: Vec<Derived>,
    sealed_ring: SealedRing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Case {
    name: String,
    house: String,
    credential: String,
    version: u64,
    owner: String,
    /// Hexadecimal.
    sealed: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    with_other_ring: bool,
    expected: Expected,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Expected {
    /// It opens and is this, hexadecimal.
    Value(String),
    /// It is not even of the format.
    Format,
    /// The ring lacks its key.
    UnknownKey,
    /// It is of the format and stays closed.
    Tampered,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Derived {
    key: String,
    purpose: String,
    bytes: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SealedRing {
    passphrase: String,
    file: String,
}

fn text(secret: &Secret) -> String {
    String::from_utf8(secret.expose_bytes().to_vec()).unwrap()
}

fn case(name: &str, binding: Binding<'_>, sealed: &[u8], expected: Expected) -> Case {
    Case {
        name: name.to_owned(),
        house: binding.house.to_owned(),
        credential: binding.credential.to_owned(),
        version: binding.version,
        owner: binding.owner.to_owned(),
        sealed: hexadecimal(sealed),
        with_other_ring: false,
        expected,
    }
}

/// The same bytes but for one bit.
fn changed(sealed: &[u8], at: usize) -> Vec<u8> {
    let mut sealed = sealed.to_vec();
    sealed[at] ^= 1;
    sealed
}

fn cases(old: &[u8], new: &[u8], other_value: &[u8]) -> Vec<Case> {
    let value = || Expected::Value(hexadecimal(VALUE));
    let tampered = |name, sealed: &[u8]| case(name, HERE, sealed, Expected::Tampered);
    let moved = |name, binding| case(name, binding, new, Expected::Tampered);
    let swapped_value = [&new[..72], &other_value[72..]].concat();
    let mut other_key = case("wrapped with a key that the ring lacks", HERE, new, Expected::UnknownKey);
    other_key.with_other_ring = true;
    vec![
        case("sealed with the old key", HERE, old, value()),
        case("wrapped anew with the active key", HERE, new, value()),
        tampered("key id of the other key of the ring", &[&new[..4], &old[4..12], &new[12..]].concat()),
        tampered("first bit of the wrap's nonce", &changed(new, 12)),
        tampered("first bit of the wrapped data key", &changed(new, 24)),
        tampered("last bit of the wrapped data key", &changed(new, 55)),
        tampered("first bit of the wrap's tag", &changed(new, 56)),
        tampered("first bit of the value's nonce", &changed(new, 72)),
        tampered("first bit of the ciphertext", &changed(new, 84)),
        tampered("last bit of the tag", &changed(new, new.len() - 1)),
        tampered("wrapped data key of another value", &[&other_value[..72], &new[72..]].concat()),
        tampered("value under another data key", &swapped_value),
        tampered("one byte too many", &[new, &[0]].concat()),
        moved("another house", Binding { house: "zimmer2", ..HERE }),
        moved("another credential", Binding { credential: "0f3c9a53", ..HERE }),
        moved("an older version", Binding { version: 2, ..HERE }),
        moved("another owner", Binding { owner: "archiv-redis", ..HERE }),
        moved("no owner", Binding { owner: "", ..HERE }),
        moved(
            "text moved between id and owner",
            Binding { credential: "0f3c9a52a", owner: "rchiv-postgres", ..HERE },
        ),
        case("another magic", HERE, &changed(new, 3), Expected::Format),
        case("nothing", HERE, &[], Expected::Format),
        case("all but the value", HERE, &new[..100], Expected::Format),
        other_key,
    ]
}

fn make() -> Vectors {
    let mut entropy = CountedEntropy::default();
    let other_ring = KeyRing::generate(&mut entropy).unwrap();
    let mut ring = KeyRing::generate(&mut entropy).unwrap();
    let value = Secret::new(VALUE.to_vec());
    let old = seal(&ring, &HERE, &value, &mut entropy).unwrap();
    ring.rotate(&mut entropy).unwrap();
    let new = rewrap(&ring, &HERE, &old, &mut entropy).unwrap().expect("the key is an old one").to_bytes();
    let other_value = seal(&ring, &HERE, &value, &mut entropy).unwrap().to_bytes();
    let derived = ring.ids().into_iter().map(|id| Derived {
        key: id.to_string(),
        purpose: String::from("trail anchor"),
        bytes: hexadecimal(ring.derive(&id, "trail anchor").unwrap().expose_bytes()),
    });
    let passphrase = Secret::from(PASSPHRASE.to_owned());
    Vectors {
        about: String::from(
            "test keys, see vault.md; written by HAUS_GOLDEN=write cargo nextest run -p haus-vault",
        ),
        format: 1,
        ring: text(&ring.render()),
        other_ring: text(&other_ring.render()),
        cases: cases(&old.to_bytes(), &new, &other_value),
        cut_anywhere: case("cut off", HERE, &new, Expected::Value(hexadecimal(VALUE))),
        derived: derived.collect(),
        sealed_ring: SealedRing {
            passphrase: PASSPHRASE.to_owned(),
            file: text(&seal_ring(&ring, &passphrase, Cost::LEAST, &mut entropy).unwrap()),
        },
    }
}

fn outcome(ring: &KeyRing, case: &Case, bytes: &[u8]) -> Expected {
    let Ok(sealed) = Sealed::from_bytes(bytes) else { return Expected::Format };
    let Case { house, credential, version, owner, .. } = case;
    let binding = Binding { house, credential, version: *version, owner };
    match open(ring, &binding, &sealed) {
        Ok(value) => Expected::Value(hexadecimal(value.expose_bytes())),
        Err(OpenError::UnknownKey(_)) => Expected::UnknownKey,
        Err(OpenError::Tampered) => Expected::Tampered,
        Err(error @ (OpenError::Binding(_) | OpenError::Entropy(_))) => panic!("{}: {error}", case.name),
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/vault-vectors.json")
}

fn vectors() -> Vectors {
    serde_json::from_slice(&std::fs::read(path()).unwrap()).unwrap()
}

#[test]
fn every_vector_comes_out_as_it_says() {
    let vectors = vectors();
    let ring = KeyRing::parse(&Secret::from(vectors.ring.clone())).unwrap();
    let other_ring = KeyRing::parse(&Secret::from(vectors.other_ring.clone())).unwrap();
    for case in &vectors.cases {
        let ring = if case.with_other_ring { &other_ring } else { &ring };
        assert_eq!(outcome(ring, case, &bytes_of(&case.sealed)), case.expected, "{}", case.name);
    }
    let whole = bytes_of(&vectors.cut_anywhere.sealed);
    assert_eq!(outcome(&ring, &vectors.cut_anywhere, &whole), vectors.cut_anywhere.expected);
    for length in 0..whole.len() {
        let expected = if length <= 100 { Expected::Format } else { Expected::Tampered };
        assert_eq!(outcome(&ring, &vectors.cut_anywhere, &whole[..length]), expected, "{length} bytes");
    }
    for Derived { key, purpose, bytes } in &vectors.derived {
        let derived = ring.derive(&key.parse().unwrap(), purpose).expect("a key of the ring");
        assert_eq!(hexadecimal(derived.expose_bytes()), *bytes);
    }
    let SealedRing { passphrase, file } = vectors.sealed_ring;
    let (opened, cost) = open_ring(&Secret::from(file), &Secret::from(passphrase)).unwrap();
    assert_eq!((opened.ids(), cost), (ring.ids(), Cost::LEAST));
}

/// With `HAUS_GOLDEN=write` the file is written first; read the difference before you keep it.
#[test]
fn the_vectors_are_what_this_code_writes() {
    let made = make();
    if std::env::var("HAUS_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(path(), serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    assert_eq!(vectors(), made, "run with HAUS_GOLDEN=write when the format is meant to change");
}
