//! Fingerprints: equal when a running process need not be replaced.
//!
//! Not a security measure: FNV-1a (64 bit) tells an edited plan from an unedited one and
//! stays the same over program versions, which the standard library's hasher does not promise.

use haus_model::house::House;
use haus_model::service::Service;
use std::collections::BTreeMap;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// What a process was started with: a difference means that it must be replaced.
///
/// Health, needs, recovery and rollout are left out: they change how we look after a
/// process, not the process. `told` holds the resolved addresses of the services whose
/// ports its texts mention.
pub(crate) fn process_fingerprint(service: &Service, told: &BTreeMap<String, String>) -> String {
    let parts = (
        (&service.run, &service.user, &service.folder, &service.ports, &service.address),
        (&service.data, &service.links, &service.config, &service.env, &service.credentials),
        (&service.limits, told),
    );
    digest(&parts)
}

/// What has to be prepared: a difference means that the commands run again.
pub(crate) fn prepare_fingerprint(service: &Service) -> Option<String> {
    (!service.prepare.is_empty()).then(|| digest(&service.prepare))
}

/// Everything of a house that the gateway follows.
pub(crate) fn routes_fingerprint(house: &House) -> String {
    digest(&(&house.routes, &house.gateway, &house.domain))
}

/// Everything of a service, to tell an adjusted one from an untouched one.
pub(crate) fn service_fingerprint(service: &Service) -> String {
    digest(service)
}

/// The fingerprint of plain data.
pub(crate) fn digest(value: &impl serde::Serialize) -> String {
    let bytes = serde_json::to_vec(value).expect("model types are plain data with text keys");
    format!("{:016x}", fnv1a(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_fnv_1a() {
        // Test vectors of the FNV authors (draft-eastlake-fnv).
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
