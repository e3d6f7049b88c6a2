//! Attacks 46 to 53: genuine tokens in the wrong place, at the wrong time, or twice.

use std::collections::BTreeSet;
use std::time::Duration;

use keywright_verifier::{Algorithm, InvalidRules, JwkSet, MAX_LEEWAY, Rules, Verifier};
use serde_json::{Map, Value, json};

use crate::naive::Defence;
use crate::service::{AUDIENCE, ISSUER, NOW_SECONDS, Service, claims, claims_with, claims_without};
use crate::signature::mirrored;

pub(crate) fn attack_46_dates_that_are_no_dates() {
    let (service, issuer) = Service::with_issuer();
    for (name, value) in [
        // Taken for absent, these never expire, and are born already.
        ("exp", json!("1800000600")),
        ("exp", json!("never")),
        ("exp", json!(true)),
        ("exp", json!(null)),
        ("exp", json!([NOW_SECONDS + 600])),
        ("exp", json!({"$date": NOW_SECONDS + 600})),
        ("nbf", json!("1800000600")),
        ("nbf", json!(null)),
        ("iat", json!("yesterday")),
        // Cast to an unsigned number, this is the end of all days.
        ("exp", json!(-1)),
        ("nbf", json!(-1.5)),
    ] {
        let token = issuer.token(&claims_with(name, value));
        service.withstands(&token, "claim-malformed", Defence::ClaimTypes);
    }
    // A number that no double holds; JavaScript reads infinity.
    let text = claims().to_string().replace("1800000600", "1e400");
    let token = issuer.sign(issuer.header(), text);
    service.withstands(&token, "token-malformed", Defence::ExactNumbers);

    let token = issuer.token(&claims_without("exp"));
    service.withstands(&token, "claim-missing", Defence::ExpiryRequired);

    // A fraction is legal (RFC 7519 §2), and is not cut off in anybody's favour.
    let now = NOW_SECONDS as f64;
    service.accepts(&issuer.token(&claims_with("exp", now + 0.5)));
    for exp in [now, now - 0.5] {
        let token = issuer.token(&claims_with("exp", exp));
        assert_eq!(service.verify(&token), Err("token-expired"));
    }
}

pub(crate) fn attack_47_nbf_ignored() {
    let (service, issuer) = Service::with_issuer();
    service.accepts(&issuer.token(&claims_with("nbf", NOW_SECONDS)));
    for begin in [
        json!(NOW_SECONDS + 1),
        json!(NOW_SECONDS as f64 + 0.5),
        json!(u64::MAX),
    ] {
        let token = issuer.token(&claims_with("nbf", begin));
        service.withstands(&token, "token-not-yet-valid", Defence::NotBefore);
    }
}

// One key signs for all tenants of the host, or for a name that only looks like the other.
pub(crate) fn attack_48_issuer_that_looks_alike() {
    let (service, issuer) = Service::with_issuer();
    for name in [
        "https://id.example/",
        "https://id.example/tenants/evil",
        "https://id.example.evil.example",
        "https://id.example@evil.example",
        "https://id.exampl",
        "https://ID.example",
        "HTTPS://id.example",
        " https://id.example",
        "https://id.example\n",
        "",
    ] {
        let token = issuer.token(&claims_with("iss", name));
        service.withstands(&token, "wrong-issuer", Defence::ExactIssuer);
    }
    let token = issuer.token(&claims_without("iss"));
    service.withstands(&token, "wrong-issuer", Defence::ExactIssuer);
    let token = issuer.token(&claims_with("iss", json!([ISSUER])));
    assert_eq!(service.verify(&token), Err("claim-malformed"));
}

pub(crate) fn attack_49_audience_missing_in_an_array_or_alike() {
    let (service, issuer) = Service::with_issuer();
    service.accepts(&issuer.token(&claims_with("aud", json!(["billing", AUDIENCE]))));
    for audience in [
        json!("orders-internal"),
        json!("order"),
        json!("Orders"),
        json!("https://orders"),
        json!(""),
        json!([]),
        json!(["orders-internal"]),
        json!(["orders billing"]),
    ] {
        let token = issuer.token(&claims_with("aud", audience));
        service.withstands(&token, "wrong-audience", Defence::ExactAudience);
    }
    let token = issuer.token(&claims_without("aud"));
    service.withstands(&token, "wrong-audience", Defence::ExactAudience);
    for audience in [json!({"orders": true}), json!(null), json!([AUDIENCE, 1])] {
        let token = issuer.token(&claims_with("aud", audience));
        service.withstands(&token, "claim-malformed", Defence::ClaimTypes);
    }
}

pub(crate) fn attack_50_one_kind_of_token_as_another() {
    let (plain, issuer) = Service::with_issuer();
    let token = |typ: &str| {
        let header = format!(r#"{{"alg":"ES256","kid":"k1","typ":"{typ}"}}"#);
        issuer.sign(header, claims().to_string())
    };
    plain.accepts(&token("application/JWT"));
    for typ in [
        "logout+jwt",
        "at+jwt",
        "dpop+jwt",
        "application/secevent+jwt",
        "",
        "JWT2",
    ] {
        plain.withstands(&token(typ), "wrong-type", Defence::TokenType);
    }
    let access = Service {
        typ: Some("at+jwt"),
        ..plain
    };
    access.accepts(&token("AT+jwt"));
    for typ in [
        "JWT",
        "logout+jwt",
        "at",
        "at+jwt; charset=utf-8",
        "text/at+jwt",
    ] {
        access.withstands(&token(typ), "wrong-type", Defence::TokenType);
    }
    access.withstands(&issuer.token(&claims()), "wrong-type", Defence::TokenType);
}

pub(crate) fn attack_52_leeway_without_an_end() {
    let (mut service, issuer) = Service::with_issuer();
    // A day: expired tokens and revoked users live on.
    service.leeway = Duration::from_secs(86_400);
    let rules = Rules::new(ISSUER, AUDIENCE, [Algorithm::Es256]).leeway(service.leeway);
    let refused = Verifier::new(rules, JwkSet::default()).unwrap_err();
    assert_eq!(refused, InvalidRules::Leeway { seconds: 86_400 });

    // The most that the crate takes, to the second.
    let most = MAX_LEEWAY.as_secs();
    service.accepts(&issuer.token(&claims_with("exp", NOW_SECONDS - most + 1)));
    service.accepts(&issuer.token(&claims_with("nbf", NOW_SECONDS + most)));
    for (name, value, code) in [
        ("exp", NOW_SECONDS - most, "token-expired"),
        ("exp", NOW_SECONDS - 3_600, "token-expired"),
        ("nbf", NOW_SECONDS + most + 1, "token-not-yet-valid"),
    ] {
        let token = issuer.token(&claims_with(name, value));
        service.withstands(&token, code, Defence::LeewayCap);
    }
    // What leeway is added to may be as large as a number gets.
    service.accepts(&issuer.token(&claims_with("exp", u64::MAX)));
}

pub(crate) fn attack_53_replay() {
    let (mut service, issuer) = Service::with_issuer();
    service.required = vec!["jti"];
    let token = issuer.token(&claims_without("jti"));
    service.withstands(&token, "claim-missing", Defence::RequiredClaims);
    // `null` is missing too, and no string besides, which is noticed first.
    let token = issuer.token(&claims_with("jti", Value::Null));
    assert_eq!(service.verify(&token), Err("claim-malformed"));

    let token = issuer.token(&claims());
    let mut seen = BTreeSet::new();
    assert!(seen.insert(identity(&service.accepts(&token))));
    for again in [token.clone(), mirrored(&token)] {
        assert!(!seen.insert(identity(&service.accepts(&again))), "a replay");
    }
    // Two issuers may use one jti, so the issuer is part of it.
    let mut other = service.accepts(&token);
    other.insert("iss".to_owned(), "https://other.example".into());
    assert!(seen.insert(identity(&other)));
}

/// What a replay cache remembers, until `exp`.
fn identity(claims: &Map<String, Value>) -> [String; 2] {
    ["iss", "jti"].map(|name| claims[name].as_str().unwrap().to_owned())
}
