//! The page of the API, from small documents.

use serde_json::{Value, json};

use super::*;

fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": { "version": "1.2.3" },
        "paths": {
            "/api/things/{id}": {
                "get": {
                    "tags": ["things"], "operationId": "thing", "summary": "One thing. Not two.",
                    "description": "It is\nlooked at.", "security": [{ "bearer": [] }, {}],
                    "parameters": [
                        { "name": "id", "in": "path", "required": true, "schema": { "type": "string", "maxLength": 9 } },
                        { "$ref": "#/components/parameters/RequestId" }
                    ],
                    "responses": {
                        "200": { "description": "the thing",
                            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } } },
                        "404": { "$ref": "#/components/responses/Problem404" }
                    }
                },
                "put": {
                    "tags": ["things"], "operationId": "keep", "summary": "Keeps it", "security": [{ "bearer": [] }],
                    "requestBody": { "required": true,
                        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } } },
                    "responses": { "204": { "description": "kept a|b" } }
                }
            }
        },
        "components": {
            "parameters": { "RequestId": { "name": "X-Request-ID", "in": "header", "schema": { "type": "string" } } },
            "responses": { "Problem404": { "description": "`not-found`: there is no such thing" } },
            "schemas": { "Thing": {
                "type": "object", "description": "A thing", "required": ["name"],
                "properties": {
                    "name": { "type": "string", "description": "Its name", "pattern": "^(a|b)$" },
                    "parts": { "type": ["array", "null"], "items": { "$ref": "#/components/schemas/Thing" } },
                    "size": { "type": "integer", "minimum": 1, "maximum": 9, "default": 3 },
                    "more": { "type": "object", "additionalProperties": { "type": "string" } }
                }
            } }
        }
    })
}

fn check(part: &str) {
    let page = page(&document(), "# Title\n\nWords.\n").unwrap();
    assert!(page.contains(part), "lacks {part:?}:\n{page}");
}

#[test]
fn the_introduction_comes_first_and_the_operations_are_listed_with_links() {
    check("-->\n\n# Title\n\nWords.\n\n# Reference\n");
    check(
        "| [`GET /api/things/{id}`](#get-apithingsid) | One thing | everybody, unless the plan says `anonymous: none` |",
    );
    check("| [`PUT /api/things/{id}`](#put-apithingsid) | Keeps it | holders of a token |");
}

#[test]
fn links_of_the_introduction_are_those_of_the_page() {
    let page = page(&document(), "[a](../formats/a.md) [b](../api.md#refusals)").unwrap();
    assert!(page.contains("[a](formats/a.md) [b](#refusals)"));
}

#[test]
fn an_operation_tells_parameters_body_answers_and_refusals() {
    check("### GET /api/things/{id}\n\nOne thing. Not two. It is looked at.\n");
    check("| `id` | path, required | text | At most 9 characters. |");
    check("| 200 | the thing | [`Thing`](#type-thing) |\n\n[Refusals](#refusals): 404.\n");
    check("Body: `application/json`, [`Thing`](#type-thing).\n");
    check("| 204 | kept a\\|b | – |");
    check("| 404 | `not-found`: there is no such thing |");
}

#[test]
fn a_type_tells_fields_and_limits() {
    check("### Type Thing\n\nA thing.\n");
    check("| `name` | text | Its name. `^(a\\|b)$`. |");
    check("| `parts` | list of [`Thing`](#type-thing) or null, may be absent |  |");
    check("| `size` | whole number, may be absent | 1 to 9, `3` when absent. |");
    check("| `more` | object of text, may be absent |  |");
}

#[test]
fn scopes_are_named_where_the_document_names_them_and_a_nullable_type_keeps_its_meaning() {
    let mut document = document();
    document["paths"]["/api/things/{id}"]["put"]["security"] = json!([{ "bearer": ["admin", "things"] }]);
    let more = json!({ "oneOf": [{ "type": "null" }, { "$ref": "#/x/Thing", "description": "Of it" }] });
    document["components"]["schemas"]["Thing"]["properties"]["more"] = more;
    let page = page(&document, "").unwrap();
    assert!(page.contains("For holders of `admin` or `things`. Operation `keep`."), "{page}");
    assert!(page.contains("| `more` | [`Thing`](#type-thing) or null, may be absent | Of it. |"), "{page}");
}

#[test]
fn an_operation_that_nobody_could_find_is_refused() {
    let mut document = document();
    document["paths"]["/api/things/{id}"]["put"]["summary"] = json!("");
    let fault = page(&document, "").unwrap_err();
    assert!(fault.text.contains("put /api/things/{id} lacks"), "{fault}");
}

#[test]
fn the_page_must_be_what_its_sources_say() {
    let sources = document().to_string();
    let intro = "# Title\n";
    let made = page(&document(), intro).unwrap();
    let faults = |page: &str| {
        let tree = Tree::of(&[(DOCUMENT, &sources), (INTRO, intro), (PAGE, page)]);
        super::check(&tree).unwrap().len()
    };
    assert_eq!(faults(&made), 0);
    assert_eq!(faults(&made.replace("# Title", "# Another")), 1);
    assert_eq!(super::check(&Tree::of(&[])).unwrap().len(), 1);
}
