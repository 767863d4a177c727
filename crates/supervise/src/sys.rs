//! The system calls that no safe wrapper offers, each as one safe function.
//! It holds no decisions; forking lives in `spawn/fork.rs`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::wire::ExitKind;

/// Signals the parent reads from its descriptor instead of being interrupted by them.
const HANDLED: [i32; 5] = [libc::SIGCHLD, libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

fn outcome(code: i32) -> io::Result<i32> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(code) }
}

/// Signals as readable events.
pub(crate) struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks the handled signals in this thread and opens a descriptor for them.
    pub(crate) fn open() -> io::Result<SignalFd> {
        // SAFETY: the set is initialised by sigemptyset before use, and the descriptor is ours alone.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in HANDLED {
                libc::sigaddset(&mut set, signal);
            }
            outcome(-libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()))?;
            let fd = outcome(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
            Ok(SignalFd(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// The next signal, `None` when none is waiting.
    pub(crate) fn next_signal(&self) -> Option<i32> {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most SIZE bytes into a plain structure of that size.
        unsafe {
            let mut info: libc::signalfd_siginfo = std::mem::zeroed();
            let read = libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), SIZE);
            (read == SIZE as isize).then_some(info.ssi_signo as i32)
        }
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

/// A child that has ended but still keeps its pid, since nobody has reaped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) pid: u32,
    pub(crate) exit: ExitKind,
}

/// Looks at the next ended child without reaping it.
pub(crate) fn peek_ended() -> Option<Ended> {
    peek(libc::P_ALL, 0)
}

/// Looks whether this child has ended without reaping it.
pub(crate) fn peek_ended_child(pid: u32) -> Option<Ended> {
    peek(libc::P_PID, pid)
}

fn peek(which: libc::idtype_t, pid: u32) -> Option<Ended> {
    // SAFETY: siginfo_t is plain data; si_pid and si_status are valid for what waitid reports.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(which, pid, &mut info, options) != 0 || info.si_pid() == 0 {
            return None;
        }
        let exit = match info.si_code {
            libc::CLD_EXITED => ExitKind::Code(info.si_status()),
            _ => ExitKind::Signal(info.si_status()),
        };
        Some(Ended { pid: info.si_pid() as u32, exit })
    }
}

/// Frees the pid of a child that has ended.
pub(crate) fn reap(pid: u32) {
    // SAFETY: no pointer is kept; waiting for a pid that is not our child only fails.
    unsafe {
        libc::waitpid(pid as libc::pid_t, std::ptr::null_mut(), libc::WNOHANG);
    }
}

/// Whether this process has any child, ended or not.
pub(crate) fn has_children() -> bool {
    // SAFETY: siginfo_t is plain data.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) == 0
    }
}

/// Signals a whole process group; false when there is none.
pub(crate) fn signal_group(leader_pid: u32, signal: i32) -> bool {
    let group = libc::pid_t::try_from(leader_pid).unwrap_or(0);
    // kill(-1) and kill(0) would reach far more than one service.
    // SAFETY: kill has no memory effects.
    group > 1 && unsafe { libc::kill(-group, signal) } == 0
}

/// Signals one child of ours that is not reaped yet, whose number is therefore still its own.
pub(crate) fn signal_child(pid: u32, signal: i32) -> io::Result<()> {
    // kill(-1) and kill(0) would reach far more than one process.
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 1).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: kill has no memory effects.
    outcome(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Signals a process through a descriptor that `is_meant` has been asked about after it was opened,
/// so that a pid which changed hands in between is never hit.
pub(crate) fn signal_if(pid: u32, signal: i32, is_meant: impl FnOnce() -> bool) {
    // SAFETY: both calls take numbers only, and the descriptor returned is ours alone.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0);
        if fd >= 0 {
            let fd = OwnedFd::from_raw_fd(fd as RawFd);
            if is_meant() {
                let no_info = std::ptr::null::<libc::siginfo_t>();
                libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, no_info, 0);
            }
        } else if io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) && is_meant() {
            // Kernels before 5.3 leave a window of microseconds; checking directly before is the best they
            // offer.
            libc::kill(pid as libc::pid_t, signal);
        }
    }
}

/// Keeps descriptors that our own starter left open from reaching any child.
pub(crate) fn close_inherited_on_exec() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        if fd > 2 {
            // SAFETY: only the flag of a descriptor changes; a closed number only fails.
            unsafe {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
    Ok(())
}

/// Adopts the orphans of our children, so that nothing a service started can slip away to pid 1.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: prctl with numbers only.
    outcome(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Bytes written to a stream that the other side has not read, 0 when the kernel does not tell.
pub(crate) fn unread_bytes(fd: RawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one integer.
    let answer = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    if answer == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// Whether the other side of a socket has closed, also when something that it sent is still to be read.
///
/// Asking by `recv` would not do: a peer that had not read everything shows as an error once, and what it
/// had sent before hides its end.
pub(crate) fn is_closed_by_peer(fd: RawFd) -> bool {
    let mut asked = libc::pollfd { fd, events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one structure is given, and it is a local.
    unsafe { libc::poll(&raw mut asked, 1, 0) > 0 }
}

/// Lets a descriptor through the next exec, or keeps it from it.
pub(crate) fn set_close_on_exec(fd: RawFd, close: bool) -> io::Result<()> {
    let flags = if close { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: only the flag of a descriptor changes.
    outcome(unsafe { libc::fcntl(fd, libc::F_SETFD, flags) }).map(drop)
}

/// In a child before exec: takes back what [`SignalFd::open`] blocked, which exec would pass on.
/// Async-signal-safe.
pub(crate) fn unblock_signals() -> io::Result<()> {
    // SAFETY: the set is initialised by sigemptyset before use.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        outcome(libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut())).map(drop)
    }
}

/// Whether the process leads its session. The kernel answers 0 for a session that was begun outside our pid
/// namespace (a container, a sandbox): such a process leads none that we made.
pub(crate) fn leads_session(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: getsid with a number only.
    pid > 0 && unsafe { libc::getsid(pid) } == pid
}

/// In a child before exec: die when the parent dies. Async-signal-safe.
pub(crate) fn die_with_parent(parent_pid: u32) -> io::Result<()> {
    // SAFETY: prctl and getppid with numbers only.
    unsafe {
        outcome(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
        // The parent may have died before the request was in place.
        if libc::getppid() as u32 != parent_pid {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_the_other_side_has_not_read_is_known_until_it_closes() {
        let (mut ours, mut theirs) = UnixStream::pair().expect("pair");
        assert_eq!(unread_bytes(ours.as_raw_fd()), 0);
        ours.write_all(b"report").expect("writes");
        assert!(unread_bytes(ours.as_raw_fd()) > 0);
        theirs.read_exact(&mut [0; 6]).expect("reads");
        assert_eq!(unread_bytes(ours.as_raw_fd()), 0);
        assert!(!is_closed_by_peer(ours.as_raw_fd()));
        (&theirs).write_all(b"order").expect("writes");
        assert!(!is_closed_by_peer(ours.as_raw_fd()));
        drop(theirs);
        assert!(is_closed_by_peer(ours.as_raw_fd()));
    }

    #[test]
    fn a_peer_that_closes_without_having_read_is_closed() {
        let (mut ours, theirs) = UnixStream::pair().expect("pair");
        ours.write_all(b"report").expect("writes");
        drop(theirs);
        for _ in 0..2 {
            assert!(is_closed_by_peer(ours.as_raw_fd()));
        }
    }

    #[test]
    fn only_the_first_process_of_a_session_leads_it() {
        use std::os::unix::process::CommandExt;
        let mut follower =
            std::process::Command::new("sleep").arg("60").process_group(0).spawn().expect("starts");
        assert!(!leads_session(follower.id()));
        follower.kill().expect("ends");
        follower.wait().expect("waits");
        assert!(!leads_session(follower.id()), "nobody is there any more");
        assert!(!leads_session(0));
    }

    #[test]
    fn a_signal_is_withheld_when_the_pid_is_not_the_one_meant() {
        let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().expect("sleep starts");
        signal_if(sleeper.id(), libc::SIGKILL, || false);
        assert!(sleeper.try_wait().expect("waits").is_none());
        signal_if(sleeper.id(), libc::SIGKILL, || true);
        assert!(!sleeper.wait().expect("waits").success());
    }
}
