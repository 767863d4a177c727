//! Sealed credentials: the key ring, the seal of one version, where the ring is kept, generated values and
//! the steps of a rotation. Bytes and reasons: `docs/formats/vault.md`.
//!
//! It deliberately does not know HTTP, hosts, SQL, who asks or whether he may: it turns a value and a binding
//! into bytes and back. It has no clock and starts nothing. Only [`custody`] touches files, only
//! [`SystemEntropy`] the kernel's random bytes.

mod binding;
mod cipher;
pub mod custody;
mod entropy;
pub mod generate;
mod key;
mod ring;
pub mod rotation;
mod seal;
mod sealed;

pub use binding::{BINDING_TEXT_BYTES_MAX, Binding, BindingError};
pub use entropy::{Entropy, EntropyError, SystemEntropy};
pub use key::{KeyId, KeyIdError};
pub use ring::{KEYS_MAX, KeyRing, KeyRingError};
pub use seal::{OpenError, SealError, open, rewrap, seal};
pub use sealed::{FormatError, OVERHEAD_BYTES, Sealed, VALUE_BYTES_MAX};
