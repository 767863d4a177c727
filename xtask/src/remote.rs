//! `./x remote`: builds `haus-remote` for the architectures of hosts, proves that each program needs nothing
//! but a kernel, and lets it say hello, foreign ones under qemu. What cannot be built here is said out loud
//! with its reason.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::TaskError;

/// One way to build for an architecture; the first whose standard library and linker are there is taken.
struct Way {
    triple: &'static str,
    /// Flags for rustc.
    flags: &'static str,
    /// A linker that must be there; rustc's own or the C compiler when absent.
    linker: Option<&'static str>,
}

struct Architecture {
    /// The word of `uname -m`.
    machine: &'static str,
    ways: &'static [Way],
    /// Programs that run it on another machine.
    emulators: &'static [&'static str],
}

/// musl first: smaller, and made for it. The C library of GNU is good as well, since the program never asks
/// it for names.
const ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        machine: "x86_64",
        ways: &[
            Way { triple: "x86_64-unknown-linux-musl", flags: OWN_LINKER, linker: None },
            Way { triple: "x86_64-unknown-linux-gnu", flags: STATIC, linker: Some("cc") },
        ],
        emulators: &["qemu-x86_64-static", "qemu-x86_64"],
    },
    Architecture {
        machine: "aarch64",
        ways: &[
            Way { triple: "aarch64-unknown-linux-musl", flags: OWN_LINKER, linker: None },
            Way {
                triple: "aarch64-unknown-linux-gnu",
                flags: CROSS_GCC,
                linker: Some("aarch64-linux-gnu-gcc"),
            },
        ],
        emulators: &["qemu-aarch64-static", "qemu-aarch64"],
    },
];

/// rustup's musl targets bring everything but a linker, and rustc brings one for every architecture.
const OWN_LINKER: &str =
    "-C linker=rust-lld -C linker-flavor=ld.lld -C link-self-contained=yes -C target-feature=+crt-static";
const STATIC: &str = "-C target-feature=+crt-static";
const CROSS_GCC: &str = "-C linker=aarch64-linux-gnu-gcc -C target-feature=+crt-static";

/// More than that is copied to hosts only with patience.
const BYTES_MAX: u64 = 6 * 1024 * 1024;

/// Where the programs go: `remote` in the target folder. `haus` looks there when it runs from that folder.
pub(crate) fn folder(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("remote")
}

/// Builds what can be built. False when the program for this very machine is not among it, or one is not what
/// it must be.
pub(crate) fn build(root: &Path) -> Result<bool, TaskError> {
    let mut good = true;
    for architecture in &ARCHITECTURES {
        let machine = architecture.machine;
        match build_one(root, architecture)? {
            Ok(report) => eprintln!("haus-remote-{machine}: {report}"),
            Err(why) => {
                eprintln!("SKIPPED haus-remote-{machine}: {why}");
                good &= machine != std::env::consts::ARCH;
            }
        }
    }
    Ok(good)
}

fn build_one(root: &Path, architecture: &Architecture) -> Result<Result<String, String>, TaskError> {
    let mut reasons = Vec::new();
    for way in architecture.ways {
        if let Some(reason) = obstacle(way) {
            reasons.push(reason);
            continue;
        }
        let built = match compile(root, way)? {
            Ok(built) => built,
            Err(reason) => return Ok(Err(reason)),
        };
        let program = folder(root).join(format!("haus-remote-{}", architecture.machine));
        place(&built, &program)?;
        return Ok(examine(&program, architecture).map(|report| format!("{report}, from {}", way.triple)));
    }
    Ok(Err(reasons.join("; ")))
}

/// Why this way cannot be gone here.
fn obstacle(way: &Way) -> Option<String> {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", way.triple]).output();
    let folder = asked.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let has_library =
        folder.as_deref().is_some_and(|folder| !folder.is_empty() && Path::new(folder).is_dir());
    if !has_library {
        return Some(format!("no standard library for {0} (rustup target add {0})", way.triple));
    }
    let linker = way.linker?;
    (!is_there(linker)).then(|| format!("{} is not installed, which links for {}", linker, way.triple))
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn compile(root: &Path, way: &Way) -> Result<Result<PathBuf, String>, TaskError> {
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", way.triple.to_uppercase().replace('-', "_"));
    let mut cargo = Command::new("cargo");
    cargo.args([
        "build",
        "--quiet",
        "--profile",
        "remote",
        "--package",
        "haus-remote",
        "--target",
        way.triple,
    ]);
    cargo.env(variable, way.flags).env_remove("RUSTFLAGS").current_dir(root);
    let status = cargo.status().map_err(|source| TaskError::Run { program: "cargo".to_owned(), source })?;
    if !status.success() {
        return Ok(Err(format!("cargo build --target {} ended with {status}", way.triple)));
    }
    let target = folder(root).parent().map(Path::to_owned).unwrap_or_default();
    Ok(Ok(target.join(way.triple).join("remote/haus-remote")))
}

/// Under a new name first: the old one may be read at this moment.
fn place(built: &Path, program: &Path) -> Result<(), TaskError> {
    let write = |source| TaskError::Write { path: program.to_owned(), source };
    fs::create_dir_all(program.parent().unwrap_or(Path::new("/"))).map_err(write)?;
    let new = program.with_extension("new");
    fs::copy(built, &new).and_then(|_| fs::rename(&new, program)).map_err(write)
}

fn examine(program: &Path, architecture: &Architecture) -> Result<String, String> {
    let bytes = fs::read(program).map_err(|error| error.to_string())?;
    if needs_interpreter(&bytes) != Some(false) {
        return Err("it is not a static program".to_owned());
    }
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("it has {} bytes, and at most {BYTES_MAX} are allowed", bytes.len()));
    }
    let size = format!("{:.2} MiB, static", bytes.len() as f64 / 1_048_576.0);
    let emulator = if architecture.machine == std::env::consts::ARCH {
        None
    } else {
        match architecture.emulators.iter().find(|name| is_there(name)) {
            Some(emulator) => Some(*emulator),
            None => {
                eprintln!(
                    "SKIPPED run of haus-remote-{}: qemu-user-static is not installed",
                    architecture.machine
                );
                return Ok(format!("{size}, not run"));
            }
        }
    };
    talk(program, emulator)?;
    Ok(format!("{size}, answers{}", emulator.map(|name| format!(" under {name}")).unwrap_or_default()))
}

/// Whether an ELF file asks for a dynamic linker; none when it is no ELF file of 64 bits.
fn needs_interpreter(bytes: &[u8]) -> Option<bool> {
    const INTERPRETER: u32 = 3;
    let number = |at: usize, size: usize| -> Option<u64> {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(bytes.get(at..at + size)?);
        Some(u64::from_le_bytes(wide))
    };
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for entry in 0..count {
        let at = usize::try_from(table + entry * size).ok()?;
        if number(at, 4)? == u64::from(INTERPRETER) {
            return Some(true);
        }
    }
    Some(false)
}

/// Hello, and one look around, through the real protocol: docs/formats/remote.md.
fn talk(program: &Path, emulator: Option<&str>) -> Result<(), String> {
    let mut command = match emulator {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    command.arg("serve").env("HOME", "/nonexistent").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let asked = [r#"{"hello":{"version":1,"house":"remote"}}"#, r#"{"observe":{"specs":[]}}"#];
    let frames: Vec<u8> = asked.iter().flat_map(|message| frame(message)).collect();
    let stdin = child.stdin.take();
    let written = stdin.map_or(Ok(()), |mut stdin| stdin.write_all(&frames));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let answers = ["haus-remote", "welcome", "inventory", "boot_id"].iter().all(|word| text.contains(word));
    if written.is_ok() && output.status.success() && answers {
        return Ok(());
    }
    Err(format!(
        "it does not answer as it should: {} {}",
        output.status,
        text.chars().take(300).collect::<String>()
    ))
}

fn frame(message: &str) -> Vec<u8> {
    let length = u32::try_from(message.len() + 1).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], b"J", message.as_bytes()].concat()
}

/// The folder for the environment of tests that bring programs to hosts.
pub(crate) fn variable(root: &Path) -> (&'static str, impl AsRef<OsStr>) {
    ("HAUS_REMOTE_DIR", folder(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_program_asks_for_no_interpreter() {
        let own = fs::read("/proc/self/exe").expect("reads");
        assert_eq!(needs_interpreter(&own), Some(true));
        assert_eq!(needs_interpreter(b"#!/bin/sh\n"), None);
        let mut elf = vec![0; 128];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[32], elf[54], elf[56], elf[64]) = (64, 56, 1, 1);
        assert_eq!(needs_interpreter(&elf), Some(false));
    }
}
