use std::collections::HashSet;

use keywright_verifier::revocation::{Digest, Salt, Selector, SelectorKind, selectors_of};

use super::*;
use crate::lifecycle::IssuerName;

const NOW: u64 = 1_795_000_000;

fn keys(secret: u8, issuer: &str) -> StatusKeys {
    StatusKeys::new(&[secret; SECRET_BYTES], &IssuerName::parse(issuer).unwrap())
}

const ENTRY: StatusEntry = StatusEntry {
    list: 0xdead_beef,
    index: ENTRIES - 1,
};

#[test]
fn every_entry_of_a_list_is_used_once_and_in_no_order_that_shows() {
    let order = keys(1, "shop").order_of(7);
    let entries: Vec<u32> = (0..ENTRIES)
        .map(|place| order.entry_at(place).unwrap())
        .collect();
    assert!(entries.iter().all(|entry| *entry < ENTRIES));
    let different: HashSet<u32> = entries.iter().copied().collect();
    assert_eq!(different.len(), entries.len());
    assert_eq!(order.entry_at(ENTRIES), None);
    let neighbours = entries
        .windows(2)
        .filter(|pair| pair[0].abs_diff(pair[1]) < 8);
    assert!(
        neighbours.count() < 64,
        "about 14 are expected of a million"
    );
    let first: Vec<u32> = entries.iter().take(BLOCK as usize).copied().collect();
    let low = first.iter().filter(|entry| **entry < ENTRIES / 2).count();
    assert!(
        (30_000..36_000).contains(&low),
        "the first block is spread over the list: {low}"
    );
    assert_ne!(keys(1, "shop").order_of(8).entry_at(0), order.entry_at(0));
}

#[test]
fn a_jti_has_22_characters_and_opens_with_its_own_key_alone() {
    let shop = keys(1, "shop");
    let cipher = shop.jti_cipher(NOW);
    let jti = cipher.seal(ENTRY, [1, 2, 3, 4]);
    assert_eq!(jti.len(), 22);
    assert_ne!(jti, cipher.seal(ENTRY, [1, 2, 3, 5]));
    let month = NOW..=NOW + 40 * 86_400;
    assert_eq!(shop.entry_of(&jti, month.clone()), Some(ENTRY));
    let later = NOW + 61 * 86_400;
    assert_eq!(
        shop.entry_of(&jti, later..=later + 86_400),
        None,
        "another key"
    );
    for other in [keys(2, "shop"), keys(1, "other")] {
        assert_eq!(other.entry_of(&jti, month.clone()), None);
    }
    for foreign in ["", "x", &jti[1..], &format!("{jti}A"), &"A".repeat(22)] {
        assert_eq!(shop.entry_of(foreign, month.clone()), None, "{foreign}");
    }
    // A block that decrypts to an entry past the end of its list is none of ours.
    let past = StatusEntry {
        list: 1,
        index: ENTRIES,
    };
    assert_eq!(cipher.open(&cipher.seal(past, [0; 4])), None);
    assert!(!format!("{cipher:?}{shop:?}").contains("[1"));
}

#[test]
fn an_address_that_was_never_given_out_is_no_list() {
    let name = ListName {
        list: 7,
        hour: hour_of(NOW),
    };
    let address = keys(1, "shop").address_of(name);
    assert_eq!(address.len(), 22);
    assert_eq!(keys(1, "shop").read_address(&address), Some(name));
    for other in [keys(2, "shop"), keys(1, "other")] {
        assert_eq!(other.read_address(&address), None);
    }
    for place in 0..address.len() {
        let mut altered = address.clone().into_bytes();
        altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert_eq!(keys(1, "shop").read_address(&altered), None, "{place}");
        assert_eq!(keys(1, "shop").read_address(&address[..place]), None);
    }
}

#[test]
fn a_restore_adds_a_secret_and_keeps_those_by_which_earlier_lists_are_known() {
    let first = renewed_secrets(None, [1; SECRET_BYTES]);
    assert_eq!(split_secrets(&first), Some(vec![[1; SECRET_BYTES]]));
    let second = renewed_secrets(Some(&first), [2; SECRET_BYTES]);
    assert_eq!(
        split_secrets(&second).unwrap().last(),
        Some(&[2; SECRET_BYTES])
    );
    assert_eq!(split_secrets(&second).unwrap().len(), 2);
    let mut many = second;
    for number in 3..40 {
        many = renewed_secrets(Some(&many), [number; SECRET_BYTES]);
    }
    let kept = split_secrets(&many).unwrap();
    assert_eq!(
        (kept.len(), kept.last()),
        (MAX_EPOCHS, Some(&[39; SECRET_BYTES]))
    );
    for broken in [
        &[][..],
        &[1; 31],
        &[1; 33],
        &[0; SECRET_BYTES * (MAX_EPOCHS + 1)],
    ] {
        assert_eq!(split_secrets(broken), None);
        assert_eq!(
            renewed_secrets(Some(broken), [9; SECRET_BYTES]).len(),
            SECRET_BYTES
        );
    }
}

#[test]
fn a_list_is_leased_block_after_block_and_its_record_reads_as_it_was_written() {
    let name = ListName {
        list: 0xab,
        hour: 5,
    };
    let mut list = LeasedList::new(name);
    let mut places = Vec::new();
    loop {
        assert_eq!(
            LeasedList::from_document(&list.id(), &list.to_document()),
            Ok(list)
        );
        places.extend(list.last_block());
        let Some(next) = list.with_next_block() else {
            break;
        };
        list = next;
    }
    assert!(places.into_iter().eq(0..ENTRIES));
    for (id, document) in [
        ("ab", r#"{"format":1,"hour":5,"blocks":1}"#),
        ("000000ab", r#"{"format":2,"hour":5,"blocks":1}"#),
        ("000000ab", r#"{"format":1,"hour":5,"blocks":0}"#),
        ("000000ab", r#"{"format":1,"hour":5,"blocks":17}"#),
        ("000000ab", r#"{"format":1,"hour":5,"blocks":1,"more":1}"#),
        ("x", "{}"),
    ] {
        assert!(
            LeasedList::from_document(id, document).is_err(),
            "{id} {document}"
        );
    }
}

#[test]
fn a_tracked_token_is_found_by_its_subjects_and_its_session_and_reads_as_it_was_written() {
    let salt = Salt::new([7; 32]);
    let claims = serde_json::json!({
        "sub": "user-1", "act": {"sub": "robot", "act": {"sub": "user-1"}}, "aud": ["a", "b"],
        "client_id": "web", "sid": "s", "jti": "j"
    });
    let selectors = selectors_of(|name| claims.get(name)).unwrap();
    let names = TrackedToken::of(&selectors, &salt, ENTRY, NOW);
    let digest = |kind, values: &[&str]| Selector::new(kind, values).unwrap().digest(&salt);
    let found_by: Vec<Digest> = names.iter().map(|name| name.found_by).collect();
    let subject = digest(SelectorKind::Subject, &["user-1"]);
    assert_eq!(
        found_by,
        [
            subject,
            digest(SelectorKind::Subject, &["robot"]),
            digest(SelectorKind::Session, &["s"]),
        ]
    );
    let ids: Vec<String> = names.iter().map(TrackedToken::id).collect();
    assert_eq!(ids, ["deadbeeffffff", "deadbeeffffff-1", "deadbeeffffff-2"]);
    let pair = |kind, other| digest(kind, &["user-1", other]);
    let first = &names[0];
    for (digest, is_one) in [
        (subject, true),
        (pair(SelectorKind::SubjectAndClient, "web"), true),
        (pair(SelectorKind::SubjectAndSession, "s"), true),
        (pair(SelectorKind::SubjectAndAudience, "b"), true),
        (pair(SelectorKind::SubjectAndAudience, "c"), false),
        (digest(SelectorKind::Subject, &["robot"]), false),
        (digest(SelectorKind::Audience, &["a"]), false),
    ] {
        assert_eq!(first.has(&digest), is_one);
    }
    for name in &names {
        let (id, subject, document) = (name.id(), name.subject(), name.to_document());
        let read = TrackedToken::from_document(&id, &subject, &document);
        assert_eq!(read.as_ref(), Ok(name));
        for stored in [&id, &subject, &document] {
            assert!(!stored.contains("user-1") && !stored.contains("robot"));
        }
    }
    let nobody = serde_json::json!({"aud": "a", "client_id": "web", "sub": ""});
    let selectors = selectors_of(|name| nobody.get(name)).unwrap();
    assert_eq!(TrackedToken::of(&selectors, &salt, ENTRY, NOW), []);

    let (id, subject, document) = (first.id(), first.subject(), first.to_document());
    for (id, subject, document) in [
        ("deadbeef", &*subject, &*document),
        ("deadbeeffffff-", &subject, &document),
        ("deadbeeffffff-0", &subject, &document),
        ("DEADBEEFFFFFF", &subject, &document),
        (&id, "dGV4dA", &document),
        (&id, &subject, "{}"),
        (&id, &subject, r#"{"format":2,"iat":1}"#),
        (&id, &subject, r#"{"format":1,"iat":1,"pairs":"AAAA"}"#),
        (&id, &subject, r#"{"format":1,"iat":1,"more":1}"#),
    ] {
        assert!(TrackedToken::from_document(id, subject, document).is_err());
    }
}
