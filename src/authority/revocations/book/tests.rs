use keywright_verifier::revocation::{Selector, selectors_of};

use super::*;
use crate::revocation::status_list::TrackedToken;

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn keys() -> StatusKeys {
    StatusKeys::new(&[7; 32], &crate::lifecycle::IssuerName::parse("a").unwrap())
}

fn book() -> Book {
    Book::new(Salt::new([7; 32]), keys())
}

fn subject(value: &str) -> Selector {
    Selector::new(SelectorKind::Subject, &[value]).unwrap()
}

fn entry(id: &str, subject_value: &str, state: State) -> Entry {
    let revocation = Revocation {
        id: id.to_owned(),
        selector: subject(subject_value).into(),
        state,
        ban: None,
        reason: None,
        by: serde_json::Value::Null,
        client: "c".to_owned(),
        created_at: NOW,
        changed_at: NOW,
    };
    Entry {
        revocation: Arc::new(revocation),
        token: Token::UNWRITTEN,
        known_through: 0,
    }
}

fn closed(issued_before: u64) -> State {
    State::Closed {
        issued_before,
        expires_at: NOW.after(Duration::from_secs(60)),
    }
}

#[test]
fn a_token_is_refused_by_any_revocation_that_is_in_the_feed() {
    let mut book = book();
    let claims = serde_json::json!({"sub": "b", "act": {"sub": "a"}});
    let selectors = selectors_of(|name| claims.get(name)).unwrap();
    let refuses = |book: &Book, at| book.refuses(&selectors, at);
    assert!(!refuses(&book, Some(1)));
    book.put(entry("1", "a", State::Open), NOW);
    assert!(refuses(&book, Some(u64::MAX)), "an open one refuses all");
    book.put(entry("1", "a", closed(100)), NOW);
    book.put(entry("2", "a", closed(200)), NOW);
    book.put(entry("3", "a", closed(200)), NOW);
    book.put(entry("4", "c", State::Open), NOW);
    for (at, refused) in [
        (Some(99), true),
        (Some(199), true),
        (Some(200), false),
        (None, true),
    ] {
        assert_eq!(refuses(&book, at), refused, "{at:?}");
    }
    book.remove("2");
    assert!(
        refuses(&book, Some(199)),
        "another one with the same bound stays"
    );
    book.remove("3");
    assert!(!refuses(&book, Some(150)));
    assert!(refuses(&book, Some(99)));
    // What every token has outlived is forgotten, here as in the feed.
    book.tidy(NOW.after(Duration::from_secs(7200)));
    assert!(!refuses(&book, Some(99)));
    assert_eq!(book.bounds.len(), 1, "the open one of another subject");
    // Grants live longer than tokens.
    assert!(book.takes_back(&selectors, 99));
    assert!(!book.takes_back(&selectors, 100));
    book.remove("1");
    assert!(!book.takes_back(&selectors, 99));
    assert_eq!(book.at_grants.len(), 1);
}

#[test]
fn an_entry_is_invalid_while_a_revocation_names_the_token_that_has_it() {
    let mut book = book();
    let taken = StatusEntry { list: 7, index: 77 };
    let expires_at = NOW.floor_seconds() + 60;
    let jti = keys().jti_cipher(expires_at).seal(taken, [1, 2, 3, 4]);
    let of_token = |id: &str, jti: &str| {
        let mut one = entry(id, "a", closed(100));
        let selector = Selector::new(SelectorKind::Jti, &[jti]).unwrap();
        Arc::get_mut(&mut one.revocation).unwrap().selector = selector.into();
        one
    };
    book.put(of_token("1", &jti), NOW);
    book.put(of_token("2", &jti), NOW);
    book.put(of_token("3", "a-token-without-a-status"), NOW);
    book.put(entry("4", "a", closed(100)), NOW);
    assert_eq!(book.status_entry("1"), Some(taken));
    assert_eq!(
        (book.status_entry("3"), book.status_entry("4")),
        (None, None)
    );
    assert_eq!(book.invalid_entries(7), BTreeSet::from([77]));
    assert_eq!(book.invalid_entries(8), BTreeSet::new());
    book.remove("1");
    assert_eq!(
        book.invalid_entries(7),
        BTreeSet::from([77]),
        "the other one stays"
    );
    // What is erased keeps its entry, though it cannot be read from the jti any more.
    let mut erased = of_token("2", &jti);
    let revocation = Arc::get_mut(&mut erased.revocation).unwrap();
    let of = crate::revocation::ErasedSelector::of(
        revocation.selector.known().unwrap(),
        &Salt::new([7; 32]),
        String::new(),
    );
    revocation.selector =
        crate::revocation::RevokedSelector::Erased(Box::new(crate::revocation::ErasedSelector {
            status: book.status_entry("2"),
            ..of
        }));
    let stored = revocation.to_document();
    *revocation = Revocation::from_document("2", &stored).unwrap();
    book.put(erased, NOW);
    assert_eq!(book.invalid_entries(7), BTreeSet::from([77]));
    book.remove("2");
    assert_eq!(book.invalid_entries(7), BTreeSet::new());
    assert!(book.invalid.is_empty() && book.status_entries.is_empty());
}

fn tracked(sub: &str, aud: &str, list: u32, issued_at: u64) -> Vec<TrackedToken> {
    let claims = serde_json::json!({"sub": sub, "aud": aud});
    let selectors = selectors_of(|name| claims.get(name)).unwrap();
    let entry = StatusEntry { list, index: 7 };
    TrackedToken::of(&selectors, &Salt::new([7; 32]), entry, issued_at)
}

#[test]
fn tracked_tokens_are_sought_once_in_each_state_and_invalid_where_verifiers_refuse_them() {
    let mut book = book();
    book.put(entry("1", "a", State::Open), NOW);
    book.put(entry("2", "b", closed(100)), NOW);
    let mut pair = entry("3", "a", closed(100));
    let selector = Selector::new(SelectorKind::SubjectAndAudience, &["a", "x"]).unwrap();
    Arc::get_mut(&mut pair.revocation).unwrap().selector = selector.into();
    book.put(pair.clone(), NOW);
    let sought = book.sought();
    assert_eq!((sought.len(), book.to_find.len()), (2, 3));
    // In turn: the subject that is open, with and without the pair, and the one that is closed.
    let tokens = [
        tracked("a", "x", 1, 99),
        tracked("a", "y", 2, 200),
        tracked("b", "x", 3, 99),
        tracked("b", "x", 4, 100),
        tracked("c", "x", 5, 1),
    ]
    .concat();
    for _ in 0..2 {
        book.found(&sought, &tokens);
    }
    let invalid = |book: &Book| -> Vec<u32> {
        let lists = 1..6;
        lists
            .filter(|list| !book.invalid_entries(*list).is_empty())
            .collect()
    };
    assert_eq!(invalid(&book), [1, 2, 3]);
    // One of them is closed meanwhile: its tokens are to be looked for again.
    let mut other = entry("1", "a", closed(150));
    other.token = Token::UNWRITTEN.followed_by(crate::store::BatchId([1; 16]));
    book.put(other, NOW);
    book.all_found(sought.values().flatten());
    assert_eq!(book.to_find.keys().collect::<Vec<_>>(), ["1"]);
    assert_eq!(invalid(&book), [1, 3], "the pair has its own");
    let sought = book.sought();
    book.found(&sought, &tokens);
    book.all_found(sought.values().flatten());
    assert!(book.to_find.is_empty());
    assert_eq!(invalid(&book), [1, 3], "it was issued after the bound");
    book.remove("3");
    assert_eq!(invalid(&book), [1, 3]);
    book.tidy(NOW.after(Duration::from_secs(7200)));
    assert_eq!(invalid(&book), [0; 0], "every such token has expired");
    assert!(book.invalid.is_empty() && book.status_entries.is_empty());
    // What is held for a commit that does not happen leaves nothing behind.
    book.put(entry("4", "a", State::Open), NOW);
    let sought = book.sought();
    book.found(&sought, &tokens);
    assert_eq!(invalid(&book), [1, 2]);
    book.remove("4");
    assert_eq!(invalid(&book), [0; 0]);
    book.all_found(sought.values().flatten());
}

#[test]
fn what_is_past_is_not_looked_at_when_a_token_is_signed() {
    let mut book = book();
    let at = NOW.floor_seconds();
    for number in 0..100 {
        let one = entry(&format!("{number}"), &format!("user-{number}"), closed(at));
        book.put(one, NOW);
    }
    assert!(
        book.matters_to_signers(at - 1),
        "a signature may be under way"
    );
    assert!(!book.matters_to_signers(at));
    let mut ban = entry("ban", "a", closed(at));
    Arc::get_mut(&mut ban.revocation).unwrap().ban =
        Some(Ban::Until(NOW.after(SIGNATURE_UNDER_WAY * 2)));
    book.put(ban, NOW);
    assert!(book.matters_to_signers(at));
    book.tidy(NOW.after(SIGNATURE_UNDER_WAY));
    let left = |book: &Book| {
        let of_kinds = book.at_signers.values().map(HashMap::len);
        (
            of_kinds.sum::<usize>(),
            book.at_signers_until.len(),
            book.bans,
        )
    };
    assert_eq!(left(&book), (1, 1, 1), "the ban alone");
    book.tidy(NOW.after(SIGNATURE_UNDER_WAY * 2));
    assert_eq!(left(&book), (0, 0, 0));
    assert!(!book.matters_to_signers(at));
    book.put(entry("open", "a", State::Open), NOW);
    assert!(book.matters_to_signers(u64::MAX));
    book.remove("open");
    assert!(!book.matters_to_signers(at));
}
