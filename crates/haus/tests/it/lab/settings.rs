//! Settings of a host as its own programs see them: nginx with its certificates, upgrades, time, journal,
//! kernel and sshd. What the plan says no more is gone again, and whoever had read it reads anew.

use super::desk::{Begin, Desk, assert_same, assert_same_but, fingerprint};
use haus_testkit::{Ready, wait_until};
use std::time::Duration;

const APPLY: [&str; 2] = ["apply", "--yes"];
const SOON: Duration = Duration::from_secs(30);

/// A plan whose host says these words besides how it is reached.
fn plan(desk: &Desk, words: &str) {
    desk.plan(&format!("haus: 1\nhouse: shop\nhosts:\n  web:\n    connect: ssh://root@@0@\n{words}"));
}

/// The pages of the shop, which only TLS shows.
const SITE: &str = "    nginx: { shop: { from: site.conf } }
    tls: { shop: { certificate: { from: shop.pem }, key: shop-key, group: www-data, then: [reload nginx.service] } }
credentials:
  shop-key: { file: KEY, rotate: never, reason: \"goes with the certificate\" }
";

fn write_site(desk: &Desk, text: &str) {
    let tls = "/etc/haus/shop/tls/shop";
    desk.write(
        "house/site.conf",
        &format!(
            "server {{\n  listen 8443 ssl;\n  ssl_certificate {tls}/certificate.pem;\n  \
             ssl_certificate_key {tls}/key.pem;\n  {text}\n}}\n"
        ),
    );
}

/// A new certificate, which is its own authority, and its key.
fn new_certificate(desk: &Desk, name: &str) -> [String; 2] {
    desk.shell(&format!(
        "cd /root; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=shop.example \
         -addext subjectAltName=DNS:shop.example -keyout key.pem -out {name} 2>/dev/null",
    ));
    [name, "key.pem"].map(|name| desk.shell(&format!("cat /root/{name}")) + "\n")
}

/// What somebody gets who believes only this certificate. Old workers answer until the new ones are there.
fn page(desk: &Desk, certificate: &str) -> String {
    let line = format!(
        "curl -sS --max-time 10 --cacert /root/{certificate} --resolve shop.example:8443:127.0.0.1 \
         https://shop.example:8443/"
    );
    let mut page = String::new();
    wait_until("the site to be shown", SOON, || {
        let answer = desk.host().exec_shell(&line).expect("runs");
        page = answer.stdout.clone();
        answer.is_success()
    });
    page
}

#[test]
fn nginx_serves_a_site_over_tls_and_keeps_the_old_one_when_the_new_one_is_wrong() {
    let test = "nginx_serves_a_site_over_tls_and_keeps_the_old_one_when_the_new_one_is_wrong";
    let Some(desk) = Desk::new(test, 1, Begin::Clean) else { return };
    let words = SITE.replace("KEY", &desk.path("key").display().to_string());
    let [certificate, key] = new_certificate(&desk, "first.pem");
    desk.write("house/shop.pem", &certificate);
    desk.write("key", &key);
    write_site(&desk, "return 200 first;");
    plan(&desk, &words);
    desk.done(&APPLY);
    desk.has_nothing_to_do();
    assert_eq!(page(&desk, "first.pem"), "first");
    let access = "cd /etc/haus/shop/tls/shop; stat -c '%n %a %U:%G' *";
    assert_eq!(desk.shell(access), "certificate.pem 644 root:root\nkey.pem 640 root:www-data");
    let nginx = || desk.shell("systemctl show --property MainPID --value nginx");
    let pid = nginx();

    let before = fingerprint(desk.host());
    let refused = |words: &[&str]| {
        let text = desk.says(&APPLY, 4, words);
        assert_eq!(text.matches("error[").count(), 1, "{text}");
        assert_same(desk.host(), &before);
        assert_eq!(page(&desk, "first.pem"), "first");
    };
    write_site(&desk, "serve everything;");
    refused(&["HH0213", "nginx -t", "unknown directive \"serve\""]);
    write_site(&desk, "return 200 first;");
    plan(&desk, &words.replace("nginx: {", "nginx: { second: { text: \"server { nonsense; }\" },"));
    refused(&["HH0213", "unknown directive \"nonsense\""]);
    plan(&desk, &words);
    // A certificate that does not fit to its key.
    let [certificate, key] = new_certificate(&desk, "second.pem");
    desk.write("house/shop.pem", &certificate);
    refused(&["HH0213", "key values mismatch"]);

    desk.write("key", &key);
    desk.done(&APPLY);
    assert_eq!(page(&desk, "second.pem"), "first");
    assert_eq!(nginx(), pid, "it was reloaded, not restarted");
    desk.has_nothing_to_do();

    plan(&desk, "");
    desk.done(&APPLY);
    wait_until("nginx to leave the port", SOON, || desk.shell("ss -Hltn sport = :8443").is_empty());
    assert_eq!(nginx(), pid);
    assert_eq!(desk.shell("find /etc/haus /etc/nginx -name '*shop*' 2>/dev/null; true"), "");
    desk.has_nothing_to_do();
}

/// Packages of our own in two versions; the first ones are installed, and the second ones are all that apt
/// knows of from then on.
const REPOSITORY: &str = "set -e; . /etc/os-release; mkdir -p /opt/packages; cd /opt/packages; \
    for name in shop-free shop-held1.5; do for version in 1 2; do mkdir -p $name/DEBIAN; \
    printf 'Package: %s\\nVersion: %s\\nArchitecture: all\\nMaintainer: anna <a@b.example>\\nDescription: none\\n' \
    $name $version > $name/DEBIAN/control; dpkg-deb --build $name $name-$version.deb; done; \
    dpkg --install $name-1.deb; dpkg-deb --field $name-2.deb >> Packages; \
    printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' $name-2.deb $(stat -c %s $name-2.deb) \
    $(sha256sum < $name-2.deb | cut -d' ' -f1) >> Packages; done; \
    printf 'Origin: Debian\\nLabel: Debian\\nCodename: %s\\nDate: %s\\nSHA256:\\n %s %s Packages\\n' $VERSION_CODENAME \
    \"$(date -Ru)\" $(sha256sum < Packages | cut -d' ' -f1) $(stat -c %s Packages) > Release; \
    rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*; \
    echo 'deb [trusted=yes] file:/opt/packages ./' > /etc/apt/sources.list; apt-get update";

#[test]
fn unattended_upgrades_leave_alone_what_is_held() {
    let Some(desk) = Desk::new("unattended_upgrades_leave_alone_what_is_held", 1, Begin::Clean) else {
        return;
    };
    plan(&desk, "    packages: [unattended-upgrades]\n");
    desk.done(&APPLY);
    desk.shell(REPOSITORY);
    let before = fingerprint(desk.host());
    let upgraded = || {
        let told = desk.shell("unattended-upgrade --dry-run --debug 2>&1");
        let line = told.lines().find_map(|line| line.strip_prefix("Packages that will be upgraded:"));
        line.unwrap_or_else(|| panic!("{told}")).trim().to_owned()
    };
    assert_eq!(upgraded(), "shop-free shop-held1.5");

    plan(&desk, "    hold: [shop-h*.5]\n    upgrades: { reboot: \"04:00\" }\n");
    desk.done(&APPLY);
    desk.has_nothing_to_do();
    assert_eq!(desk.shell("apt-mark showhold"), "shop-held1.5");
    assert_eq!(upgraded(), "shop-free");
    // Each of the two is enough.
    desk.shell("apt-mark unhold shop-held1.5");
    assert_eq!(upgraded(), "shop-free");
    desk.says(&["drift"], 1, &["holds:apt"]);
    desk.done(&APPLY);
    assert_eq!(desk.shell("apt-mark showhold"), "shop-held1.5");
    let settings = desk.shell("apt-config dump");
    for line in [
        "APT::Periodic::Update-Package-Lists \"1\";",
        "APT::Periodic::Unattended-Upgrade \"1\";",
        "Unattended-Upgrade::Automatic-Reboot \"true\";",
        "Unattended-Upgrade::Automatic-Reboot-Time \"04:00\";",
    ] {
        assert!(settings.lines().any(|other| other == line), "{line} is not in {settings}");
    }
    assert_eq!(desk.shell("systemctl is-active apt-daily.timer apt-daily-upgrade.timer"), "active\nactive");

    plan(&desk, "    packages: [unattended-upgrades]\n");
    desk.done(&APPLY);
    assert_eq!(desk.shell("apt-mark showhold"), "");
    assert_eq!(upgraded(), "shop-free shop-held1.5");
    // Units of the distribution stay as they are.
    assert_same_but(desk.host(), &before, &["apt-daily"]);
    desk.has_nothing_to_do();
}

const MACHINE: &str = "    packages: [systemd-timesyncd, tzdata]
    time: { servers: [one.example, two.example], zone: Europe/Berlin }
    journal: { max: 16MiB, keep: 30d }
    sysctl: { net.core.somaxconn: 1234, net.ipv4.ip_local_port_range: \"20000 50000\" }
";

#[test]
fn time_journal_and_kernel_follow_the_plan_and_go_back_without_it() {
    let test = "time_journal_and_kernel_follow_the_plan_and_go_back_without_it";
    let Some(desk) = Desk::new(test, 1, Begin::Clean) else { return };
    plan(&desk, "    packages: [systemd-timesyncd, tzdata]\n");
    desk.done(&APPLY);
    let before = fingerprint(desk.host());
    let kernel = || desk.shell("cd /proc/sys/net; cat core/somaxconn ipv4/ip_local_port_range");
    let fresh = kernel();
    // What the journal itself says of its last start.
    let journal = || {
        desk.shell("journalctl --sync; journalctl -b -u systemd-journald -o cat | grep -o 'max [0-9.]*[KMG]' | tail -n 1")
    };
    let time = || {
        desk.shell(
            "systemd-analyze cat-config systemd/timesyncd.conf | grep ^NTP=; timedatectl show -p Timezone --value; \
             date -d '2026-01-15 12:00 UTC' '+%H %Z'",
        )
    };
    let is_set = || {
        assert_eq!(time(), "NTP=one.example two.example\nEurope/Berlin\n13 CET");
        assert_eq!(journal(), "max 16.0M");
        assert_eq!(kernel(), "1234\n20000\t50000");
    };
    let limit = journal();
    plan(&desk, MACHINE);
    desk.done(&APPLY);
    desk.has_nothing_to_do();
    is_set();
    let kept = desk.shell("systemd-analyze cat-config systemd/journald.conf | grep ^MaxRetentionSec");
    assert_eq!(kept, "MaxRetentionSec=30day");
    desk.host().reboot(Ready::Ssh).expect("reboots");
    is_set();
    desk.has_nothing_to_do();

    plan(&desk, "    packages: [systemd-timesyncd, tzdata]\n");
    desk.says(
        &["plan"],
        1,
        &["the kernel's own value comes back at the next boot", "it reads again what is left"],
    );
    desk.done(&APPLY);
    // The zone was there before us: what it was is not known any more.
    assert_same_but(desk.host(), &before, &["etc/localtime", "etc/timezone"]);
    assert_eq!(journal(), limit);
    desk.has_nothing_to_do();
    desk.host().reboot(Ready::Ssh).expect("reboots");
    assert_eq!(kernel(), fresh);
}

#[test]
fn sshd_listens_where_the_plan_says_and_only_as_long() {
    let Some(desk) = Desk::new("sshd_listens_where_the_plan_says_and_only_as_long", 1, Begin::Clean) else {
        return;
    };
    let before = fingerprint(desk.host());
    let ports = || desk.shell("ss -Hltn | awk '/:22(22)? / {print $4}' | sort");
    let usual = ports();
    let passwords = || desk.shell("sshd -T | grep ^passwordauthentication");
    let (door, allowed) = (desk.shell("systemctl show --property MainPID --value ssh"), passwords());
    plan(&desk, "    sshd: { ports: [22, 2222], passwords: false }\n");
    desk.done(&APPLY);
    desk.has_nothing_to_do();
    wait_until("sshd to listen on the second port", SOON, || ports().contains(":2222"));
    assert_eq!(passwords(), "passwordauthentication no");

    plan(&desk, "");
    desk.says(&["plan"], 1, &["unit:ssh.service", "it reads again what is left"]);
    desk.done(&APPLY);
    wait_until("sshd to leave the second port", SOON, || ports() == usual);
    assert_eq!((desk.shell("systemctl show --property MainPID --value ssh"), passwords()), (door, allowed));
    assert_same(desk.host(), &before);
    desk.has_nothing_to_do();
}
