use serde_json::{Map, Value, json};

use super::*;

const NOW: u64 = 1_700_000_000;

/// A claims set that is good at [`NOW`], changed by `changes`; `null` removes a claim.
fn claims(changes: Value) -> Members<'static> {
    changed(changes).into()
}

fn changed(changes: Value) -> Map<String, Value> {
    let mut claims = json!({"iss": "https://id.example", "aud": "orders", "exp": NOW + 60});
    let target = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            target.remove(name);
        } else {
            target.insert(name.clone(), value.clone());
        }
    }
    target.clone()
}

fn strict() -> Rules {
    Rules::new("https://id.example", "orders", Algorithm::ALL).typ("at+jwt")
}

/// Whatever `aud` and `typ` are.
fn lax() -> Rules {
    strict()
        .danger_accept_any_audience()
        .danger_accept_any_typ()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn check(changes: Value) -> Result<(), ClaimError> {
    strict().check(Some("at+jwt"), &claims(changes), at(NOW))
}

fn is_malformed(result: Result<(), ClaimError>, name: &str) -> bool {
    matches!(result, Err(ClaimError::Malformed { claim, .. }) if claim == name)
}

#[test]
fn a_token_that_says_what_is_expected_is_accepted() {
    assert_eq!(check(json!({})), Ok(()));
    assert_eq!(
        check(json!({"nbf": NOW, "iat": NOW, "sub": "user-1", "jti": "1"})),
        Ok(())
    );
}

#[test]
fn a_token_ends_at_exp_and_not_a_second_later() {
    assert_eq!(check(json!({"exp": NOW + 1})), Ok(()));
    assert_eq!(check(json!({"exp": NOW})), Err(ClaimError::Expired));
    assert_eq!(check(json!({"exp": NOW - 1})), Err(ClaimError::Expired));
    assert_eq!(check(json!({"exp": 0})), Err(ClaimError::Expired));
}

// Attack 47.
#[test]
fn a_token_begins_at_nbf() {
    assert_eq!(check(json!({"nbf": NOW})), Ok(()));
    assert_eq!(check(json!({"nbf": NOW + 1})), Err(ClaimError::NotYetValid));
    assert_eq!(
        check(json!({"nbf": u64::MAX})),
        Err(ClaimError::NotYetValid)
    );
}

// Attack 52: exactly the leeway that was configured, at both ends.
#[test]
fn leeway_moves_both_ends_by_exactly_as_much() {
    let rules = strict().leeway(Duration::from_secs(30));
    let check = |changes| rules.check(Some("at+jwt"), &claims(changes), at(NOW));
    assert_eq!(check(json!({"exp": NOW - 29})), Ok(()));
    assert_eq!(check(json!({"exp": NOW - 30})), Err(ClaimError::Expired));
    assert_eq!(check(json!({"nbf": NOW + 30})), Ok(()));
    assert_eq!(
        check(json!({"nbf": NOW + 31})),
        Err(ClaimError::NotYetValid)
    );
}

#[test]
fn the_largest_numbers_overflow_nothing() {
    let rules = lax().leeway(Duration::MAX);
    for exp in [json!(u64::MAX), json!(1e300), json!(0)] {
        let claims = claims(json!({"exp": exp, "nbf": u64::MAX}));
        assert_eq!(rules.check(None, &claims, at(1 << 62)), Ok(()), "{exp}");
    }
}

#[test]
fn a_token_without_exp_is_refused() {
    let missing = ClaimError::Missing {
        claim: "exp".to_owned(),
    };
    assert_eq!(check(json!({"exp": null})), Err(missing.clone()));
    assert_eq!(lax().check(None, &Map::new().into(), at(0)), Err(missing));
}

// Attack 46: a date of the wrong type is no absent date. (1e400 is no number that parses.)
#[test]
fn dates_are_non_negative_numbers() {
    let wrong = [
        json!("1700000060"),
        json!(-1),
        json!(-0.5),
        json!(i64::MIN),
        json!(true),
        json!([NOW + 60]),
        json!({}),
    ];
    for claim in ["exp", "nbf", "iat"] {
        for value in &wrong {
            assert!(
                is_malformed(check(json!({ claim: value })), claim),
                "{claim}: {value}"
            );
        }
    }
    for claim in ["exp", "nbf", "iat"] {
        let mut claims = changed(json!({}));
        claims.insert(claim.to_owned(), Value::Null);
        let refused = strict().check(Some("at+jwt"), &claims.into(), at(NOW));
        assert!(is_malformed(refused, claim));
    }
}

// RFC 7519 §2 allows a fraction of a second.
#[test]
fn a_date_may_have_a_fraction_and_it_counts() {
    assert_eq!(check(json!({"exp": 1_700_000_000.5})), Ok(()));
    assert_eq!(
        check(json!({"exp": 1_699_999_999.5})),
        Err(ClaimError::Expired)
    );
    assert_eq!(
        check(json!({"nbf": 1_700_000_000.5})),
        Err(ClaimError::NotYetValid)
    );
}

// Attack 48.
#[test]
fn the_issuer_is_compared_byte_for_byte() {
    for issuer in [
        "https://id.example/",
        "https://id.exampl",
        "https://id.example.evil.example",
        "HTTPS://ID.EXAMPLE",
        "http://id.example",
        " https://id.example",
        "",
    ] {
        assert_eq!(
            check(json!({"iss": issuer})),
            Err(ClaimError::WrongIssuer),
            "{issuer:?}"
        );
    }
    assert_eq!(check(json!({"iss": null})), Err(ClaimError::WrongIssuer));
    assert!(is_malformed(
        check(json!({"iss": ["https://id.example"]})),
        "iss"
    ));
}

// Attack 49.
#[test]
fn the_audience_contains_me_whole() {
    assert_eq!(check(json!({"aud": ["billing", "orders"]})), Ok(()));
    for audience in [
        json!("order"),
        json!("orders-admin"),
        json!("Orders"),
        json!(["order", "s"]),
        json!([]),
    ] {
        assert_eq!(
            check(json!({"aud": audience})),
            Err(ClaimError::WrongAudience),
            "{audience}"
        );
    }
    assert_eq!(check(json!({"aud": null})), Err(ClaimError::WrongAudience));
    for audience in [
        json!(1),
        json!({"orders": 1}),
        json!(["orders", 1]),
        json!([["orders"]]),
    ] {
        assert!(
            is_malformed(check(json!({"aud": audience})), "aud"),
            "{audience}"
        );
    }
}

// Attack 50.
#[test]
fn another_kind_of_token_is_refused() {
    let check = |typ| strict().check(typ, &claims(json!({})), at(NOW));
    for typ in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
    ] {
        assert_eq!(check(Some(typ)), Ok(()), "{typ}");
    }
    for typ in [
        "JWT",
        "jwt",
        "at+jwt ",
        "text/at+jwt",
        "application/x/at+jwt",
        "at",
        "",
    ] {
        assert_eq!(check(Some(typ)), Err(ClaimError::WrongType), "{typ}");
    }
    assert_eq!(check(None), Err(ClaimError::WrongType));
}

#[test]
fn an_expected_typ_may_have_the_prefix_too() {
    let rules = lax().typ("application/at+jwt");
    assert_eq!(
        rules.check(Some("at+jwt"), &claims(json!({})), at(NOW)),
        Ok(())
    );
    let wrong = rules.check(Some("JWT"), &claims(json!({})), at(NOW));
    assert_eq!(wrong, Err(ClaimError::WrongType));
}

// RFC 7515 §4.1.9: the prefix is left out only where no other slash follows.
#[test]
fn the_prefix_of_a_typ_with_another_slash_counts() {
    let rules = lax().typ("text/plain");
    let check = |typ| rules.check(Some(typ), &claims(json!({})), at(NOW));
    assert_eq!(check("text/plain"), Ok(()));
    assert_eq!(check("application/text/plain"), Err(ClaimError::WrongType));
}

#[test]
fn without_audience_and_typ_issuer_types_and_times_still_count() {
    let check = |changes| lax().check(None, &claims(changes), at(NOW));
    assert_eq!(check(json!({"aud": "other"})), Ok(()));
    assert_eq!(check(json!({"aud": null})), Ok(()));
    let other = check(json!({"iss": "https://other.example"}));
    assert_eq!(other, Err(ClaimError::WrongIssuer));
    assert_eq!(check(json!({"iss": null})), Err(ClaimError::WrongIssuer));
    assert_eq!(check(json!({"exp": NOW})), Err(ClaimError::Expired));
    for claim in ["iss", "aud", "sub", "jti"] {
        assert!(is_malformed(check(json!({ claim: 1 })), claim), "{claim}");
    }
}

// Attack 50: a kind of token that has a name of its own is never taken for a plain one.
#[test]
fn without_a_typ_only_plain_tokens_are_accepted() {
    let rules = Rules::new("https://id.example", "orders", Algorithm::ALL);
    let check = |typ| rules.check(typ, &claims(json!({})), at(NOW));
    for typ in [None, Some("JWT"), Some("jwt"), Some("application/jwt")] {
        assert_eq!(check(typ), Ok(()), "{typ:?}");
    }
    for typ in ["at+jwt", "logout+jwt", "secevent+jwt", "JOSE", ""] {
        assert_eq!(check(Some(typ)), Err(ClaimError::WrongType), "{typ}");
    }
}

#[test]
fn a_service_may_have_two_names() {
    let rules = strict().or_audience("orders-v2");
    let check = |audience| {
        let claims = claims(json!({ "aud": audience }));
        rules.check(Some("at+jwt"), &claims, at(NOW))
    };
    for audience in [
        json!("orders"),
        json!("orders-v2"),
        json!(["x", "orders-v2"]),
    ] {
        assert_eq!(check(audience.clone()), Ok(()), "{audience}");
    }
    assert_eq!(check(json!("orders-v3")), Err(ClaimError::WrongAudience));
}

// Attack 53, the part that is a verifier's: who wants to notice a token that comes twice needs a jti.
#[test]
fn a_claim_that_is_required_is_there_and_not_null() {
    let rules = strict().require(["jti", "client_id"]);
    let check = |changes| rules.check(Some("at+jwt"), &claims(changes), at(NOW));
    assert_eq!(check(json!({"jti": "1", "client_id": "c"})), Ok(()));
    let missing = |claim: &str| {
        Err(ClaimError::Missing {
            claim: claim.to_owned(),
        })
    };
    assert_eq!(check(json!({"client_id": "c"})), missing("jti"));
    let mut claims = changed(json!({"jti": "1"}));
    claims.insert("client_id".to_owned(), Value::Null);
    let refused = rules.check(Some("at+jwt"), &claims.into(), at(NOW));
    assert_eq!(refused, missing("client_id"));
}

// A clock without a battery says 1970, and every token would be unexpired.
#[test]
fn before_1970_no_token_is_valid() {
    let early = UNIX_EPOCH - Duration::from_secs(1);
    let refused = strict().check(Some("at+jwt"), &claims(json!({})), early);
    assert_eq!(refused, Err(ClaimError::NotYetValid));
}

#[test]
fn rules_that_accept_nothing_or_too_much_are_refused() {
    let empty = |what| Err(InvalidRules::Empty { what });
    assert_eq!(strict().validate(), Ok(()));
    let rules = Rules::new("", "orders", Algorithm::ALL);
    assert_eq!(rules.validate(), empty("issuer"));
    let rules = Rules::new("https://id.example", "", Algorithm::ALL);
    assert_eq!(rules.validate(), empty("audience"));
    assert_eq!(strict().or_audience("").validate(), empty("audience"));
    let rules = Rules::new("https://id.example", "orders", []);
    assert_eq!(rules.validate(), empty("list of algorithms"));
    assert_eq!(strict().typ("").validate(), empty("typ"));
    assert_eq!(strict().leeway(MAX_LEEWAY).validate(), Ok(()));
    let rules = strict().leeway(MAX_LEEWAY + Duration::from_secs(1));
    assert_eq!(rules.validate(), Err(InvalidRules::Leeway { seconds: 301 }));
}

#[test]
fn codes_are_stable_and_texts_hold_no_value() {
    let rules = strict();
    let error = |typ, changes| {
        rules
            .check(Some(typ), &claims(changes), at(NOW))
            .unwrap_err()
    };
    for (error, code) in [
        (error("at+jwt", json!({"exp": 1234})), "token-expired"),
        (
            error("at+jwt", json!({"nbf": NOW + 1234})),
            "token-not-yet-valid",
        ),
        (error("at+jwt", json!({"iss": "1234"})), "wrong-issuer"),
        (error("at+jwt", json!({"aud": "1234"})), "wrong-audience"),
        (error("1234", json!({})), "wrong-type"),
        (error("at+jwt", json!({"exp": "1234"})), "claim-malformed"),
    ] {
        assert_eq!(error.code(), code);
        assert!(!format!("{error} {error:?}").contains("1234"));
    }
}

/// The claims of a security event token, changed.
fn check_event(typ: Option<&str>, changes: Value) -> Result<(), ClaimError> {
    let event =
        json!({"exp": null, "jti": "e1", "iat": NOW, "events": {"https://a.example/x": {}}});
    let mut all = event.as_object().unwrap().clone();
    all.extend(changes.as_object().unwrap().clone());
    let rules = Rules::security_events("https://id.example", "orders", Algorithm::ALL);
    let rules = rules.leeway(Duration::from_secs(30));
    rules.check(typ, &claims(all.into()), at(NOW))
}

#[test]
fn a_security_event_is_no_token_and_never_expires() {
    let typ = Some("secevent+jwt");
    assert_eq!(check_event(typ, json!({})), Ok(()));
    assert_eq!(
        check_event(Some("application/SECEVENT+JWT"), json!({"iat": 0})),
        Ok(())
    );
    for (claim, value) in [
        ("sub", json!("user-1")),
        ("exp", json!(NOW + 60)),
        ("exp", json!(0)),
    ] {
        let error = check_event(typ, json!({ claim: value }));
        assert_eq!(error, Err(ClaimError::Forbidden { claim }));
    }
    for other in [None, Some("JWT"), Some("at+jwt"), Some("logout+jwt")] {
        assert_eq!(
            check_event(other, json!({})),
            Err(ClaimError::WrongType),
            "{other:?}"
        );
    }
    for claim in ["jti", "iat", "events"] {
        let missing = ClaimError::Missing {
            claim: claim.to_owned(),
        };
        assert_eq!(check_event(typ, json!({ claim: null })), Err(missing));
    }
    assert_eq!(
        check_event(typ, json!({"aud": "billing"})),
        Err(ClaimError::WrongAudience)
    );
    assert_eq!(
        check_event(typ, json!({"iss": "https://a.example"})),
        Err(ClaimError::WrongIssuer)
    );
    assert_eq!(check_event(typ, json!({"iat": NOW + 30})), Ok(()));
    assert_eq!(
        check_event(typ, json!({"iat": NOW + 31})),
        Err(ClaimError::NotYetValid)
    );
    // And the other way round: neither the type nor the claims are those of a token.
    let event = claims(json!({"exp": null, "jti": "e1", "iat": NOW, "events": {}}));
    assert_eq!(
        strict().check(typ, &event, at(NOW)),
        Err(ClaimError::WrongType)
    );
    assert!(matches!(
        strict().danger_accept_any_typ().check(typ, &event, at(NOW)),
        Err(ClaimError::Missing { .. })
    ));
}
