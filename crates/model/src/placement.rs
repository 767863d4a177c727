//! Where the instances of a house were put: the places file, written when hosts are set up and read by the
//! house's coordinator.
//!
//! It knows neither who writes it nor how its text is parsed; docs/formats/places.md is its form for people.

use crate::id::{HostName, HouseName, InstanceId, PortName, ServiceName, StageName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The number of the form that is read and written.
pub const PLACES_FORMAT: u32 = 1;

/// The name of the file, in the folder of the house's configuration on its host.
pub const PLACES_FILE: &str = "places.json";

/// Where the instances of a house were put. Fields that are not known are left out when it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placements {
    /// [`PLACES_FORMAT`].
    pub format: u32,
    /// The house.
    pub house: HouseName,
    /// The stage.
    pub stage: StageName,
    /// The hosts that something was put on, and those of the network around them.
    #[serde(default)]
    pub hosts: BTreeMap<HostName, PlacedHost>,
    /// Instances by service, those of the first host of the plan first.
    #[serde(default)]
    pub services: BTreeMap<ServiceName, Vec<PlacedInstance>>,
}

/// A host as others reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedHost {
    /// A name or an address.
    pub address: String,
}

/// One instance that something else than the coordinator keeps running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedInstance {
    /// Counted from 1 through all hosts, so that it stands once in its service.
    pub instance: u32,
    /// The host that it runs on.
    pub host: HostName,
    /// Where the coordinator's host reaches it: an IP address, loopback when it is the same host.
    pub address: String,
    /// Its ports by name, numbers chosen.
    #[serde(default)]
    pub ports: BTreeMap<PortName, u16>,
    /// The systemd unit that runs it; none when another coordinator does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl PlacedInstance {
    /// The slot of a service that it fills.
    pub fn id(&self, service: &ServiceName) -> InstanceId {
        InstanceId { service: service.clone(), ordinal: self.instance }
    }
}

impl Placements {
    /// Nothing was put anywhere.
    pub fn none(house: HouseName, stage: StageName) -> Placements {
        Placements { format: PLACES_FORMAT, house, stage, hosts: BTreeMap::new(), services: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = r#"{
  "format": 1,
  "house": "circle",
  "stage": "production",
  "hosts": {
    "web": {
      "address": "10.0.0.7"
    }
  },
  "services": {
    "api": [
      {
        "instance": 1,
        "host": "web",
        "address": "10.0.0.7",
        "ports": {
          "http": 20123
        },
        "unit": "haus-circle-api.service"
      }
    ]
  }
}"#;

    #[test]
    fn the_form_is_the_documented_one_and_survives_itself() {
        let read: Placements = serde_json::from_str(WRITTEN).unwrap();
        assert_eq!(read.services["api"][0].id(&"api".parse().unwrap()).to_string(), "api/1");
        assert_eq!(serde_json::to_string_pretty(&read).unwrap(), WRITTEN);
    }

    #[test]
    fn fields_of_later_versions_are_left_out() {
        let later = WRITTEN.replacen("\"format\"", "\"since\": \"later\", \"format\"", 1);
        let read: Placements = serde_json::from_str(&later).unwrap();
        assert_eq!(serde_json::to_string_pretty(&read).unwrap(), WRITTEN);
    }
}
