//! What the lead protects from, shown by waiving it. It is also the alarm's own test: were these
//! tokens accepted, the other tests here would prove nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::start;
use crate::verifiers::{self, AUDIENCE, CoolDown};
use crate::{create_issuer, report};

#[test]
fn a_key_that_is_forced_into_use_is_refused_by_every_cache_that_predates_it() {
    let server = start("");
    let url = create_issuer(&server, "hasty", json!({ "algorithms": ["ES256"] }));
    let sign = || {
        server.sign(
            "hasty",
            &json!({ "claims": { "sub": "user-1", "aud": AUDIENCE } }),
        )
    };
    let rotate = |force| {
        server.call(
            "POST",
            "/v1/issuers/hasty/rotate",
            Some(&json!({ "force": force })),
        )
    };
    let mut verifiers = verifiers::all(CoolDown::Default);
    let first = sign();
    let filled = Instant::now();
    for verifier in &mut verifiers {
        assert_eq!(verifier.verify(&first, &url), Ok(()), "{}", verifier.name);
    }

    // The successor of the first set is one that everybody holds: no force is needed.
    let answer = rotate(false);
    assert_eq!(
        (answer.status, &answer.json()["forced"]),
        (200, &json!(false))
    );
    let second = sign();
    for verifier in &mut verifiers {
        assert_eq!(verifier.verify(&second, &url), Ok(()), "{}", verifier.name);
    }

    // The next one was published a moment ago.
    let answer = rotate(false);
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (409, &json!("successor-not-ready"))
    );
    let answer = rotate(true);
    assert_eq!(
        (answer.status, &answer.json()["forced"]),
        (200, &json!(true))
    );
    let third = sign();
    for verifier in &mut verifiers {
        let outcome = verifier.verify(&third, &url);
        report(&format!(
            "a forced key meets {}: {outcome:?}",
            verifier.name
        ));
        let expected = match verifier.name {
            "jsonwebtoken, no cache" | "jwks-rsa + jsonwebtoken" => {
                // A verifier that asks at every miss is never behind.
                assert_eq!(outcome, Ok(()), "{}", verifier.name);
                continue;
            }
            "jsonwebtoken, 5 s cache" => "unknown kid",
            "keywright-verifier" => "unknown-key",
            "jose" => "refused ERR_JWKS_NO_MATCHING_KEY",
            "PyJWT" => "refused PyJWKClientError Unable to find a signing key",
            "joserfc" => "refused InvalidKeyIdError",
            name => panic!("nothing is known of {name}"),
        };
        let keeps = if verifier.name == "jsonwebtoken, 5 s cache" {
            5
        } else {
            30
        };
        if outcome.is_ok() && filled.elapsed() > Duration::from_secs(keeps) {
            report(&format!(
                "{} has asked again: this machine is slow",
                verifier.name
            ));
            continue;
        }
        let refusal = outcome.expect_err(verifier.name);
        assert!(
            refusal.starts_with(expected),
            "{}: {refusal}",
            verifier.name
        );
    }
    for mut verifier in verifiers::all(CoolDown::Default) {
        for token in [&first, &second, &third] {
            assert_eq!(
                verifier.verify(token, &url),
                Ok(()),
                "{}, started anew",
                verifier.name
            );
        }
    }
}
