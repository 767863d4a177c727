//! Plays a scenario: a script of what happens to a house goes in, a transcript of what the
//! conductor wants comes out. The language stands in `scenarios/README.md`.

use haus_model::health::ProbeOutcome;
use haus_model::service::{Recover, Restart, Rollout, Stop, StopSignal};
use haus_model::unit::{format_duration, parse_duration};
use haus_model::{InstanceId, Timestamp};
use haus_watch::conductor::{
    Action, Conductor, Desired, DesiredService, Elsewhere, Keeper, ProbeRhythm, Target,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// The answer to a probe that nobody has set.
const GOOD: &str = "200 in 1 ms";

pub(crate) struct Player {
    pub(crate) conductor: Conductor,
    now: Timestamp,
    transcript: String,
    /// Spawns, probes and stops are answered at once.
    auto: bool,
    /// Auto: what probes of an instance find; good when absent.
    bad: BTreeMap<InstanceId, String>,
    /// Auto: services that do not end when asked.
    stubborn: BTreeSet<String>,
}

pub(crate) fn play(script: &str) -> String {
    let mut player = Player {
        conductor: Conductor::new(1, 1, BTreeMap::new()),
        now: Timestamp(0),
        transcript: String::new(),
        auto: false,
        bad: BTreeMap::new(),
        stubborn: BTreeSet::new(),
    };
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            let _ = writeln!(player.transcript, "{line}");
            continue;
        }
        let _ = writeln!(player.transcript, "> {line}");
        if line == "desired" {
            let mut desired = Desired::default();
            while let Some(service) = lines.next_if(|line| line.starts_with("  ")) {
                let _ = writeln!(player.transcript, "> {service}");
                let (name, service) = parse_service(service);
                desired.services.insert(name.parse().unwrap(), service);
            }
            player.conductor.set_desired(player.now, desired);
        } else {
            player.step(line);
        }
        player.act();
    }
    player.transcript
}

/// `10.0.0.7:80,10.0.0.8:80`: where somebody else keeps the instances; `?` for one that is not asked, `-` for
/// one that is nowhere.
fn elsewhere(places: &str) -> Keeper {
    let place = |text: &str| Elsewhere {
        by: "systemd on web".to_owned(),
        spec: text.to_owned(),
        is_asked: text != "?",
        absent: (text == "-").then(|| "it is not in the places file".to_owned()),
    };
    Keeper::Elsewhere((1..).zip(places.split(',').map(place)).collect())
}

/// `web x2 needs=redis,postgres spec=v2 every=10s rollout=rolling`
pub(crate) fn parse_service(line: &str) -> (&str, DesiredService) {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap();
    let mut rhythm = ProbeRhythm {
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
        start: Duration::from_secs(60),
        healthy_after: 1,
        unhealthy_after: 3,
    };
    let mut service = DesiredService {
        needs: Vec::new(),
        instances: 1,
        spec: "v1".to_owned(),
        prepare: None,
        probe: None,
        recover: Recover::default(),
        rollout: Rollout::Replace,
        stop: Stop { signal: StopSignal::Term, within: Duration::from_secs(10) },
        keeper: Keeper::Conductor,
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let duration = || parse_duration(value).unwrap();
        match key {
            "needs" => service.needs = value.split(',').map(|need| need.parse().unwrap()).collect(),
            "spec" => service.spec = value.to_owned(),
            "prepare" => service.prepare = Some(value.to_owned()),
            "every" => rhythm.every = duration(),
            "start" => rhythm.start = duration(),
            "healthy-after" => rhythm.healthy_after = value.parse().unwrap(),
            "unhealthy-after" => rhythm.unhealthy_after = value.parse().unwrap(),
            "tries" => service.recover.tries = value.parse().unwrap(),
            "first" => service.recover.first = duration(),
            "most" => service.recover.most = duration(),
            "restart" => {
                service.recover.restart = match value {
                    "always" => Restart::Always,
                    "on-failure" => Restart::OnFailure,
                    _ => Restart::Never,
                }
            }
            "rollout" => {
                service.rollout = match value {
                    "rolling" => Rollout::Rolling,
                    "hold" => Rollout::Hold,
                    _ => Rollout::Replace,
                }
            }
            "stop" => {
                let (signal, within) = value.split_once(',').unwrap();
                service.stop = Stop {
                    signal: match signal {
                        "TERM" => StopSignal::Term,
                        "INT" => StopSignal::Int,
                        "QUIT" => StopSignal::Quit,
                        _ => StopSignal::Hup,
                    },
                    within: parse_duration(within).unwrap(),
                };
            }
            "external" => service.keeper = Keeper::Itself,
            "elsewhere" => service.keeper = elsewhere(value),
            _ if key.starts_with('x') => service.instances = key[1..].parse().unwrap(),
            _ => panic!("what is {word:?} in {line:?}?"),
        }
        if matches!(key, "every" | "start" | "healthy-after" | "unhealthy-after") {
            service.probe = Some(rhythm);
        }
    }
    (name, service)
}

impl Player {
    fn step(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let now = self.now;
        match words[..] {
            [time] if time.starts_with("t=+") => self.pass(parse_duration(&time[3..]).unwrap()),
            ["auto"] => self.auto = true,
            ["manual"] => self.auto = false,
            ["bad", id, ..] => {
                self.bad.insert(id.parse().unwrap(), rest(&words, 2, "connection refused"));
            }
            ["good", id] => {
                self.bad.remove(&id.parse::<InstanceId>().unwrap());
            }
            ["stubborn", service] => {
                self.stubborn.insert(service.to_owned());
            }
            ["prepared", service, "ok"] => {
                self.conductor.handle_prepared(now, &service.parse().unwrap(), Ok(()));
            }
            ["prepared", service, "failed", ..] => {
                let text = rest(&words, 3, "exit code 1");
                self.conductor.handle_prepared(now, &service.parse().unwrap(), Err(text));
            }
            ["prepare-lacking", service, ..] => {
                let why = rest(&words, 2, "waits for credential `key`");
                self.conductor.handle_prepare_lacking(now, &service.parse().unwrap(), &why);
            }
            ["still-lacking", service, ..] => {
                let why = rest(&words, 2, "waits for credential `key`");
                self.conductor.handle_still_lacking(now, &service.parse().unwrap(), &why);
            }
            ["supplied", service] => self.conductor.handle_supplied(now, &service.parse().unwrap()),
            ["restart", target, ..] => {
                let target = match target.parse() {
                    Ok(id) => Target::Instance(id),
                    Err(_) => Target::Service(target.parse().unwrap()),
                };
                if let Err(why) = self.conductor.restart(now, target, &rest(&words, 2, "restart asked")) {
                    self.say(&format!("refused: {why}"));
                }
            }
            ["drain", ..] => self.conductor.drain(now, &rest(&words, 1, "the house goes down")),
            ["adopt", id, run, spec] => {
                let started = Timestamp(now.0 - 3_600_000);
                self.conductor.adopt(now, &id.parse().unwrap(), run.parse().unwrap(), spec, started);
            }
            ["show"] => self.show(),
            ["settled"] => self.say(&format!("settled: {}", self.conductor.all_settled())),
            ["drained"] => self.say(&format!("drained: {}", self.conductor.is_drained())),
            _ => self.report(&words),
        }
    }

    /// Reports about an instance; `a/1@3` means run 3, `a/1` the present one.
    fn report(&mut self, words: &[&str]) {
        let now = self.now;
        let (id, run) = match words[1].split_once('@') {
            Some((id, run)) => (id.parse().unwrap(), run.parse().unwrap()),
            None => {
                let id: InstanceId = words[1].parse().unwrap();
                let run = self.conductor.instance(&id).map_or(0, |view| view.run);
                (id, run)
            }
        };
        match (words[0], words.get(2).copied()) {
            ("spawned", None) => self.conductor.handle_spawned(now, &id, run, pid(run)),
            ("spawn-failed", _) => {
                self.conductor.handle_spawn_failed(now, &id, run, rest(words, 2, "no such file"));
            }
            ("lacking", _) => {
                let why = rest(words, 2, "waits for credential `key`");
                self.conductor.handle_lacking(now, &id, run, &why);
            }
            ("exited", Some("code")) => {
                self.conductor.handle_exited(
                    now,
                    &id,
                    run,
                    words[3] == "0",
                    format!("exit code {}", words[3]),
                );
            }
            ("exited", Some("signal")) => {
                self.conductor.handle_exited(now, &id, run, false, format!("killed by SIG{}", words[3]));
            }
            ("probe", Some(ok @ ("ok" | "bad"))) => {
                let usual = if ok == "ok" { GOOD } else { "connection refused" };
                let outcome = ProbeOutcome { ok: ok == "ok", evidence: rest(words, 3, usual), took_ms: 1 };
                self.conductor.handle_probe(now, &id, run, &outcome);
            }
            ("life", None) => self.conductor.handle_sign_of_life(now, &id),
            _ => panic!("what is {words:?}?"),
        }
    }

    /// Lets time pass as a driver does: from deadline to deadline.
    fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        while let Some(at) = self.conductor.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.conductor.handle_timeout(self.now);
            self.act();
        }
        self.now = end;
    }

    fn act(&mut self) {
        while let Some(action) = self.conductor.poll_action() {
            match &action {
                Action::Changed(change) => {
                    let text =
                        format!("{}: {} -> {}: {}", change.subject, change.from, change.to, change.why);
                    self.say(&text);
                }
                Action::Prepare { service, fingerprint } => {
                    self.say(&format!("PREPARE {service} {fingerprint}"));
                }
                Action::Spawn { id, run } => self.say(&format!("SPAWN {id} run {run}")),
                Action::Stop { id, run, why, stop } => {
                    let within = format_duration(stop.within);
                    let signal = format!("{:?}", stop.signal).to_uppercase();
                    self.say(&format!("STOP {id} run {run} by {signal} within {within}: {why}"));
                }
                // Automatic probes would drown everything else.
                Action::Probe { .. } if self.auto => {}
                Action::Probe { id, run } => self.say(&format!("PROBE {id} run {run}")),
                Action::Drained => self.say("DRAINED"),
            }
            if self.auto {
                self.answer(&action);
            }
        }
    }

    fn answer(&mut self, action: &Action) {
        let now = self.now;
        match action {
            Action::Spawn { id, run } => self.conductor.handle_spawned(now, id, *run, pid(*run)),
            Action::Probe { id, run } => {
                let bad = self.bad.get(id).cloned();
                let ok = bad.is_none();
                let outcome = ProbeOutcome { ok, evidence: bad.unwrap_or(GOOD.to_owned()), took_ms: 1 };
                self.conductor.handle_probe(now, id, *run, &outcome);
            }
            Action::Stop { id, run, .. } if !self.stubborn.contains(id.service.as_str()) => {
                self.conductor.handle_exited(now, id, *run, false, "killed by SIGTERM".to_owned());
            }
            Action::Prepare { service, .. } => self.conductor.handle_prepared(now, service, Ok(())),
            Action::Stop { .. } | Action::Changed(_) | Action::Drained => {}
        }
    }

    fn show(&mut self) {
        let mut text = String::new();
        for service in self.conductor.services() {
            let ready = if service.ready { "ready" } else { "not ready" };
            let _ = writeln!(text, "{} {}, {ready}: {}", service.name, service.phase, service.why);
            for view in service.instances {
                let _ = write!(text, "  {} {} since {}ms", view.id, view.phase, view.since.0);
                let _ = write!(text, ", run {}, {} restarts, {}", view.run, view.restarts, view.health);
                if let Some(pid) = view.pid {
                    let _ = write!(text, ", pid {pid}");
                }
                if let Some(next_try) = view.next_try {
                    let _ = write!(text, ", next try at {}ms", next_try.0);
                }
                let _ = writeln!(text, ": {}", view.why);
            }
        }
        text.lines().for_each(|line| self.say(line));
    }

    fn say(&mut self, text: &str) {
        let _ = writeln!(self.transcript, "{:>8}ms  {text}", self.now.0);
    }
}

fn pid(run: u64) -> u32 {
    1_000 + u32::try_from(run).unwrap()
}

fn rest(words: &[&str], from: usize, usual: &str) -> String {
    let text = words.get(from..).unwrap_or_default().join(" ");
    if text.is_empty() { usual.to_owned() } else { text }
}
