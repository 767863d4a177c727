//! `/openapi.json`: the document of the API, made from the handlers and completed with what holds for all of
//! them.
//!
//! Handlers say what is special to them; refusals, headers and the way to come in are the same everywhere and
//! are added here, so that no handler can forget one. It knows nothing of what the operations do.

use crate::desk::Desk;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use haus_api::ProblemCode;
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Methods that an operation of a path can have.
const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

/// Where answers are those of services.
const PASSED_ON: &str = "/api/gateway/proxy/";

/// Reads with these tags are answered to strangers too, unless the plan says otherwise.
const OPEN_TAGS: [&str; 3] = ["health", "registry", "gateway-status"];

/// The document as it is served; the handlers do not change while the program runs.
static DOCUMENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| serde_json::to_vec(&document()).expect("a document of maps and texts"));

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(openapi))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "meta", operation_id = "openapi",
    responses((status = 200, description = "the document (OpenAPI 3.1)", body = Object)))]
async fn openapi() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], DOCUMENT.as_slice()).into_response()
}

/// The whole document.
pub(crate) fn document() -> Value {
    let (_, openapi) = super::operations().split_for_parts();
    let mut document = serde_json::to_value(openapi).expect("the document has text keys");
    document["info"] = json!({
        "title": "Hausmeister",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Credentials, identity, registry, health and gateway of one house. Errors are problems \
            (RFC 9457) with a stable `code` and a `hint`. Every answer carries `X-Request-ID`.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    document["servers"] = json!([{ "url": "/" }]);
    document["security"] = json!([{ "bearer": [] }]);
    complete_components(&mut document["components"]);
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, item) in paths.iter_mut() {
            complete_path(path, item);
        }
        // The router's word for "the rest of the path" is not one of the document.
        *paths =
            std::mem::take(paths).into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    }
    document
}

fn complete_components(components: &mut Value) {
    components["securitySchemes"]["bearer"] = json!({
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "at+jwt",
        "description": "An access token of POST /api/identity/enrol or refresh, valid for a quarter of an hour. \
            On the control socket the account of the peer stands for it.",
    });
    components["headers"] = json!({
        "RequestId": { "description": "The request, also in the log and the trail.", "schema": { "type": "string" } },
        "RetryAfter": { "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 0 } },
        "Authenticate": { "description": "How to come in (RFC 6750).", "schema": { "type": "string" } },
    });
    components["parameters"] = json!({
        "RequestId": {
            "name": "X-Request-ID", "in": "header", "required": false, "schema": { "type": "string" },
            "description": "An id for this request. One that is not 1 to 64 of `A-Z a-z 0-9 - _ . :` is replaced.",
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": false,
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
            "description": "Sent again with the same key within a day, the request is not done twice: the first \
                answer comes again, or a conflict when that held a secret.",
        },
    });
    let responses: Map<String, Value> = COMMON.iter().map(|status| common(*status)).collect();
    components["responses"] = Value::Object(responses);
}

/// Statuses that operations have in common.
const COMMON: [u16; 12] = [400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503];

/// The answer for a status, with the titles of the codes that go with it.
fn common(status: u16) -> (String, Value) {
    let codes = ProblemCode::ALL.into_iter().filter(|code| code.status() == status);
    let told: Vec<String> = codes.map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect();
    (format!("Problem{status}"), problem_answer(status, &told.join("; ")))
}

fn problem_answer(status: u16, description: &str) -> Value {
    let mut headers = json!({ "X-Request-ID": { "$ref": "#/components/headers/RequestId" } });
    if status == 429 || status == 503 {
        headers["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" });
    }
    if status == 401 {
        headers["WWW-Authenticate"] = json!({ "$ref": "#/components/headers/Authenticate" });
    }
    let schema = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
    json!({
        "description": description,
        "headers": headers,
        "content": { haus_api::problem::MEDIA_TYPE: schema },
    })
}

fn complete_path(path: &str, item: &mut Value) {
    let Some(item) = item.as_object_mut() else { return };
    let present: Vec<&str> = METHODS.into_iter().filter(|method| item.contains_key(*method)).collect();
    let shares_id = present.len() > 1 && {
        let ids: Vec<&Value> = present.iter().map(|method| &item[*method]["operationId"]).collect();
        ids.windows(2).all(|pair| pair[0] == pair[1])
    };
    for method in present {
        let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) else { continue };
        if shares_id {
            // One handler for several methods has one id, and ids must differ.
            let id = operation["operationId"].as_str().unwrap_or_default();
            operation.insert("operationId".to_owned(), json!(format!("{id}_{method}")));
        }
        complete_operation(path, method, operation);
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let is_public = operation.get("security").is_some_and(|security| *security == json!([{}]));
    let tags = operation.get("tags").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_open = (method == "get" || method == "head")
        && tags.iter().any(|tag| OPEN_TAGS.iter().any(|open| tag == open));
    if !operation.contains_key("security") {
        let security = if is_open { json!([{ "bearer": [] }, {}]) } else { json!([{ "bearer": [] }]) };
        operation.insert("security".to_owned(), security);
    }
    let has_body = operation.contains_key("requestBody");
    let has_key = method == "post" && !is_public && !path.starts_with("/api/gateway/proxy");
    let own = operation.get("parameters").and_then(Value::as_array).map_or(0, Vec::len);
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        parameters.iter_mut().for_each(never_null);
        parameters.push(json!({ "$ref": "#/components/parameters/RequestId" }));
        if has_key {
            parameters.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
        }
    }
    let mut statuses = vec![400, 401, 404, 429, 500, 503];
    if !is_public {
        statuses.push(403);
    }
    if has_body {
        statuses.extend([408, 413, 415]);
    }
    if has_body || own > 0 || has_key {
        statuses.push(422);
    }
    if has_key {
        statuses.extend([408, 409, 413]);
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    let Some(responses) = responses.as_object_mut() else { return };
    for (status, answer) in responses.iter_mut() {
        complete_answer(status, answer);
    }
    for status in statuses {
        let common = || json!({ "$ref": format!("#/components/responses/Problem{status}") });
        responses.entry(status.to_string()).or_insert_with(common);
    }
    if path.starts_with(PASSED_ON) {
        share_with_services(responses);
    }
}

/// A parameter is there or it is absent; only in JSON there is something like null.
fn never_null(parameter: &mut Value) {
    let Some(schema) = parameter.get_mut("schema") else { return };
    let Some(kinds) = schema.get("type").and_then(Value::as_array) else { return };
    let kinds: Vec<Value> = kinds.iter().filter(|kind| *kind != "null").cloned().collect();
    if let [kind] = kinds.as_slice() {
        schema["type"] = kind.clone();
    }
}

/// A service that is called may answer with any status of ours too, in any form.
fn share_with_services(responses: &mut Map<String, Value>) {
    for (status, answer) in responses {
        let Ok(number) = status.parse::<u16>() else { continue };
        if number < 400 {
            continue;
        }
        if answer.get("$ref").is_some() {
            *answer = common(number).1;
        }
        answer["content"]["*/*"] = json!({});
    }
}

/// The handler's own words with the shape that all answers of this status have.
fn complete_answer(status: &str, answer: &mut Value) {
    let number: u16 = status.parse().unwrap_or(0);
    let description = answer["description"].as_str().unwrap_or_default().to_owned();
    let is_problem = number >= 400
        && answer["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/Problem";
    if is_problem || (number >= 400 && answer.get("content").is_none()) {
        *answer = problem_answer(number, &description);
    } else if number >= 200 {
        answer["headers"]["X-Request-ID"] = json!({ "$ref": "#/components/headers/RequestId" });
    }
}

#[cfg(test)]
mod tests;
