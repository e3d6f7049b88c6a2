//! Tokens. Bytes that have a line break are a header and claims, which are signed first: a signature
//! is nothing that a fuzzer guesses, and most of the code stands behind it.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use keywright_verifier::{Algorithm, JwkSet, Jws, PublicKey, Rules, Verifier};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Map, Value};

/// The keys of RFC 7515 appendices A.2 and A.3.
const KEYS: &str = r#"{"keys":[
    {"kty":"RSA","kid":"rsa","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"},
    {"kty":"EC","kid":"ec","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
]}"#;

/// RFC 7515 appendix A.3: the private half of the second key.
const PRIVATE_KEY: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";

const MAX_BYTES: usize = 4096;

/// A moment before the samples of RFC 7515 expire.
const NOW_SECONDS: u64 = 1_300_819_379;

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "orders";

struct Fixture {
    keys: JwkSet,
    verifier: Verifier,
    signer: EcdsaKeyPair,
}

/// One issuer with ordinary rules, and the one of the samples, which name no audience.
static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let keys = JwkSet::parse(KEYS.as_bytes()).unwrap();
    let Some(PublicKey::P256 { x, y }) = keys.keys().last().map(|key| key.public_key()) else {
        panic!("the second key is on P-256")
    };
    let signer = EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &URL_SAFE_NO_PAD.decode(PRIVATE_KEY).unwrap(),
        &[&[4][..], x, y].concat(),
        &SystemRandom::new(),
    )
    .unwrap();
    let ordinary = Rules::new(ISSUER, AUDIENCE, [Algorithm::Es256])
        .leeway(Duration::from_secs(5))
        .require(["jti"])
        .max_token_bytes(MAX_BYTES);
    let samples = Rules::new("joe", AUDIENCE, Algorithm::ALL).danger_accept_any_audience();
    let verifier = Verifier::new(ordinary, keys.clone())
        .and_then(|verifier| verifier.and(samples, keys.clone()))
        .unwrap();
    Fixture {
        keys,
        verifier,
        signer,
    }
});

/// No bytes make the crate panic, and what it accepts is what another library would accept.
pub(crate) fn check(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    match (lines.next(), lines.next()) {
        (Some(header), Some(claims)) => check_token(&sign(header, claims)),
        _ => {
            if let Ok(token) = std::str::from_utf8(bytes) {
                check_token(token);
            }
        }
    }
}

fn sign(header: &[u8], claims: &[u8]) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let input = format!("{header}.{claims}");
    let signature = FIXTURE
        .signer
        .sign(&SystemRandom::new(), input.as_bytes())
        .unwrap();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn check_token(token: &str) {
    let now = UNIX_EPOCH + Duration::from_secs(NOW_SECONDS);
    let verified = FIXTURE
        .verifier
        .verify_with_held_keys::<Map<String, Value>>(token, now);
    let Ok(jws) = Jws::parse(token, MAX_BYTES) else {
        // The samples' issuer allows longer tokens, and the fixed limit is the shorter one.
        assert!(verified.is_err() || token.len() > MAX_BYTES);
        return;
    };
    let unverified = jws.unverified_claims();
    let is_signed = jws.verify(&FIXTURE.keys, &Algorithm::ALL).is_ok();
    if is_signed {
        check_second_opinion(token, &jws);
    }
    if let Ok(verified) = verified {
        assert!(is_signed, "accepted with a signature that does not verify");
        assert_eq!(Ok(&verified.claims), unverified.as_ref());
        check_claims(&verified.claims, now, jws.typ());
    }
}

/// What verifies also verifies elsewhere, and has no second spelling.
fn check_second_opinion(token: &str, jws: &Jws<'_>) {
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("verified with other than three parts")
    };
    let decoded = [header, payload, signature].map(|part| {
        let octets = URL_SAFE_NO_PAD.decode(part).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(&octets), part, "a second spelling");
        octets
    });
    let header: Value = serde_json::from_slice(&decoded[0]).unwrap();
    assert_eq!(header["alg"], jws.algorithm().as_str());

    let key = FIXTURE.keys.find(jws.kid(), jws.algorithm()).unwrap();
    let (key, algorithm) = match key.public_key() {
        PublicKey::P256 { x, y } => {
            let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
            let key = DecodingKey::from_ec_components(&x, &y).unwrap();
            (key, jsonwebtoken::Algorithm::ES256)
        }
        PublicKey::Rsa { n, e } => {
            let key = DecodingKey::from_rsa_raw_components(n, e);
            (key, jsonwebtoken::Algorithm::RS256)
        }
    };
    let message = jws.signing_input().as_bytes();
    let agrees = jsonwebtoken::crypto::verify(signature, message, &key, algorithm);
    assert!(agrees.unwrap(), "another library refuses the signature");
}

/// The rules once more, written down the other way round.
fn check_claims(claims: &Map<String, Value>, now: SystemTime, typ: Option<&str>) {
    let now = now.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(
        typ.is_none_or(|typ| ["jwt", "application/jwt"].contains(&typ.to_lowercase().as_str()))
    );
    let leeway = match claims["iss"].as_str() {
        Some("joe") => 0.0,
        Some(ISSUER) => {
            let is_meant_for_us = match &claims["aud"] {
                Value::String(one) => one == AUDIENCE,
                Value::Array(many) => many.contains(&AUDIENCE.into()),
                _ => false,
            };
            assert!(is_meant_for_us);
            assert!(claims["jti"].is_string());
            5.0
        }
        other => panic!("accepted from {other:?}"),
    };
    assert!(claims["exp"].as_f64().unwrap() + leeway > now);
    assert!(
        claims
            .get("nbf")
            .is_none_or(|begin| begin.as_f64().unwrap() <= now + leeway)
    );
}
