//! Packages that do not go together, and what somebody installed after us: nobody else's package goes.

use super::kinds::packages;
use super::machine::Machine;
use crate::talk::changes;
use haus_acts::wire::{Ending, Progress};
use haus_model::host_code::HostCode;

/// A repository of our own, which apt knows.
fn repository() -> String {
    let packages = [
        ("shop-lib", ""),
        ("shop-app", "Depends: shop-lib\\n"),
        ("shop-user", "Depends: shop-lib\\n"),
        ("shop-other", "Conflicts: shop-user\\n"),
    ];
    let mut lines = "set -e; mkdir -p /opt/packages; cd /opt/packages; ".to_owned();
    for (name, relation) in packages {
        lines.push_str(&format!(
            "mkdir -p {name}/DEBIAN; printf 'Package: {name}\\nVersion: 1\\nArchitecture: all\\n\
             Maintainer: anna <a@b.example>\\n{relation}Description: none\\n' > {name}/DEBIAN/control; \
             dpkg-deb --build {name} {name}.deb; dpkg-deb --field {name}.deb >> Packages; \
             printf 'Filename: ./{name}.deb\\nSize: %s\\nSHA256: %s\\n\\n' $(stat -c %s {name}.deb) \
             $(sha256sum < {name}.deb | cut -d' ' -f1) >> Packages; "
        ));
    }
    lines
        + "echo 'deb [trusted=yes] file:/opt/packages ./' > /etc/apt/sources.list; \
             rm -rf /etc/apt/sources.list.d/*; apt-get update"
}

const INSTALLED: &str = "dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n' | grep '^ii *shop-'";

#[test]
fn a_package_that_would_drive_out_another_is_refused() {
    let Some(machine) = Machine::claim("a_package_that_would_drive_out_another_is_refused") else { return };
    machine.shell(&repository());
    machine.shell("apt-get -q -y install shop-user");
    let before = machine.shell(INSTALLED);
    let specs = [packages(&["shop-other"])];
    let mut talk = machine.talk();
    let is = talk.observe(&specs).expect("observes");
    talk.begin("a1", changes(&specs, &is, None)).expect("begins");
    let refusal = talk.act(1, Vec::new()).expect_err("refused").refusal();
    assert_eq!(refusal.code, HostCode::OtherInPlace, "{refusal:?}");
    assert!(refusal.why.starts_with("shop-user would have to be removed"), "{refusal:?}");
    let runs_apt = |told: &&Progress| matches!(told, Progress::Run(argv) if argv[0] == "apt-get");
    assert_eq!(talk.progress.iter().filter(runs_apt).count(), 1, "{:?}", talk.progress);
    talk.finish(Ending::Stop).expect("stops");
    assert_eq!(machine.shell(INSTALLED), before);
}

#[test]
fn what_somebody_installed_since_stays_with_what_it_needs() {
    let Some(machine) = Machine::claim("what_somebody_installed_since_stays_with_what_it_needs") else {
        return;
    };
    machine.shell(&repository());
    machine.make("a1", &[packages(&["shop-app"])]);
    machine.shell("apt-get -q -y install shop-user");
    let finished = machine.talk().roll_back().expect("rolls back");
    let whys: Vec<&str> = finished.left.iter().map(|left| left.why.as_str()).collect();
    assert_eq!(whys, ["shop-lib stay installed: shop-user came otherwise and would have to go with them"]);
    assert_eq!(machine.shell(INSTALLED), "ii shop-lib\nii shop-user");
}
