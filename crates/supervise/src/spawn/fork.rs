//! Fork and exec: the only code that runs between the two, written with async-signal-safe calls alone.
//! It decides nothing; whatever needs memory or names is prepared in [`Plan`] before the fork.

use std::ffi::{CString, c_char};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::pipe::{PipeFlags, pipe_with};

use super::Failure;
use crate::account::Account;
use crate::process_table::{INSTANCE_VARIABLE, RUN_VARIABLE};
use crate::wire::{SpawnSpec, Step};

const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Signals the kernel knows.
const SIGNALS: usize = 64;
const UMASK: libc::mode_t = 0o027;

/// A child's report that it could not run the program: which step, and the kernel's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) step: Step,
    pub(super) errno: i32,
}

const FAULT_BYTES: usize = 5;

impl Fault {
    pub(super) fn parse(bytes: &[u8]) -> Option<Fault> {
        let bytes: [u8; FAULT_BYTES] = bytes.try_into().ok()?;
        let [code, errno @ ..] = bytes;
        let step = [Step::Fork, Step::Account, Step::Folder, Step::Exec]
            .into_iter()
            .find(|s| fault_code(*s) == code)?;
        Some(Fault { step, errno: i32::from_ne_bytes(errno) })
    }
}

const fn fault_code(step: Step) -> u8 {
    step as u8
}

/// Everything the child needs, in the form the kernel takes it.
pub(super) struct Plan {
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    folder: CString,
    account: Option<(libc::uid_t, libc::gid_t, Vec<libc::gid_t>)>,
    search_path: String,
}

/// The parent's ends after a fork.
pub(super) struct Forked {
    pub(super) pid: u32,
    pub(super) gate: OwnedFd,
    pub(super) fault: OwnedFd,
    pub(super) out: OwnedFd,
    pub(super) err: OwnedFd,
}

/// The child's ends; plain numbers, since nothing may be dropped after the fork.
#[derive(Clone, Copy)]
struct ChildEnds {
    gate: RawFd,
    gate_of_parent: RawFd,
    fault: RawFd,
    streams: [RawFd; 3],
}

impl Plan {
    pub(super) fn new(spec: &SpawnSpec, mark: &str, account: Option<&Account>) -> Result<Plan, Failure> {
        let text = |what: &str, bytes: &[u8]| {
            CString::new(bytes).map_err(|_| Failure::new(Step::Exec, format!("{what} holds a zero byte")))
        };
        let program = &spec.argv[0];
        let search_path = spec.env.get("PATH").map_or(DEFAULT_PATH, String::as_str).to_owned();
        let candidates = if program.contains('/') {
            vec![text("the program", program.as_bytes())?]
        } else {
            let folders = search_path.split(':').filter(|folder| !folder.is_empty());
            folders
                .map(|folder| text("PATH", format!("{folder}/{program}").as_bytes()))
                .collect::<Result<_, _>>()?
        };
        let marks = [(INSTANCE_VARIABLE, spec.key.as_str()), (RUN_VARIABLE, mark)];
        let given = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let given = given.filter(|(name, _)| marks.iter().all(|(mark, _)| mark != name));
        Ok(Plan {
            candidates,
            arguments: spec
                .argv
                .iter()
                .map(|argument| text("an argument", argument.as_bytes()))
                .collect::<Result<_, _>>()?,
            environment: given
                .chain(marks)
                .map(|(name, value)| text("the environment", format!("{name}={value}").as_bytes()))
                .collect::<Result<_, _>>()?,
            folder: text("the folder", spec.folder.as_os_str().as_bytes())?,
            account: account.map(|account| (account.uid, account.gid, account.groups.clone())),
            search_path,
        })
    }

    pub(super) fn search_path(&self) -> &str {
        &self.search_path
    }

    pub(super) fn fork(&self) -> io::Result<Forked> {
        let null = File::open("/dev/null")?;
        let (gate_read, gate) = pipe_with(PipeFlags::CLOEXEC)?;
        let (fault, fault_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (out, out_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (err, err_write) = pipe_with(PipeFlags::CLOEXEC)?;
        for read_end in [&fault, &out, &err] {
            rustix::fs::fcntl_setfl(read_end, rustix::fs::OFlags::NONBLOCK)?;
        }
        if let Some((uid, gid, _)) = &self.account {
            // Programs that open `/dev/stderr` by name (nginx does) open the pipe anew, which only its owner
            // may.
            let owner = (rustix::fs::Uid::from_raw(*uid), rustix::fs::Gid::from_raw(*gid));
            for stream in [&out_write, &err_write] {
                rustix::fs::fchown(stream, Some(owner.0), Some(owner.1))?;
            }
        }
        let ends = ChildEnds {
            gate: gate_read.as_raw_fd(),
            gate_of_parent: gate.as_raw_fd(),
            fault: fault_write.as_raw_fd(),
            streams: [null.as_raw_fd(), out_write.as_raw_fd(), err_write.as_raw_fd()],
        };
        let pointers = |texts: &[CString]| -> Vec<*const c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        // SAFETY: the child only makes async-signal-safe calls on memory prepared above, and never returns.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => unsafe { self.child(ends, &arguments, &environment) },
            pid => Ok(Forked { pid: pid as u32, gate, fault, out, err }),
        }
    }

    /// # Safety
    /// Only in a fresh child; `arguments` and `environment` end with a null pointer.
    unsafe fn child(&self, ends: ChildEnds, arguments: &[*const c_char], environment: &[*const c_char]) -> ! {
        // SAFETY: only async-signal-safe calls, on descriptors and memory that outlive them.
        unsafe {
            wait_at_gate(ends);
            libc::setsid();
            reset_signals();
            for (wanted, fd) in ends.streams.into_iter().enumerate() {
                if libc::dup2(fd, wanted as RawFd) < 0 {
                    fail(ends.fault, Step::Fork);
                }
            }
            libc::umask(UMASK);
            if let Some((uid, gid, groups)) = &self.account
                && (libc::setgroups(groups.len(), groups.as_ptr()) != 0
                    || libc::setresgid(*gid, *gid, *gid) != 0
                    || libc::setresuid(*uid, *uid, *uid) != 0)
            {
                fail(ends.fault, Step::Account);
            }
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
                fail(ends.fault, Step::Fork);
            }
            if libc::chdir(self.folder.as_ptr()) != 0 {
                fail(ends.fault, Step::Folder);
            }
            self.exec(ends.fault, arguments, environment)
        }
    }

    /// Tries each candidate as `execvp` would: a file that may not be run is remembered, one that is absent
    /// is not.
    unsafe fn exec(&self, fault: RawFd, arguments: &[*const c_char], environment: &[*const c_char]) -> ! {
        let mut errno = libc::ENOENT;
        for candidate in &self.candidates {
            // SAFETY: both lists end with a null pointer; errno is this thread's own.
            let answer = unsafe {
                libc::execve(candidate.as_ptr(), arguments.as_ptr(), environment.as_ptr());
                *libc::__errno_location()
            };
            match answer {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => errno = answer,
                _ => {
                    errno = answer;
                    break;
                }
            }
        }
        // SAFETY: as in `child`.
        unsafe {
            *libc::__errno_location() = errno;
            fail(fault, Step::Exec)
        }
    }
}

/// The parent writes a byte once this process is recorded. When the parent dies first, nothing may run
/// that no record knows of.
unsafe fn wait_at_gate(ends: ChildEnds) {
    // SAFETY: closing our copy of the parent's end and reading one byte into a local.
    unsafe {
        libc::close(ends.gate_of_parent);
        let mut byte = 0u8;
        loop {
            match libc::read(ends.gate, (&raw mut byte).cast(), 1) {
                1 => return,
                -1 if *libc::__errno_location() == libc::EINTR => {}
                _ => libc::_exit(126),
            }
        }
    }
}

unsafe fn reset_signals() {
    // SAFETY: an all-zero kernel structure means the default action; numbers that may not be set only fail.
    unsafe {
        // Past the C library, which would keep two signals for itself and pass on that our starter ignored
        // them.
        let default = [0_u64; 8];
        for signal in 1..=SIGNALS {
            let no_old = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), no_old, SIGNALS / 8);
        }
    }
    let _ = crate::sys::unblock_signals();
}

unsafe fn fail(fault: RawFd, step: Step) -> ! {
    // SAFETY: writes a local array and ends the process.
    unsafe {
        let errno = (*libc::__errno_location()).to_ne_bytes();
        let message = [fault_code(step), errno[0], errno[1], errno[2], errno[3]];
        libc::write(fault, message.as_ptr().cast(), FAULT_BYTES);
        libc::_exit(127)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_back_and_anything_else_is_none() {
        for step in [Step::Fork, Step::Account, Step::Folder, Step::Exec] {
            let mut bytes = vec![fault_code(step)];
            bytes.extend_from_slice(&libc::EACCES.to_ne_bytes());
            assert_eq!(Fault::parse(&bytes), Some(Fault { step, errno: libc::EACCES }));
        }
        assert_eq!(Fault::parse(&[]), None);
        assert_eq!(Fault::parse(&[99, 0, 0, 0, 0]), None);
    }

    #[test]
    fn the_environment_is_what_was_given_and_our_marks_win() {
        let env = [("A", "1"), ("HAUS_RUN_ID", "forged")].map(|(name, value)| (name.into(), value.into()));
        let spec = SpawnSpec {
            key: "api/1".into(),
            argv: vec!["sh".into()],
            env: env.into(),
            ..SpawnSpec::default()
        };
        let Ok(plan) = Plan::new(&spec, "mark", None) else { panic!("no plan") };
        let expected = [c"A=1", c"HAUS_INSTANCE=api/1", c"HAUS_RUN_ID=mark"].map(CString::from);
        assert_eq!(plan.environment, expected);
        assert_eq!(plan.candidates[1], CString::from(c"/usr/bin/sh"));
    }
}
