//! The program for hosts, as it is in this tree: built when a test asks for it, so that no test talks to an
//! old one. Who has built it already names the folder in `HAUS_REMOTE_DIR`, as for `haus` itself.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Where `haus-remote` lies, for this machine's architecture.
///
/// # Panics
/// When it cannot be built.
pub fn remote_program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(build).clone()
}

fn build() -> PathBuf {
    if let Some(folder) = std::env::var_os("HAUS_REMOTE_DIR") {
        return PathBuf::from(folder).join(format!("haus-remote-{}", std::env::consts::ARCH));
    }
    let test = std::env::current_exe().expect("a test knows where it lies");
    // Tests lie in PROFILE/deps, programs in PROFILE.
    let folder = test.parent().and_then(|deps| deps.parent()).expect("a test lies two folders deep");
    let profile =
        folder.file_name().and_then(|name| name.to_str()).expect("a folder named after the profile");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "haus-remote", "--profile"]);
    command.arg(if profile == "debug" { "dev" } else { profile });
    command.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"));
    command.arg("--target-dir").arg(folder.parent().expect("below the target folder"));
    let built = command.output().expect("cargo runs");
    assert!(built.status.success(), "haus-remote: {}", String::from_utf8_lossy(&built.stderr));
    folder.join("haus-remote")
}
