use serde_json::{Value, json};

use super::*;
use crate::revocation::Selector;

fn selectors(claims: &Value) -> Result<Vec<Selector>, TooManySelectors> {
    let selectors = selectors_of(|claim| claims.get(claim))?;
    Ok(selectors.iter().map(Selector::from).collect())
}

/// Each selector as its kind and values, in the order of their kinds.
fn described(claims: &Value) -> Vec<String> {
    let mut selectors = selectors(claims).unwrap();
    selectors.sort();
    selectors
        .iter()
        .map(|selector| {
            let values: Vec<_> = selector.values().collect();
            format!("{} {}", selector.kind(), values.join(" "))
        })
        .collect()
}

#[test]
fn every_selector_of_a_token_is_found() {
    let claims = json!({
        "jti": "j", "sid": "s", "sub": "u", "client_id": "c", "aud": "a", "iat": 1, "other": "o",
    });
    assert_eq!(
        described(&claims),
        [
            "jti j",
            "session s",
            "subject u",
            "client c",
            "audience a",
            "issuer ",
            "subject+client u c",
            "subject+audience u a",
            "subject+session u s",
        ]
    );
}

#[test]
fn token_without_claims_has_its_issuer() {
    assert_eq!(described(&json!({})), ["issuer "]);
}

#[test]
fn actors_at_any_depth_are_subjects() {
    let claims = json!({
        "sub": "u", "client_id": "c", "act": {"sub": "v", "act": {"iss": "x", "act": {"sub": "w"}}},
    });
    assert_eq!(
        described(&claims),
        [
            "subject u",
            "subject v",
            "subject w",
            "client c",
            "issuer ",
            "subject+client u c",
            "subject+client v c",
            "subject+client w c",
        ]
    );
}

#[test]
fn each_element_of_aud_is_an_audience() {
    assert_eq!(
        described(&json!({"aud": ["a", 1, "b", null], "sub": "u"})),
        [
            "subject u",
            "audience a",
            "audience b",
            "issuer ",
            "subject+audience u a",
            "subject+audience u b",
        ]
    );
}

#[test]
fn claim_of_another_type_or_length_names_nothing() {
    for value in [
        json!(1),
        json!(null),
        json!({"sub": 1}),
        json!(""),
        json!("x".repeat(513)),
    ] {
        let claims = json!({
            "jti": value, "sid": value, "sub": value, "client_id": value, "aud": value, "act": value,
            ANCESTORS_CLAIM: value,
        });
        assert_eq!(described(&claims), ["issuer "], "{value}");
    }
    let longest = "x".repeat(512);
    assert_eq!(described(&json!({"jti": longest})).len(), 2);
}

fn actors(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| json!({"sub": "v", "act": inner}))
}

#[test]
fn token_with_more_names_than_are_looked_up_is_refused() {
    let audiences = |count: usize| json!({"aud": vec!["a"; count]});
    assert!(selectors(&audiences(16)).is_ok());
    assert_eq!(selectors(&audiences(17)), Err(too_many("aud")));
    assert!(selectors(&json!({"sub": "u", "act": actors(15)})).is_ok());
    assert_eq!(
        selectors(&json!({"sub": "u", "act": actors(16)})),
        Err(too_many("act"))
    );
}

#[test]
fn ancestor_is_looked_up_as_the_token_itself() {
    let claims = json!({"jti": "j", ANCESTORS_CLAIM: ["p", 1, "", "q"]});
    assert_eq!(described(&claims), ["jti j", "jti p", "jti q", "issuer "]);
    let ancestors = |count: usize| json!({ANCESTORS_CLAIM: vec!["a"; count]});
    assert!(selectors(&ancestors(4)).is_ok());
    let refused = selectors(&ancestors(5)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "claim \"ancestor_jtis\" names more than 4"
    );
}
