//! The few words of shell that find or put `haus-remote` on a host and become it, and the one line that they
//! answer. Everything else is said in the protocol of the program. It does not know that protocol.
//!
//! The shell of the account may be any, so every word travels quoted, and the scripts hold no single quote,
//! no backslash and, when they are sent, no line end.

use crate::programs::Programs;
use crate::shown::shown;
use haus_model::host::{Architecture, Elevation};

/// How long what stands before our line may be: an account's shell can be talkative.
pub(crate) const NOISE_BYTES_MAX: usize = 64 << 10;

/// Becomes root when that is wanted and possible, and runs the rest. `$1` is the rest, `$2` the word of the
/// elevation, what follows goes to the rest.
const OUTER: &str = r#"
rest=$1; elevation=$2; shift 2;
if [ "$(id -u)" = 0 ] || [ "$elevation" = none ]; then exec sh -c "$rest" haus "$@"; fi;
echo "haus-boot sudo - -";
exec sudo -n -- sh -c "$rest" haus "$@"
"#;

/// Where things are, and which program is the right one. `$1` is the hash for x86_64, `$2` for aarch64, `-`
/// when there is none. Sets `machine`, `user`, `folder`, `hash`, `program`; `intact` says whether a file is
/// the program.
const PLACES: &str = r#"
umask 077; LC_ALL=C; export LC_ALL;
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH;
machine=$(uname -m); user=$(id -u);
if [ "$user" = 0 ]; then folder=/var/lib/haus-remote/bin;
else folder=$HOME/.local/state/haus-remote/bin; fi;
case $machine in x86_64) hash=$1 ;; aarch64) hash=$2 ;; *) hash=- ;; esac;
program=$folder/haus-remote-$hash;
intact() {
if command -v sha256sum >/dev/null 2>&1; then sum=$(sha256sum <"$1") && [ "${sum%% *}" = "$hash" ]; else [ -s "$1" ]; fi;
};
"#;

/// Becomes the program when it is there.
const START: &str = r#"
if [ "$hash" = - ]; then echo "haus-boot no-program $machine $user"; exit 3; fi;
if [ -x "$program" ] && intact "$program"; then echo "haus-boot ready $machine $user"; exec "$program" serve; fi;
echo "haus-boot missing $machine $user"
"#;

/// Takes `$3` bytes of program from standard input, and becomes it. A file that is not complete never has the
/// name of the program. Older ones go, except the two newest before it, and those that a unit of the host
/// still names.
const PUT: &str = r#"
part=$folder/.part.$$; trap "rm -f $part" EXIT;
fail() { echo "haus-boot failed $machine $user"; exit 4; };
find "$folder" -maxdepth 1 -name ".part.*" -mmin +60 -delete 2>/dev/null;
mkdir -p "$folder" && head -c "$3" >"$part" || fail;
[ "$(wc -c <"$part")" -eq "$3" ] && intact "$part" || { echo "the bytes that arrived are not those that were sent" >&2; fail; };
chmod 0700 "$part" && { sync "$part" 2>/dev/null || sync; } && mv -f "$part" "$program" || fail;
trap - EXIT;
ls -t "$folder" | tail -n +4 | while read -r old; do
case $old in haus-remote-*) grep -rqsF "$old" /etc/systemd/system /run/systemd/system || rm -f "$folder/$old" ;; esac; done;
echo "haus-boot ready $machine $user";
exec "$program" serve
"#;

/// The command that becomes the program, when it is there.
pub(crate) fn start(programs: &Programs, elevation: Elevation) -> Vec<String> {
    command(&format!("{PLACES}{START}"), elevation, hashes(programs).to_vec())
}

/// The command that takes the program from standard input and becomes it.
pub(crate) fn put(programs: &Programs, elevation: Elevation, bytes: usize) -> Vec<String> {
    let [amd64, arm64] = hashes(programs);
    command(&format!("{PLACES}{PUT}"), elevation, vec![amd64, arm64, bytes.to_string()])
}

fn command(script: &str, elevation: Elevation, arguments: Vec<String>) -> Vec<String> {
    let elevation = match elevation {
        Elevation::Auto | Elevation::Sudo => "sudo",
        Elevation::None => "none",
    };
    let mut argv =
        ["sh", "-c", &one_line(OUTER), "haus", &one_line(script), elevation].map(str::to_owned).to_vec();
    argv.extend(arguments);
    argv
}

fn hashes(programs: &Programs) -> [String; 2] {
    [Architecture::Amd64, Architecture::Arm64].map(|architecture| {
        programs.of(architecture).map_or_else(|| "-".to_owned(), |program| program.hash.to_string())
    })
}

/// Some shells do not take a line end inside of quotes.
fn one_line(script: &str) -> String {
    script.trim().lines().collect::<Vec<_>>().join(" ")
}

/// What the shell found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// What follows is the protocol of the program.
    Ready,
    /// The program is not there, or not intact.
    Missing(Architecture),
    /// There is none for this machine.
    NoProgram(String),
    /// It could not be put there; the errors say why.
    Failed,
    /// The rights of root are asked for. Another line follows when they were given.
    Sudo,
}

/// What a line of the host says; none when it is not ours. An account's shell may say something first, even
/// without a line end behind it.
pub(crate) fn understand_line(line: &[u8]) -> Result<Option<Found>, String> {
    let line = String::from_utf8_lossy(line);
    line.trim_end().rsplit_once("haus-boot ").map(|(_, words)| understand(words)).transpose()
}

fn understand(words: &str) -> Result<Found, String> {
    let mut words = words.split(' ');
    let (state, machine) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (state, Architecture::from_machine(machine)) {
        ("sudo", _) => Ok(Found::Sudo),
        ("ready", _) => Ok(Found::Ready),
        ("failed", _) => Ok(Found::Failed),
        ("missing", Some(architecture)) => Ok(Found::Missing(architecture)),
        ("no-program" | "missing", _) => Ok(Found::NoProgram(shown(machine))),
        (_, _) => Err(format!("it answers with unknown words: {}", shown(state))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Option<Found>, ()>) {
        assert_eq!(understand_line(line.as_bytes()).map_err(|_| ()), expected, "{line}");
    }

    #[test]
    fn our_line_is_found_behind_what_a_shell_says() {
        check("haus-boot ready x86_64 0", Ok(Some(Found::Ready)));
        check("welcome back haus-boot missing aarch64 0\r", Ok(Some(Found::Missing(Architecture::Arm64))));
        check("haus-boot no-program riscv64 0", Ok(Some(Found::NoProgram("riscv64".to_owned()))));
        check("haus-boot sudo - -", Ok(Some(Found::Sudo)));
        check("welcome", Ok(None));
        check("haus-boot dance x86_64 0", Err(()));
    }

    #[test]
    fn the_scripts_pass_through_any_shell() {
        for script in [OUTER, PLACES, START, PUT] {
            let line = one_line(script);
            assert!(!line.contains(['\'', '\\', '\n', '!']), "{line}");
        }
    }
}
