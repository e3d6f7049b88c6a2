use keywright_verifier::Thumbprint;
use serde_json::json;

use super::*;
use crate::oauth::Form;
use crate::oauth::refresh_token::{GrantKey, RefreshToken};

pub(in crate::oauth) fn grant(holder: GrantHolder, claims: Value) -> Grant {
    let key = GrantKey::new(&[1; 32]);
    let id = "00112233445566778899aabbccddeeff";
    let token = RefreshToken::first(id, &key, [2; 32]);
    let opened_at = Timestamp::from_seconds(1_000_000);
    let Value::Object(claims) = claims else {
        panic!("claims are an object");
    };
    Grant {
        id: id.to_owned(),
        claims,
        holder,
        expires_in: Some(300),
        idle: DEFAULT_IDLE,
        ends_at: opened_at.after(DEFAULT_ABSOLUTE),
        opened_at,
        changed_at: opened_at,
        by: "c1".to_owned(),
        binding: None,
        line: TokenLine::begin(&token, opened_at),
        ended: None,
    }
}

fn target(text: &str) -> Option<Target> {
    Target::of(&Form::parse(text.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_grant_is_read_as_it_was_written() {
    let mut grant = grant(GrantHolder::Client("c2".to_owned()), json!({"sub": "a"}));
    let read = |grant: &Grant| Grant::from_document(&grant.id, &grant.to_document());
    assert_eq!(read(&grant), Ok(grant.clone()));
    grant.holder = GrantHolder::Public;
    grant.line.previous = Some(grant.line.current);
    grant.binding = Some(GrantBinding::FirstProof(Binding::Mtls));
    assert_eq!(read(&grant), Ok(grant.clone()));
    grant.binding = Some(GrantBinding::Bound {
        by: Binding::Dpop,
        thumbprint: Thumbprint::from_octets([7; 32]),
        since: 1,
    });
    grant.ended = Some(GrantEnd {
        at: 5,
        cause: GrantEndCause::Reused,
    });
    assert_eq!(read(&grant), Ok(grant.clone()));
    let document = grant.to_document();
    for (from, to) in [
        ("\"format\":1", "\"format\":2"),
        ("\"format\":1", "\"format\":1,\"more\":1"),
        ("\"current\":\"", "\"current\":\"!"),
        ("\"thumbprint\":\"", "\"thumbprint\":\"!"),
    ] {
        let altered = document.replacen(from, to, 1);
        assert_ne!(altered, document);
        assert!(Grant::from_document(&grant.id, &altered).is_err());
    }
}

#[test]
fn it_ends_when_it_is_unused_or_at_its_end() {
    let mut grant = grant(GrantHolder::Public, json!({"sub": "a"}));
    let at = |after: u64| grant.opened_at.after(Duration::from_secs(after));
    let (twelve_hours, thirty_days) = (12 * 3600, 30 * DAY);
    assert_eq!(grant.state(at(twelve_hours - 1)), GrantState::Live);
    assert_eq!(grant.state(at(twelve_hours)), GrantState::Expired);
    let last = at(thirty_days - 60);
    let (before, end) = (at(thirty_days - 1), at(thirty_days));
    grant.line.rotated_at = last;
    assert_eq!(grant.expires_at(), end);
    assert_eq!(grant.state(before), GrantState::Live);
    assert_eq!(grant.state(end), GrantState::Expired);
    let kept = grant.kept_until();
    assert!(kept >= end.after(KEPT_AFTER_END));
    assert!(kept <= end.after(KEPT_AFTER_END + Duration::from_secs(KEPT_IN_STEPS)));
    grant.ended = Some(GrantEnd {
        at: grant.opened_at.millis(),
        cause: GrantEndCause::Requested,
    });
    assert_eq!(
        grant.state(before),
        GrantState::Ended(GrantEndCause::Requested)
    );
}

#[test]
fn scope_and_target_only_shrink() {
    let claims = json!({"sub": "a", "aud": ["orders", "billing"], "scope": "read write"});
    let grant = grant(GrantHolder::Public, claims);
    let all = grant.claims_for(None, None).unwrap();
    assert_eq!(
        Value::Object(all),
        json!({"sub": "a", "aud": ["orders", "billing"], "scope": "read write",
            "client_id": "public"})
    );
    let scope = Scope::parse("write").unwrap();
    let less = grant.claims_for(Some(&scope), target("audience=billing").as_ref());
    assert_eq!(
        Value::Object(less.unwrap()),
        json!({"sub": "a", "aud": "billing", "scope": "write", "client_id": "public"})
    );
    for wider in ["read write admin", "rea", "admin"] {
        let scope = Scope::parse(wider).unwrap();
        let refused = grant.claims_for(Some(&scope), None);
        assert_eq!(refused, Err(OutsideGrant::Scope), "{wider}");
    }
    let refused = grant.claims_for(None, target("resource=urn:a").as_ref());
    assert_eq!(refused, Err(OutsideGrant::Target));
}

#[test]
fn a_grant_without_scope_has_none_to_ask_for() {
    let grant = grant(GrantHolder::Public, json!({"sub": "a", "client_id": "spa"}));
    assert_eq!(grant.client_id(), "spa");
    let scope = Scope::parse("read").unwrap();
    let refused = grant.claims_for(Some(&scope), None);
    assert_eq!(refused, Err(OutsideGrant::Scope));
    let refused = grant.claims_for(None, target("audience=orders").as_ref());
    assert_eq!(refused, Err(OutsideGrant::Target));
}
