use serde_json::json;

use super::*;

fn claims(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn check(
    schema: &ClaimsSchema,
    claims: Map<String, Value>,
) -> Result<Map<String, Value>, LimitBroken> {
    schema.check(claims, &mut MOST_WORK_OF_BATCH.clone())
}

#[test]
fn a_refusal_names_the_place_and_neither_value_nor_schema() {
    let schema = ClaimsSchema::compile(json!({
        "required": ["tenant"],
        "properties": {"tenant": {"enum": ["secret-tenant"]}},
    }))
    .unwrap();
    let good = claims(json!({"tenant": "secret-tenant"}));
    assert_eq!(check(&schema, good.clone()), Ok(good));
    let refusal = check(&schema, claims(json!({"tenant": "my-value"}))).unwrap_err();
    assert_eq!(refusal.claim, "/tenant");
    let text = refusal.to_string();
    assert!(!text.contains("secret-tenant") && !text.contains("my-value"));
    let refusal = check(&schema, claims(json!({}))).unwrap_err();
    assert_eq!(
        (refusal.claim.as_str(), refusal.rule),
        ("claims", "claims_schema")
    );
}

fn refused(document: Value) -> InvalidSchema {
    let shown = document.to_string();
    ClaimsSchema::compile(document).expect_err(&shown)
}

/// `a0` refers to `a1` so many times, and that to `a2`, and so on.
fn chain(length: usize, link: impl Fn(Value) -> Value) -> Value {
    let mut defs = Map::new();
    for number in 0..length {
        let next = json!({ "$ref": format!("#/$defs/a{}", number + 1) });
        defs.insert(format!("a{number}"), link(next));
    }
    defs.insert(format!("a{length}"), json!({"properties": {"x": {}}}));
    json!({"$ref": "#/$defs/a0", "$defs": defs})
}

#[test]
fn a_schema_that_leads_back_to_itself_is_refused_however_it_is_spelled() {
    let child = |reference: &str| json!({"properties": {"child": {"$ref": reference}}});
    for document in [
        // The tagged union that made a check of 500 bytes take a minute.
        json!({"$ref": "#/$defs/node", "$defs": {"node": {"oneOf": [
            {"properties": {"kind": {"const": "a"}, "child": {"$ref": "#/$defs/node"}}},
            {"properties": {"kind": {"const": "b"}, "child": {"$ref": "#/$defs/node"}}},
        ]}}}),
        json!({"anyOf": [child("#"), child("#")]}),
        json!({"properties": {"list": {"prefixItems": [{"$ref": "#"}, {"$ref": "#"}]}}}),
        json!({"items": {"$ref": "#"}}),
        json!({"not": {"$ref": "#/"}, "": {"$ref": "#"}}),
        child("#/properties/child"),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]},
            "b": {"if": {"$ref": "#/$defs/c"}}, "c": {"additionalProperties": {"$ref": "#/$defs/a"}}}}),
        json!({"$ref": "#/$defs/x~1y", "$defs": {"x/y": {"contains": {"$ref": "#/$defs/x~1y"}}}}),
        json!({"dependentSchemas": {"a": {"$ref": "#"}}}),
        json!({"patternProperties": {"a": {"$ref": "#"}}}),
        json!({"propertyNames": {"$ref": "#"}}),
        json!({"unevaluatedProperties": {"$ref": "#"}}),
        json!({"unevaluatedItems": {"$ref": "#"}}),
        json!({"$ref": "#/x-own/0", "x-own": [{"then": {"$ref": "#"}}]}),
        json!({"$ref": "#/const", "const": {"else": {"$ref": "#"}}}),
    ] {
        let shown = document.to_string();
        assert_eq!(refused(document), InvalidSchema::Cycle, "{shown}");
    }
}

#[test]
fn a_reference_to_anything_but_a_place_in_the_schema_is_refused() {
    let node = json!({"properties": {"child": {"$ref": "#node"}}});
    for document in [
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"$ref": "file:///etc/passwd"}),
        json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
        json!({"$ref": "http://json-schema.org/draft-07/schema#"}),
        json!({"$dynamicRef": "#"}),
        json!({"$dynamicRef": "#node", "$dynamicAnchor": "node"}),
        json!({"$recursiveRef": "#", "$recursiveAnchor": true}),
        json!({"$ref": "#node", "$defs": {"a": {"$anchor": "node", "items": node}}}),
        json!({"$ref": "#/%24defs/a", "$defs": {"a": {}}}),
        json!({"$ref": "", "properties": {"a": {}}}),
        json!({"$ref": "own", "$defs": {"a": {"$id": "own", "items": {"$ref": "own"}}}}),
        json!({"$defs": {"a": {"$id": "https://example.com/a", "$ref": "#/$defs/b"}, "b": {}}}),
        json!({"$id": "https://example.com/a", "$ref": "https://example.com/a"}),
        json!({"items": {"$schema": "http://json-schema.org/draft-04/schema#"}}),
        json!({"$ref": "#/$defs/none"}),
    ] {
        let shown = document.to_string();
        assert_eq!(refused(document), InvalidSchema::Reference, "{shown}");
    }
    // The name of a known document does not make `#` mean that document, which is recursive.
    let named = json!({
        "$id": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"a": {"$ref": "#/$defs/number"}},
        "$defs": {"number": {"type": "number"}},
    });
    let schema = ClaimsSchema::compile(named).unwrap();
    assert!(check(&schema, claims(json!({"a": 1}))).is_ok());
    assert!(check(&schema, claims(json!({"a": "1"}))).is_err());
}

#[test]
fn a_schema_that_grows_when_its_references_are_replaced_is_refused() {
    for document in [
        chain(20, |next| json!({"allOf": [next.clone(), next]})),
        chain(20, |next| json!({"anyOf": [next.clone(), next]})),
        chain(20, |next| json!({"oneOf": [next.clone(), next]})),
        chain(
            20,
            |next| json!({"if": next.clone(), "then": next.clone(), "else": next}),
        ),
        chain(
            20,
            |next| json!({"properties": {"a": next.clone(), "b": next}}),
        ),
        chain(20, |next| json!({"items": next.clone(), "contains": next})),
        chain(20, |next| json!({"not": {"allOf": [next.clone(), next]}})),
        chain(
            20,
            |next| json!({"dependentSchemas": {"a": next.clone(), "b": next}}),
        ),
        // Each level checks what is below it twice.
        chain(
            20,
            |next| json!({"allOf": [next], "unevaluatedProperties": false}),
        ),
        chain(
            20,
            |next| json!({"anyOf": [next], "unevaluatedItems": false}),
        ),
        chain(60, |next| json!({"allOf": [next]})),
        json!({"allOf": vec![json!({"pattern": "^a.{1,250}b$"}); 40]}),
        json!({"patternProperties": {"a.{400}": {}, "b.{400}": {}, "c.{400}": {}, "d.{400}": {},
            "e.{400}": {}}}),
    ] {
        let shown = document.to_string();
        assert_eq!(refused(document), InvalidSchema::TooCostly, "{shown}");
    }
}

#[test]
fn what_people_write_stays_a_schema() {
    let tenants: Vec<String> = (0..1000).map(|number| format!("t{number}")).collect();
    let address = json!({
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/name"}, "zip": {"pattern": "^[0-9]{5}$"}},
        "unevaluatedProperties": false,
    });
    let person = json!({
        "properties": {"home": {"$ref": "#/$defs/address"}, "work": {"$ref": "#/$defs/address"}},
        "unevaluatedProperties": false,
    });
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/claims.json",
        "type": "object",
        "required": ["tenant"],
        "properties": {
            "tenant": {"enum": tenants},
            "mail": {"format": "email"},
            "people": {"type": "array", "items": {"$ref": "#/$defs/person"}},
            "act": {"properties": {"sub": {"properties": {"$ref": {"type": "string"}}}}},
        },
        "additionalProperties": false,
        "$defs": {
            "name": {"type": "string", "pattern": "^.{1,64}$"},
            "address": address,
            "person": person,
        },
    });
    let schema = ClaimsSchema::compile(document).unwrap();
    let good = json!({"tenant": "t999", "people": [{"home": {"city": "Ulm", "zip": "89073"}}]});
    assert!(check(&schema, claims(good)).is_ok());
    let bad = json!({"tenant": "t999", "people": [{"home": {"city": "Ulm", "zip": "8907"}}]});
    let refusal = check(&schema, claims(bad)).unwrap_err();
    assert_eq!(refusal.claim, "/people/0/home/zip");
}

#[test]
fn the_costliest_checks_that_are_allowed_are_short() {
    let names: Vec<String> = (0..1500).map(|number| format!("{number:05}")).collect();
    let item = |number: u32| json!({ "a": number, "b": [number] });
    let objects: Vec<Value> = (0..300).map(item).collect();
    let letter = |number: u32| match number.wrapping_mul(2_654_435_761) >> 31 {
        0 => 'a',
        _ => 'b',
    };
    let text: String = (0..8000).map(letter).chain(['c']).collect();
    let never = json!({"anyOf": [{"type": "null"}, {"minProperties": 9}, {"minItems": 1000}]});
    for (document, value) in [
        (
            json!({"items": {"not": {"enum": names}}}),
            json!(vec!["0150"; 1500]),
        ),
        (json!({"uniqueItems": true}), json!(objects)),
        (json!({"not": {"pattern": "[ab]*a[ab]{900}d"}}), json!(text)),
        (
            json!({"not": {"pattern": "[ab]*a[ab]{3000}(e|d)"}}),
            json!(text),
        ),
        (
            chain(8, |next| json!({"anyOf": [never, next, next]})),
            json!(objects),
        ),
        (
            chain(8, |next| json!({"oneOf": [never, next, {"items": next}]})),
            json!(objects),
        ),
        (
            chain(
                3,
                |next| json!({"allOf": [next], "unevaluatedProperties": next}),
            ),
            json!({ "a": objects }),
        ),
        (
            json!({"items": {"format": "regex"}}),
            json!(["(".repeat(8000)]),
        ),
    ] {
        let shown: String = document.to_string().chars().take(80).collect();
        // What is costly comes first, and what refuses comes last.
        let schema = json!({
            "$defs": document.get("$defs").unwrap_or(&json!({})), "properties": {"v": document, "w": false},
        });
        let schema = ClaimsSchema::compile(schema).unwrap_or_else(|why| panic!("{shown}: {why}"));
        let claims = claims(json!({ "v": value, "w": 1 }));
        let work = schema.work(&claims);
        let stopwatch = crate::clock::Stopwatch::start();
        let refusal = check(&schema, claims).unwrap_err();
        let elapsed = stopwatch.elapsed();
        println!("{shown}: {work} steps in {elapsed:?}: {refusal}");
        assert!(elapsed.as_secs() < 30, "{shown}: {elapsed:?}");
    }
}

#[test]
fn claims_that_are_too_large_for_their_schema_are_refused_before_they_are_checked() {
    let numbers: Vec<u32> = (0..3000).collect();
    let document = json!({"properties": {"v": {"items": {"enum": numbers}}}});
    let schema = ClaimsSchema::compile(document).unwrap();
    let small = claims(json!({ "v": [1] }));
    let large = claims(json!({ "v": vec![1; 50_000] }));
    assert_eq!(check(&schema, small.clone()), Ok(small.clone()));
    let too_large = "they are too large for a schema of this size";
    assert_eq!(check(&schema, large).unwrap_err().why, too_large);
    // The budget of a batch is spent by its requests together.
    let mut budget = schema.work(&small) * 2;
    for _ in 0..2 {
        assert!(schema.check(small.clone(), &mut budget).is_ok());
    }
    assert_eq!(schema.check(small, &mut budget).unwrap_err().why, too_large);
}

#[test]
fn a_stored_schema_that_is_not_taken_any_more_refuses_all_claims() {
    for document in [
        json!({"items": {"$ref": "#"}}),
        json!({"$ref": "#/%24defs/a", "$defs": {"a": {}}}),
        chain(20, |next| json!({"allOf": [next.clone(), next]})),
    ] {
        let schema = ClaimsSchema::stored(document.clone());
        assert!(schema.fault().is_some());
        assert_eq!(schema.document(), &document);
        let refusal = check(&schema, Map::new()).unwrap_err();
        assert_eq!(
            (refusal.claim.as_str(), refusal.rule),
            ("claims", "claims_schema")
        );
    }
    assert_eq!(ClaimsSchema::stored(json!(true)).fault(), None);
}

#[test]
fn a_schema_that_asks_for_too_much_is_refused() {
    for document in [
        json!({"type": "nonsense"}),
        json!({"pattern": "(a+)+\\1"}),
        json!({"pattern": "((a{1000}){1000}){1000}"}),
        json!("text"),
    ] {
        let refusal = refused(document);
        assert!(
            matches!(refusal, InvalidSchema::Uncompilable(_)),
            "{refusal}"
        );
    }
    let large = json!({ "description": "a".repeat(LARGEST) });
    assert_eq!(refused(large), InvalidSchema::TooLarge);
}
