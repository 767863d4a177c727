//! The packet filter: one table of our own, loaded by a unit of our own before the network comes up.
//! Other tables are not touched. Whether the rules lock us out is for the plan to see, not here.

use super::collect::{Collector, UnitWish, Wish};
use super::system::WRITTEN;
use super::unit_file;
use haus_model::host::{Access, Firewall, FirewallRule, Protocol};
use haus_model::host_path::{FIREWALL_RULES as RULES, FIREWALL_UNIT as UNIT, unit_path};
use haus_model::resource::{Content, FileSpec, Spec};
use std::collections::BTreeSet;
use std::fmt::Write as _;

pub(crate) fn expand(collector: &mut Collector<'_>, firewall: &Firewall) {
    let why = collector.view.word("firewall");
    let packages = collector.package("nftables", &why);
    collector.own_folders(std::path::Path::new("/etc/haus"), &why);
    let check = ["nft", "-c", "-f", "{}"].map(str::to_owned).to_vec();
    let rules = FileSpec {
        path: RULES.into(),
        content: Content::Text(rules(firewall)),
        access: Access::root(0o644),
        check: Some(check),
    };
    let rules = collector.add(Wish::new(Spec::File(rules), &why).needs([packages.clone()]).guarded(true));
    let path = unit_path(UNIT);
    let file = FileSpec {
        check: Some(unit_file::check(&path)),
        path,
        content: Content::Text(unit_text()),
        access: Access::root(0o644),
    };
    // The check looks for nft.
    let file = collector.add(Wish::new(Spec::File(file), &why).needs([packages]).guarded(true));
    let wish = UnitWish {
        why,
        enabled: Some(true),
        running: Some(true),
        guarded: true,
        in_effect: Some(is_loaded()),
        reads: BTreeSet::from([rules, file]),
        ..UnitWish::default()
    };
    collector.unit(UNIT, wish);
}

/// Compares the table in the kernel with what the file makes in an empty network of its own, both as nft
/// prints them: a table that somebody deleted or edited by hand is found although file and unit are right.
/// Where a container allows no such network, the table must at least be there.
fn is_loaded() -> Vec<String> {
    let list = "nft -s list table inet haus";
    let script = format!(
        "is=$({list}) || exit; unshare --net true || exit 0; \
         wanted=$(unshare --net sh -c 'nft -f {RULES} && {list}') && [ \"$is\" = \"$wanted\" ]"
    );
    ["sh", "-c", &script].map(str::to_owned).to_vec()
}

/// Declared, deleted and defined in one transaction: nft loads it as a whole, so no packet sees half a
/// filter.
fn rules(firewall: &Firewall) -> String {
    let mut text = WRITTEN.to_owned();
    text.push_str("\ntable inet haus\ndelete table inet haus\ntable inet haus {\n  chain input {\n");
    text.push_str("    type filter hook input priority filter; policy drop;\n");
    text.push_str("    ct state established,related accept\n    ct state invalid drop\n    iif lo accept\n");
    // Without neighbours, router advertisements and leases a host loses its own address.
    text.push_str("    icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, packet-too-big } accept\n");
    text.push_str("    udp sport 67 udp dport 68 accept\n    ip6 saddr fe80::/10 udp dport 546 accept\n");
    if firewall.ping {
        text.push_str("    icmp type echo-request accept\n    icmpv6 type echo-request accept\n");
    }
    for rule in &firewall.allow {
        allow(&mut text, rule);
    }
    text.push_str("  }\n}\n");
    text
}

fn allow(text: &mut String, rule: &FirewallRule) {
    let protocol = match rule.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    // A line break in the reason would be read as a rule.
    let why: String = rule.why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if !why.is_empty() {
        let _ = writeln!(text, "    # {why}");
    }
    if rule.from.is_empty() {
        let _ = writeln!(text, "    {protocol} dport {} accept", rule.port);
    }
    let (six, four): (Vec<&String>, Vec<&String>) = rule.from.iter().partition(|from| from.contains(':'));
    for (family, addresses) in [("ip", four), ("ip6", six)] {
        if !addresses.is_empty() {
            let list = addresses.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "    {family} saddr {{ {list} }} {protocol} dport {} accept", rule.port);
        }
    }
}

fn unit_text() -> String {
    format!(
        "{WRITTEN}
[Unit]
Description=Packet filter of the house
Documentation=man:nft(8)
Wants=network-pre.target
Before=network-pre.target shutdown.target
After=nftables.service
Conflicts=shutdown.target
DefaultDependencies=no

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {RULES}
ExecReload=/usr/sbin/nft -f {RULES}
ExecStop=/usr/sbin/nft delete table inet haus
ProtectSystem=full
ProtectHome=yes

[Install]
WantedBy=sysinit.target
"
    )
}
