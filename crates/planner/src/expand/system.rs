//! Settings of the machine itself: packages, holds, kernel parameters, journal, upgrades, time, `/etc/hosts`.
//! Each is a file of its own beside the distribution's, which is never touched.

use super::collect::{Collector, UnitWish, Wish};
use haus_model::host::{Access, Host, JournalLimits, TimeSync, Upgrades};
use haus_model::host_path;
use haus_model::resource::{
    Content, DirectorySpec, FileSpec, HoldsSpec, LinkSpec, ResourceId, Spec, SysctlSpec,
};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

/// The first line of every file that we write as a whole.
pub(crate) const WRITTEN: &str = "# Written by Hausmeister from the house's plan; changes here are undone.";

pub(crate) fn expand(collector: &mut Collector<'_>) {
    let view = collector.view;
    let settings = &view.host.settings;
    for name in &settings.packages {
        collector.package(name, &view.word("packages"));
    }
    if !settings.hold.is_empty() {
        let spec = HoldsSpec { patterns: settings.hold.clone() };
        collector.add(Wish::new(Spec::Holds(spec), view.word("hold")));
    }
    for (key, value) in &settings.sysctl {
        let spec = SysctlSpec { key: key.clone(), value: value.clone() };
        let wish = Wish::new(Spec::Sysctl(spec), view.word(&format!("sysctl.{key}")));
        // Forwarding, reverse path filters and the like can cut the very connection that sets them.
        collector.add(wish.guarded(key.starts_with("net.")));
    }
    if let Some(limits) = &settings.journal {
        journal(collector, limits);
    }
    if let Some(upgrades) = &settings.upgrades {
        self::upgrades(collector, upgrades, &settings.hold);
    }
    if let Some(time) = &settings.time {
        self::time(collector, time);
    }
    if settings.hosts_file {
        let spec = FileSpec {
            path: host_path::HOSTS.into(),
            content: Content::Text(hosts_file(collector)),
            access: Access::root(0o644),
            check: None,
        };
        collector.add(Wish::new(Spec::File(spec), view.word("hosts_file")));
    }
}

impl Collector<'_> {
    /// A file of root that all may read.
    pub(crate) fn plain_file(
        &mut self,
        path: &str,
        text: String,
        check: Option<&[&str]>,
        why: &str,
    ) -> ResourceId {
        let check = check.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
        let content = Content::Text(text);
        let spec = FileSpec { path: path.into(), content, access: Access::root(0o644), check };
        self.add(Wish::new(Spec::File(spec), why))
    }

    /// A plain file in a folder that the distribution does not bring.
    fn drop_in(&mut self, path: &str, text: String, why: &str) -> ResourceId {
        if let Some(folder) = Path::new(path).parent() {
            let spec = DirectorySpec { path: folder.to_owned(), access: Access::root(0o755) };
            self.add(Wish::new(Spec::Directory(spec), why));
        }
        self.plain_file(path, text, None, why)
    }
}

fn journal(collector: &mut Collector<'_>, limits: &JournalLimits) {
    let why = collector.view.word("journal");
    let mut text = format!("{WRITTEN}\n[Journal]\n");
    if let Some(bytes) = limits.bytes_max {
        let _ = writeln!(text, "SystemMaxUse={bytes}");
    }
    if let Some(days) = limits.days_max {
        let _ = writeln!(text, "MaxRetentionSec={days}day");
    }
    let file = collector.drop_in(host_path::JOURNAL, text, &why);
    let wish = UnitWish {
        why,
        running: Some(true),
        // It knows no reload, and a restart loses nothing: systemd keeps its sockets open.
        restart: true,
        reads: BTreeSet::from([file]),
        ..UnitWish::default()
    };
    collector.unit("systemd-journald.service", wish);
}

/// The package's own files stay as they are: lists in ours are added to its lists, values override its
/// values.
fn upgrades(collector: &mut Collector<'_>, upgrades: &Upgrades, hold: &BTreeSet<String>) {
    let why = collector.view.word("upgrades");
    let packages = collector.package("unattended-upgrades", &why);
    let on = u8::from(upgrades.enabled);
    let mut text = WRITTEN.replacen('#', "//", 1);
    let _ = write!(text, "\nAPT::Periodic::Update-Package-Lists \"{on}\";\n");
    let _ = writeln!(text, "APT::Periodic::Unattended-Upgrade \"{on}\";");
    if !hold.is_empty() {
        text.push_str("Unattended-Upgrade::Package-Blacklist {\n");
        for pattern in hold {
            let _ = writeln!(text, "  \"{}\";", as_expression(pattern));
        }
        text.push_str("};\n");
    }
    let reboot = upgrades.reboot_at.is_some();
    let _ = writeln!(text, "Unattended-Upgrade::Automatic-Reboot \"{reboot}\";");
    if let Some(at) = &upgrades.reboot_at {
        let _ = writeln!(text, "Unattended-Upgrade::Automatic-Reboot-Time \"{at}\";");
    }
    let check = ["apt-config", "dump"];
    let file = collector.plain_file(host_path::UPGRADES, text, Some(&check), &why);
    if upgrades.enabled {
        for timer in ["apt-daily.timer", "apt-daily-upgrade.timer"] {
            let wish = UnitWish {
                why: why.clone(),
                enabled: Some(true),
                running: Some(true),
                restart: true,
                needs: BTreeSet::from([packages.clone(), file.clone()]),
                ..UnitWish::default()
            };
            collector.unit(timer, wish);
        }
    }
}

/// A pattern of `hold` as the expression that unattended-upgrades matches names with.
fn as_expression(pattern: &str) -> String {
    let mut text = String::from("^");
    for character in pattern.chars() {
        match character {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            // In brackets they are themselves. What apt's configuration makes of a backslash is not said
            // anywhere.
            '.' | '+' => {
                let _ = write!(text, "[{character}]");
            }
            other => text.push(other),
        }
    }
    text.push('$');
    text
}

fn time(collector: &mut Collector<'_>, time: &TimeSync) {
    let why = collector.view.word("time");
    let packages = collector.package("systemd-timesyncd", &why);
    let mut reads = BTreeSet::new();
    if !time.servers.is_empty() {
        let text = format!("{WRITTEN}\n[Time]\nNTP={}\n", time.servers.join(" "));
        reads.insert(collector.drop_in(host_path::TIME_SERVERS, text, &why));
    }
    let wish = UnitWish {
        why: why.clone(),
        enabled: Some(true),
        // Its package starts it. Inside a container systemd refuses to, for good reasons: asking for it would
        // never end.
        running: None,
        restart: true,
        reads,
        needs: BTreeSet::from([packages]),
        ..UnitWish::default()
    };
    collector.unit("systemd-timesyncd.service", wish);
    if let Some(zone) = &time.zone {
        let packages = collector.package("tzdata", &why);
        let target = Path::new("/usr/share/zoneinfo").join(zone);
        let link = LinkSpec { path: host_path::ZONE_LINK.into(), target };
        collector.add(Wish::new(Spec::Link(link), format!("{why}.zone")).needs([packages]));
        collector.plain_file(host_path::ZONE_NAME, format!("{zone}\n"), None, &format!("{why}.zone"));
    }
}

fn hosts_file(collector: &Collector<'_>) -> String {
    let view = collector.view;
    let learned = view.inputs.learned.get(&view.host.name).and_then(|learned| learned.hostname.as_deref());
    let own = learned.unwrap_or(view.host.name.as_str());
    let mut text = format!("{WRITTEN}\n127.0.0.1\tlocalhost\n127.0.1.1\t{own}");
    if own != view.host.name.as_str() {
        let _ = write!(text, "\t{}", view.host.name);
    }
    text.push_str(
        "\n\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n\n",
    );
    for other in view.house.hosts.values().filter(|other| other.name != view.host.name) {
        if let Some(address) = numeric_address(view.host, other) {
            let _ = writeln!(text, "{address}\t{}", other.name);
        }
    }
    text
}

/// How this host reaches another by number: its address when it is one, otherwise on a network that both
/// share.
pub(crate) fn numeric_address(here: &Host, other: &Host) -> Option<IpAddr> {
    let shared = || other.networks.iter().find(|(network, _)| here.networks.contains_key(*network));
    let address = other.address.parse().ok();
    address.or_else(|| Some(*shared().or_else(|| other.networks.iter().next())?.1))
}
