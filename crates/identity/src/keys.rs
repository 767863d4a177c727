//! The keys that sign: one is active, those that it replaced verify until their overlap is over. It knows the
//! life of a key, not where the records are kept, and not what is signed.

use crate::KeyError;
use crate::encoding::{base64url, hex};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use haus_model::{Secret, Timestamp};
use jsonwebtoken::{DecodingKey, EncodingKey};
use std::sync::Arc;
use std::time::Duration;

/// Most keys at one time, the active one included.
pub const KEYS_MAX: usize = 16;

/// A key as it is stored. The private half belongs sealed into the vault; the rest is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// `e` and the first 16 hexadecimal digits of the SHA-256 of the public key.
    pub kid: String,
    /// The private half as PKCS#8 v1 (RFC 8410), 48 bytes. Empty once the key only verifies: what is not
    /// there cannot be stolen.
    pub pkcs8: Secret,
    /// The public half (RFC 8032).
    pub public: [u8; 32],
    /// When it was made.
    pub made_at: Timestamp,
    /// From when on it verifies nothing; none for the active key.
    pub retires_at: Option<Timestamp>,
}

/// The public half, and how long it counts.
#[derive(Clone, Debug)]
pub(crate) struct VerifyKey {
    pub(crate) kid: String,
    pub(crate) decoding: DecodingKey,
    pub(crate) retires_at: Option<Timestamp>,
    public: [u8; 32],
    made_at: Timestamp,
}

impl VerifyKey {
    fn new(public: [u8; 32], made_at: Timestamp, retires_at: Option<Timestamp>) -> VerifyKey {
        let decoding = DecodingKey::from_ed_der(&public);
        VerifyKey { kid: kid_of(&public), decoding, retires_at, public, made_at }
    }

    fn record(&self, pkcs8: Secret) -> KeyRecord {
        let VerifyKey { kid, decoding: _, retires_at, public, made_at } = self.clone();
        KeyRecord { kid, pkcs8, public, made_at, retires_at }
    }
}

/// The private half in the three forms that are asked for. All of them clear their memory when dropped.
#[derive(Clone, Debug)]
struct SignKey {
    pkcs8: Secret,
    encoding: EncodingKey,
    pair: Arc<Ed25519KeyPair>,
}

impl SignKey {
    fn new(pkcs8: Secret, pair: Ed25519KeyPair) -> SignKey {
        let encoding = EncodingKey::from_ed_der(pkcs8.expose_bytes());
        SignKey { pkcs8, encoding, pair: Arc::new(pair) }
    }

    fn public(&self) -> [u8; 32] {
        public_of(&self.pair)
    }
}

/// All keys of a house. A change is made on a clone, stored, and only then put in the place of the original,
/// so that no token is signed with a key which a crash would forget.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    active: VerifyKey,
    private: SignKey,
    /// In the order in which they were replaced.
    retired: Vec<VerifyKey>,
}

impl SigningKeys {
    /// The first key of a house.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the system has no randomness.
    pub fn generate(now: Timestamp) -> Result<SigningKeys, KeyError> {
        let private = new_private()?;
        let active = VerifyKey::new(private.public(), now, None);
        Ok(SigningKeys { active, private, retired: Vec::new() })
    }

    /// The keys as stored before, in any order. A private half beside a time of retirement is dropped.
    ///
    /// # Errors
    /// A record whose parts do not belong together, an unreadable private key, the same key twice, more than
    /// [`KEYS_MAX`], or not exactly one key that is active.
    pub fn from_records(records: Vec<KeyRecord>) -> Result<SigningKeys, KeyError> {
        let count = records.iter().filter(|record| record.retires_at.is_none()).count();
        let mut active = None;
        let mut retired: Vec<VerifyKey> = Vec::new();
        for record in records {
            let key = VerifyKey::new(record.public, record.made_at, record.retires_at);
            let inconsistent = |what| KeyError::Record { kid: record.kid.clone(), what };
            if key.kid != record.kid {
                return Err(inconsistent("the id does not follow from the public key"));
            }
            if retired.iter().any(|other| other.kid == key.kid) {
                return Err(KeyError::Duplicate { kid: key.kid });
            }
            if record.retires_at.is_some() {
                retired.push(key);
                continue;
            }
            let pair = Ed25519KeyPair::from_pkcs8(record.pkcs8.expose_bytes())
                .map_err(|source| KeyError::Private { kid: record.kid.clone(), source })?;
            if public_of(&pair) != record.public {
                return Err(inconsistent("the private half belongs to another public key"));
            }
            active = Some((key, SignKey::new(record.pkcs8, pair)));
        }
        let Some((active, private)) = active.filter(|_| count == 1) else {
            return Err(KeyError::Active { count });
        };
        if retired.iter().any(|other| other.kid == active.kid) {
            return Err(KeyError::Duplicate { kid: active.kid });
        }
        retired.sort_by_key(|key| (key.made_at, key.retires_at));
        let keys = SigningKeys { active, private, retired };
        if keys.retired.len() >= KEYS_MAX {
            return Err(keys.too_many());
        }
        Ok(keys)
    }

    /// What has to be stored: the active key first, then those that only verify, oldest first.
    pub fn records(&self) -> Vec<KeyRecord> {
        let active = self.active.record(self.private.pkcs8.clone());
        let retired = self.retired.iter().map(|key| key.record(Secret::default()));
        std::iter::once(active).chain(retired).collect()
    }

    /// Makes a new active key. The old one verifies for `overlap` more ([`crate::KEY_OVERLAP`] when nothing
    /// is wrong; zero when it was stolen, which ends every token at once), and its private half is forgotten
    /// here and now. Returns the id of the new key.
    ///
    /// # Errors
    /// [`KeyError::Generate`], or [`KeyError::TooMany`]; then nothing has changed.
    pub fn rotate(&mut self, now: Timestamp, overlap: Duration) -> Result<String, KeyError> {
        let is_over = |key: &VerifyKey| key.retires_at.is_some_and(|at| at <= now);
        if self.retired.iter().filter(|key| !is_over(key)).count() + 1 >= KEYS_MAX {
            return Err(self.too_many());
        }
        let private = new_private()?;
        let fresh = VerifyKey::new(private.public(), now, None);
        let kid = fresh.kid.clone();
        if self.find(&kid).is_some() {
            return Err(KeyError::Duplicate { kid });
        }
        self.drop_expired(now);
        let mut old = std::mem::replace(&mut self.active, fresh);
        old.retires_at = Some(now.after(overlap));
        self.retired.push(old);
        self.private = private;
        Ok(kid)
    }

    /// Ends a key that was replaced before its overlap is over, for example because it was stolen.
    ///
    /// # Errors
    /// [`KeyError::RetireActive`] and [`KeyError::Unknown`].
    pub fn retire(&mut self, kid: &str, now: Timestamp) -> Result<(), KeyError> {
        if self.active.kid == kid {
            return Err(KeyError::RetireActive { kid: kid.to_owned() });
        }
        let Some(key) = self.retired.iter_mut().find(|key| key.kid == kid) else {
            return Err(KeyError::Unknown { kid: kid.to_owned() });
        };
        key.retires_at = key.retires_at.map(|at| at.min(now));
        Ok(())
    }

    /// Forgets the keys whose overlap is over and returns their ids. They verify nothing even before that.
    pub fn drop_expired(&mut self, now: Timestamp) -> Vec<String> {
        let is_over = |key: &mut VerifyKey| key.retires_at.is_some_and(|at| at <= now);
        self.retired.extract_if(.., is_over).map(|key| key.kid).collect()
    }

    /// The id of the key that signs.
    pub fn active_kid(&self) -> &str {
        &self.active.kid
    }

    /// When the active key was made, for whoever decides that it is time to rotate.
    pub fn active_since(&self) -> Timestamp {
        self.active.made_at
    }

    /// The public halves as a JWK set (RFC 7517; OKP after RFC 8037), the active one first. It lists every
    /// key that was not dropped yet, so [`SigningKeys::drop_expired`] comes first where a reader trusts it
    /// alone.
    pub fn jwks(&self) -> serde_json::Value {
        let jwk = |key: &VerifyKey| {
            serde_json::json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "alg": "EdDSA",
                "use": "sig",
                "kid": key.kid,
                "x": base64url(&key.public),
            })
        };
        let keys: Vec<_> = std::iter::once(&self.active).chain(&self.retired).map(jwk).collect();
        serde_json::json!({ "keys": keys })
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&VerifyKey> {
        std::iter::once(&self.active).chain(&self.retired).find(|key| key.kid == kid)
    }

    pub(crate) fn encoding(&self) -> &EncodingKey {
        &self.private.encoding
    }

    pub(crate) fn pair(&self) -> &Ed25519KeyPair {
        &self.private.pair
    }

    fn too_many(&self) -> KeyError {
        KeyError::TooMany {
            until: self.retired.iter().filter_map(|key| key.retires_at).min().unwrap_or_default(),
        }
    }
}

/// The id of a public key: `e` (for Ed25519) and 16 hexadecimal digits.
fn kid_of(public: &[u8; 32]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public);
    format!("e{}", hex(&digest.as_ref()[..8]))
}

/// Whether a text has the form of [`kid_of`].
pub(crate) fn is_kid(text: &str) -> bool {
    let digits = text.strip_prefix('e').unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn public_of(pair: &Ed25519KeyPair) -> [u8; 32] {
    pair.public_key().as_ref().try_into().expect("a public key of Ed25519 has 32 bytes")
}

fn new_private() -> Result<SignKey, KeyError> {
    let pair = Ed25519KeyPair::generate().map_err(KeyError::Generate)?;
    let der: Pkcs8V1Der<'static> = pair.as_der().map_err(KeyError::Generate)?;
    Ok(SignKey::new(Secret::new(der.as_ref().to_vec()), pair))
}

#[cfg(test)]
mod tests;
