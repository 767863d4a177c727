//! Carrying out an import: first what is new, all of it or nothing, then a rotation of each that was there
//! already.
//!
//! A rotation cannot be taken back by somebody else's failure, and one that may not begin (the credential has
//! this value already, a reader is offline) is no reason to leave the others on their old values.

use super::super::Running;
use super::{Item, Row, Step};
use crate::command::{block_on, failure_code};
use crate::exit::{Code, FAILED, FINDINGS, Failure, UNKNOWN, chain};
use haus_api::ProblemCode;
use haus_api::credential::{CredentialCreate, RotateRequest};
use haus_client::{Client, ClientError};

/// What was done with each item, and how it ends when not all of it was.
pub(super) struct Done {
    pub rows: Vec<Row>,
    pub failure: Option<Failure>,
}

/// What was made, and can be taken back when a service owns it.
struct Made {
    row: usize,
    id: String,
    can_go: bool,
}

/// Makes and changes everything. When something new cannot be made, what was made before is taken back and
/// nothing is changed.
pub(super) fn carry_out(running: &Running, items: Vec<Item>, steps: &[Step]) -> Result<Done, Failure> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    // First values of the plan's credentials cannot be taken back, so they come last of what is new.
    order.sort_by_key(|at| (matches!(steps[*at], Step::Change(_)), items[*at].service.is_none()));
    let mut rows: Vec<Row> = items.iter().map(not_tried).collect();
    let mut items: Vec<Option<Item>> = items.into_iter().map(Some).collect();
    block_on(async {
        let mut made: Vec<Made> = Vec::new();
        let mut refused = 0;
        for at in order {
            let Some(item) = items[at].take() else { continue };
            let can_go = item.service.is_some();
            match act(&running.client, item, &steps[at]).await {
                Ok(Acted { outcome, why, made_id }) => {
                    (rows[at].outcome, rows[at].why) = (outcome, why);
                    made.extend(made_id.map(|id| Made { row: at, id, can_go }));
                }
                Err(error) => {
                    (rows[at].outcome, rows[at].why) = ("refused", chain(&error));
                    let is_change = matches!(steps[at], Step::Change(_));
                    if is_change && error.code() == Some(ProblemCode::Conflict) {
                        refused += 1;
                        continue;
                    }
                    let is_clean = !is_change && take_back(&running.client, made, &mut rows).await;
                    return Done {
                        failure: Some(failure(&error, is_clean && !error.may_have_acted())),
                        rows,
                    };
                }
            }
        }
        Done { failure: (refused > 0).then(|| not_changed(refused)), rows }
    })
}

fn not_changed(count: u64) -> Failure {
    let what = crate::listing::count(count, "value was", "values were");
    Failure::new(FINDINGS, format!("{what} not put in force; the others were"))
        .hint("the rows above say why; what has its value already needs nothing")
}

fn not_tried(item: &Item) -> Row {
    Row { place: item.place.clone(), credential: item.called(), outcome: "not tried", why: String::new() }
}

struct Acted {
    outcome: &'static str,
    why: String,
    made_id: Option<String>,
}

async fn act(client: &Client, item: Item, step: &Step) -> Result<Acted, ClientError> {
    match step {
        Step::Make => {
            let request = CredentialCreate {
                name: item.name,
                credential_type: item.kind,
                service_name: item.service,
                value: Some(item.value),
                length: None,
                description: item.description,
                metadata: None,
                scope: item.scope,
                expires_at: item.expires_at,
                ttl_s: None,
                rotation_required: false,
                rotate_days: None,
            };
            let made = client.create_credential(&request).await?;
            Ok(Acted { outcome: "made", why: String::new(), made_id: Some(made.id) })
        }
        Step::Change(id) => {
            let request = RotateRequest { value: Some(item.value), emergency: false };
            let begun = client.rotate_credential(id, &request).await?;
            let why = format!("the rotation to version {} has begun", begun.to_version);
            Ok(Acted { outcome: "changed", why, made_id: None })
        }
    }
}

/// Takes back what was made; false when something stays.
async fn take_back(client: &Client, made: Vec<Made>, rows: &mut [Row]) -> bool {
    let mut all_gone = true;
    for Made { row, id, can_go } in made.into_iter().rev() {
        let row = &mut rows[row];
        let gone = if can_go {
            client.delete_credential(&id).await.map_err(|error| chain(&error))
        } else {
            Err("a first value of the plan's cannot be taken back".to_owned())
        };
        match gone {
            Ok(()) => (row.outcome, row.why) = ("taken back", "another one was refused".to_owned()),
            Err(why) => {
                all_gone = false;
                row.why = format!("it stays: {why}");
            }
        }
    }
    all_gone
}

fn failure(error: &ClientError, is_clean: bool) -> Failure {
    if !is_clean {
        return Failure::from_error(
            UNKNOWN,
            error,
            "not all of the file was taken over and some of it was; see the rows above and `haus credential list`",
        );
    }
    let Code(code) = failure_code(error);
    let code = Code(code.max(FAILED.0));
    Failure::from_error(code, error, "nothing of the file was kept; mend it and import the whole file again")
}
