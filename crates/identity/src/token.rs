//! Access tokens as text: JWS compact form (RFC 7515) with one algorithm and one shape of header. It reads
//! strictly, since only we write them: whatever differs was made by somebody else. It knows no revocation.
//!
//! `jsonwebtoken` makes and checks the signature. Its `decode` is not used, because it takes the time from
//! the clock of the machine, passes over header fields that it does not know (RFC 7515, section 4.1.11
//! forbids that for `crit`), and takes a list where we want one audience.

use crate::encoding::from_base64url;
use crate::keys::is_kid;
use crate::{Claims, SigningKeys, TokenError};
use haus_model::{Secret, Timestamp};
use jsonwebtoken::{Algorithm, Header};
use serde::Deserialize;

/// Longest token in bytes; a request head has to have room for it. Thirty scopes with the longest names fit.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// The `typ` of our tokens (RFC 9068, section 2.1), so that no other kind of JWT is ever taken for one.
pub const TOKEN_TYPE: &str = "at+jwt";

/// All fields that a header may have. Keys that it brings along (`jwk`, `jku`, `x5c`) and conditions (`crit`)
/// are unknown fields, and so refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictHeader<'token> {
    alg: &'token str,
    typ: Option<&'token str>,
    kid: Option<&'token str>,
}

impl SigningKeys {
    /// Signs claims with the active key.
    ///
    /// # Errors
    /// [`TokenError::Claims`] when they break a rule, [`TokenError::TooLong`] when there are too many scopes,
    /// and [`TokenError::Sign`].
    pub fn sign(&self, claims: &Claims) -> Result<Secret, TokenError> {
        claims.check_rules()?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.active_kid().to_owned());
        let text = jsonwebtoken::encode(&header, claims, self.encoding()).map_err(|error| {
            TokenError::Sign { kid: self.active_kid().to_owned(), reason: error.to_string() }
        })?;
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { bytes: text.len() });
        }
        Ok(Secret::from(text))
    }

    /// Checks everything that a token says of itself: form, algorithm, key, signature, issuer, audience,
    /// times. Whether its session was revoked, and what its scopes allow, is left to the caller.
    ///
    /// # Errors
    /// The first thing that is wrong, in that order, so nothing is said about content that nobody signed.
    pub fn verify(
        &self,
        token: &str,
        now: Timestamp,
        audience: &str,
        issuer: &str,
    ) -> Result<Claims, TokenError> {
        let malformed = |what| TokenError::Malformed { what };
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { bytes: token.len() });
        }
        let (message, signature) = token.rsplit_once('.').ok_or(malformed("it has no three parts"))?;
        let (header, payload) = message.split_once('.').ok_or(malformed("it has no three parts"))?;
        if payload.contains('.') {
            return Err(malformed("it has more than three parts"));
        }
        let header = from_base64url(header).ok_or(malformed("the header is not base64url"))?;
        let key = self.key_for(&header, now)?;
        let payload = from_base64url(payload).ok_or(malformed("the claims are not base64url"))?;
        let is_ours =
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.decoding, Algorithm::EdDSA)
                .map_err(|_| malformed("the signature is not base64url"))?;
        if !is_ours {
            return Err(TokenError::Signature);
        }
        let claims: Claims = serde_json::from_slice(&payload)
            .map_err(|_| malformed("the claims are not those of an access token"))?;
        if claims.iss != issuer {
            return Err(TokenError::Issuer { expected: issuer.to_owned() });
        }
        if claims.aud != audience {
            return Err(TokenError::Audience { expected: audience.to_owned() });
        }
        claims.check_time(now)?;
        claims.check_rules()?;
        Ok(claims)
    }

    /// The key that a header asks for. It is looked up among ours; a header never brings a key.
    fn key_for(&self, header: &[u8], now: Timestamp) -> Result<&crate::keys::VerifyKey, TokenError> {
        let malformed = |what| TokenError::Malformed { what };
        let header: StrictHeader<'_> = serde_json::from_slice(header)
            .map_err(|_| malformed("the header has other fields than alg, typ and kid"))?;
        if header.alg != "EdDSA" {
            return Err(TokenError::Algorithm);
        }
        if header.typ != Some(TOKEN_TYPE) {
            return Err(malformed("its type is not at+jwt"));
        }
        let kid = header.kid.filter(|kid| is_kid(kid)).ok_or(malformed("it names no key of the form e…"))?;
        let key = self.find(kid).ok_or_else(|| TokenError::UnknownKey { kid: kid.to_owned() })?;
        match key.retires_at {
            Some(at) if at <= now => Err(TokenError::RetiredKey { kid: kid.to_owned(), at }),
            Some(_) | None => Ok(key),
        }
    }
}
