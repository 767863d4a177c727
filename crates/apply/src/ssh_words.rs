//! What OpenSSH's `ssh` says when it does not reach a host. Texts in, meaning out; checked against what the
//! program of Debian 12 and 13 prints.

use crate::shown::shown;

/// What ssh meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// No key of the host is known.
    KeyUnknown,
    /// No key of a jump host is known.
    KeyUnknownOnTheWay,
    /// Another key is known.
    KeyChanged {
        /// Of the key that it shows.
        fingerprint: String,
        /// File and line of the known one.
        offending: String,
    },
    /// The login was refused.
    Refused,
    /// The host accepted the connection and said nothing.
    Silent,
    /// There is no connection.
    Unreachable,
    /// The configuration on this machine is wrong.
    Configuration,
}

/// None when these are not words of ssh.
pub(crate) fn understand(errors: &str) -> Option<Words> {
    let has = |words: &[&str]| words.iter().any(|word| errors.contains(word));
    if has(&["REMOTE HOST IDENTIFICATION HAS CHANGED", "DIFFERS from the key for the IP address"]) {
        return Some(changed(errors));
    }
    // The ssh of a jump host ended, and ours had no connection of its own yet.
    if has(&["Host key verification failed"]) && has(&["by UNKNOWN port"]) {
        return Some(Words::KeyUnknownOnTheWay);
    }
    if has(&["Host key verification failed", "host key is known for"]) {
        return Some(Words::KeyUnknown);
    }
    if has(&[
        "Permission denied (",
        "Too many authentication failures",
        "This account is currently not available",
        "This account is not available",
        "no more authentication methods",
    ]) {
        return Some(Words::Refused);
    }
    if has(&["Connection timed out during banner exchange", "Timeout, server", "not responding"]) {
        return Some(Words::Silent);
    }
    if has(&[
        "Bad configuration option",
        "terminating, ",
        "Can't open user config file",
        "Bad owner or permissions",
        "unknown option",
    ]) {
        return Some(Words::Configuration);
    }
    let unreachable = has(&[
        "ssh: connect to host",
        "Could not resolve hostname",
        "kex_exchange_identification",
        "banner exchange",
        "Connection closed by",
        "Connection reset by",
        "Connection to ",
        "Unable to negotiate",
        "no matching host key type",
        "stdio forwarding failed",
        "Broken pipe",
        "ssh_dispatch_run_fatal",
    ]);
    unreachable.then_some(Words::Unreachable)
}

fn changed(errors: &str) -> Words {
    let fingerprint = errors.split_whitespace().find(|word| word.starts_with("SHA256:"));
    // Offending ED25519 key in /home/anna/.ssh/known_hosts:7
    let offending = errors
        .lines()
        .filter(|line| line.starts_with("Offending "))
        .find_map(|line| line.split_once(" in ").map(|(_, place)| place.trim()));
    Words::KeyChanged {
        fingerprint: shown(fingerprint.unwrap_or("another key").trim_end_matches('.')),
        offending: shown(offending.unwrap_or("the known hosts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(errors: &str, expected: Option<Words>) {
        assert_eq!(understand(errors), expected, "{errors}");
    }

    #[test]
    fn a_changed_key_names_its_fingerprint_and_the_old_line() {
        let errors = "@@@@@@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n@@@@@@@@@@@\r\n\
            IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r\n\
            The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\r\n\
            Please contact your system administrator.\r\nAdd correct host key in /h/known_hosts to get rid of this message.\r\n\
            Offending ED25519 key in /h/known_hosts:7\r\nHost key for web has changed and you have requested strict checking.\r\n\
            Host key verification failed.\r\n";
        let (fingerprint, offending) = ("SHA256:abc".to_owned(), "/h/known_hosts:7".to_owned());
        check(errors, Some(Words::KeyChanged { fingerprint, offending }));
    }

    #[test]
    fn each_failure_has_its_meaning() {
        check(
            "No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking.\r\n\
             Host key verification failed.\r\n",
            Some(Words::KeyUnknown),
        );
        check(
            "Host key verification failed.\r\nkex_exchange_identification: Connection closed by remote host\r\n\
             Connection closed by UNKNOWN port 65535\r\n",
            Some(Words::KeyUnknownOnTheWay),
        );
        check("deploy@web: Permission denied (publickey).\r\n", Some(Words::Refused));
        check(
            "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\r\n",
            Some(Words::Refused),
        );
        check("ssh: connect to host web port 22: Connection refused\r\n", Some(Words::Unreachable));
        check("ssh: connect to host web port 22: Connection timed out\r\n", Some(Words::Unreachable));
        check("ssh: Could not resolve hostname web: Name or service not known\r\n", Some(Words::Unreachable));
        check("kex_exchange_identification: read: Connection reset by peer\r\n", Some(Words::Unreachable));
        check(
            "Connection timed out during banner exchange\r\nConnection to 1.2.3.4 port 22 timed out\r\n",
            Some(Words::Silent),
        );
        check("Timeout, server web not responding.\r\n", Some(Words::Silent));
        check(
            "/h/config: line 3: Bad configuration option: hots\r\n/h/config: terminating, 1 bad configuration options\r\n",
            Some(Words::Configuration),
        );
    }

    #[test]
    fn words_of_a_program_on_the_host_are_none_of_ssh() {
        check("sudo: a password is required\n", None);
        check("", None);
    }
}
