//! The lab tried on itself: what tests rely on when they take a host from it.

use haus_testkit::{CLEAN, LabHost, Login, Output, Ready, lab_hosts, wait_until};
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// Runs a line as root over ssh; it must end well.
fn root(host: &LabHost, line: &str) -> String {
    let output = host.ssh(Login::Root, line).unwrap();
    assert!(output.is_success(), "{}: {line}: {output:?}", host.name);
    output.stdout.trim().to_owned()
}

/// The same out of band.
fn inside(host: &LabHost, line: &str) -> Output {
    host.exec_shell(line).unwrap()
}

fn is_reached(host: &LabHost) -> bool {
    host.ssh(Login::Root, "true").unwrap().is_success()
}

#[test]
fn hosts_differ_reach_each_other_and_know_their_accounts() {
    let Some(hosts) = lab_hosts("hosts_differ_reach_each_other_and_know_their_accounts", 2) else { return };
    let of = |line: &str| [root(&hosts[0], line), root(&hosts[1], line)];
    for different in ["hostname", "cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub"] {
        let [first, second] = of(different);
        assert_ne!(first, second, "{different}");
    }
    assert_eq!(root(&hosts[0], "hostname"), hosts[0].name);
    assert_eq!(of("cat /proc/1/comm"), ["systemd", "systemd"]);
    assert_eq!(of("systemctl is-system-running"), ["running", "running"]);
    root(&hosts[0], &format!("ping -q -c 1 -W 5 {}", hosts[1].address));
    let id = |login: Login, line: &str| hosts[0].ssh(login, line).unwrap();
    assert_eq!(id(Login::Deploy, "id -un; sudo -n id -un").stdout, "deploy\nroot\n");
    assert_eq!(id(Login::Plain, "id -un").stdout, "plain\n");
    assert!(!id(Login::Plain, "sudo -n true").is_success());
}

#[test]
fn packages_are_installed_and_a_snapshot_keeps_or_forgets_them() {
    let Some(hosts) = lab_hosts("packages_are_installed_and_a_snapshot_keeps_or_forgets_them", 1) else {
        return;
    };
    let host = &hosts[0];
    let has_jq = || inside(host, "command -v jq").is_success();
    assert!(!has_jq());
    root(host, "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends jq");
    root(host, "mv /usr/share/perl5 /usr/share/perl5-moved && mkdir /srv/kept && echo text >/srv/kept/file");
    host.snapshot("with-jq").unwrap();
    root(host, "rm -r /srv/kept; touch /etc/later");
    let key = root(host, "cat /etc/ssh/ssh_host_ed25519_key.pub");

    host.restore(CLEAN).unwrap();
    assert!(!has_jq());
    assert!(
        inside(host, "test -d /usr/share/perl5 && test ! -e /srv/kept && test ! -e /etc/later").is_success()
    );

    host.restore("with-jq").unwrap();
    assert!(has_jq());
    assert_eq!(
        root(host, "cat /srv/kept/file; ls -d /usr/share/perl5* /etc/later 2>/dev/null || true"),
        "text\n/usr/share/perl5-moved"
    );
    assert_eq!(root(host, "cat /etc/ssh/ssh_host_ed25519_key.pub"), key);
    assert!(host.snapshot("with-jq").is_err(), "the host stands on it");
}

#[test]
fn a_cut_link_is_silent_until_it_is_mended() {
    let Some(hosts) = lab_hosts("a_cut_link_is_silent_until_it_is_mended", 2) else { return };
    let (cut, other) = (&hosts[0], &hosts[1]);
    cut.cut_link().unwrap();
    let answer = cut.ssh(Login::Root, "true").unwrap();
    assert_eq!(answer.code, Some(255), "{answer:?}");
    assert!(answer.stderr.contains("timed out"), "silence, not a refusal: {answer:?}");
    let ping = format!("ping -q -c 1 -W 1 {}", cut.address);
    assert!(!inside(other, &ping).is_success(), "also between hosts");
    assert!(is_reached(other));
    assert_eq!(inside(cut, "hostname").stdout.trim(), cut.name, "out of band it is still reached");
    cut.reboot(Ready::Booted).unwrap();
    assert!(!is_reached(cut), "the cable is no part of the host");
    cut.mend_link().unwrap();
    wait_until("the mended link", SOON, || is_reached(cut));
}

#[test]
fn a_full_disk_refuses_to_write_until_it_is_emptied() {
    let Some(hosts) = lab_hosts("a_full_disk_refuses_to_write_until_it_is_emptied", 1) else { return };
    let host = &hosts[0];
    let write = || host.ssh(Login::Root, "dd if=/dev/zero of=/var/lib/block bs=64k count=1").unwrap();
    assert!(write().is_success());
    root(host, "rm /var/lib/block");
    host.fill_disk().unwrap();
    let answer = write();
    assert!(answer.stderr.contains("No space left on device"), "{answer:?}");
    assert_eq!(root(host, "df --output=avail / | tail -n 1"), "0");
    host.empty_disk().unwrap();
    assert!(write().is_success());
}

#[test]
fn a_reboot_is_another_boot_with_what_was_enabled_and_timers_count_from_it() {
    let test = "a_reboot_is_another_boot_with_what_was_enabled_and_timers_count_from_it";
    let Some(hosts) = lab_hosts(test, 1) else { return };
    let host = &hosts[0];
    let unit = |name: &str, text: &str| root(host, &format!("printf '{text}' >/etc/systemd/system/{name}"));
    unit("kept.service", "[Service]\\nExecStart=sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n");
    unit("late.service", "[Service]\\nExecStart=touch /run/late\\n");
    unit("late.timer", "[Timer]\\nOnBootSec=3s\\nAccuracySec=100ms\\n[Install]\\nWantedBy=timers.target\\n");
    root(host, "systemctl daemon-reload && systemctl enable kept.service late.timer");
    root(host, "nft add table inet only_in_memory && touch /run/gone /var/lib/stays");
    let (pid1, boot_id) = (host.pid1().unwrap(), host.boot_id().unwrap());

    host.reboot(Ready::Ssh).unwrap();
    let after = host.pid1().unwrap();
    assert!(after.start_ticks > pid1.start_ticks, "{pid1:?} {after:?}");
    assert_ne!(host.boot_id().unwrap(), boot_id);
    assert_eq!(root(host, "systemctl is-active kept.service"), "active");
    assert!(inside(host, "test -e /var/lib/stays && test ! -e /run/gone").is_success());
    assert_eq!(root(host, "nft list ruleset"), "", "rules that nobody saved are gone");
    wait_until("the timer that counts from the boot", SOON, || {
        inside(host, "test -e /run/late").is_success()
    });
    let boots = root(host, "journalctl --list-boots -q | wc -l");
    assert_eq!(boots, "2", "the journal outlives a reboot");
}

#[test]
fn a_cut_plug_ends_everything_and_keeps_the_disk() {
    let Some(hosts) = lab_hosts("a_cut_plug_ends_everything_and_keeps_the_disk", 1) else { return };
    let host = &hosts[0];
    root(host, "echo written >/root/file");
    host.cut_power().unwrap();
    assert!(!host.is_on().unwrap());
    assert!(host.exec(&["true"]).is_err());
    assert!(!is_reached(host));
    host.restore_power(Ready::Ssh).unwrap();
    assert_eq!(root(host, "cat /root/file"), "written");
}

#[test]
fn a_firewall_that_locks_us_out_does_so_for_real_and_a_timer_can_lift_it() {
    let test = "a_firewall_that_locks_us_out_does_so_for_real_and_a_timer_can_lift_it";
    let Some(hosts) = lab_hosts(test, 1) else { return };
    let host = &hosts[0];
    root(host, "systemd-run --quiet --on-active=8s --timer-property=AccuracySec=100ms nft flush ruleset");
    let lock = "nft -f - <<'END'\ntable inet lock {\n chain in {\n  type filter hook input priority 0; policy drop;\n }\n}\nEND";
    assert!(inside(host, lock).is_success());
    assert!(!is_reached(host));
    wait_until("the timer that lifts the rules", SOON, || is_reached(host));
}

#[test]
fn hardened_units_with_credentials_start() {
    let Some(hosts) = lab_hosts("hardened_units_with_credentials_start", 1) else { return };
    let properties = [
        "DynamicUser=yes",
        "LoadCredential=secret:/etc/machine-id",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "ProtectKernelTunables=yes",
        "ProtectControlGroups=yes",
        "ProtectProc=invisible",
        "RestrictNamespaces=yes",
        "MemoryDenyWriteExecute=yes",
        "NoNewPrivileges=yes",
        "SystemCallFilter=@system-service",
        "CapabilityBoundingSet=",
        "StateDirectory=hardened",
    ];
    let properties: String = properties.iter().map(|property| format!(" -p {property}")).collect();
    let line =
        format!("systemd-run --quiet --wait --pipe{properties} sh -c 'cat $CREDENTIALS_DIRECTORY/secret'");
    assert_eq!(root(&hosts[0], &line), root(&hosts[0], "cat /etc/machine-id"));
    root(&hosts[0], "sysctl -q -w net.ipv4.conf.all.rp_filter=1 net.core.somaxconn=512");
}

#[test]
fn two_tests_never_have_the_same_host() {
    let Some(first) = lab_hosts("two_tests_never_have_the_same_host", 1) else { return };
    assert!(first[0].claimed_by().is_some());
    let lab = haus_testkit::Lab::new(haus_testkit::Places::of_this_account());
    let all = lab.hosts().unwrap().len();
    let refused = lab.claim_as_they_are(all, Duration::ZERO).unwrap_err();
    assert!(refused.is_refusal() && refused.to_string().contains(&first[0].name), "{refused}");
}

/// In a folder and network of its own, so that the lab of everybody else is left alone.
#[test]
fn down_leaves_nothing_also_of_a_lab_whose_program_is_gone() {
    let test = "down_leaves_nothing_also_of_a_lab_whose_program_is_gone";
    // Skips where there is no lab, and sees to it that the image is there.
    if lab_hosts(test, 1).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let places = haus_testkit::Places::of_this_account().beside(folder.path());
    let lab = haus_testkit::Lab::new(places);
    let hosts = lab.up(haus_testkit::LabPlan::of(2), &|_| {}).unwrap();
    assert!(is_reached(&hosts[1]));
    hosts[0].cut_link().unwrap();
    let name = std::fs::read_to_string(folder.path().join("rules.nft")).unwrap();
    let name = name.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(traces(&name, folder.path()).len() >= 4, "{:?}", traces(&name, folder.path()));

    // The files that tell of it are lost as well: what the kernel has must be enough.
    for host in &hosts {
        std::fs::remove_file(folder.path().join("hosts").join(&host.name).join("address")).unwrap();
    }
    lab.down(haus_testkit::Force::No).unwrap();
    assert_eq!(traces(&name, folder.path()), Vec::<String>::new());
    assert!(lab.hosts().unwrap().is_empty());
    lab.down(haus_testkit::Force::No).unwrap();
}

/// What this machine shows of a lab: processes, mounts, links, rules, control groups.
fn traces(name: &str, folder: &std::path::Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let tag = name.rsplit('-').next().unwrap();
    let said = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let sources = [
        said("cat", &["/proc/self/mountinfo"]),
        said("ip", &["-br", "link"]),
        said("nft", &["list", "tables"]),
        said("find", &["/sys/fs/cgroup", "-name", name]),
        said("find", &["/run/systemd/nspawn", "-name", &format!("*-{tag}")]),
        said("losetup", &["--list", "--noheadings", "--output", "BACK-FILE"]),
    ];
    let about =
        |line: &&str| line.contains(name) || line.contains(folder) || line.contains(&format!("-{tag}@"));
    let mut found: Vec<String> =
        sources.iter().flat_map(|text| text.lines().filter(about)).map(str::to_owned).collect();
    found.extend(
        haus_testkit::processes_about(std::path::Path::new(folder)).into_iter().map(|(_, line)| line),
    );
    found
}

#[test]
fn a_host_of_incus_is_entered_without_ssh_and_comes_back_clean() {
    let test = "a_host_of_incus_is_entered_without_ssh_and_comes_back_clean";
    let Some(host) = haus_testkit::lab_incus_host(test) else { return };
    let said = |words: &[&str]| host.exec(words).unwrap().stdout.trim().to_owned();
    assert_eq!(said(&["cat", "/proc/1/comm"]), "systemd");
    assert_eq!(said(&["systemctl", "is-system-running"]), "running");
    assert_eq!(said(&["id", "-un", "deploy"]), "deploy");
    assert!(host.exec(&["apt-get", "install", "-q", "-y", "jq"]).unwrap().is_success());
    let reached = Command::new("ssh")
        .arg("-F")
        .arg(haus_testkit::Places::of_this_account().ssh_config())
        .args([&host.name, "command -v jq"])
        .output()
        .unwrap();
    assert!(reached.status.success(), "{reached:?}");
    host.restore().unwrap();
    assert_eq!(host.exec(&["sh", "-c", "command -v jq"]).unwrap().code, Some(127));
}
