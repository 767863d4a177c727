//! Pages of the registry. Pure.
//!
//! Threat: the holder of one token who registers thousands of instances, and strangers who ask for them all
//! and read slowly. A page has a most, and it goes on where it ended, so that whoever comes or leaves between
//! two pages shifts nobody.

use crate::api::input::shown;
use crate::api::roll::Known;
use crate::clock::Clock;
use crate::directory::Row;
use haus_api::registry::Service;
use haus_api::{Problem, ProblemCode};
use haus_model::ServiceName;

/// Instances on a page at most.
const LIMIT_MAX: usize = 500;

/// A page that somebody wants.
pub(super) struct Page {
    limit: usize,
    /// The service and the number of the instance that was shown last.
    after: Option<(ServiceName, u32)>,
}

impl Page {
    /// Reads what was asked for.
    ///
    /// # Errors
    /// It is no page.
    pub(super) fn new(limit: Option<u64>, after: Option<&str>, default: usize) -> Result<Page, Problem> {
        let limit = limit.map_or(default, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::new(ProblemCode::Invalid, format!("`limit` is {limit}"))
                .with_hint(format!("ask for 1 to {LIMIT_MAX} instances")));
        }
        let read = |text: &str| {
            let (service, ordinal) = text.split_once(':')?;
            Some((service.parse().ok()?, ordinal.parse().ok()?))
        };
        let after = after.map(|text| {
            read(text).ok_or_else(|| {
                let detail = format!("`after` is no end of a page: {}", shown(text));
                Problem::new(ProblemCode::Invalid, detail)
                    .with_hint("give what the page before has as `next`, as it is")
            })
        });
        Ok(Page { limit, after: after.transpose()? })
    }

    /// The services of this page, without what instances say of themselves, and where it ends; none for the
    /// last one.
    pub(super) fn of_all<'a>(
        &self,
        services: impl Iterator<Item = &'a Known>,
        clock: Clock,
    ) -> (Vec<Service>, Option<String>) {
        let (mut left, mut found, mut end) = (self.limit, Vec::new(), None);
        for known in services {
            let is_begun = match &self.after {
                Some((last, _)) if known.name < *last => continue,
                Some((last, _)) => known.name == *last,
                None => false,
            };
            let rows = self.rest(known);
            if is_begun && rows.is_empty() {
                continue;
            }
            if left == 0 {
                return (found, end);
            }
            let (here, more) = rows.split_at(rows.len().min(left));
            found.push(known.listed(here.iter().map(|row| crate::answer::listed(row, clock)).collect()));
            // A service without instances takes a place too.
            left -= here.len().max(1);
            end = Some(end_at(known, here));
            if !more.is_empty() {
                return (found, end);
            }
        }
        (found, None)
    }

    /// The instances of one service on this page, and where it ends.
    pub(super) fn of_one<'a>(&self, known: &'a Known) -> (&'a [Row], Option<String>) {
        let rows = self.rest(known);
        let (here, more) = rows.split_at(rows.len().min(self.limit));
        (here, (!more.is_empty()).then(|| end_at(known, here)))
    }

    fn rest<'a>(&self, known: &'a Known) -> &'a [Row] {
        match &self.after {
            // Rows stand in the order of their numbers.
            Some((service, last)) if *service == known.name => {
                let passed = known.rows.partition_point(|row| row.entry().id.ordinal <= *last);
                &known.rows[passed..]
            }
            Some(_) | None => &known.rows,
        }
    }
}

fn end_at(known: &Known, shown: &[Row]) -> String {
    format!("{}:{}", known.name, shown.last().map_or(u32::MAX, |row| row.entry().id.ordinal))
}
