//! The body of a request, for each call that reads one and keeps nothing of it.

use std::cell::LazyCell;

use keywright::access::Terms;
use keywright_verifier::json::{self, DEFAULT_MAX_DEPTH};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::world::{Api, World};

struct Fixture {
    runtime: Runtime,
    api: Api,
    credential: String,
}

thread_local! {
    static FIXTURE: LazyCell<Fixture> = const { LazyCell::new(fixture) };
}

fn fixture() -> Fixture {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let (api, credential) = runtime.block_on(async {
        let world = World::new().await;
        world.issuer("a", json!({})).await;
        let (_, credential) = world.client(json!({"roles": ["issuer", "auditor"]})).await;
        (Api::of(&world), credential)
    });
    Fixture {
        runtime,
        api,
        credential,
    }
}

/// Every call is answered: with what was asked for, or with a problem of the caller's. Terms that are
/// accepted are written as they read.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(body) = json::parse(bytes, DEFAULT_MAX_DEPTH) else {
        return;
    };
    if let Ok(terms) = Terms::from_document(body) {
        let written = Value::Object(terms.to_members());
        assert_eq!(Terms::from_document(written).unwrap(), terms);
    }
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    FIXTURE.with(|fixture| {
        for call in [
            "POST /issuers/a/tokens",
            "POST /issuers/a/tokens/batch",
            "POST /issuers/a/plan",
        ] {
            let answer = fixture.api.call(&fixture.credential, call, &body);
            let (status, answer) = fixture.runtime.block_on(answer);
            assert!(status < 500, "{call} {body}: {answer}");
            assert!(
                status < 400 || answer["code"].is_string(),
                "{call} {body}: {answer}"
            );
        }
    });
}
