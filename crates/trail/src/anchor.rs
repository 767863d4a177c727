//! The anchor: a signed head that is kept outside the database, so that the end of the trail cannot be cut
//! off or the whole rewritten unseen. Owns its bytes; knows no keys and no signature algorithm, the caller
//! passes what makes and checks a signature.

use crate::encode::{push_integer, push_member};
use crate::hash::{from_hex, push_hex};
use crate::{Hash, Head};
use haus_model::{HouseName, Timestamp};
use serde::{Deserialize, Serialize};

/// What the signed bytes begin with; `1` is the format.
const DOMAIN: &str = "haus trail anchor 1\n";

/// Longest text of an anchor in bytes; a longer one is not looked at.
const TEXT_BYTES_MAX: usize = 4096;

/// Longest name of a key in bytes.
const KEY_ID_BYTES_MAX: usize = 128;

/// A head that somebody signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Anchor {
    /// Whose trail.
    pub house: HouseName,
    /// The entry that is held, and with it every entry before it.
    #[serde(flatten)]
    pub head: Head,
    /// When it was signed.
    pub at: Timestamp,
    /// Which key signed it, as the signer names it: 1 to 128 visible ASCII characters.
    pub key_id: String,
    /// The public key in lower-case hex. It says which key to look for; it is no proof of itself.
    pub public_key: String,
    /// The signature over [`Anchor::signed_bytes`] in lower-case hex; empty while unsigned.
    pub signature: String,
}

/// What a signature check needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedAnchor {
    /// The public key that the anchor names. The check must refuse it unless it is known from elsewhere.
    pub public_key: Vec<u8>,
    /// The bytes that were signed.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Why an anchor is not believed.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// Too long to be an anchor.
    #[error("the anchor has {bytes} bytes, the longest possible has {TEXT_BYTES_MAX}: this is another file")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not the JSON of an anchor.
    #[error("the text is not an anchor of a trail")]
    NotAnAnchor(#[source] serde_json::Error),
    /// A member that must be hex digits is something else.
    #[error("the anchor's {member} is not an even number of lower-case hex digits, at least two")]
    NotHex {
        /// Its name.
        member: &'static str,
    },
    /// The key's name is empty, long, or has characters that do not belong there.
    #[error("the anchor's key_id is not 1 to {KEY_ID_BYTES_MAX} visible ASCII characters")]
    KeyId,
    /// Made for another house.
    #[error("the anchor belongs to the house {found}, not to {wanted}")]
    OtherHouse {
        /// Whose it is.
        found: HouseName,
        /// Whose was wanted.
        wanted: HouseName,
    },
    /// The key is not believed, or the signature is wrong.
    #[error("the anchor of entry {seq} is not signed by a key that is trusted here (its key: {key_id})")]
    Signature {
        /// The entry that it claims to hold.
        seq: u64,
        /// The key that it names.
        key_id: String,
    },
}

/// The members as they are read; `Anchor` itself is flattened, which could not refuse unknown members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    house: HouseName,
    seq: u64,
    hash: Hash,
    at: Timestamp,
    key_id: String,
    public_key: String,
    signature: String,
}

impl TryFrom<Wire> for Anchor {
    type Error = AnchorError;

    fn try_from(wire: Wire) -> Result<Anchor, AnchorError> {
        let key_id_fits = (1..=KEY_ID_BYTES_MAX).contains(&wire.key_id.len());
        if !key_id_fits || !wire.key_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AnchorError::KeyId);
        }
        hex_member("public_key", &wire.public_key)?;
        hex_member("signature", &wire.signature)?;
        Ok(Anchor {
            house: wire.house,
            head: Head { seq: wire.seq, hash: wire.hash },
            at: wire.at,
            key_id: wire.key_id,
            public_key: wire.public_key,
            signature: wire.signature,
        })
    }
}

/// Reads a member in hex.
fn hex_member(member: &'static str, text: &str) -> Result<Vec<u8>, AnchorError> {
    from_hex(text).filter(|bytes| !bytes.is_empty()).ok_or(AnchorError::NotHex { member })
}

impl Anchor {
    /// The anchor with a signature that `sign` makes over [`Anchor::signed_bytes`]. The old one is dropped.
    #[must_use]
    pub fn signed(mut self, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Anchor {
        let signature = sign(&self.signed_bytes());
        self.signature.clear();
        push_hex(&mut self.signature, &signature);
        self
    }

    /// All members but the signature, in the order of the format.
    fn unsigned_text(&self) -> String {
        let mut out = String::with_capacity(512);
        push_member(&mut out, "{\"house\":", self.house.as_str());
        push_integer(&mut out, ",\"seq\":", self.head.seq);
        push_member(&mut out, ",\"hash\":", &self.head.hash.to_string());
        push_integer(&mut out, ",\"at\":", self.at.0);
        push_member(&mut out, ",\"key_id\":", &self.key_id);
        push_member(&mut out, ",\"public_key\":", &self.public_key);
        out
    }

    /// The bytes that are signed: a line that says what this is, then the anchor without its signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        format!("{DOMAIN}{}}}", self.unsigned_text()).into_bytes()
    }

    /// The anchor as text: one line of JSON with a line feed.
    pub fn to_text(&self) -> String {
        let mut out = self.unsigned_text();
        push_member(&mut out, ",\"signature\":", &self.signature);
        out.push_str("}\n");
        out
    }

    /// Reads an anchor. The signature is not checked here.
    ///
    /// Spaces and the order of the members do not matter: what is signed is written anew from what was read.
    ///
    /// # Errors
    /// The text is too long, is no JSON object with exactly the members of an anchor, or one of them is not
    /// of its form.
    pub fn from_text(text: &str) -> Result<Anchor, AnchorError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(AnchorError::TooLong { bytes: text.len() });
        }
        let wire: Wire = serde_json::from_str(text).map_err(AnchorError::NotAnAnchor)?;
        Anchor::try_from(wire)
    }

    /// Believes the anchor or not: it must be of `house`, and `check` must accept key and signature. `check`
    /// has to refuse a key that it does not know from elsewhere; anybody can sign with a key of their own.
    ///
    /// # Errors
    /// Another house, a key or signature that is not hex, or `check` said no.
    pub fn verify(
        &self,
        house: &HouseName,
        check: impl FnOnce(&SignedAnchor) -> bool,
    ) -> Result<Head, AnchorError> {
        if self.house != *house {
            let (found, wanted) = (self.house.clone(), house.clone());
            return Err(AnchorError::OtherHouse { found, wanted });
        }
        let signed = SignedAnchor {
            public_key: hex_member("public_key", &self.public_key)?,
            message: self.signed_bytes(),
            signature: hex_member("signature", &self.signature)?,
        };
        if !check(&signed) {
            return Err(AnchorError::Signature { seq: self.head.seq, key_id: self.key_id.clone() });
        }
        Ok(self.head)
    }
}
