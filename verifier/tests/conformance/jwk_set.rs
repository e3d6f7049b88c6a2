//! RFC 7517 §5.

use keywright_verifier::json::{FieldError, JsonError};
use keywright_verifier::{Algorithm, JwkSet, JwkSetError, JwsError, Kid, MAX_JWK_SET_BYTES};
use serde_json::{Value, json};

use crate::fixtures::{RFC_7638_MODULUS, Signer, set};

fn parse(keys: Value) -> Result<JwkSet, JwkSetError> {
    JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

fn good(kid: &str) -> Value {
    serde_json::from_str(&Signer::new().jwk(Some(kid)).to_json()).unwrap()
}

// RFC 7517 appendix A.1: an EC key for encryption, which is passed over, and an RSA key.
#[test]
fn the_sample_set_of_rfc_7517_is_read() {
    let document = format!(
        r#"{{"keys":[
            {{"kty":"EC","crv":"P-256",
              "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
              "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}},
            {{"kty":"RSA","n":"{RFC_7638_MODULUS}","e":"AQAB","alg":"RS256","kid":"2011-04-29"}}]}}"#
    );
    let keys = JwkSet::parse(document.as_bytes()).unwrap();
    let [key] = keys.keys() else {
        panic!("one key is for signatures")
    };
    assert_eq!(key.kid().as_str(), "2011-04-29");
    assert_eq!(key.algorithm(), Algorithm::Rs256);
}

#[test]
fn keys_of_other_kinds_and_purposes_are_passed_over() {
    let mut others = vec![
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
        json!({"kty": "future", "kid": 7}),
        json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}),
        json!({"kty": "RSA", "alg": "RSA-OAEP", "n": RFC_7638_MODULUS, "e": "AQAB"}),
        json!({"kty": "RSA", "alg": "PS256", "n": RFC_7638_MODULUS, "e": "AQAB"}),
        json!({"kty": "RSA", "key_ops": ["wrapKey"], "n": RFC_7638_MODULUS, "e": "AQAB"}),
        // 2^33 + 1: a legal exponent, one bit longer than can be computed with.
        json!({"kty": "RSA", "n": RFC_7638_MODULUS, "e": "AgAAAAE"}),
    ];
    others.push(good("mine"));
    let keys = parse(Value::Array(others)).unwrap();
    let kids: Vec<_> = keys.keys().iter().map(|key| key.kid().as_str()).collect();
    assert_eq!(kids, ["mine"]);
}

// RFC 7517 §5, attacks 23 and 26: what is broken or private verifies nothing, and takes no good key
// with it.
#[test]
fn a_broken_or_private_key_is_passed_over_and_named_by_its_place() {
    let private = {
        let mut members = good("leaked");
        members["d"] = "AA".into();
        members
    };
    for broken in [
        private,
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        json!({"kty": "RSA", "n": RFC_7638_MODULUS, "e": "Aw"}),
        json!({"kty": "RSA", "n": RFC_7638_MODULUS}),
        json!({"kty": "RSA", "alg": "ES256", "n": RFC_7638_MODULUS, "e": "AQAB"}),
        json!({"kid": "no kty"}),
        json!("no object"),
    ] {
        let keys = parse(json!([good("one"), broken, good("two")])).unwrap();
        let kids: Vec<_> = keys.keys().iter().map(|key| key.kid().as_str()).collect();
        assert_eq!(kids, ["one", "two"], "{broken}");
        let [passed_over] = keys.passed_over() else {
            panic!("{broken}: {:?}", keys.passed_over())
        };
        assert_eq!(passed_over.index, 1);
        assert!(!passed_over.reason.is_unsupported(), "{broken}");
    }
}

#[test]
fn a_set_without_a_usable_key_says_why_of_each() {
    let set = |keys: Value| json!({ "keys": keys }).to_string();
    let refusal = |text: String| {
        JwkSet::parse_usable(text.as_bytes())
            .unwrap_err()
            .to_string()
    };
    let empty = refusal(set(json!([])));
    assert_eq!(empty, "the set has no ES256 or RS256 key: it is empty");
    let one = json!({"kty": "RSA", "n": "*", "e": "AQAB"});
    let error = refusal(set(json!([one])));
    assert_eq!(
        error,
        "the set has no ES256 or RS256 key: key 0: member \"n\" is neither base64url nor base64"
    );
    let error = refusal(set(json!([{"kty": "OKP"}, one, 1, one, one])));
    assert!(
        error.contains("key 0: kty must be EC or RSA; key 1: member"),
        "{error}"
    );
    assert!(error.ends_with("; and 2 more"), "{error}");
    assert!(JwkSet::parse_usable(set(json!([good("one"), one])).as_bytes()).is_ok());
}

// Standard V3, attack 15: which of two keys is meant is unknown.
#[test]
fn of_two_keys_with_one_name_none_is_found() {
    let es256 = |keys: &JwkSet, kid: Option<&str>| {
        let kid = kid.map(|kid| Kid::parse(kid).unwrap());
        keys.find(kid.as_ref(), Algorithm::Es256)
            .map(|key| key.kid().to_string())
    };
    let keys = parse(json!([good("twin"), good("other"), good("twin")])).unwrap();
    assert_eq!(es256(&keys, Some("twin")), Err(JwsError::AmbiguousKey));
    assert_eq!(es256(&keys, Some("other")), Ok("other".to_owned()));
    assert_eq!(es256(&keys, None), Err(JwsError::AmbiguousKey));

    // One key that stands there twice is one key.
    let one = good("one");
    let keys = parse(json!([one, one])).unwrap();
    assert_eq!(es256(&keys, Some("one")), Ok("one".to_owned()));

    // Two kinds of key may share a name (RFC 7517 §4.5): the algorithm tells them apart.
    let rsa = json!({"kid": "one", "kty": "RSA", "n": RFC_7638_MODULUS, "e": "AQAB"});
    let keys = parse(json!([rsa, one])).unwrap();
    assert_eq!(es256(&keys, Some("one")), Ok("one".to_owned()));
}

#[test]
fn keys_must_be_there_and_an_array() {
    let parse = |text: &str| JwkSet::parse(text.as_bytes()).unwrap_err();
    assert_eq!(
        parse("{}"),
        JwkSetError::Field(FieldError::Missing { field: "keys" })
    );
    assert!(matches!(parse(r#"{"keys":{}}"#), JwkSetError::Field(_)));
    assert!(matches!(parse(r#"{"keys":null}"#), JwkSetError::Field(_)));
    assert!(matches!(
        parse("[]"),
        JwkSetError::Field(FieldError::NotAnObject { .. })
    ));
    let duplicate = JsonError::DuplicateMember {
        name: "keys".to_owned(),
    };
    assert_eq!(
        parse(r#"{"keys":[],"keys":[]}"#),
        JwkSetError::Json(duplicate)
    );
}

#[test]
fn an_empty_set_and_members_beside_keys_are_accepted() {
    let keys = JwkSet::parse(br#"{"keys":[],"issuer":"https://id.example"}"#).unwrap();
    assert_eq!(keys.keys(), []);
    assert_eq!(keys.to_json(), br#"{"keys":[]}"#);
}

#[test]
fn the_size_limit_stands_before_the_parser() {
    let padded = |length: usize| format!("{}{}", r#"{"keys":[]}"#, " ".repeat(length - 11));
    assert!(JwkSet::parse(padded(MAX_JWK_SET_BYTES).as_bytes()).is_ok());
    let error = JwkSet::parse(padded(MAX_JWK_SET_BYTES + 1).as_bytes());
    assert_eq!(error, Err(JwkSetError::TooLarge));
}

#[test]
fn a_set_has_at_most_500_entries() {
    let entries = |count: usize| Value::Array(vec![json!({"kty": "future"}); count]);
    let keys = parse(entries(500)).unwrap();
    assert_eq!(keys.passed_over().len(), 500);
    let error = parse(entries(501)).unwrap_err();
    assert_eq!(error, JwkSetError::TooManyKeys { count: 501 });
}

#[test]
fn find_compares_whole_kids_and_their_case() {
    let keys = set([
        Signer::new().jwk(Some("Key-1")),
        Signer::new().jwk(Some("Key-2")),
    ]);
    let found = |kid: &str| {
        keys.find(Some(&Kid::parse(kid).unwrap()), Algorithm::Es256)
            .map(|key| key.kid().as_str())
    };
    assert_eq!(found("Key-2"), Ok("Key-2"));
    for kid in ["key-1", "Key-", "Key-11", "*"] {
        assert_eq!(found(kid), Err(JwsError::UnknownKey), "{kid}");
    }
}

#[test]
fn json_keeps_the_order_and_reads_back() {
    let keys = set([Signer::new().jwk(Some("b")), Signer::new().jwk(Some("a"))]);
    let json = keys.to_json();
    let [first, second] = keys.keys() else {
        panic!("two keys")
    };
    let expected = format!(r#"{{"keys":[{},{}]}}"#, first.to_json(), second.to_json());
    assert_eq!(String::from_utf8(json.clone()).unwrap(), expected);
    assert_eq!(JwkSet::parse(&json).unwrap(), keys);
}
