//! Every road through the one suite, and what each says when it does not lead anywhere.

use crate::sshd::{Sshd, make_key};
use crate::transport_suite::transport_conformance;
use haus_apply::local::Local;
use haus_apply::ssh::{Login, Ssh};
use haus_apply::transport::{Obstacle, Purpose, RoadSettings, Transport};
use haus_model::host_code::HostCode;
use haus_testkit::free_port;
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

fn ssh(settings: RoadSettings) -> Ssh {
    Ssh::new(Login { user: None, host: "web".to_owned(), port: None }, settings)
}

fn obstacle(transport: &dyn Transport) -> Obstacle {
    let channel = transport.start(&["true".to_owned()], Purpose::Proof).expect("starts");
    let ended = channel.finish(Instant::now() + Duration::from_secs(30)).expect("ends");
    transport.explain(&ended).unwrap_or_else(|| panic!("not understood: {ended:?}"))
}

#[test]
fn local_is_a_road() {
    let folder = tempfile::tempdir().expect("a folder");
    transport_conformance(&Local::default(), folder.path(), &Path::exists);
}

#[test]
fn ssh_is_a_road() {
    let Some(sshd) = Sshd::start("ssh_is_a_road") else { return };
    transport_conformance(&ssh(sshd.settings()), sshd.folder.path(), &Path::exists);
}

#[test]
fn a_key_that_nobody_vouched_for_is_shown_and_added_only_by_its_fingerprint() {
    let Some(sshd) = Sshd::start("a_key_that_nobody_vouched_for") else { return };
    fs::remove_file(sshd.at("known_hosts")).expect("removes");
    let road = ssh(sshd.settings());
    let found = obstacle(&road);
    assert_eq!(found.code, HostCode::HostKeyUnknown);
    assert!(found.because.contains("ED25519 SHA256:"), "{found:?}");
    assert!(!sshd.at("known_hosts").exists(), "nothing is accepted in silence");

    let wrong = BTreeSet::from(["SHA256:AAAA".to_owned()]);
    assert_eq!(road.accept_key(&wrong).expect("asks"), None);
    assert!(!sshd.at("known_hosts").exists(), "another fingerprint adds nothing");

    let fingerprint = road.shown_keys().expect("asks")[0].fingerprint.clone();
    assert!(found.remedy.contains(&fingerprint), "{found:?}");
    road.accept_key(&BTreeSet::from([fingerprint])).expect("asks").expect("fits");
    let channel = road.start(&["true".to_owned()], Purpose::Proof).expect("starts");
    assert_eq!(channel.finish(Instant::now() + Duration::from_secs(20)).expect("ends").code, Some(0));
}

#[test]
fn a_key_that_changed_is_never_accepted() {
    let Some(sshd) = Sshd::start("a_key_that_changed_is_never_accepted") else { return };
    make_key(&sshd.at("other_key"));
    sshd.trust_host_key("other_key.pub");
    let found = obstacle(&ssh(sshd.settings()));
    assert_eq!(found.code, HostCode::HostKeyChanged);
    assert!(found.because.contains("SHA256:") && found.because.contains("known_hosts:1"), "{found:?}");
}

#[test]
fn a_jump_host_must_be_known_as_well_and_nobody_is_asked() {
    let Some(sshd) = Sshd::start("a_jump_host_must_be_known_as_well") else { return };
    // One server is both, by two names. The configuration is that of somebody who is asked.
    let own = fs::read_to_string(sshd.at("config")).expect("reads").replace("Host web", "Host *");
    let names = "Host web\n HostKeyAlias web\n ProxyJump hop\nHost hop\n HostKeyAlias hop\n";
    fs::write(sshd.at("config"), format!("{names}{own}")).expect("writes");
    let key = fs::read_to_string(sshd.at("host_key.pub")).expect("a key");
    fs::write(sshd.at("known_hosts"), format!("web {key}")).expect("writes");
    let road = ssh(sshd.settings());
    let found = obstacle(&road);
    assert_eq!(found.code, HostCode::HostKeyUnknown);
    assert!(found.because.contains("a jump host on the way there"), "{found:?}");
    assert_eq!(fs::read_to_string(sshd.at("known_hosts")).expect("reads"), format!("web {key}"));

    fs::write(sshd.at("known_hosts"), format!("web {key}hop {key}")).expect("writes");
    let folder = tempfile::tempdir().expect("a folder");
    transport_conformance(&road, folder.path(), &Path::exists);
    fs::write(sshd.at("known_hosts"), format!("hop {key}")).expect("writes");
    let found = obstacle(&road);
    assert!(found.code == HostCode::HostKeyUnknown && found.because.contains("SHA256:"), "{found:?}");
}

#[test]
fn a_login_that_is_refused_says_so() {
    let Some(sshd) = Sshd::start("a_login_that_is_refused_says_so") else { return };
    fs::write(sshd.at("authorized_keys"), "").expect("writes");
    assert_eq!(obstacle(&ssh(sshd.settings())).code, HostCode::LoginRefused);
}

#[test]
fn nobody_there_nobody_who_speaks_and_no_such_name_are_told_apart() {
    let Some(sshd) = Sshd::start("nobody_there_nobody_who_speaks") else { return };
    sshd.write_client_config(free_port());
    assert_eq!(obstacle(&ssh(sshd.settings())).code, HostCode::Unreachable);

    let silent = TcpListener::bind("127.0.0.1:0").expect("binds");
    sshd.write_client_config(silent.local_addr().expect("an address").port());
    let settings = RoadSettings { connect: Duration::from_secs(1), ..sshd.settings() };
    assert_eq!(obstacle(&ssh(settings)).code, HostCode::Hangs);

    fs::write(sshd.at("config"), "Host web\n HostName nowhere.invalid\n").expect("writes");
    assert_eq!(obstacle(&ssh(sshd.settings())).code, HostCode::Unreachable);

    fs::write(sshd.at("config"), "Host web\n HostNaem web\n").expect("writes");
    assert!(obstacle(&ssh(sshd.settings())).remedy.contains("configuration of ssh"));
}

#[test]
fn configuration_of_the_user_cannot_weaken_a_session() {
    let Some(sshd) = Sshd::start("configuration_of_the_user_cannot_weaken_a_session") else { return };
    let mut config = fs::read_to_string(sshd.at("config")).expect("reads");
    config.push_str(
        " StrictHostKeyChecking no\n ForwardAgent yes\n RemoteCommand /bin/false\n RequestTTY force\n LogLevel QUIET\n \
         LocalForward 127.0.0.1:1 127.0.0.1:2\n ExitOnForwardFailure yes\n",
    );
    fs::write(sshd.at("config"), config).expect("writes");
    let folder = tempfile::tempdir().expect("a folder");
    transport_conformance(&ssh(sshd.settings()), folder.path(), &Path::exists);
    fs::remove_file(sshd.at("known_hosts")).expect("removes");
    assert_eq!(obstacle(&ssh(sshd.settings())).code, HostCode::HostKeyUnknown);
}
