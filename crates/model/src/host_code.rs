//! Codes of findings about hosts: what planning and applying can find wrong there.
//!
//! `HH01xx` are found by comparing plan and host, `HH02xx` on the way to a host or while it changes. They
//! stand here because both sides report them and neither knows the other; every code has its page under
//! `docs/findings/`.

use crate::finding::{Finding, Severity};

macro_rules! codes {
    ($($name:ident $code:literal $severity:ident $title:literal;)*) => {
        /// What is wrong with a host.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum HostCode { $(#[doc = $title] $name),* }

        impl HostCode {
            /// All of them, in order.
            pub const ALL: &'static [HostCode] = &[$(HostCode::$name),*];

            /// Such as `HH0101`.
            pub fn code(self) -> &'static str {
                match self { $(HostCode::$name => $code),* }
            }

            /// How much it matters.
            pub fn severity(self) -> Severity {
                match self { $(HostCode::$name => Severity::$severity),* }
            }

            /// The page about it: what it means, an example, why it matters and what to do.
            pub fn page(self) -> &'static str {
                match self {
                    $(HostCode::$name => include_str!(concat!("../../../docs/findings/", $code, ".md"))),*
                }
            }

            /// One line without the particulars.
            pub fn title(self) -> &'static str {
                match self { $(HostCode::$name => $title),* }
            }
        }
    };
}

codes! {
    DataInPlaceOfLink "HH0101" Error "data stands where a link belongs";
    OtherInPlace "HH0102" Error "something else stands in the place of a resource";
    PackageUnknown "HH0103" Error "the host's package sources do not have a package";
    ReferenceMissing "HH0104" Error "a tag, branch or commit is not in the repository";
    PortTaken "HH0105" Error "somebody else listens on a port of a service";
    WrongSystem "HH0106" Error "the host runs another operating system than the plan says";
    WrongArchitecture "HH0107" Error "the host has another architecture than the plan says";
    NoSpace "HH0108" Error "the host has not enough free space";
    ClockSkew "HH0109" Error "the host's clock is wrong";
    NotObserved "HH0110" Error "a part of the host could not be looked at";
    NoSystemd "HH0111" Error "the host does not run systemd";
    LockOut "HH0112" Error "the change would lock us out";
    NotRoot "HH0113" Error "the account on the host has not the rights that the plan needs";
    NotObservedYet "HH0114" Note "it shows only during the apply what is there";
    InputMissing "HH0115" Error "something that the plan names is not there to be carried to the host";
    Kept "HH0116" Note "something of ours stays on the host";
    HostKeyChanged "HH0201" Error "the host shows another key than the known one";
    HostKeyUnknown "HH0202" Error "the host's key is not known";
    Unreachable "HH0203" Error "the host cannot be reached";
    LoginRefused "HH0204" Error "the host refuses the login";
    NoSudo "HH0205" Error "sudo does not work on the host";
    Hangs "HH0206" Error "the host does not answer in time";
    NoProgram "HH0207" Error "there is no haus-remote for the host's architecture";
    CopyFailed "HH0208" Error "haus-remote could not be put on the host";
    LockUnreadable "HH0209" Error "the lock file on the host cannot be read";
    Locked "HH0210" Error "somebody else is changing the host";
    Moved "HH0211" Error "the host is no longer what it was when the plan was made";
    PackagesUnreachable "HH0212" Error "the package mirror cannot be reached";
    ActFailed "HH0213" Error "a change failed on the host";
    NotProven "HH0214" Error "what was changed does not work";
    Protocol "HH0215" Error "the program on the host speaks another protocol";
    LinkLost "HH0216" Error "the connection to the host was lost";
    NotConfirmed "HH0217" Error "a guarded change was not confirmed and took itself back";
}

impl HostCode {
    /// A finding with this code and no place in a file. `subject` is such as `host web`.
    pub fn finding(
        self,
        subject: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding {
            code: self.code().to_owned(),
            severity: self.severity(),
            subject: subject.into(),
            message: message.into(),
            place: None,
            label: String::new(),
            related: Vec::new(),
            remedy: remedy.into(),
            accepted: None,
            stages: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        let codes: Vec<&str> = HostCode::ALL.iter().map(|code| code.code()).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
    }
}
