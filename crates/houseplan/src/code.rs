//! The table of finding codes: what each is called, how much it matters, whether a plan may accept it.
//!
//! A code never changes its meaning; one that is given up is not used again.

use haus_model::Severity;

/// One row of the table of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// Such as `HP0012`.
    pub code: &'static str,
    /// How much a finding with this code matters when nobody accepted it.
    pub severity: Severity,
    /// One line without the particulars.
    pub title: &'static str,
    /// Whether `accept:` may turn it into a note. Warnings may; of the errors only those that rest on a
    /// guess.
    pub acceptable: bool,
}

macro_rules! codes {
    ($($name:ident $code:literal $severity:ident $acceptable:literal $title:literal;)*) => {
        /// A finding code. Sorted like its number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Code { $($name),* }

        static TABLE: &[CodeInfo] = &[$(CodeInfo {
            code: $code,
            severity: Severity::$severity,
            title: $title,
            acceptable: $acceptable,
        }),*];

        static PAGES: &[&str] = &[$(include_str!(concat!("../../../docs/findings/", $code, ".md"))),*];
    };
}

codes! {
    // 00xx: reading, YAML, shape
    Unreadable "HP0001" Error false "a file of the plan cannot be read";
    TooLarge "HP0002" Error false "a file is larger than 64 MiB";
    NotUtf8 "HP0003" Error false "a file is not UTF-8";
    Syntax "HP0004" Error false "the YAML cannot be read";
    Tab "HP0005" Error false "a tab where only spaces may stand";
    Empty "HP0006" Error false "the file holds no plan";
    Documents "HP0007" Error false "more than one document in a file";
    DuplicateKey "HP0008" Error false "the same key twice";
    Budget "HP0009" Error false "too many or too deeply nested values";
    MergeKey "HP0010" Error false "merge keys are not supported";
    Tag "HP0011" Error false "a tag that YAML's core schema does not have";
    UnknownKey "HP0012" Error false "unknown key";
    WrongKind "HP0013" Error false "the wrong kind of value";
    MissingKey "HP0014" Error false "a key is missing";
    Unit "HP0015" Error false "a quantity without a known unit";
    Choice "HP0016" Error false "not one of the possible words";
    Reserved "HP0017" Error false "a word of a later release";
    Range "HP0018" Error false "a number out of its range";
    Name "HP0019" Error false "not a valid name";
    Version "HP0020" Error false "an unknown format version";
    Together "HP0021" Error false "keys that exclude or need each other";
    Form "HP0022" Error false "a text that is not written as it must be";
    IncludeTwice "HP0023" Error false "a file included twice or in a circle";
    Escape "HP0024" Error false "a path that leaves its folder";
    AcceptIdle "HP0025" Warning false "an acceptance that accepts nothing";
    AcceptReason "HP0026" Error false "an acceptance without a reason";
    AcceptRefused "HP0027" Error false "a finding that cannot be accepted";
    TwoHomes "HP0028" Error false "the same thing said in two files";
    // 01xx: services and references
    NeedUnknown "HP0101" Error false "a service needs one that does not exist";
    NeedCycle "HP0102" Error false "services that need each other in a circle";
    Variable "HP0103" Error false "an unknown variable";
    NotNeeded "HP0104" Error false "a variable of a service that is not in `needs`";
    NoHealth "HP0105" Warning true "a service without a health check";
    NoLimits "HP0106" Note true "a service without limits";
    NeedTwice "HP0107" Warning true "the same service needed twice";
    PortTwice "HP0108" Error false "a port claimed twice";
    PortInstances "HP0109" Error false "a fixed port for several instances";
    PortPrivileged "HP0110" Warning true "a port below 1024";
    PortRange "HP0111" Error false "not a port";
    NoServices "HP0112" Error false "a house without services";
    HealthRhythm "HP0113" Error false "a probe that may take longer than the time to the next";
    Localhost "HP0114" Note true "`localhost` can mean two addresses";
    RollingAlone "HP0115" Note true "a rolling change of one instance";
    HoldMany "HP0116" Warning true "`hold` with several instances";
    PortUnknown "HP0117" Error false "a port that the service does not have";
    CoordinatorTwice "HP0118" Error false "two entries for Hausmeister's own API";
    ShellSyntax "HP0119" Warning true "shell syntax where no shell runs";
    EnvReserved "HP0120" Warning true "an environment variable that only Hausmeister sets";
    EnvOverride "HP0121" Note true "an environment variable that Hausmeister would set";
    RecoverPauses "HP0122" Error false "a longest pause that is shorter than the first";
    NoRegistry "HP0123" Warning true "a service that registers itself where no API listens";
    // 02xx: routes
    RouteNowhere "HP0201" Error false "a route to a service that does not exist";
    RoutePort "HP0202" Error false "a route to a port that does not exist";
    RouteTwice "HP0203" Error false "a host and path claimed twice";
    RouteHost "HP0204" Error false "not a host name";
    RouteStrip "HP0205" Warning true "a prefix that is never stripped";
    // 03xx: credentials and exposure
    LiteralSecret "HP0301" Error true "a literal secret in the plan";
    UrlPassword "HP0302" Error false "a password in an address";
    WordPassword "HP0303" Error true "a password in a command";
    CredentialUnknown "HP0304" Error false "an unknown credential";
    CredentialUnused "HP0305" Warning true "a credential that nobody uses";
    CredentialScope "HP0306" Error false "a credential used outside its scope";
    ScopeUnknown "HP0307" Error false "a scope that names no service";
    CredentialInside "HP0308" Warning true "a credential file inside the plan's folder";
    Exposed "HP0309" Warning true "a listener on all interfaces";
    CredentialValue "HP0310" Error false "the value of a credential in the plan";
    RotateReason "HP0311" Warning true "a credential that never changes, without a reason";
    ForeignAccount "HP0312" Warning true "an account that is not the service's own";
    RotateFile "HP0313" Warning true "a rotation of a file that the user keeps";
    RotatorServer "HP0314" Error false "a rotator whose server cannot be told";
    RotatorTwice "HP0315" Error false "one login that two credentials change";
    Overlap "HP0316" Error false "an overlap that cannot be kept";
    TtlShort "HP0317" Warning true "a credential that ends before it is changed";
    RotateUntold "HP0318" Warning true "a rotation that the server is not told of";
    RotatorRestart "HP0319" Note true "a server that is restarted although its rotator tells it";
    // 04xx: data
    NoBackup "HP0401" Note true "data that nothing backs up";
    LinkInLink "HP0402" Error false "a data link inside another";
    LinkShared "HP0403" Error false "one data link for two instances or services";
    // 05xx: alerts and maintenance
    NoReceiver "HP0501" Note true "alerts that nobody is told";
    OpenWebhook "HP0502" Warning true "a webhook that anybody on the way can forge";
    OpenPassword "HP0503" Warning true "a password that travels in the clear";
    AlertService "HP0504" Error false "an alert or a maintenance of a service that does not exist";
    MaintenanceEndless "HP0505" Warning true "a maintenance that never ends";
    // 06xx: hosts, networks and what runs there
    HostUnknown "HP0601" Error false "a host that does not exist";
    GroupUnknown "HP0602" Error false "a group that does not exist";
    NetworkUnknown "HP0603" Error false "a network that does not exist";
    OnMissing "HP0604" Error false "a unit of systemd without a host";
    OnForm "HP0605" Error false "a service on a host that does not say in which form";
    BuildSource "HP0606" Error false "a build without a source";
    HostRoad "HP0607" Error false "a host that nothing says how to reach";
    AddressOutside "HP0608" Error false "an address outside of its network";
    AddressTwice "HP0609" Error false "one address for two hosts";
    NetworkOverlap "HP0610" Error false "networks that overlap";
    SameMachine "HP0611" Error false "two hosts that are one machine";
    Unreachable "HP0612" Error false "a service that cannot be reached from where it is needed";
    FirewallCloses "HP0613" Error false "a firewall that closes a needed port";
    FirewallLocksOut "HP0614" Error false "a firewall that locks us out";
    SshPasswords "HP0615" Warning true "passwords are accepted over SSH";
    SshRoot "HP0616" Warning true "root may log in over SSH";
    SshLocksOut "HP0617" Error false "SSH settings that lock us out";
    AccountKeys "HP0618" Warning true "an account without keys that we connect as";
    OurPath "HP0619" Error false "a path that belongs to Hausmeister";
    PathTwice "HP0620" Error false "two things in one place on a host";
    HoldInstalls "HP0621" Warning true "a package that is both wanted and held";
    PrivateKey "HP0622" Error false "a private key where none belongs";
    OpenSecret "HP0623" Warning true "a secret that everybody on the host can read";
    OverlapInstances "HP0624" Error false "several instances of what may run only once";
    EndsHealth "HP0625" Error false "a health check of something that ends";
    StepAlways "HP0626" Note true "a step that nothing tells is done";
    FileUnreadable "HP0627" Error false "a file for a host that cannot be read";
    FilesElsewhere "HP0628" Warning true "files of a service that are not where the gateway is";
    FolderNowhere "HP0629" Error false "a working folder that nothing puts on the host";
    GroupUnused "HP0630" Warning true "a group without hosts";
    MadeTwice "HP0631" Error false "a credential that would be made twice";
}

impl Code {
    pub(crate) fn info(self) -> &'static CodeInfo {
        &TABLE[self as usize]
    }

    pub(crate) fn severity(self) -> Severity {
        self.info().severity
    }
}

/// Every code that a check can report, in order.
pub fn codes() -> &'static [CodeInfo] {
    TABLE
}

pub(crate) fn info(code: &str) -> Option<&'static CodeInfo> {
    TABLE.iter().find(|info| info.code == code)
}

/// The page about a code: what it means, an example, why it matters and what to do.
pub fn explain(code: &str) -> Option<&'static str> {
    let index = TABLE.iter().position(|info| info.code.eq_ignore_ascii_case(code.trim()))?;
    Some(PAGES[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_unique() {
        assert!(TABLE.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn every_page_opens_with_its_code_and_title() {
        for info in codes() {
            let page = explain(info.code).unwrap();
            let heading = format!("# {}: {}\n", info.code, info.title);
            assert!(page.starts_with(&heading), "the page of {} must open with {heading:?}", info.code);
        }
    }

    #[test]
    fn a_page_is_found_however_the_code_is_written() {
        assert_eq!(explain("hp0012"), explain("HP0012"));
        assert_eq!(explain("HP9999"), None);
    }
}
