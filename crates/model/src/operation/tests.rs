//! What is shown for each kind, line by line.

use super::*;
use crate::Fingerprint;

fn lines(operations: &[Operation]) -> Vec<String> {
    let line = |operation: &Operation| match operation {
        Operation::Run(argv) => format!("$ {}", argv.join(" ")),
        Operation::Native(text) => text.clone(),
    };
    operations.iter().map(line).collect()
}

fn check(act: ActKind, spec: Spec, before: State, expected: &[&str]) {
    assert_eq!(lines(&operations(act, &spec, &before)), expected);
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn only_missing_packages_are_installed_and_lists_are_fetched_when_one_is_unknown() {
    let installed = BTreeMap::from([("git".to_owned(), "1:2".to_owned())]);
    check(
        ActKind::Update,
        Spec::Packages(PackagesSpec { names: set(&["git", "nginx"]) }),
        State::Packages { installed, unknown: set(&["nginx"]) },
        &[
            "$ apt-get --quiet --yes -o DPkg::Lock::Timeout=120 -o APT::Update::Error-Mode=any update",
            "$ apt-get --quiet --yes -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold --no-install-recommends --no-remove install -- nginx",
            "if dpkg was interrupted before, or a package is gone from the mirror: finish with dpkg, fetch the package lists, once more",
        ],
    );
}

#[test]
fn patterns_mean_what_is_installed() {
    for (pattern, name, fits) in [
        ("linux-image-*", "linux-image-6.1", true),
        ("linux-*-amd64", "linux-image-amd64", true),
        ("linux-*-amd64", "linux-image-arm64", false),
        ("a*a", "a", false),
        ("*", "", true),
        ("git", "git-man", false),
        ("linux-image-*", "linux-image", false),
        ("a*b*c", "aXbXbXc", true),
        ("a*b*c", "aXbXbX", false),
        ("lib*-*v", "libc6-dev", true),
        ("libc?", "libc6", true),
        ("libc?", "libc", false),
        ("libc?", "libc61", false),
        ("lib?6*", "libc6-dev", true),
        ("*?v", "libc6-dev", true),
        ("*-?", "libc6-dev", false),
        ("?", "ü", true),
    ] {
        assert_eq!(pattern_fits(pattern, name), fits, "{pattern} {name}");
    }
    let holds = BTreeMap::from([("git".to_owned(), false), ("git-man".to_owned(), true)]);
    check(
        ActKind::Update,
        Spec::Holds(HoldsSpec { patterns: set(&["git*"]) }),
        State::Holds(holds),
        &["$ apt-mark hold -- git"],
    );
    let holds = BTreeMap::from([("libc6".to_owned(), false), ("libc-bin".to_owned(), false)]);
    check(
        ActKind::Create,
        Spec::Holds(HoldsSpec { patterns: set(&["libc?"]) }),
        State::Holds(holds),
        &["$ apt-mark hold -- libc6"],
    );
}

fn user() -> UserSpec {
    UserSpec {
        name: "api".to_owned(),
        uid: None,
        system: true,
        group: "api".to_owned(),
        groups: set(&["ssl-cert"]),
        leaves: BTreeSet::new(),
        home: "/nonexistent".into(),
        make_home: false,
        shell: "/usr/sbin/nologin".into(),
    }
}

#[test]
fn an_account_is_made_or_only_what_differs_is_changed() {
    check(
        ActKind::Create,
        Spec::User(user()),
        State::Absent,
        &[
            "$ useradd --system --gid api --groups ssl-cert --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin api",
        ],
    );
    let before = State::User {
        uid: 999,
        group: "api".to_owned(),
        groups: set(&["video"]),
        home: "/nonexistent".into(),
        shell: "/bin/sh".into(),
    };
    check(
        ActKind::Update,
        Spec::User(user()),
        before,
        &["$ usermod --append --groups ssl-cert --shell /usr/sbin/nologin api"],
    );
}

#[test]
fn an_account_leaves_only_groups_that_it_is_in() {
    let before = State::User {
        uid: 999,
        group: "api".to_owned(),
        groups: set(&["ssl-cert", "sudo", "video"]),
        home: "/nonexistent".into(),
        shell: "/usr/sbin/nologin".into(),
    };
    let leaves = set(&["adm", "sudo"]);
    check(
        ActKind::Update,
        Spec::User(UserSpec { leaves, ..user() }),
        before,
        &["$ gpasswd --delete api sudo"],
    );
}

fn unit(enabled: &str, active: &str, inputs: Option<Fingerprint>) -> State {
    State::Unit {
        enabled: enabled.to_owned(),
        active: active.to_owned(),
        inputs,
        needs_reload: false,
        in_effect: None,
    }
}

#[test]
fn a_unit_is_started_or_restarted_for_its_inputs() {
    let inputs = Fingerprint::of(b"now");
    let spec = || {
        Spec::Unit(UnitSpec {
            name: "api.service".to_owned(),
            enabled: Some(true),
            running: Some(true),
            on_change: OnChange::Restart,
            in_effect: None,
            inputs,
        })
    };
    let reload = "$ systemctl daemon-reload";
    check(
        ActKind::Create,
        spec(),
        State::Absent,
        &[reload, "$ systemctl enable -- api.service", "$ systemctl start -- api.service"],
    );
    check(
        ActKind::Update,
        spec(),
        unit("enabled", "active", None),
        &[reload, "$ systemctl restart -- api.service"],
    );
    check(
        ActKind::Update,
        spec(),
        unit("enabled", "failed", Some(inputs)),
        &["$ systemctl reset-failed -- api.service", "$ systemctl start -- api.service"],
    );
    check(ActKind::Update, spec(), unit("enabled", "active", Some(inputs)), &[]);
    check(
        ActKind::Remove,
        spec(),
        unit("enabled", "active", Some(inputs)),
        &["$ systemctl stop -- api.service", "$ systemctl disable -- api.service"],
    );
}

#[test]
fn a_unit_whose_work_is_gone_does_it_again_and_one_that_is_let_go_reads_again() {
    let inputs = Fingerprint::of(b"rules");
    let spec = |inputs| {
        Spec::Unit(UnitSpec {
            name: "filter.service".to_owned(),
            enabled: Some(true),
            running: Some(true),
            on_change: OnChange::Reload,
            in_effect: Some(vec!["true".to_owned()]),
            inputs,
        })
    };
    let seen = |said| {
        let mut state = unit("enabled", "active", Some(inputs));
        if let State::Unit { in_effect, .. } = &mut state {
            *in_effect = said;
        }
        state
    };
    let reload = "$ systemctl reload-or-restart -- filter.service";
    check(ActKind::Update, spec(inputs), seen(Some(true)), &[]);
    check(ActKind::Update, spec(inputs), seen(Some(false)), &[reload]);
    let forget = "forget it; what is there stays";
    let again = ["$ systemctl daemon-reload", reload, forget];
    check(ActKind::Forget, spec(inputs), seen(None), &again);
    check(ActKind::Forget, spec(UnitSpec::no_inputs()), seen(None), &[forget]);
    check(ActKind::Forget, spec(inputs), unit("enabled", "inactive", Some(inputs)), &[forget]);
}

#[test]
fn a_check_with_braces_sees_the_candidate() {
    let spec = FileSpec {
        path: "/etc/a.conf".into(),
        content: Content::Text("x\n".to_owned()),
        access: Access::root(0o644),
        check: Some(vec!["nft".to_owned(), "-c".to_owned(), "-f".to_owned(), "{}".to_owned()]),
    };
    check(
        ActKind::Create,
        Spec::File(spec),
        State::Absent,
        &[
            "write /etc/.haus-new.a.conf, root:root 0644: 2 bytes",
            "$ nft -c -f /etc/.haus-new.a.conf",
            "rename it to /etc/a.conf",
        ],
    );
}

#[test]
fn keys_of_the_kernel_keep_dots_when_they_are_written_with_slashes() {
    assert_eq!(sysctl_path("net.core.somaxconn"), Path::new("/proc/sys/net/core/somaxconn"));
    assert_eq!(sysctl_path("net/ipv4/conf/eth0.1/mtu"), Path::new("/proc/sys/net/ipv4/conf/eth0.1/mtu"));
}
