//! What is late for one issuer does not make the process unready.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use keywright::authority::audit::Actor;
use keywright::authority::{health, scheduler};
use keywright_verifier::Jwk;
use serde_json::json;

use crate::world::{SECOND, World, active, eventually};

const DAY: Duration = Duration::from_secs(86_400);

/// A public key of another system.
fn public_key() -> Jwk {
    use p256::elliptic_curve::Generate as _;
    use p256::elliptic_curve::sec1::ToSec1Point as _;
    let secret = p256::SecretKey::try_generate_from_rng(&mut rand::rngs::SysRng).unwrap();
    let point = secret.public_key().to_sec1_point(false);
    let document = json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
        "x": BASE64URL.encode(point.x().unwrap()), "y": BASE64URL.encode(point.y().unwrap()),
    });
    Jwk::from_value(document).unwrap()
}

/// A client that may import keys into one issuer can fill its set, so that it cannot rotate.
#[tokio::test]
async fn a_set_that_is_full_of_imported_keys_delays_its_own_rotation_and_nothing_else() {
    let world = World::new().await;
    let long = json!({ "algorithms": ["ES256", "RS256"], "max_token_ttl": "30d" });
    let full = world.create("full", long).await;
    let other = world.create("other", json!({})).await;
    let before = active(&other);
    let checks = world.spawn("store-check", health::watch_store);
    let scheduler = world.spawn("scheduler", scheduler::run);
    world.pass(DAY * 25).await;
    let refused = loop {
        let actor = Actor::Bootstrap;
        let import = world.authority.import_public(&full, public_key(), actor);
        if let Err(error) = import.await {
            break error;
        }
    };
    assert!(refused.to_string().contains("full"), "{refused}");
    // Both algorithms want a further successor a day ahead, and there is room for one.
    world.pass(DAY * 4).await;
    eventually("all that fits", || {
        full.snapshot()
            .set()
            .published(world.authority.now())
            .count()
            == 100
    })
    .await;
    world.pass(DAY).await;
    eventually("the rotation of the other", || active(&other) != before).await;
    for _ in 0..61 {
        world.pass(SECOND).await;
    }
    assert_eq!(world.states(), [("full".to_owned(), "rotation-overdue")]);
    assert_eq!(world.authority.readiness(), Ok(()));
    world.authority.update_gauges();
    let shown = world.metrics.render();
    let line = "keywright_issuer_fault{issuer=\"full\",state=\"rotation-overdue\"} 1";
    assert!(shown.contains(line), "{shown}");
    checks.abort();
    scheduler.abort();
}
