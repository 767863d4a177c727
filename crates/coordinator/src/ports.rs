//! The numbers of `auto` ports: chosen once, kept in the store, chosen anew only when a
//! stranger sits on one before the house starts.

use crate::occupant;
use haus_model::house::House;
use haus_model::id::PortName;
use haus_model::service::{PortNumber, RunsAs, Service};
use haus_model::{InstanceId, ServiceName};
use haus_store::{PortKey, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Where `auto` ports come from: below the kernel's ephemeral range, which starts at 32768.
const RANGE: std::ops::RangeInclusive<u16> = 20_000..=29_999;

/// What was chosen, and what is worth telling.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// The numbers.
    pub auto: Numbers,
    /// Sentences about numbers that had to change.
    pub notes: Vec<String>,
}

/// Who holds ports on this machine already.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a> {
    /// Instances that run (a core that came back): they hold their own ports, so those are not looked at.
    pub running: &'a BTreeSet<InstanceId>,
    /// Ports of the house's units on this machine, whether they run just now or not.
    pub elsewhere: &'a BTreeSet<u16>,
}

/// The numbers of `auto` ports by instance and port name.
pub(crate) type Numbers = BTreeMap<(InstanceId, PortName), u16>;

/// Finds the number of every `auto` port of the house.
///
/// A number in `current` is what the running house works with, so it stays.
///
/// # Errors
/// The store cannot be read or written, or the range is exhausted.
pub(crate) fn choose(
    house: &House,
    store: &dyn Store,
    current: &Numbers,
    held: Held<'_>,
) -> Result<Chosen, StoreError> {
    let mut chosen = Chosen::default();
    let kept = store.ports()?;
    let fixed: BTreeSet<u16> = house.services.values().flat_map(fixed_ports).collect();
    let taken = kept.values().chain(current.values()).chain(&fixed);
    let mut taken: BTreeSet<u16> = taken.chain(held.elsewhere).copied().collect();
    for (id, port, service) in auto_ports(house) {
        let key = PortKey { service: id.service.clone(), ordinal: id.ordinal, port: port.clone() };
        let slot = (id.clone(), port.clone());
        let works = current.get(&slot).filter(|number| !fixed.contains(number));
        let known = works.or_else(|| kept.get(&key).filter(|number| !fixed.contains(number))).copied();
        let stays = |number| works.is_some() || held.running.contains(&id) || is_free(service, number);
        let number = match known {
            Some(known) if stays(known) => known,
            Some(known) => {
                let number = free_number(&key, house, service, &taken)?;
                store.set_port(&key, number)?;
                chosen.notes.push(format!("{key} moves to {number}: {}", told(service, known)));
                number
            }
            None => store.allocate_port(&key, &[free_number(&key, house, service, &taken)?])?,
        };
        taken.insert(number);
        chosen.auto.insert(slot, number);
    }
    Ok(chosen)
}

fn auto_ports(house: &House) -> impl Iterator<Item = (InstanceId, &PortName, &Service)> {
    // Whoever puts a service somewhere chooses its ports there.
    let ours = house.services.values().filter(|service| service.runs_as != RunsAs::Systemd);
    ours.flat_map(|service| {
        let names = service.ports.iter().filter(|(_, number)| **number == PortNumber::Auto);
        names.flat_map(move |(port, _)| {
            (1..=service.instances)
                .map(move |ordinal| (InstanceId { service: service.name.clone(), ordinal }, port, service))
        })
    })
}

fn fixed_ports(service: &Service) -> impl Iterator<Item = u16> {
    service.ports.values().filter_map(|number| match number {
        PortNumber::Fixed(number) => Some(*number),
        PortNumber::Auto => None,
    })
}

/// A number that nobody has, neither in the house nor on the machine.
fn free_number(
    key: &PortKey,
    house: &House,
    service: &Service,
    taken: &BTreeSet<u16>,
) -> Result<u16, StoreError> {
    // Starting at a number that depends on the names keeps houses of one machine apart.
    let start = start_of(house.name.as_str(), &key.service, key.ordinal);
    let ring = (start..=*RANGE.end()).chain(*RANGE.start()..start);
    ring.filter(|number| !taken.contains(number))
        .find(|number| is_free(service, *number))
        .ok_or_else(|| StoreError::NoPort { key: key.clone(), tried: RANGE.len() })
}

fn start_of(house: &str, service: &ServiceName, ordinal: u32) -> u16 {
    let bytes = house.bytes().chain([b'/']).chain(service.as_str().bytes());
    let sum = bytes.fold(ordinal, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let offset = u16::try_from(sum % 10_000).unwrap_or(0);
    RANGE.start() + offset
}

fn address_of(service: &Service, number: u16) -> SocketAddr {
    let address: IpAddr = service.address.parse().unwrap_or(IpAddr::from([127, 0, 0, 1]));
    SocketAddr::new(address, number)
}

fn is_free(service: &Service, number: u16) -> bool {
    occupant::check_free(address_of(service, number)).is_ok()
}

fn told(service: &Service, number: u16) -> String {
    occupant::in_use(address_of(service, number))
}

/// Checks that nobody else sits on the ports of an instance that is about to start.
///
/// # Errors
/// One sentence that names the port and its occupant.
pub(crate) fn check_before_start(service: &Service, numbers: &BTreeMap<PortName, u16>) -> Result<(), String> {
    numbers.iter().try_for_each(|(name, number)| {
        occupant::check_free(address_of(service, *number)).map_err(|told| format!("port {name}: {told}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use haus_store::MemoryStore;
    use std::net::TcpListener;

    const NOBODY: Held<'static> = Held { running: &BTreeSet::new(), elsewhere: &BTreeSet::new() };

    #[test]
    fn a_number_is_chosen_once_and_kept_also_when_the_service_was_away() {
        let store = MemoryStore::new();
        let house = fixture::house(vec![fixture::service("api", 2), fixture::service("db", 1)]);
        let current = Numbers::new();
        let first = choose(&house, &store, &current, NOBODY).unwrap().auto;
        let numbers: BTreeSet<u16> = first.values().copied().collect();
        assert_eq!((first.len(), numbers.len()), (3, 3), "no number stands twice");
        choose(&fixture::house(vec![fixture::service("db", 1)]), &store, &current, NOBODY).unwrap();
        assert_eq!(choose(&house, &store, &current, NOBODY).unwrap().auto, first);
    }

    #[test]
    fn what_the_house_works_with_stays_even_when_the_store_has_forgotten_it_and_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let house = fixture::house(vec![fixture::service("api", 1)]);
        let slot = (InstanceId { service: "api".parse().unwrap(), ordinal: 1 }, "http".parse().unwrap());
        let current = Numbers::from([(slot.clone(), port)]);
        let chosen = choose(&house, &MemoryStore::new(), &current, NOBODY).unwrap();
        assert_eq!((chosen.auto[&slot], chosen.notes.len()), (port, 0));
    }

    #[test]
    fn a_stranger_on_a_kept_number_moves_it_and_is_named() {
        let store = MemoryStore::new();
        let house = fixture::house(vec![fixture::service("api", 1)]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = PortKey { service: "api".parse().unwrap(), ordinal: 1, port: "http".parse().unwrap() };
        store.set_port(&key, port).unwrap();
        let current = Numbers::new();
        let chosen = choose(&house, &store, &current, NOBODY).unwrap();
        assert!(!chosen.auto.values().any(|number| *number == port));
        assert!(chosen.notes[0].contains("is in use by process"), "{:?}", chosen.notes);
    }

    #[test]
    fn ports_of_units_on_this_machine_are_left_to_them() {
        let house = fixture::house(vec![fixture::service("api", 1)]);
        let first = choose(&house, &MemoryStore::new(), &Numbers::new(), NOBODY).unwrap().auto;
        let elsewhere: BTreeSet<u16> = first.values().copied().collect();
        let held = Held { elsewhere: &elsewhere, ..NOBODY };
        let other = choose(&house, &MemoryStore::new(), &Numbers::new(), held).unwrap().auto;
        assert_ne!(other, first);
        let mut house = house;
        house.services.values_mut().for_each(|service| service.runs_as = RunsAs::Systemd);
        assert!(choose(&house, &MemoryStore::new(), &Numbers::new(), NOBODY).unwrap().auto.is_empty());
    }
}
