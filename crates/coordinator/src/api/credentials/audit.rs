//! `GET /api/credentials/{id}/audit`: who read, changed or was refused a credential.

use super::super::input::{Path, Query};
use super::super::trail::shown;
use super::super::{Answer, Caller, DeskState, Refusal};
use super::readable;
use crate::vaulting::subject;
use axum::Json;
use axum::extract::State;
use haus_api::Problem;
use haus_api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use haus_api::trail::TrailEntry;
use haus_store::TrailQuery;
use serde::Deserialize;

/// Entries that can be passed over: they have to be read all the same.
const SKIP_MAX: u64 = 1_000;

/// Which of its entries.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Entries to pass over, at most 1000; `before` goes further.
    #[param(minimum = 0, maximum = 1000)]
    skip: Option<u64>,
    /// Entries on a page, 1 to 1000; 50 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
    /// Only entries before this number: the `seq` of the last one of the page before.
    #[param(minimum = 0)]
    before: Option<u64>,
}

/// Its entries in the audit trail, the newest first. Entries of an earlier credential of the same name and
/// owner are among them, with another `id` in their changes.
#[utoipa::path(get, path = "/api/credentials/{id}/audit", tag = "credentials", operation_id = "auditCredential",
    params(("id" = String, Path, description = "its id"), AuditQuery),
    responses((status = 200, description = "the entries", body = Vec<TrailEntry>),
        (status = 400, description = "the request is not understood", body = Problem),
        (status = 401, description = "no valid token", body = Problem),
        (status = 403, description = "the scope read is needed", body = Problem),
        (status = 404, description = "there is none of this id", body = Problem),
        (status = 422, description = "a value in it is not allowed", body = Problem),
        (status = 429, description = "too many refused requests", body = Problem),
        (status = 503, description = "the ledger cannot be read", body = Problem)))]
pub(super) async fn audit(
    State(desk): DeskState,
    caller: Caller,
    Path(id): Path<String>,
    Query(page): Query<AuditQuery>,
) -> Answer<Vec<TrailEntry>> {
    let card = readable(&desk, &caller, &id).await?;
    let (skip, limit) = (page.skip.unwrap_or(0), page.limit.unwrap_or(LIMIT_DEFAULT));
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("limit must be 1 to {LIMIT_MAX}, it is {limit}");
        return Err(Refusal::from(Problem::new(haus_api::ProblemCode::Invalid, detail)));
    }
    if skip > SKIP_MAX {
        let detail = format!("skip must be at most {SKIP_MAX}, it is {skip}");
        let problem = Problem::new(haus_api::ProblemCode::Invalid, detail);
        return Err(problem.with_hint("go on with `before` and the `seq` of the last entry you have").into());
    }
    let reach = usize::try_from(skip + limit).unwrap_or(usize::MAX);
    let query = TrailQuery {
        subject: Some(subject(&card.row)),
        before: page.before,
        limit: reach,
        newest_first: true,
        ..TrailQuery::default()
    };
    let entries = desk.registrar.read(move |ledger| ledger.trail(&query)).await?;
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    Ok(Json(entries.iter().skip(skip).map(shown).collect()))
}
