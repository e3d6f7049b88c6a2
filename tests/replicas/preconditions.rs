//! A record that two processes replace on the same condition.

use keywright::access::{Precondition, Terms};
use keywright::authority::audit::Actor;
use keywright::authority::{ChangeError, IssuerSet};
use keywright::lifecycle::IssuerName;
use serde_json::json;

use crate::world::{Process, World, policy};

fn issuer_tag(process: &Process) -> String {
    let issuer = process.issuer("a").unwrap();
    issuer.snapshot().tokens().issuer.to_string()
}

async fn set_policy(process: &Process, tag: &str, ttl: &str) -> Result<IssuerSet, ChangeError> {
    let name = IssuerName::parse("a").unwrap();
    let policy = policy("a", json!({ "default_token_ttl": ttl }));
    let condition = Precondition::OneOf(vec![tag.to_owned()]);
    let set = process.set_issuer_if(condition, &name, policy, None, Actor::Bootstrap);
    set.await
}

fn terms(name: &str) -> Terms {
    let document = json!({ "name": name, "roles": ["issuer"] });
    Terms::from_document(document).unwrap()
}

fn is_refused<T>(result: &Result<T, ChangeError>) -> bool {
    matches!(result, Err(ChangeError::PreconditionFailed))
}

#[tokio::test]
async fn a_process_that_lags_behind_judges_an_issuer_by_what_the_store_has() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    two.catch_up().await.unwrap();
    let first = issuer_tag(&one);
    assert_eq!(first, issuer_tag(&two));
    assert!(set_policy(&one, &first, "1m").await.is_ok());
    // The other process does not know yet.
    assert_eq!(first, issuer_tag(&two));
    assert!(is_refused(&set_policy(&two, &first, "2m").await));
    let second = issuer_tag(&one);
    assert!(set_policy(&one, &second, "3m").await.is_ok());
    let third = issuer_tag(&one);
    assert!(set_policy(&two, &third, "2m").await.is_ok());
    // Nothing would change by what the first process has in memory.
    assert!(is_refused(&set_policy(&one, &third, "3m").await));
    one.catch_up().await.unwrap();
    assert_eq!(issuer_tag(&one), issuer_tag(&two));
}

#[tokio::test]
async fn a_process_that_lags_behind_judges_a_client_by_what_the_store_has() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    let client = one.draft_client(terms("first")).unwrap();
    let id = client.id.clone();
    one.admit_client(client, Actor::Bootstrap).await.unwrap();
    two.catch_up().await.unwrap();
    let tag = |process: &Process| process.client(&id).unwrap().token.to_string();
    let set = async |process: &Process, tag: &str, name: &str| {
        let condition = Precondition::OneOf(vec![tag.to_owned()]);
        process
            .set_terms_if(condition, &id, terms(name), Actor::Bootstrap)
            .await
    };
    let first = tag(&one);
    assert!(set(&one, &first, "second").await.is_ok());
    assert_eq!(first, tag(&two));
    assert!(is_refused(&set(&two, &first, "third").await));
    let second = tag(&one);
    let answered = set(&two, &second, "third").await.unwrap();
    assert_eq!(answered.client.terms.name, "third");
    assert!(is_refused(&set(&one, &second, "fourth").await));
}

/// Each in turn is the one that a commit of the other overtakes.
#[tokio::test]
async fn of_two_processes_that_replace_an_issuer_with_one_tag_one_does() {
    let world = World::new();
    let (one, two) = (world.process().await, world.process().await);
    one.create("a", json!({})).await;
    for round in 0..20 {
        let _ = tokio::join!(one.catch_up(), two.catch_up());
        let tag = issuer_tag(&one);
        let (ttl, other) = (format!("{}s", 60 + round), format!("{}s", 90 + round));
        let (first, second) =
            tokio::join!(set_policy(&one, &tag, &ttl), set_policy(&two, &tag, &other));
        let won = [first.is_ok(), second.is_ok()];
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "round {round}");
        assert!(is_refused(&first) || is_refused(&second));
    }
}
