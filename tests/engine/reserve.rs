//! RSA keys that were made ahead.

use std::time::Duration;

use keywright::engine::software::SoftwareEngine;
use keywright::engine::{SigningEngine as _, Urgency};
use keywright_verifier::Algorithm;

use crate::keys::{signs, specification};

const FULL: usize = 2;

async fn filled(engine: &SoftwareEngine) {
    let full = async {
        while engine.reserved(2048) < FULL {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let patience = Duration::from_secs(120);
    tokio::time::timeout(patience, full).await.unwrap();
}

#[tokio::test]
async fn scheduled_rsa_keys_come_from_a_reserve_and_no_others_do() {
    let engine = SoftwareEngine::start().unwrap();
    let generate = async |urgency| {
        let pair = engine.generate(specification(Algorithm::Rs256), urgency);
        pair.await.unwrap().jwk.kid().clone()
    };
    let by_hand = generate(Urgency::Immediate).await;
    assert_eq!(engine.reserved(2048), 0, "nothing was scheduled yet");
    let first = generate(Urgency::Background).await;
    filled(&engine).await;
    let urgent = generate(Urgency::Immediate).await;
    assert_eq!(
        engine.reserved(2048),
        FULL,
        "who waits gets a key that is new"
    );
    let scheduled = generate(Urgency::Background).await;
    filled(&engine).await;
    let next = generate(Urgency::Background).await;
    let mut kids = vec![by_hand, first, urgent, scheduled, next];
    kids.sort();
    kids.dedup();
    assert_eq!(kids.len(), 5, "no key is handed out twice");
}

#[tokio::test]
async fn a_reserve_that_is_forgotten_gives_no_key_any_more() {
    let engine = SoftwareEngine::start().unwrap();
    let scheduled = || engine.generate(specification(Algorithm::Rs256), Urgency::Background);
    scheduled().await.unwrap();
    filled(&engine).await;
    engine.forget_reserve();
    assert_eq!(engine.reserved(2048), 0);
    signs(&scheduled().await.unwrap()).await;
    filled(&engine).await;
    assert_eq!(engine.reserved(3072), 0, "only sizes that were asked for");
}
