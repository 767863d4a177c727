//! The anchor of the trail: its head, signed and kept beside the database, so that a tail that was cut off or
//! a database that was put back is noticed.
//!
//! Threat: somebody who can write to the database, and not to the key ring, cuts or rewrites the trail. The
//! anchor is signed with a key that is derived from the key ring, so it cannot be made anew for another head.
//! It does not help against somebody who has the key ring, or who puts the database and the anchor back
//! together: a copy elsewhere does.

use crate::clock::Clock;
use crate::durable;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use haus_model::{HouseName, Secret};
use haus_store::{Ledger, TrailQuery};
use haus_trail::{Anchor, Head, SignedAnchor};
use haus_vault::{KeyId, KeyRing};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the signing key is derived from the key ring for.
const PURPOSE: &str = "trail anchor";

/// Entries after which a new anchor is made at once.
const ENTRIES_MAX: u64 = 1_000;

/// The longest that an entry waits for its anchor.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How far the trail has come, told by whoever writes it.
#[derive(Default)]
pub(crate) struct Pulse {
    beat: Mutex<Beat>,
    changed: Condvar,
    /// The anchor is written by one at a time.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Beat {
    /// The last entry that is known.
    seq: u64,
    /// The last entry that is anchored.
    anchored: u64,
    closed: bool,
}

impl Pulse {
    /// The trail has come to this entry. Returns at once.
    pub(crate) fn tell(&self, seq: u64) {
        let mut beat = self.beat();
        let before = beat.seq;
        beat.seq = beat.seq.max(seq);
        let first = before <= beat.anchored && beat.seq > beat.anchored;
        let many = beat.seq.saturating_sub(beat.anchored) >= ENTRIES_MAX;
        drop(beat);
        if first || many {
            self.changed.notify_all();
        }
    }

    /// Lets the keeper make a last anchor and end.
    pub(crate) fn close(&self) {
        self.beat().closed = true;
        self.changed.notify_all();
    }

    fn beat(&self) -> MutexGuard<'_, Beat> {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until an anchor is due; false when none will be any more.
    fn wait(&self) -> bool {
        let mut beat = self.beat();
        while !beat.closed && beat.seq <= beat.anchored {
            beat = self.changed.wait(beat).unwrap_or_else(PoisonError::into_inner);
        }
        let soon = |beat: &mut Beat| !beat.closed && beat.seq - beat.anchored.min(beat.seq) < ENTRIES_MAX;
        let waited = self.changed.wait_timeout_while(beat, WAIT_MAX, soon);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }
}

/// What keeps the anchor.
pub(crate) struct Keeper {
    /// The house.
    pub house: HouseName,
    /// Where the anchor is kept.
    pub path: PathBuf,
    /// The trail.
    pub ledger: Arc<dyn Ledger>,
    /// The key ring in force; none while the vault is closed.
    pub ring: Box<dyn Fn() -> Option<Arc<KeyRing>> + Send + Sync>,
    /// The time.
    pub clock: Clock,
    /// Who is told what is wrong.
    pub tell: Box<dyn Fn(String) + Send + Sync>,
}

/// What became of the anchor of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// There is none: a first start.
    None,
    /// The trail has its entry.
    Met,
    /// The trail does not have it, or it is no anchor of ours: in words.
    Broken(String),
}

impl Keeper {
    /// Holds the trail against the anchor of the run before.
    pub(crate) fn compare(&self) -> Former {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Former::None,
            Err(error) => {
                return Former::Broken(format!("cannot read the anchor {}: {error}", self.path.display()));
            }
        };
        let read = Anchor::from_text(&text).map_err(|error| crate::chain(&error));
        let head = read.and_then(|anchor| {
            let ring = (self.ring)();
            let check = |signed: &SignedAnchor| {
                ring.as_ref().is_some_and(|ring| ring.ids().iter().any(|id| is_ours(ring, id, signed)))
            };
            anchor.verify(&self.house, check).map_err(|error| crate::chain(&error))
        });
        match head.and_then(|head| self.find(&head)) {
            Ok(()) => Former::Met,
            Err(why) => Former::Broken(format!("{} in {}", why, self.path.display())),
        }
    }

    fn find(&self, anchored: &Head) -> Result<(), String> {
        let unreadable = |error| format!("the trail cannot be held against it: {}", crate::chain(&error));
        let start = self.ledger.trail_start().map_err(unreadable)?;
        if *anchored == start || *anchored == Head::GENESIS {
            return Ok(());
        }
        let query = TrailQuery { after: Some(anchored.seq - 1), limit: 1, ..TrailQuery::default() };
        let entries = self.ledger.trail(&query).map_err(unreadable)?;
        match entries.first() {
            Some(entry) if entry.head() == *anchored => Ok(()),
            Some(_) if anchored.seq < start.seq => Ok(()),
            Some(_) => Err(format!("entry {} of the trail is not the one that was anchored", anchored.seq)),
            None => Err(format!("the trail ends before entry {}, which was anchored", anchored.seq)),
        }
    }

    /// Keeps an anchor of the trail's present end, when there is something new.
    ///
    /// # Errors
    /// Why not, in words.
    fn keep(&self) -> Result<Head, String> {
        let head = self.ledger.trail_head().map_err(|error| crate::chain(&error))?;
        let ring = (self.ring)().ok_or("the vault has no key")?;
        let id = *ring.active();
        let pair = pair(&ring, &id).ok_or("no signing key can be derived from the key ring")?;
        let anchor = Anchor {
            house: self.house.clone(),
            head,
            at: self.clock.wall(),
            key_id: id.to_string(),
            public_key: hexadecimal(pair.public_key().as_ref()),
            signature: String::new(),
        };
        let anchor = anchor.signed(|bytes| pair.sign(bytes).as_ref().to_vec());
        durable::replace(&self.path, anchor.to_text().as_bytes(), 0o600)
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        Ok(head)
    }

    /// The same, in turn with the thread that keeps it.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn renew(&self, pulse: &Pulse) -> Result<Head, String> {
        let _turn = pulse.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.keep()
    }

    /// Moves an anchor aside that the trail does not meet, so that it stays as evidence.
    pub(crate) fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = self.path.with_file_name(format!("trail-anchor.{}.json", self.clock.wall().0));
        std::fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    /// Keeps the anchor up to date on a thread of its own, until the pulse is closed.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(self, pulse: Arc<Pulse>) -> io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new().name("anchor".to_owned()).spawn(move || {
            let mut failing = false;
            loop {
                let goes_on = pulse.wait();
                match self.renew(&pulse) {
                    Ok(head) => {
                        let mut beat = pulse.beat();
                        beat.anchored = head.seq;
                        beat.seq = beat.seq.max(head.seq);
                        failing = false;
                    }
                    Err(why) => {
                        if !std::mem::replace(&mut failing, true) {
                            (self.tell)(format!("the trail's anchor was not renewed: {why}"));
                        }
                        // Tried again with the next entry, a minute later at the latest.
                        let mut beat = pulse.beat();
                        beat.anchored = beat.seq;
                    }
                }
                if !goes_on {
                    return;
                }
            }
        })
    }
}

/// The public half of the key that anchors are signed with, in hexadecimal digits; for the record of who
/// checks them.
pub(crate) fn public_key(ring: &KeyRing) -> Option<String> {
    pair(ring, ring.active()).map(|pair| hexadecimal(pair.public_key().as_ref()))
}

fn pair(ring: &KeyRing, id: &KeyId) -> Option<Ed25519KeyPair> {
    let seed: Secret = ring.derive(id, PURPOSE)?;
    Ed25519KeyPair::from_seed_unchecked(seed.expose_bytes()).ok()
}

/// Whether this key of the ring signed it.
fn is_ours(ring: &KeyRing, id: &KeyId, signed: &SignedAnchor) -> bool {
    let Some(pair) = pair(ring, id) else { return false };
    let public = pair.public_key().as_ref();
    public == signed.public_key
        && UnparsedPublicKey::new(&ED25519, public).verify(&signed.message, &signed.signature).is_ok()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_store::{Batch, SqliteStore};
    use haus_trail::{Action, NewEntry, Outcome};
    use haus_vault::SystemEntropy;
    use tempfile::TempDir;

    struct House {
        folder: TempDir,
        ledger: Arc<dyn Ledger>,
        ring: Arc<KeyRing>,
    }

    fn house() -> House {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(SqliteStore::open(&folder.path().join("house.db")).unwrap());
        let ring = Arc::new(KeyRing::generate(&mut SystemEntropy).unwrap());
        House { folder, ledger, ring }
    }

    impl House {
        fn keeper(&self) -> Keeper {
            let ring = Arc::clone(&self.ring);
            Keeper {
                house: "test".parse().unwrap(),
                path: self.folder.path().join("trail-anchor.json"),
                ledger: Arc::clone(&self.ledger),
                ring: Box::new(move || Some(Arc::clone(&ring))),
                clock: Clock::start(),
                tell: Box::new(|text| panic!("{text}")),
            }
        }

        /// Entries that say this.
        fn write(&self, why: &str, count: usize) {
            for _ in 0..count {
                let at = Clock::start().wall();
                let entry = NewEntry::new(at, "house", Action::Admin, "house", Outcome::Allowed).because(why);
                self.ledger.commit(Batch::entry(entry)).unwrap();
            }
        }
    }

    /// Another trail in the place of the anchored one, under this ring.
    #[track_caller]
    fn check(other: &House, part: &str) {
        let anchored = house();
        anchored.write("true", 5);
        anchored.keeper().keep().unwrap();
        let ring = if part.contains("signed") { &other.ring } else { &anchored.ring };
        let mut keeper = anchored.keeper();
        let ring = Arc::clone(ring);
        keeper.ring = Box::new(move || Some(Arc::clone(&ring)));
        keeper.ledger = Arc::clone(&other.ledger);
        let Former::Broken(why) = keeper.compare() else { panic!("{:?}", keeper.compare()) };
        assert!(why.contains(part), "{why}");
    }

    #[test]
    fn a_trail_that_went_on_meets_its_anchor() {
        let house = house();
        assert_eq!(house.keeper().compare(), Former::None);
        house.keeper().keep().unwrap();
        house.write("true", 3);
        assert_eq!(house.keeper().compare(), Former::Met);
        assert_eq!(house.keeper().keep().unwrap().seq, 3);
        house.write("true", 3);
        assert_eq!(house.keeper().compare(), Former::Met);
    }

    #[test]
    fn a_trail_that_is_shorter_or_another_does_not() {
        let short = house();
        short.write("true", 4);
        check(&short, "ends before entry 5");
        let other = house();
        other.write("false", 9);
        check(&other, "entry 5 of the trail is not the one");
        check(&other, "not signed by a key that is trusted");
    }

    #[test]
    fn an_anchor_of_before_the_key_was_rotated_is_still_believed_while_its_key_is_there() {
        let mut house = house();
        house.write("true", 2);
        house.keeper().keep().unwrap();
        let mut next = KeyRing::clone(&house.ring);
        next.rotate(&mut SystemEntropy).unwrap();
        house.ring = Arc::new(next);
        assert_eq!(house.keeper().compare(), Former::Met);
    }

    #[test]
    fn the_keeper_anchors_what_is_written_before_it_ends() {
        let house = house();
        let pulse = Arc::new(Pulse::default());
        let thread = house.keeper().start(Arc::clone(&pulse)).unwrap();
        house.write("true", 7);
        pulse.tell(7);
        pulse.close();
        thread.join().unwrap();
        let text = std::fs::read_to_string(house.folder.path().join("trail-anchor.json")).unwrap();
        assert_eq!(Anchor::from_text(&text).unwrap().head.seq, 7);
        assert_eq!(house.keeper().compare(), Former::Met);
    }
}
