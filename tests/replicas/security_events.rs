//! A security event token that reaches several replicas has its effect once.

use keywright::authority::audit::Actor;
use keywright::authority::revocations::RevocationFilter;
use keywright::event_stream::{AccountChange, ReceivedEvent};
use keywright_verifier::revocation::{Selector, SelectorKind};
use serde_json::{Value, json};

use crate::revocations::{signs, two_with};
use crate::world::Process;

async fn take(process: &Process, change: AccountChange, jti: &str, subject: &str) {
    let event = ReceivedEvent {
        issuer: "https://login.example".to_owned(),
        jti: jti.to_owned(),
        change,
        subject: Value::Null,
    };
    let selector = Selector::new(SelectorKind::Subject, &[subject]).unwrap();
    let issuer = process.issuer("a").unwrap();
    let taken = process.take_security_event(&issuer, &event, &selector, &Actor::Bootstrap);
    taken.await.unwrap();
}

fn bans(process: &Process) -> usize {
    let all = RevocationFilter {
        selector: None,
        live: false,
        after: String::new(),
        limit: usize::MAX,
    };
    let issuer = process.issuer("a").unwrap();
    issuer.revocations().list(&all, process.now()).len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_security_event_that_two_replicas_are_told_at_once_has_its_effect_once() {
    let (_world, one, other) = two_with(json!({})).await;
    for round in 0..20 {
        let (jti, subject) = (format!("e{round}"), format!("user-{round}"));
        let disabled = AccountChange::Disabled;
        tokio::join!(
            take(&one, disabled, &jti, &subject),
            take(&other, disabled, &jti, &subject),
        );
        for process in [&one, &other] {
            process.catch_up().await.unwrap();
            assert_eq!(bans(process), round + 1);
            assert!(signs(process, &subject).await.is_err());
        }
    }
    // Enabled at the one, while the other is told again of what was before.
    take(&one, AccountChange::Enabled, "e99", "user-1").await;
    take(&other, AccountChange::Disabled, "e1", "user-1").await;
    other.catch_up().await.unwrap();
    assert_eq!(bans(&other), 20);
}
