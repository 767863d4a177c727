//! The network of a lab: one bridge, a way out by masquerading, and a table in which a host's link can be
//! cut. It knows links by name, not what runs behind them.

use crate::error::LabError;
use crate::files;
use crate::places::Places;
use crate::tool::{output_within, run};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// 10.213.X.0/24, with the first free X.
const SUBNET_BEGIN: [u8; 2] = [10, 213];
const MACHINE: u8 = 1;
const FIRST_HOST: u8 = 11;
const INCUS_HOST: u8 = 250;
/// Hosts that fit behind one bridge.
pub(crate) const HOSTS_MAX: usize = 200;
/// A system's PID 1, journal and udev each want some; Debian's 128 are enough for six hosts.
const WANTED_SETTINGS: [(&str, u64); 2] =
    [("/proc/sys/net/ipv4/ip_forward", 1), ("/proc/sys/fs/inotify/max_user_instances", 2048)];

/// The addresses behind the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet(u8);

impl Subnet {
    pub(crate) fn machine(self) -> Ipv4Addr {
        self.address(MACHINE)
    }

    /// Of the host with this number, from 1.
    pub(crate) fn host(self, number: usize) -> Ipv4Addr {
        let offset = u8::try_from(number.clamp(1, HOSTS_MAX) - 1).expect("HOSTS_MAX fits");
        self.address(FIRST_HOST + offset)
    }

    /// Of the host that Incus runs.
    pub(crate) fn incus_host(self) -> Ipv4Addr {
        self.address(INCUS_HOST)
    }

    fn address(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(SUBNET_BEGIN[0], SUBNET_BEGIN[1], self.0, last)
    }

    fn parse(text: &str) -> Option<Subnet> {
        text.trim().parse().ok().map(Subnet)
    }
}

/// Makes what is missing of it.
pub(crate) fn ensure(places: &Places) -> Result<Subnet, LabError> {
    let bridge = places.kernel_name();
    let known = files::read_if_there(&places.network())?.and_then(|text| Subnet::parse(&text));
    let subnet = match known {
        Some(subnet) if exists(&bridge) => subnet,
        Some(_) | None => {
            let routes = run("read the routes", Command::new("ip").args(["-4", "route"]))?;
            let subnet = choose(&routes, known.map_or(places.subnet_wish(), |subnet| subnet.0))?;
            files::replace(&places.network(), &subnet.0.to_string())?;
            subnet
        }
    };
    raise_settings(places)?;
    if !exists(&bridge) {
        // Without an address of its own the bridge would take that of a host, and another one when that host
        // reboots.
        let address = places.bridge_address();
        let bridge = ["link", "add", &bridge, "address", &address, "type", "bridge"];
        run("make the lab's bridge", ip(&bridge))?;
    }
    let address = format!("{}/24", subnet.machine());
    run("give the bridge its address", ip(&["addr", "replace", &address, "dev", &bridge]))?;
    run("raise the bridge", ip(&["link", "set", &bridge, "up"]))?;
    load_rules(places, subnet)?;
    Ok(subnet)
}

/// Takes all of it away again. Hosts must be off.
pub(crate) fn remove(places: &Places) -> Result<(), LabError> {
    let name = places.kernel_name();
    for family in ["ip", "bridge"] {
        if has_table(family, &name)? {
            run("remove the lab's rules", nft(&["delete", "table", family, &name]))?;
        }
    }
    forget_docker_rules(&name)?;
    if exists(&name) {
        run("remove the lab's bridge", ip(&["link", "del", &name]))?;
    }
    if let Some(before) = files::read_if_there(&places.settings())? {
        for line in before.lines() {
            let Some((path, value)) = line.split_once(' ') else { continue };
            std::fs::write(path, value).map_err(LabError::file("restore the setting", path))?;
        }
    }
    for file in [places.settings(), places.network(), places.rules()] {
        files::remove(&file)?;
    }
    Ok(())
}

/// From here on nothing of this host comes through, and nobody is told: neither end sees a refusal.
pub(crate) fn cut(places: &Places, host: &str) -> Result<(), LabError> {
    let element = format!("{{ {:?} }}", places.link(host));
    run("cut the link", nft(&["add", "element", "bridge", &places.kernel_name(), "cut", &element])).map(drop)
}

/// Packets pass again.
pub(crate) fn mend(places: &Places, host: &str) -> Result<(), LabError> {
    if !is_cut(places, host)? {
        return Ok(());
    }
    let element = format!("{{ {:?} }}", places.link(host));
    let name = places.kernel_name();
    run("mend the link", nft(&["delete", "element", "bridge", &name, "cut", &element])).map(drop)
}

/// Whether the link of this host is cut.
pub(crate) fn is_cut(places: &Places, host: &str) -> Result<bool, LabError> {
    let name = places.kernel_name();
    if !has_table("bridge", &name)? {
        return Ok(false);
    }
    let set = run("read which links are cut", nft(&["list", "set", "bridge", &name, "cut"]))?;
    Ok(set.contains(&format!("{:?}", places.link(host))))
}

fn choose(routes: &str, wish: u8) -> Result<Subnet, LabError> {
    let [first, second] = SUBNET_BEGIN;
    let is_taken = |third: u8| {
        let beginning = format!("{first}.{second}.{third}.");
        routes.lines().any(|line| line.split_whitespace().next().is_some_and(|to| to.starts_with(&beginning)))
    };
    let free = (0..=u8::MAX).map(|step| wish.wrapping_add(step)).find(|third| !is_taken(*third));
    free.map(Subnet).ok_or_else(|| LabError::Unfit {
        reason: format!("all networks of {first}.{second}.0.0/16 are in use on it"),
    })
}

/// Remembers what the settings were, so that `down` can put them back; what is high enough stays.
fn raise_settings(places: &Places) -> Result<(), LabError> {
    let mut before = files::read_if_there(&places.settings())?.unwrap_or_default();
    for (path, wanted) in WANTED_SETTINGS {
        let text = files::read(Path::new(path))?;
        let value: u64 = text.trim().parse().unwrap_or_default();
        if value >= wanted {
            continue;
        }
        if !before.contains(path) {
            before.push_str(&format!("{path} {value}\n"));
            files::replace(&places.settings(), &before)?;
        }
        std::fs::write(path, wanted.to_string()).map_err(LabError::file("raise the setting", path))?;
    }
    Ok(())
}

fn load_rules(places: &Places, subnet: Subnet) -> Result<(), LabError> {
    let name = places.kernel_name();
    if !has_table("bridge", &name)? || !has_table("ip", &name)? {
        files::write(&places.rules(), &rules(&name, subnet))?;
        let file = places.rules();
        run("load the lab's rules", Command::new("nft").arg("-f").arg(&file))?;
    }
    // Docker drops what is forwarded; an accept elsewhere does not undo that, one in its own chain does.
    if lists(&["chain", "ip", "filter", "DOCKER-USER"])?.is_some_and(|chain| !chain.contains(&name)) {
        for side in ["iifname", "oifname"] {
            run(
                "let the lab through Docker's firewall",
                nft(&["insert", "rule", "ip", "filter", "DOCKER-USER", side, &name, "accept"]),
            )?;
        }
    }
    Ok(())
}

fn rules(name: &str, subnet: Subnet) -> String {
    let network = subnet.address(0);
    let hook = |hook: &str, side: &str| {
        format!(
            "  chain {hook} {{\n    type filter hook {hook} priority 0; policy accept;\n    {side} @cut drop\n  }}\n"
        )
    };
    format!(
        "table ip {name}\ndelete table ip {name}\ntable ip {name} {{\n  chain out {{\n    \
         type nat hook postrouting priority 100; policy accept;\n    \
         ip saddr {network}/24 oifname != {name:?} masquerade\n  }}\n}}\n\
         table bridge {name}\ndelete table bridge {name}\ntable bridge {name} {{\n  \
         set cut {{\n    type ifname\n  }}\n{}{}{}{}}}\n",
        hook("input", "iifname"),
        hook("output", "oifname"),
        "  chain from {\n    type filter hook forward priority 0; policy accept;\n    iifname @cut drop\n  }\n",
        "  chain to {\n    type filter hook forward priority 0; policy accept;\n    oifname @cut drop\n  }\n",
    )
}

fn forget_docker_rules(name: &str) -> Result<(), LabError> {
    let Some(chain) = lists(&["chain", "ip", "filter", "DOCKER-USER"])? else { return Ok(()) };
    for line in chain.lines().filter(|line| line.contains(name)) {
        let Some((_, handle)) = line.rsplit_once("# handle ") else { continue };
        let rule = ["delete", "rule", "ip", "filter", "DOCKER-USER", "handle", handle.trim()];
        run("take the lab out of Docker's firewall", nft(&rule))?;
    }
    Ok(())
}

fn has_table(family: &str, name: &str) -> Result<bool, LabError> {
    Ok(lists(&["table", family, name])?.is_some())
}

/// What `nft list` says, or nothing where there is no such thing.
fn lists(what: &[&str]) -> Result<Option<String>, LabError> {
    let mut command = Command::new("nft");
    command.args(["-a", "list"]).args(what);
    let output = output_within("read the firewall", &mut command, Duration::from_secs(10))?;
    Ok(output.is_success().then_some(output.stdout))
}

fn exists(link: &str) -> bool {
    Path::new("/sys/class/net").join(link).exists()
}

fn ip(arguments: &[&str]) -> Command {
    prepared("ip", arguments)
}

fn nft(arguments: &[&str]) -> Command {
    prepared("nft", arguments)
}

fn prepared(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(routes: &str, wish: u8, chosen: u8) {
        assert_eq!(choose(routes, wish).unwrap(), Subnet(chosen));
    }

    #[test]
    fn a_free_network_is_taken_as_wished() {
        check("default via 192.0.2.1 dev eth0\n192.0.2.0/24 dev eth0\n", 7, 7);
    }

    #[test]
    fn a_taken_one_is_passed_over_also_at_the_end() {
        check("10.213.255.0/24 dev a\n10.213.0.0/24 dev b\n", 255, 1);
    }

    #[test]
    fn without_any_free_network_there_is_no_lab() {
        let routes: String = (0..=255).map(|third| format!("10.213.{third}.0/24 dev x\n")).collect();
        assert!(choose(&routes, 3).unwrap_err().is_missing_tool());
    }

    #[test]
    fn hosts_and_machine_have_addresses_of_one_network() {
        let subnet = Subnet(9);
        assert_eq!(subnet.machine().to_string(), "10.213.9.1");
        assert_eq!(subnet.host(1).to_string(), "10.213.9.11");
        assert_eq!(subnet.host(HOSTS_MAX).to_string(), "10.213.9.210");
    }
}
