//! Status lists of several processes on one store: entries that none gives out twice, and lists that say on
//! each what was taken back on another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use keywright::authority::audit::Actor;
use keywright::authority::request::Request;
use keywright::authority::revocations::{FeedRefusal, RevocationDraft};
use keywright::authority::signing::{SignRefusal, SignedToken, sign};
use keywright::lifecycle::Successor;
use keywright::revocation::status_list::{BLOCK, ENTRIES, StatusEntry};
use keywright_verifier::Jws;
use keywright_verifier::revocation::{Selector, SelectorKind};
use keywright_verifier::status_list::{INVALID, StatusListToken, VALID};
use serde_json::json;

use crate::revocations::{claims, request};
use crate::world::{BEGIN, MAX_STALENESS, Process, SECOND, World, anyone};

/// Which entries were given out, by list.
#[derive(Default)]
struct Given(Mutex<HashMap<u32, Vec<u64>>>);

impl Given {
    fn add(&self, entries: &[StatusEntry]) {
        let mut lists = self.0.lock().unwrap();
        for StatusEntry { list, index } in entries {
            assert!(*index < ENTRIES, "outside of its list");
            let words = ENTRIES as usize / 64;
            let list = lists.entry(*list).or_insert_with(|| vec![0; words]);
            let (word, bit) = (&mut list[*index as usize / 64], 1 << (index % 64));
            assert_eq!(*word & bit, 0, "given out twice");
            *word |= bit;
        }
    }
}

/// Three replicas take more than ten million entries, and crash in between with what they have leased.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_entry_is_given_out_twice_and_none_outside_by_replicas_that_crash() {
    const EACH: usize = 3_400_000;
    let world = Arc::new(World::new());
    let first = world.process().await;
    first.create("a", json!({ "status": true })).await;
    let given = Arc::new(Given::default());
    let expires_at = BEGIN.floor_seconds() + 900;
    let replicas = (0..3usize).map(|number| {
        let (world, given) = (Arc::clone(&world), Arc::clone(&given));
        tokio::spawn(async move {
            let (mut left, mut lives) = (EACH, 0);
            while left > 0 {
                let process = world.process().await;
                let lists = Arc::clone(process.issuer("a").unwrap().status_lists());
                // As far as this one comes: within a block, beyond it, or over several.
                let lasts = (BLOCK as usize / 3 + (number + lives) * 77_777) % 400_000 + 1;
                let mut entries = Vec::new();
                for count in 0..lasts.min(left) {
                    // Some tokens expire in the next hour, in other lists.
                    let later = if count % 8 == 0 { 3600 } else { 0 };
                    let taken = lists.take(expires_at + later, [0; 4]).await.unwrap();
                    entries.push(taken.entry);
                }
                left -= entries.len();
                lives += 1;
                given.add(&entries);
            }
            lives
        })
    });
    let mut lives = 0;
    for replica in replicas.collect::<Vec<_>>() {
        lives += replica.await.unwrap();
    }
    let lists = given.0.lock().unwrap();
    let used: u32 = lists.values().flatten().map(|word| word.count_ones()).sum();
    assert_eq!(used as usize, 3 * EACH);
    // A life leaves at most one block of each hour unused.
    let most_blocks = used.div_ceil(BLOCK) as usize + 2 * lives;
    assert!(
        lists.len() <= most_blocks.div_ceil(16) + 2,
        "{}",
        lists.len()
    );
    assert!(lives > 12, "{lives}");
}

async fn signed(process: &Process) -> Result<SignedToken, SignRefusal> {
    let view = process.issuer("a").unwrap().leased_snapshot();
    sign(&view, &anyone(), request("user-1")).await
}

/// Where a token's entry is: the last part of the list's address, and the index.
pub(crate) fn entry_of(token: &SignedToken) -> (String, u64) {
    let claims = claims(&token.token);
    let entry = &claims["status"]["status_list"];
    let uri = entry["uri"].as_str().unwrap();
    let (issuer, address) = uri.rsplit_once("/status/").unwrap();
    assert_eq!(Some(issuer), claims["iss"].as_str());
    (address.to_owned(), entry["idx"].as_u64().unwrap())
}

/// What a list says, whose signature verifies with the key set of the same moment; and the key.
pub(crate) async fn list(
    process: &Process,
    address: &str,
) -> Result<(StatusListToken, String), FeedRefusal> {
    let issuer = process.issuer("a").unwrap();
    let jws = process
        .status_list(&issuer, address)
        .await?
        .expect("a list");
    let jws = String::from_utf8(jws.to_vec()).unwrap();
    let jws = Jws::parse(&jws, 65_536).unwrap();
    let keys = issuer.snapshot().publication().jwks().bytes.clone();
    let keys = keywright_verifier::JwkSet::parse(&keys).unwrap();
    jws.verify(&keys, &keywright_verifier::Algorithm::ALL)
        .unwrap();
    assert_eq!(jws.typ(), Some("statuslist+jwt"));
    let kid = jws.kid().unwrap().to_string();
    let claims = jws.unverified_claims().unwrap();
    for claim in ["aud", "scope", "client_id"] {
        assert!(!claims.contains_key(claim), "a list is no access token");
    }
    Ok((StatusListToken::read(claims, 131_072).unwrap(), kid))
}

async fn take_back(process: &Process, jti: &str) {
    let draft = RevocationDraft {
        selector: Selector::new(SelectorKind::Jti, &[jti]).unwrap(),
        ban: None,
        reason: None,
    };
    let issuer = process.issuer("a").unwrap();
    let request = Request::by(Actor::Bootstrap);
    let revoked = process
        .take_tokens_back(&issuer, vec![draft], request)
        .await;
    let revoked = revoked.unwrap().pop().unwrap();
    let at = revoked.at_status_lists.expect("the jti says which entry");
    assert_eq!(at, revoked.at_signers.after(SECOND * 11));
}

#[tokio::test]
async fn what_one_replica_takes_back_is_invalid_in_the_list_of_another() {
    let world = World::new();
    let (one, other) = (world.process().await, world.process().await);
    one.create("a", json!({ "status": true })).await;
    other.catch_up().await.unwrap();
    let (kept, taken) = (signed(&one).await.unwrap(), signed(&one).await.unwrap());
    let foreign = signed(&other).await.unwrap();
    let (address, index) = entry_of(&taken);
    assert_eq!(entry_of(&kept).0, address);
    let (before, _) = list(&other, &address).await.unwrap();
    assert_eq!(before.list.status(index), Some(VALID));
    assert_eq!(before.ttl_seconds, Some(5));
    assert_eq!(before.expires_at, Some(before.issued_at + 60));

    take_back(&one, &taken.jti).await;
    // Within a second, the list that was signed is shared.
    world.pass(SECOND * 2, &[&one, &other]);
    other.catch_up().await.unwrap();
    one.catch_up().await.unwrap();
    for process in [&one, &other] {
        let (after, _) = list(process, &address).await.unwrap();
        assert_eq!(after.list.status(index), Some(INVALID));
        assert_eq!(after.list.status(entry_of(&kept).1), Some(VALID));
        let (address, index) = entry_of(&foreign);
        let (list, _) = list(process, &address).await.unwrap();
        assert_eq!(list.list.status(index), Some(VALID));
    }
}

#[tokio::test]
async fn a_list_is_signed_anew_at_once_when_its_key_is_revoked() {
    let world = World::new();
    let process = world.process().await;
    process.create("a", json!({ "status": true })).await;
    let token = signed(&process).await.unwrap();
    let (address, _) = entry_of(&token);
    let (_, before) = list(&process, &address).await.unwrap();
    let issuer = process.issuer("a").unwrap();
    let request = Request::by(Actor::Bootstrap);
    process
        .revoke(&issuer, &token.kid, Successor::Promote, request)
        .await
        .unwrap();
    let (_, after) = list(&process, &address).await.unwrap();
    assert_eq!(before, token.kid.to_string());
    assert_ne!(before, after, "no time has passed");
}

#[tokio::test]
async fn a_replica_that_is_cut_off_freshens_no_list() {
    let world = World::new();
    let process = world.process().await;
    process.create("a", json!({ "status": true })).await;
    let (address, _) = entry_of(&signed(&process).await.unwrap());
    let (before, _) = list(&process, &address).await.unwrap();
    world.pass(SECOND * 20, &[&process]);
    let (after, _) = list(&process, &address).await.unwrap();
    assert_eq!(after.issued_at, before.issued_at, "it knows nothing newer");
    world.pass(MAX_STALENESS - SECOND * 20 + SECOND, &[&process]);
    let refused = list(&process, &address).await.unwrap_err();
    assert_eq!(refused, FeedRefusal::Stale);
    assert!(signed(&process).await.is_err());
}

#[tokio::test]
async fn a_list_ends_with_its_tokens_and_its_record_a_day_later() {
    let world = World::new();
    let process = world.process().await;
    process.create("a", json!({ "status": true })).await;
    let (address, _) = entry_of(&signed(&process).await.unwrap());
    let issuer = process.issuer("a").unwrap();
    let lists = process.status_list_aggregation(&issuer).await.unwrap();
    assert_eq!(lists.status_lists.len(), 1);
    assert!(lists.status_lists[0].ends_with(&address));
    // Its tokens expire within the hour; clocks may differ by five minutes.
    world.pass(SECOND * 3600 * 2, &[&process]);
    process.catch_up().await.unwrap();
    let lists = process.status_list_aggregation(&issuer).await.unwrap();
    assert_eq!(lists.status_lists, Vec::<String>::new());
    assert!(
        process
            .status_list(&issuer, &address)
            .await
            .unwrap()
            .is_none()
    );
}
