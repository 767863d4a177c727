//! Which packages can leave again without taking with them what did not come with them: somebody may have
//! installed something since then that needs them. Asks apt, and changes nothing.

use super::joined;
use crate::refusal::Result;
use haus_model::argv;
use std::collections::BTreeSet;

/// Which of our packages leave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    /// They take nobody with them.
    pub(super) go: BTreeSet<String>,
    /// What is said about those that stay.
    pub(super) why_not_all: Option<String>,
}

/// Asks for all of them; when that would take others, for those that the others do not need.
pub(super) fn decide(ours: &BTreeSet<String>, ask: &dyn Fn(&[String]) -> Result<String>) -> Result<Leaving> {
    let others = taken_along(ours, ask)?;
    if others.is_empty() {
        return Ok(Leaving { go: ours.clone(), why_not_all: None });
    }
    let needed = reached(&ask(&everything_needed(&others))?);
    let mut go: BTreeSet<String> = ours.difference(&needed).cloned().collect();
    // They may be needed by a name that only stands for them.
    if !taken_along(&go, ask)?.is_empty() {
        go.clear();
    }
    let stay: BTreeSet<String> = ours.difference(&go).cloned().collect();
    let why = "came otherwise and would have to go with them";
    Ok(Leaving {
        go,
        why_not_all: Some(format!("{} stay installed: {} {why}", joined(&stay), joined(&others))),
    })
}

/// What apt would remove together with these.
fn taken_along(
    ours: &BTreeSet<String>,
    ask: &dyn Fn(&[String]) -> Result<String>,
) -> Result<BTreeSet<String>> {
    if ours.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut argv = argv::apt_remove(ours);
    argv.insert(1, "--simulate".to_owned());
    Ok(removed(&ask(&argv)?).difference(ours).cloned().collect())
}

fn everything_needed(names: &BTreeSet<String>) -> Vec<String> {
    let words = ["apt-cache", "depends", "--recurse", "--important", "--installed", "--"].map(str::to_owned);
    words.into_iter().chain(names.iter().cloned()).collect()
}

/// The packages that a simulation of apt removes: `Remv NAME [VERSION]`.
fn removed(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter_map(|line| line.strip_prefix("Remv ")?.split(' ').next());
    names.map(str::to_owned).collect()
}

/// The packages that `apt-cache depends` came by: a line without indent each, above what it needs.
fn reached(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| !line.starts_with(' ')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// apt gives these answers, one after the other.
    fn check(answers: &[&str], go: &[&str], why: Option<&str>) {
        let left = RefCell::new(answers.iter());
        let ask = |_: &[String]| Ok((*left.borrow_mut().next().expect("one question more")).to_owned());
        let leaving = decide(&set(&["shop-app", "shop-data", "shop-lib"]), &ask).expect("is decided");
        assert_eq!(leaving, Leaving { go: set(go), why_not_all: why.map(str::to_owned) });
        assert_eq!(left.borrow().len(), 0, "all was asked");
    }

    // As apt 2.6 says it.
    const OURS_ALONE: &str = "Reading package lists...
Building dependency tree...
The following packages will be REMOVED:
  shop-app shop-data shop-lib
0 upgraded, 0 newly installed, 3 to remove and 0 not upgraded.
Remv shop-app [1]
Remv shop-data [1]
Remv shop-lib [1]
";
    const WITH_OTHERS: &str = "Reading package lists...
Building dependency tree...
The following packages will be REMOVED:
  shop-app shop-data shop-lib shop-top shop-user
0 upgraded, 0 newly installed, 5 to remove and 0 not upgraded.
Remv shop-app [1]
Remv shop-data [1]
Remv shop-top [1]
Remv shop-user [1]
Remv shop-lib [1]
";
    const NEEDED: &str = "shop-user
  Depends: shop-lib
shop-top
  Depends: shop-user
shop-lib
";
    const WITHOUT_THE_NEEDED: &str = "Remv shop-app [1]\nRemv shop-data [1]\n";

    #[test]
    fn all_go_when_nobody_else_needs_them() {
        check(&[OURS_ALONE], &["shop-app", "shop-data", "shop-lib"], None);
    }

    #[test]
    fn what_others_need_stays_and_the_others_are_named() {
        let why = "shop-lib stay installed: shop-top shop-user came otherwise and would have to go with them";
        check(&[WITH_OTHERS, NEEDED, WITHOUT_THE_NEEDED], &["shop-app", "shop-data"], Some(why));
    }

    #[test]
    fn all_stay_when_it_does_not_show_what_others_need() {
        let why = "shop-app shop-data shop-lib stay installed: shop-top shop-user came otherwise and would have to go with them";
        check(&[WITH_OTHERS, "shop-user\nshop-top\n", WITH_OTHERS], &[], Some(why));
    }
}
