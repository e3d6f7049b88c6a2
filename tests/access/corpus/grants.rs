//! A form of the token endpoint, a refresh token, and the record of a grant.

use std::collections::BTreeSet;
use std::time::Duration;

use keywright::lifecycle::Timestamp;
use keywright::oauth::{
    ClientCredentialsRequest, Form, Grant, GrantKey, RefreshRefusal, RefreshToken, Scope, Target,
    TokenLine,
};
use url::form_urlencoded;

const GRANT: &str = "00112233445566778899aabbccddeeff";
const GRACE: Duration = Duration::from_secs(30);

pub(crate) fn check(bytes: &[u8]) {
    check_form(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_token(text);
        check_record(text);
    }
}

/// A form that is accepted says what the crate `url` reads in it, each parameter once.
fn check_form(bytes: &[u8]) {
    let Ok(form) = Form::parse(bytes) else {
        return;
    };
    let mut names = BTreeSet::new();
    for (name, value) in form_urlencoded::parse(bytes) {
        let value = (!value.is_empty()).then_some(value.as_ref());
        assert_eq!(form.get(&name), value);
        assert!(names.insert(name), "a parameter that is repeated");
    }
    if let Some(text) = form.get("scope")
        && let Ok(scope) = Scope::parse(text)
    {
        let tokens: Vec<&str> = text.split(' ').collect();
        let different: BTreeSet<&&str> = tokens.iter().collect();
        assert_eq!((scope.as_str(), different.len()), (text, tokens.len()));
    }
    if let Ok(target) = Target::of(&form) {
        let named = form.get("resource").or(form.get("audience"));
        assert_eq!(target.as_ref().map(Target::as_str), named);
    }
    drop(ClientCredentialsRequest::of(&form));
}

/// A token has one spelling. What was issued under a key moves a line on, and again to the same successor;
/// what was not moves nothing.
fn check_token(text: &str) {
    let Some(token) = RefreshToken::parse(text) else {
        return;
    };
    assert_eq!(*token.reveal(), text);
    let (key, now) = (GrantKey::new(&[1; 32]), Timestamp::from_seconds(1));
    let line = TokenLine::begin(&token, now);
    match (token.is_of(&key), line.renew(&token, &key, GRACE, now)) {
        (true, Ok(renewal)) => {
            let again = renewal.line.renew(&token, &key, GRACE, now).unwrap();
            assert_eq!(again.successor.hash(), renewal.successor.hash());
            let shown = renewal.successor.reveal();
            let read = RefreshToken::parse(&shown).unwrap();
            assert_eq!(read.number(), token.number() + 1);
            assert!(read.is_of(&key));
        }
        (true, Err(refusal)) => {
            assert_eq!(
                (token.number(), refusal),
                (u32::MAX, RefreshRefusal::Reused)
            );
        }
        (false, renewal) => assert_eq!(renewal.err(), Some(RefreshRefusal::NeverIssued)),
    }
}

/// The record of a grant reads as it was written, whatever times it has.
fn check_record(text: &str) {
    let Ok(grant) = Grant::from_document(GRANT, text) else {
        return;
    };
    let written = grant.to_document();
    let read = Grant::from_document(GRANT, &written).unwrap();
    assert_eq!(read.to_document(), written);
    assert_eq!((&read.line, &read.ended), (&grant.line, &grant.ended));
    for now in [0, 1, u64::MAX].map(Timestamp::from_millis) {
        let _ = grant.state(now);
    }
    assert!(grant.expires_at() <= grant.ends_at);
    if grant.ended.is_none() {
        assert!(grant.kept_until() >= grant.expires_at());
    }
    let claims = grant.claims_for(None, None).unwrap();
    assert_eq!(claims["client_id"], grant.client_id());
    assert_eq!(grant.revocable_claims()["sid"], GRANT);
}
