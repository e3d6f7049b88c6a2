//! The audit log as a chain.

use keywright::lifecycle::IssuerName;
use keywright::store::chain::{HeadSource, LogHead, Verification, line};
use keywright::store::{Content, Store, Write};
use ring::digest::{Context, SHA256};

use super::all_events;
use crate::rows::{StoreCalls as _, approval, batch, commit, event, token};

async fn head(store: &dyn Store) -> LogHead {
    store.log_head().await.unwrap()
}

/// Computes every hash anew, as the documentation says it, and asks the verification, too.
pub(crate) async fn assert_whole(store: &dyn Store) {
    let mut before = [0; 32];
    let head = head(store).await;
    let pins = [(HeadSource::Service, head)];
    let mut verification = Verification::begin(LogHead::BEGINNING, pins).unwrap();
    let mut last = 0;
    for (expected, numbered) in (1..).zip(all_events(store).await) {
        assert_eq!(numbered.sequence, expected);
        let issuer = numbered.event.issuer.as_ref().map(IssuerName::as_str);
        let text = format!(
            "{{\"sequence\":{expected},\"at\":{},\"issuer\":{},\"document\":{}}}",
            numbered.event.at,
            issuer.map_or("null".to_owned(), |name| format!("\"{name}\"")),
            numbered.event.document,
        );
        let mut context = Context::new(&SHA256);
        context.update(&before);
        context.update(text.as_bytes());
        before.copy_from_slice(context.finish().as_ref());
        assert_eq!(numbered.hash.as_bytes(), &before, "event {expected}");
        verification.read(line(&numbered).as_bytes()).unwrap();
        last = expected;
    }
    assert_eq!((head.sequence, head.hash.as_bytes()), (last, &before));
    assert_eq!(verification.finish(), Ok(head));
}

pub(super) async fn an_empty_log_has_no_head(store: &dyn Store) {
    assert_eq!(head(store).await, LogHead::BEGINNING);
    let mut silent = commit("a", 1);
    silent.batch.events = Vec::new();
    store.commit(silent).await.unwrap();
    assert_eq!(head(store).await, LogHead::BEGINNING);
}

pub(super) async fn every_event_is_chained_to_the_one_before(store: &dyn Store) {
    let mut created = commit("a", 1);
    created.batch.events = vec![event(Some("a"), r#"{"event":"one"}"#), event(None, "2")];
    store.commit(created).await.unwrap();
    assert_whole(store).await;
    let first = head(store).await;
    let create = Write::Create(approval("a", "p"), Content::default());
    store.write(batch([create], "3")).await.unwrap();
    store.commit(commit("b", 1)).await.unwrap();
    assert_whole(store).await;
    assert_eq!((first.sequence, head(store).await.sequence), (2, 4));
}

pub(super) async fn a_refused_commit_leaves_the_head(store: &dyn Store) {
    store.commit(commit("a", 1)).await.unwrap();
    let before = head(store).await;
    store.commit(commit("a", 1)).await.unwrap_err();
    let absent = Write::Delete(approval("a", "p"), token("a", 1));
    let refused = store.write(batch([absent], "refused")).await;
    refused.unwrap_err();
    assert_eq!(head(store).await, before);
    store.commit(commit("a", 2)).await.unwrap();
    assert_whole(store).await;
}

pub(super) async fn an_event_may_come_alone(store: &dyn Store) {
    for document in ["1", "2"] {
        store.write(batch([], document)).await.unwrap();
    }
    assert_whole(store).await;
    assert_eq!(head(store).await.sequence, 2);
}
