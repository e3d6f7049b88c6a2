//! What holds for every input that can be made up.

use keywright_verifier::json::{self, DEFAULT_MAX_DEPTH, JsonError};
use keywright_verifier::{Algorithm, Jwk, JwkSet, Jws, Kid, PublicKey};
use p256::elliptic_curve::sec1::ToSec1Point as _;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;

use crate::fixtures::{MAX_BYTES, Signer, base64url, set};

const LARGEST_EXACT_DOUBLE: f64 = 9_007_199_254_740_992.0;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-LARGEST_EXACT_DOUBLE..=LARGEST_EXACT_DOUBLE).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Text that is nearly JSON: pieces that matter to a parser, in any order.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[\\[\\]{},:\" \n0-9eE.+-]{1,4}",
        Just("{\"a\":".to_owned()),
        Just("\"a\"".to_owned()),
        Just("\\ud800".to_owned()),
        Just("1e400".to_owned()),
        Just("null".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("é".to_owned()),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn public_key() -> impl Strategy<Value = PublicKey> {
    let p256 = any::<[u8; 32]>().prop_filter_map("a secret scalar", |secret| {
        let key = p256::SecretKey::from_slice(&secret).ok()?.public_key();
        let point = key.to_sec1_point(false);
        let (x, y) = point.as_bytes().get(1..)?.split_at(32);
        Some(PublicKey::P256 {
            x: x.try_into().ok()?,
            y: y.try_into().ok()?,
        })
    });
    let rsa = (vec(any::<u8>(), 256..=512), vec(any::<u8>(), 3..=4)).prop_map(|(mut n, mut e)| {
        n[0] |= 0x80;
        e[0] |= 0x01;
        for number in [&mut n, &mut e] {
            *number.last_mut().unwrap() |= 1;
        }
        PublicKey::Rsa { n, e }
    });
    prop_oneof![p256, rsa]
}

fn kid() -> impl Strategy<Value = Kid> {
    "[!-~]{1,256}".prop_map(|text| Kid::parse(&text).unwrap())
}

proptest! {
    #[test]
    fn a_strict_document_means_what_serde_json_reads(value in value()) {
        let text = serde_json::to_vec(&value).unwrap();
        let expected: Value = serde_json::from_slice(&text).unwrap();
        prop_assert_eq!(json::parse(&text, DEFAULT_MAX_DEPTH), Ok(expected));
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        prop_assert_eq!(json::parse(&pretty, DEFAULT_MAX_DEPTH), json::parse(&text, DEFAULT_MAX_DEPTH));
    }

    #[test]
    fn what_is_accepted_is_json_and_means_the_same(text in nearly_json()) {
        if let Ok(value) = json::parse(text.as_bytes(), DEFAULT_MAX_DEPTH) {
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in vec(any::<u8>(), 0..200), depth in 0_usize..200) {
        let _ = json::parse(&bytes, depth);
        let _ = Jwk::parse(&bytes);
        let _ = JwkSet::parse(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = Jws::parse(&text, MAX_BYTES);
        let _ = Kid::parse(&text);
        let _ = text.parse::<Algorithm>();
    }

    #[test]
    fn nearly_json_makes_no_parser_panic_and_no_long_error(text in nearly_json()) {
        if let Err(error) = json::parse(text.as_bytes(), 2) {
            prop_assert!(error.to_string().len() < 120);
        }
        let token = format!("{}.{}.AAAA", base64url(&text), base64url(&text));
        let _ = Jws::parse(&token, MAX_BYTES);
        let _ = Jwk::parse(text.as_bytes());
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth(name in any::<String>(), depth in 0_usize..8) {
        let key = serde_json::to_string(&name).unwrap();
        let object = format!("{{{key}:1,\"other\":2,{key}:3}}");
        let text = format!("{}{object}{}", "[".repeat(depth), "]".repeat(depth));
        let error = json::parse(text.as_bytes(), DEFAULT_MAX_DEPTH).unwrap_err();
        let duplicate = matches!(error, JsonError::DuplicateMember { .. });
        prop_assert!(duplicate, "{:?}", error);
    }

    #[test]
    fn nesting_is_counted_exactly(depth in 0_usize..60, max_depth in 0_usize..60) {
        let text = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let result = json::parse(text.as_bytes(), max_depth);
        if depth <= max_depth {
            prop_assert!(result.is_ok());
        } else {
            prop_assert_eq!(result, Err(JsonError::TooDeep { max_depth }));
        }
    }

    #[test]
    fn every_jwk_reads_back_from_its_json(key in public_key(), kid in proptest::option::of(kid())) {
        let jwk = Jwk::new(kid.clone(), key.clone()).unwrap();
        let text = jwk.to_json();
        let read = Jwk::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&read, &jwk);
        prop_assert_eq!(read.to_json(), text);
        prop_assert_eq!(read.public_key(), &key);
        let named = kid.unwrap_or_else(|| jwk.thumbprint());
        prop_assert_eq!(read.kid(), &named);
    }

    #[test]
    fn a_thumbprint_does_not_depend_on_the_name(key in public_key(), kid in kid()) {
        let named = Jwk::new(Some(kid), key.clone()).unwrap();
        let unnamed = Jwk::new(None, key).unwrap();
        prop_assert_eq!(named.thumbprint(), unnamed.kid().clone());
        prop_assert_eq!(named.thumbprint().as_str().len(), 43);
    }

    #[test]
    fn no_change_of_one_character_leaves_a_token_valid(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.=-]") {
        let signer = Signer::new();
        let token = signer.token(r#"{"alg":"ES256","typ":"JWT"}"#, r#"{"sub":"user-1"}"#);
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != token);
        let valid = Jws::parse(&changed, MAX_BYTES)
            .and_then(|jws| jws.verify(&set([signer.jwk(None)]), &Algorithm::ALL).map(|_| ()));
        prop_assert!(valid.is_err());
    }
}
