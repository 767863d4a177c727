//! An independent implementation after `docs/formats/vault.md`: AES-256-GCM of the RustCrypto project and
//! HKDF by hand (RFC 5869), both ways. It shares no code with the crate but the key ring's text.

use crate::{CountedEntropy, bytes_of, hexadecimal};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aws_lc_rs::{digest, hmac};
use haus_model::Secret;
use haus_vault::{Binding, KeyRing, Sealed, open, seal};
use proptest::prelude::*;

const HERE: Binding<'_> = Binding { house: "zimmer", credential: "c-1", version: 7, owner: "räume" };

/// RFC 5869 with one block of output.
fn hkdf(key: &[u8], info: &[u8]) -> Vec<u8> {
    let mac =
        |key: &[u8], data: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec();
    mac(&mac(b"haus vault 1", key), &[info, &[1]].concat())
}

fn active_key(ring: &KeyRing) -> Vec<u8> {
    let text = String::from_utf8(ring.render().expose_bytes().to_vec()).unwrap();
    bytes_of(text.lines().nth(1).unwrap().rsplit(' ').next().unwrap())
}

fn associated_data(binding: &Binding<'_>, purpose: u8, key_id: &[u8]) -> Vec<u8> {
    let mut data = b"haus vault 1".to_vec();
    data.push(purpose);
    for text in [binding.house, binding.credential, binding.owner] {
        data.push(u8::try_from(text.len()).unwrap());
        data.extend_from_slice(text.as_bytes());
    }
    data.extend_from_slice(&binding.version.to_be_bytes());
    data.extend_from_slice(key_id);
    data
}

fn cipher(key: &[u8]) -> Aes256Gcm {
    Aes256Gcm::new_from_slice(key).unwrap()
}

fn nonce(bytes: &[u8]) -> [u8; 12] {
    bytes.try_into().unwrap()
}

fn oracle_open(key: &[u8], binding: &Binding<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
    let (key_id, wrap_nonce, wrapped) = (&sealed[4..12], &sealed[12..24], &sealed[24..72]);
    let aad = associated_data(binding, 2, key_id);
    let payload = Payload { msg: wrapped, aad: &aad };
    let data_key = cipher(&hkdf(key, b"wrap")).decrypt(&nonce(wrap_nonce).into(), payload).ok()?;
    let aad = associated_data(binding, 1, &[]);
    let payload = Payload { msg: &sealed[84..], aad: &aad };
    cipher(&data_key).decrypt(&nonce(&sealed[72..84]).into(), payload).ok()
}

fn oracle_seal(key: &[u8], binding: &Binding<'_>, value: &[u8], drawn: &[u8; 56]) -> Vec<u8> {
    let (data_key, nonces) = drawn.split_at(32);
    let key_id = &digest::digest(&digest::SHA256, key).as_ref()[..8].to_vec()[..];
    let aad = associated_data(binding, 2, key_id);
    let payload = Payload { msg: data_key, aad: &aad };
    let wrapped = cipher(&hkdf(key, b"wrap")).encrypt(&nonce(&nonces[..12]).into(), payload).unwrap();
    let aad = associated_data(binding, 1, &[]);
    let payload = Payload { msg: value, aad: &aad };
    let body = cipher(data_key).encrypt(&nonce(&nonces[12..]).into(), payload).unwrap();
    [b"HVS1", key_id, &nonces[..12], &wrapped, &nonces[12..], &body].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_the_vault_seals_the_oracle_opens(
        value in proptest::collection::vec(any::<u8>(), 1..2_000), seed in any::<u32>(),
    ) {
        let mut entropy = CountedEntropy(seed.into());
        let ring = KeyRing::generate(&mut entropy).unwrap();
        let sealed = seal(&ring, &HERE, &Secret::new(value.clone()), &mut entropy).unwrap().to_bytes();
        prop_assert_eq!(oracle_open(&active_key(&ring), &HERE, &sealed), Some(value));
        let elsewhere = Binding { owner: "other", ..HERE };
        prop_assert_eq!(oracle_open(&active_key(&ring), &elsewhere, &sealed), None);
    }

    #[test]
    fn what_the_oracle_seals_the_vault_opens(
        value in proptest::collection::vec(any::<u8>(), 1..2_000),
        drawn in any::<[u8; 28]>(), more in any::<[u8; 28]>(),
    ) {
        let ring = KeyRing::generate(&mut CountedEntropy::default()).unwrap();
        let mut random = [0u8; 56];
        random[..28].copy_from_slice(&drawn);
        random[28..].copy_from_slice(&more);
        let bytes = oracle_seal(&active_key(&ring), &HERE, &value, &random);
        let sealed = Sealed::from_bytes(&bytes).unwrap();
        prop_assert_eq!(sealed.key_id(), ring.active());
        let opened = open(&ring, &HERE, &sealed).unwrap();
        prop_assert_eq!(opened.expose_bytes(), &value[..]);
    }
}

#[test]
fn derived_bytes_are_those_of_rfc_5869() {
    let ring = KeyRing::generate(&mut CountedEntropy::default()).unwrap();
    let derived = ring.derive(ring.active(), "trail anchor").unwrap();
    let expected = hkdf(&active_key(&ring), b"derive\0trail anchor");
    assert_eq!(hexadecimal(derived.expose_bytes()), hexadecimal(&expected));
}
