//! Units as systemd really leaves them: what was told and did not happen is refused, and what ends by itself
//! is not.

use super::kinds::file;
use super::machine::Machine;
use crate::talk::changes;
use haus_acts::wire::Ending;
use haus_model::resource::{OnChange, Spec, UnitSpec};
use haus_testkit::wait_until;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn unit(name: &str, enabled: Option<bool>, running: bool) -> Spec {
    Spec::Unit(UnitSpec {
        name: name.to_owned(),
        enabled,
        running: Some(running),
        on_change: OnChange::Restart,
        in_effect: None,
        inputs: UnitSpec::no_inputs(),
    })
}

#[test]
fn a_unit_that_is_started_again_is_not_taken_for_stopped() {
    let Some(machine) = Machine::claim("a_unit_that_is_started_again_is_not_taken_for_stopped") else {
        return;
    };
    machine.shell(
        "cd /etc/systemd/system; printf '[Service]\\nExecStart=/bin/sleep infinity\\n' > api.service; \
         printf '[Path]\\nPathExists=/etc/hosts\\n' > api.path; systemctl daemon-reload; systemctl start api.path",
    );
    wait_until("the service runs", SOON, || machine.try_shell("systemctl is-active api").is_success());
    let stopped = [unit("api.service", None, false)];
    let mut talk = machine.talk();
    let is = talk.observe(&stopped).expect("observes");
    talk.begin("a1", changes(&stopped, &is, None)).expect("begins");
    let refusal = talk.act(1, Vec::new()).expect_err("refused").refusal();
    assert_eq!(refusal.what, "stop api.service");
    talk.finish(Ending::Stop).expect("stops");
    let is = talk.observe(&stopped).expect("observes");
    let both = [unit("api.path", None, false), stopped[0].clone()];
    talk.apply("a2", changes(&both, &is, None)).expect("without the path it stays stopped");
}

#[test]
fn units_that_end_by_themselves_and_timers_are_as_wanted() {
    let Some(machine) = Machine::claim("units_that_end_by_themselves_and_timers_are_as_wanted") else {
        return;
    };
    let install = "[Install]\nWantedBy=multi-user.target\n";
    let specs = [
        file("/etc/systemd/system/once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n"),
        file(
            "/etc/systemd/system/once.timer",
            "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
        ),
        file(
            "/etc/systemd/system/long.service",
            &format!("[Service]\nExecStart=/bin/sleep infinity\n{install}"),
        ),
        unit("once.service", Some(true), true),
        unit("once.timer", Some(true), true),
        unit("long.service", Some(true), true),
        unit("ssh.service", Some(true), true),
    ];
    let mut talk = machine.talk();
    let is = talk.observe(&specs).expect("observes");
    let done = talk.apply("a1", changes(&specs, &is, None)).expect("all are as wanted");
    let exposure = |number: usize| {
        done[number - 1].notes.iter().filter(|note| note.starts_with("security exposure ")).count()
    };
    // A timer has none, and the last unit is not ours.
    assert_eq!([4, 5, 6, 7].map(exposure), [1, 0, 1, 0], "{done:?}");
    let off = ["once.service", "once.timer", "long.service"].map(|name| unit(name, Some(false), false));
    let is = talk.observe(&off).expect("observes");
    talk.apply("a2", changes(&off, &is, None)).expect("all are as wanted");
    let states =
        machine.try_shell("systemctl is-enabled once.timer long; systemctl is-active once.timer long");
    assert_eq!(states.stdout.trim(), "disabled\ndisabled\ninactive\ninactive");
}
