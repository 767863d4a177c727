//! The protections of every unit of ours, as tables. A service takes single ones back by their name
//! (`without`), by folders that it writes (`writable`) or by capabilities; whoever reads the table knows what
//! holds.

/// One protection of systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directive {
    /// The name of the directive.
    pub name: &'static str,
    /// Its value.
    pub value: &'static str,
    /// What it takes away from the service.
    pub why: &'static str,
}

macro_rules! directives {
    ($($name:literal $value:literal $why:literal;)*) => {
        /// What holds for every service unless its plan takes it back. `CapabilityBoundingSet`,
        /// `AmbientCapabilities` and `ReadWritePaths` are made from the plan's words.
        pub const DIRECTIVES: &[Directive] =
            &[$(Directive { name: $name, value: $value, why: $why }),*];
    };
}

directives! {
    "NoNewPrivileges" "yes" "no more rights through setuid programs";
    "ProtectSystem" "strict" "the whole file system is read-only but for what is named";
    "ProtectHome" "yes" "no homes";
    "PrivateTmp" "yes" "a /tmp of its own";
    "PrivateDevices" "yes" "no disks and other devices";
    "ProtectKernelTunables" "yes" "no kernel parameters";
    "ProtectKernelModules" "yes" "no loading of modules";
    "ProtectKernelLogs" "yes" "no log of the kernel";
    "ProtectControlGroups" "yes" "no change of limits";
    "ProtectClock" "yes" "no setting of the clock";
    "ProtectHostname" "yes" "no renaming of the machine";
    "ProtectProc" "invisible" "no sight of other accounts' processes";
    "RestrictAddressFamilies" "AF_INET AF_INET6 AF_UNIX" "no raw packets and rare protocols";
    "RestrictNamespaces" "yes" "no containers of its own";
    "RestrictRealtime" "yes" "no starving of others";
    "RestrictSUIDSGID" "yes" "no making of setuid files";
    "LockPersonality" "yes" "no other execution domain";
    "MemoryDenyWriteExecute" "yes" "no memory that is written and then run";
    "RemoveIPC" "yes" "nothing stays in shared memory";
    "KeyringMode" "private" "no keys of others";
    "SystemCallFilter" "@system-service" "only calls that services use";
    "SystemCallErrorNumber" "EPERM" "a refused call is an error and not the end";
    "SystemCallArchitectures" "native" "no calls of other architectures";
    "UMask" "0077" "new files are its own alone";
}

/// What holds for the coordinator and with it for every service that it starts, so only what no service under
/// an account of its own can do anyway. Left out for their sake: `ProtectClock` closes all devices but the
/// clock, `RestrictSUIDSGID` refuses folders that hand on their group, `ProtectControlGroups` the
/// coordinator's own limits; what else a service may need stands in docs/decisions/0023.
pub(crate) const OF_COORDINATOR: [Directive; 5] = [
    Directive { name: "ProtectKernelModules", value: "yes", why: "no loading of modules" },
    Directive { name: "ProtectKernelLogs", value: "yes", why: "no log of the kernel" },
    Directive { name: "RestrictRealtime", value: "yes", why: "no starving of others" },
    Directive { name: "LockPersonality", value: "yes", why: "no other execution domain" },
    Directive {
        name: "CapabilityBoundingSet",
        value: "~CAP_SYS_TIME CAP_WAKE_ALARM CAP_SYS_RAWIO CAP_SYS_BOOT",
        why: "no setting of the clock, no raw access to hardware, no restart of the machine",
    },
];

/// Programs that write code into memory and run it: `MemoryDenyWriteExecute` would end them at their start.
const WRITES_CODE: [&str; 9] = ["node", "npm", "npx", "deno", "bun", "java", "dotnet", "php", "luajit"];

/// Whether a program compiles while it runs.
pub(crate) fn writes_code(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    WRITES_CODE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_people_says_the_same() {
        let page = include_str!("../../../../docs/ops/units.md");
        for Directive { name, value, why } in DIRECTIVES.iter().chain(&OF_COORDINATOR) {
            assert!(page.contains(&format!("| `{name}` | `{value}` | {why} |")), "{name}");
        }
        assert!(page.contains(&WRITES_CODE.join(", ")));
    }

    #[test]
    fn a_program_is_known_by_its_last_part() {
        assert!(writes_code("/usr/bin/node"));
        assert!(!writes_code("nodejs-like"));
    }
}
