//! The house under load: seventeen rooms as in zimmer, the coordinator, and fleets that register by
//! themselves.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::super::core::write;
use super::super::measure::{Running, family_of_program, free_port, wait_for};
use super::http::Line;
use super::load::Question;
use super::{NAME, PATIENCE, problem};
use crate::error::TaskError;

/// Services that this house runs.
pub(super) const ROOMS: usize = 17;
/// Services that run somewhere else.
pub(super) const FLEETS: usize = 50;
/// Instances of each of them.
pub(super) const FLEET: usize = 100;
/// Nobody listens there; two instances at one address would be one.
const FIRST_PORT: usize = 10_000;
/// Credentials that are changed, and instances that are registered, in the load.
const TARGETS: usize = 64;
/// Connections over which the fleets register.
const REGISTRARS: usize = 16;

pub(super) struct House {
    process: Running,
    program: PathBuf,
    port: u16,
    control: PathBuf,
    /// Tokens of the fleets, in their order.
    fleets: Vec<String>,
    credential_reads: Vec<Question>,
    credential_writes: Vec<Question>,
    registrations: Vec<Question>,
    registry_reads: Vec<Question>,
}

impl House {
    /// Starts it with these variables beside our own.
    pub(super) fn start(
        haus: &Path,
        folder: &Path,
        environment: &[(&str, String)],
    ) -> Result<House, TaskError> {
        let free = || free_port().map_err(|source| TaskError::Read { path: "127.0.0.1:0".into(), source });
        let (port, gateway) = (free()?, free()?);
        write(&folder.join("house.yaml"), &plan(port, gateway))?;
        let state = folder.join("state");
        let mut command = Command::new(haus);
        command.arg("up").arg(folder).arg("--state").arg(&state);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut house = House {
            process: Running::start(command, &folder.join("output"))?,
            program: haus.to_owned(),
            port,
            control: state.join("run/control.sock"),
            fleets: Vec::new(),
            credential_reads: Vec::new(),
            credential_writes: Vec::new(),
            registrations: Vec::new(),
            registry_reads: Vec::new(),
        };
        wait_for(NAME, "a ready house", PATIENCE, || {
            let ready = Line::tcp(port).and_then(|mut line| line.ask("GET", "/ready", "", "")).is_ok();
            (ready || house.process.has_ended()).then_some(())
        })?;
        if house.process.has_ended() {
            let output = std::fs::read_to_string(folder.join("output")).unwrap_or_default();
            return Err(problem(format!("haus up ended: {}", output.trim())));
        }
        house.prepare()?;
        Ok(house)
    }

    /// Makes the tokens, the credentials and the requests of every load.
    fn prepare(&mut self) -> Result<(), TaskError> {
        let mut control = Line::unix(&self.control)?;
        for number in 1..=FLEETS {
            self.fleets.push(self.token(&mut control, &json!({ "service": fleet(number) }))?);
        }
        let admin = self.token(&mut control, &json!({ "name": "bench", "scopes": ["admin"] }))?;
        for number in 1..=ROOMS {
            let token = self.token(&mut control, &json!({ "service": room(number) }))?;
            let path = format!("/api/credentials/service/{}", room(number));
            self.credential_reads.push(question("GET", path, &token, ""));
        }
        let description = "d".repeat(200);
        for number in 1..=TARGETS {
            let body = json!({ "name": format!("target-{number}"), "service_name": fleet(1), "value": "changed by nobody" });
            let made = control.ask("POST", "/api/credentials", "", &body.to_string())?;
            let path = format!("/api/credentials/{}", text(&made, "id")?);
            let body = json!({ "description": description }).to_string();
            self.credential_writes.push(question("PATCH", path, &admin, &body));
            // The second fleet, which owns no credentials: the answer of a registration would hold them.
            let body = registration(2, number).to_string();
            self.registrations.push(question(
                "POST",
                "/api/services/register".to_owned(),
                &self.fleets[1],
                &body,
            ));
        }
        self.report_in()?;
        for number in 1..=FLEETS {
            let path = format!("/api/discover?service={}", fleet(number));
            self.registry_reads.push(question("GET", path, "", ""));
        }
        Ok(())
    }

    /// Two instances of every fleet are there and say so, so that a turn has to be taken. Whoever says
    /// nothing for a while is found by nobody.
    pub(super) fn report_in(&self) -> Result<(), TaskError> {
        let mut line = Line::tcp(self.port)?;
        for number in 1..=FLEETS {
            for instance in 1..=2 {
                let body = registration(number, instance).to_string();
                line.ask("POST", "/api/services/register", &self.fleets[number - 1], &body)?;
            }
        }
        Ok(())
    }

    fn token(&self, control: &mut Line, request: &Value) -> Result<String, TaskError> {
        let made = control.ask("POST", "/api/tokens", "", &request.to_string())?;
        let body = json!({ "token": text(&made, "token")? }).to_string();
        let session = Line::tcp(self.port)?.ask("POST", "/api/identity/enrol", "", &body)?;
        text(&session, "access_token")
    }

    /// Registers every instance of every fleet.
    pub(super) fn register_fleet(&mut self) -> Result<(), TaskError> {
        // The tokens of the beginning may be too old by now.
        let mut control = Line::unix(&self.control)?;
        for number in 1..=FLEETS {
            self.fleets[number - 1] = self.token(&mut control, &json!({ "service": fleet(number) }))?;
        }
        let house = &*self;
        std::thread::scope(|scope| {
            let register = |from: usize| {
                scope.spawn(move || -> Result<(), TaskError> {
                    let mut line = Line::tcp(house.port)?;
                    for at in (from..FLEETS * FLEET).step_by(REGISTRARS) {
                        let (number, instance) = (at % FLEETS + 1, at / FLEETS + 1);
                        let body = registration(number, instance).to_string();
                        line.ask("POST", "/api/services/register", house.fleet_token(number), &body)?;
                    }
                    Ok(())
                })
            };
            let threads: Vec<_> = (0..REGISTRARS).map(register).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a registrar does not panic"))
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn fleet_token(&self, number: usize) -> &str {
        &self.fleets[number - 1]
    }

    /// Parent and core.
    pub(super) fn pids(&self) -> Vec<u32> {
        family_of_program(self.process.pid(), &self.program)
    }

    pub(super) fn credential_reads(&self) -> &[Question] {
        &self.credential_reads
    }

    pub(super) fn credential_writes(&self) -> &[Question] {
        &self.credential_writes
    }

    pub(super) fn registrations(&self) -> &[Question] {
        &self.registrations
    }

    pub(super) fn registry_reads(&self) -> &[Question] {
        &self.registry_reads
    }
}

fn question(method: &'static str, path: String, token: &str, body: &str) -> Question {
    Question { method, path, token: token.to_owned(), body: body.to_owned() }
}

fn text(answer: &Value, name: &str) -> Result<String, TaskError> {
    let text = answer[name].as_str().ok_or_else(|| problem(format!("an answer has no {name}: {answer}")))?;
    Ok(text.to_owned())
}

fn room(number: usize) -> String {
    format!("room-{number:02}")
}

pub(super) fn fleet(number: usize) -> String {
    format!("fleet-{number:02}")
}

pub(super) fn registration(number: usize, instance: usize) -> Value {
    json!({
        "name": fleet(number), "instance": format!("i{instance}"), "version": "1.0.0", "address": "127.0.0.1",
        "port": FIRST_PORT + (number - 1) * FLEET + instance, "metadata": { "rack": "r1", "colour": "green" },
    })
}

fn plan(port: u16, gateway: u16) -> String {
    let mut text = format!(
        "haus: 1\nhouse: bench-coordinator\ngateway: {{ listen: \"127.0.0.1:{gateway}\" }}\nservices:\n  \
         brain: {{ as: coordinator, ports: {{ http: {port} }} }}\n"
    );
    for number in 1..=ROOMS {
        let name = room(number);
        // An account that every machine has, so that a bench leaves no accounts behind.
        let _ = writeln!(
            text,
            "  {name}: {{ run: sleep infinity, user: nobody, health: {{ process: true }}, limits: {{ memory: 16MiB }}, \
             credentials: {{ KEY: {name}-key }} }}"
        );
    }
    for number in 1..=FLEETS {
        let _ = writeln!(text, "  {}: {{ as: external, about: \"runs somewhere else\" }}", fleet(number));
    }
    text.push_str("credentials:\n");
    for number in 1..=ROOMS {
        let name = room(number);
        let _ = writeln!(text, "  {name}-key: {{ length: 32, scope: [{name}] }}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_house_has_all_that_the_loads_need() {
        let text = plan(1, 2);
        assert_eq!(text.matches("run: sleep infinity").count(), ROOMS);
        assert_eq!(text.matches("as: external").count(), FLEETS);
        assert_eq!(text.matches("length: 32").count(), ROOMS);
    }
}
