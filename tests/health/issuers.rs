//! What is late for one issuer does not make the process unready.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use keywright::authority::audit::Actor;
use keywright::authority::{IssuerFault, health, scheduler};
use keywright_verifier::Jwk;
use serde_json::json;

use crate::world::{SECOND, World, active, eventually, others};

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
    let full = world.create("full", json!({})).await;
    let other = world.create("other", json!({})).await;
    let checks = world.spawn("store-check", health::watch_store);
    let scheduler = world.spawn("scheduler", scheduler::run);
    others().await;
    world.pass(SECOND * (86_400 * 30 - 60)).await;
    for _ in 0..98 {
        let actor = Actor::Bootstrap;
        let imported = world
            .authority
            .import_public(&full, public_key(), actor);
        imported.await.unwrap();
    }
    let before = active(&other);
    world.pass(SECOND * 60).await;
    eventually("the rotation of the other", || active(&other) != before).await;
    for _ in 0..120 {
        world.pass(SECOND).await;
    }
    println!("{:?}", world.authority.issuer_faults());
    let faults = world.authority.issuer_faults();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].0.as_str(), "full");
    assert!(matches!(
        faults[0].1,
        IssuerFault::ScheduleFailing { .. } | IssuerFault::RotationOverdue { .. }
    ));
    assert_eq!(world.authority.readiness(), Ok(()));
    checks.abort();
    scheduler.abort();
}
