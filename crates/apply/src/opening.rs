//! From a road to a running `haus-remote`: starts it when it is there, puts it there when it is not, and says
//! in one finding what stood in the way. It does not know the protocol that follows.

use crate::bootstrap::{self, Found};
use crate::channel::{Channel, Ended, is_too_late};
use crate::host::RoadFault;
use crate::obstacle::{
    copy_failed, does_not_start, ended_early, fault, hangs, no_sudo, out_of_turn, speaks_otherwise,
};
use crate::programs::Program;
use crate::remote::Session;
use crate::shown::shown;
use crate::transport::{Obstacle, Transport, TransportError};
use haus_model::host::Architecture;
use haus_model::host_code::HostCode;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

/// The way to a running program.
pub(crate) struct Opening<'a> {
    pub(crate) transport: &'a dyn Transport,
    pub(crate) session: &'a Session,
}

impl Opening<'_> {
    /// Everything up to the first byte of the protocol.
    pub(crate) fn program_runs(&self) -> Result<Channel, RoadFault> {
        let Session { programs, elevation, .. } = self.session;
        let channel = self.start(&bootstrap::start(programs, *elevation))?;
        let (found, channel) = self.found(channel)?;
        match found {
            Found::Ready => Ok(channel),
            Found::Missing(architecture) => {
                channel.stop();
                let program = programs.of(architecture);
                self.put(program.ok_or_else(|| self.no_program(architecture.machine()))?)
            }
            Found::NoProgram(machine) => Err(self.no_program(&machine)),
            Found::Failed | Found::Sudo => Err(self.fault("start haus-remote", out_of_turn())),
        }
    }

    /// Brings the program and becomes it, over one connection.
    fn put(&self, program: &Program) -> Result<Channel, RoadFault> {
        let Session { programs, elevation, patience, .. } = self.session;
        let mut channel = self.start(&bootstrap::put(programs, *elevation, program.bytes.len()))?;
        // Sudo may take a moment; the bytes wait in the pipe meanwhile. A host that refuses them has said why
        // by then.
        let written = channel.until(Instant::now() + patience.put).write_all(&program.bytes);
        match written {
            Err(error) if is_too_late(&error) => {
                let obstacle = hangs(patience.put);
                return Err(self.fault("put haus-remote on the host", obstacle));
            }
            Ok(()) | Err(_) => {}
        }
        let (found, channel) = self.found(channel)?;
        match found {
            Found::Ready => Ok(channel),
            Found::Failed | Found::Missing(_) | Found::Sudo => {
                Err(self.fault("put haus-remote on the host", copy_failed(&channel.stop())))
            }
            Found::NoProgram(machine) => Err(self.no_program(&machine)),
        }
    }

    fn start(&self, argv: &[String]) -> Result<Channel, RoadFault> {
        self.transport.start(argv, self.session.purpose).map_err(|error| {
            let TransportError::Start { program, source, .. } = error;
            self.fault("open a connection", does_not_start(&program, &source))
        })
    }

    /// Waits for the line of the shell.
    fn found(&self, mut channel: Channel) -> Result<(Found, Channel), RoadFault> {
        let waiting = self.session.patience.ready;
        let deadline = Instant::now() + waiting;
        let (mut asked_sudo, mut said, mut line) = (false, Vec::new(), 0);
        loop {
            let mut byte = [0];
            match channel.until(deadline).read(&mut byte) {
                Ok(0) => break,
                Ok(_) => said.push(byte[0]),
                Err(error) if is_too_late(&error) => {
                    return Err(self.silent(&channel.stop(), waiting, asked_sudo));
                }
                Err(_) => break,
            }
            if byte[0] == b'\n' {
                match bootstrap::understand_line(&said[line..]) {
                    Ok(Some(Found::Sudo)) => asked_sudo = true,
                    Ok(Some(found)) => return Ok((found, channel)),
                    Ok(None) => {}
                    Err(because) => return Err(self.fault("start haus-remote", speaks_otherwise(because))),
                }
                line = said.len();
            }
            if said.len() > bootstrap::NOISE_BYTES_MAX {
                let because = "the account's shell says too much before it starts a command".to_owned();
                return Err(self.fault("start haus-remote", speaks_otherwise(because)));
            }
        }
        let mut ended = channel.stop();
        // Some say to standard output why they start nothing.
        let other = String::from_utf8_lossy(&said);
        ended.errors.extend(
            other.lines().filter(|line| !line.starts_with("haus-boot ")).flat_map(|line| [line, "\n"]),
        );
        Err(match (asked_sudo, self.transport.explain(&ended)) {
            (_, Some(obstacle)) => self.fault("open a connection", obstacle),
            (true, None) => self.fault("become root", no_sudo(&ended)),
            (false, None) => self.fault("start haus-remote", ended_early(&ended)),
        })
    }

    fn silent(&self, ended: &Ended, waited: Duration, asked_sudo: bool) -> RoadFault {
        let what = if asked_sudo { "become root by `sudo -n`" } else { "open a connection" };
        match self.transport.explain(ended) {
            Some(obstacle) => self.fault(what, obstacle),
            None => self.fault(what, hangs(waited)),
        }
    }

    fn no_program(&self, machine: &str) -> RoadFault {
        let known = Architecture::from_machine(machine).is_some();
        let has = self.session.programs.machines();
        let remedy = if known {
            format!(
                "this installation of haus has programs for: {has}. Install the one for {machine}, or set its path"
            )
        } else {
            format!("use a machine of another architecture (there are programs for: {has})")
        };
        let because = format!("the host is {}, and there is no haus-remote for it here", shown(machine));
        self.fault("start haus-remote", Obstacle { code: HostCode::NoProgram, because, remedy })
    }

    /// A fault of this road.
    pub(crate) fn fault(&self, what: &str, obstacle: Obstacle) -> RoadFault {
        fault(what, &self.transport.road(), obstacle)
    }
}
