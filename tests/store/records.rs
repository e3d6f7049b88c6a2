//! Key sets as records: what was written reads back, and what was not written here is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keywright::lifecycle::{
    Adoption, Attestation, AvailableKeys, Change, Command, Decision, DecisionError, ImportAs,
    IssuerOrigin, IssuerUrl, Key, KeySet, KeySpecification, Policy, Readiness, RuleViolation,
    State, Successor, Timestamp, create, decide,
};
use keywright::store::SetTokens;
use keywright::store::documents;
use keywright::store::memory::MemoryStore;
use keywright::store::{Record, SealedChange, Store as _, StoredSet, Write};
use keywright_verifier::{Algorithm, Jwk, Kid, PublicKey};
use p256::elliptic_curve::sec1::ToSec1Point as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::rows::{StoreCalls as _, name, silent};

/// A public key whose private half no test needs: the `number`th of its algorithm.
fn public_key(algorithm: Algorithm, number: u64) -> PublicKey {
    let number = number.to_be_bytes();
    match algorithm {
        Algorithm::Es256 => {
            let mut scalar = [0; 32];
            scalar[24..].copy_from_slice(&number);
            let point = p256::SecretKey::from_slice(&scalar)
                .unwrap()
                .public_key()
                .to_sec1_point(false);
            PublicKey::p256((*point.x().unwrap()).into(), (*point.y().unwrap()).into()).unwrap()
        }
        Algorithm::Rs256 => {
            let mut modulus = vec![0x80; 256];
            modulus[240..248].copy_from_slice(&number);
            modulus[255] = 1;
            PublicKey::rsa(modulus, vec![1, 0, 1]).unwrap()
        }
    }
}

/// An issuer that lives: every change goes through a store, as the service does it.
struct Life {
    set: KeySet,
    now: Timestamp,
    supply: AvailableKeys,
    made: u64,
    stored: StoredSet,
    store: MemoryStore,
}

impl Life {
    fn begin(founding: IssuerOrigin) -> Self {
        let now = Timestamp::from_seconds(1_800_000_000);
        let (mut supply, mut made) = (AvailableKeys::default(), 0);
        let url = IssuerUrl::parse("https://id.example.com/a").unwrap();
        let change = loop {
            match create(
                name("a"),
                Policy::for_url(url.clone()),
                founding,
                now,
                &supply,
            ) {
                Ok(change) => break change,
                Err(halt) => make(&mut supply, &mut made, halt).unwrap(),
            }
        };
        let store = MemoryStore::default();
        let (set, stored) = write(&store, None, change);
        Self {
            set,
            now,
            supply,
            made,
            stored,
            store,
        }
    }

    /// Commits what `command` does, unless a rule forbids it.
    fn attempt(&mut self, command: &Command) -> Result<(), RuleViolation> {
        loop {
            let Decision { change, wanted } = decide(
                &self.set,
                command,
                Attestation::OnePerson,
                self.now,
                &self.supply,
                &Adoption::default(),
            )?;
            if wanted.is_empty() {
                let Some(change) = change else {
                    return Ok(());
                };
                let tokens = SetTokens::of(&self.stored);
                (self.set, self.stored) = write(&self.store, Some((&self.set, &tokens)), change);
                return Ok(());
            }
            let halt = DecisionError::NeedsKeys(wanted);
            make(&mut self.supply, &mut self.made, halt)?;
        }
    }

    fn run(&mut self, command: &Command) {
        self.attempt(command).unwrap();
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        self.run(&Command::ApplyPlan);
    }

    fn rotate(&mut self, algorithm: Algorithm) {
        self.run(&Command::Rotate {
            algorithm: Some(algorithm),
            readiness: Readiness::Waived,
        });
    }

    fn kid_of(&self, algorithm: Algorithm, state: &str) -> Kid {
        let fits = |key: &&Key| key.algorithm() == algorithm && key.state().name() == state;
        self.set.keys().iter().find(fits).unwrap().kid().clone()
    }

    fn revoke(&mut self, algorithm: Algorithm, state: &str) {
        self.run(&Command::Revoke {
            kid: self.kid_of(algorithm, state),
            reason: format!("the \"{state}\" one leaked\n'; --\0"),
            successor: Successor::Promote,
        });
    }

    fn import(
        &mut self,
        kid: &str,
        algorithm: Algorithm,
        state: ImportAs,
    ) -> Result<(), RuleViolation> {
        self.made += 1;
        let key = public_key(algorithm, self.made);
        let jwk = Jwk::new(Some(Kid::parse(kid).unwrap()), key).unwrap();
        self.attempt(&Command::Import { jwk, state })
    }
}

fn make(
    supply: &mut AvailableKeys,
    made: &mut u64,
    halt: DecisionError,
) -> Result<(), RuleViolation> {
    match halt {
        DecisionError::NeedsKeys(wanted) => {
            for KeySpecification { algorithm, .. } in wanted {
                *made += 1;
                supply.add(Jwk::new(None, public_key(algorithm, *made)).unwrap());
            }
            Ok(())
        }
        DecisionError::Refused(refusal) => Err(refusal),
    }
}

fn seal(kid: &Kid) -> Vec<u8> {
    format!("sealed {kid}").into_bytes()
}

/// The private halves of the keys that come, and of those alone.
fn fresh(before: Option<&KeySet>, after: &KeySet) -> BTreeMap<Kid, Vec<u8>> {
    let kids = after.keys().iter().map(Key::kid);
    kids.filter(|kid| before.is_none_or(|set| set.key(kid).is_none()))
        .map(|kid| (kid.clone(), seal(kid)))
        .collect()
}

/// Stores a change and asserts that what comes back is the same set, private halves and all.
fn write(
    store: &MemoryStore,
    before: Option<(&KeySet, &SetTokens)>,
    change: Change,
) -> (KeySet, StoredSet) {
    let sealed = fresh(before.map(|(set, _)| set), &change.set);
    let batch = silent(documents::writes(before, &change.set, sealed));
    let tokens = before.map_or(SetTokens::UNWRITTEN, |(_, tokens)| tokens.clone());
    let tokens = tokens.followed_by(batch.id, &batch.writes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(store.write(batch)).unwrap();
    let stored = runtime
        .block_on(store.key_set(change.set.issuer()))
        .unwrap()
        .unwrap();
    assert_eq!(SetTokens::of(&stored), tokens);
    let read = documents::key_set(&stored).unwrap();
    assert_eq!(read, change.set);
    for (key, row) in read.keys().iter().zip(&stored.keys) {
        let expected = key.holds_private_half().then(|| seal(key.kid()));
        assert_eq!(row.sealed, expected, "{}", key.kid());
        let is_revoked = matches!(key.state(), State::Revoked(_));
        assert_eq!(row.is_final, is_revoked, "{}", key.kid());
    }
    (read, stored)
}

/// A set with a key in every state, and in every variant of it.
fn full_life() -> Life {
    use Algorithm::{Es256, Rs256};
    let day = Duration::from_secs(86_400);
    let mut life = Life::begin(IssuerOrigin::Fresh);
    life.rotate(Es256);
    life.wait(day);
    life.rotate(Es256);
    life.revoke(Es256, "pending");
    life.import("theirs-1", Es256, ImportAs::Retired).unwrap();
    life.import("theirs-2", Es256, ImportAs::Pending).unwrap();
    life.rotate(Rs256);
    life.revoke(Rs256, "retired");
    life.revoke(Rs256, "active");
    let mut policy = life.set.policy().clone();
    policy.max_token_ttl = Duration::from_secs(7200);
    policy.revocation_max_age = Duration::from_secs(10);
    life.run(&Command::SetPolicy(policy.into()));
    life
}

#[test]
fn a_set_reads_back_as_it_was_written_in_every_state() {
    let life = full_life();
    let states: BTreeSet<&str> = life
        .set
        .keys()
        .iter()
        .map(|key| key.state().name())
        .collect();
    assert_eq!(
        states,
        BTreeSet::from(["pending", "active", "retired", "removed", "revoked"])
    );
    assert_ne!(life.set.served_fresh_until(), Timestamp::default());
    assert!(life.set.earlier_heads().is_some());
    let taken_over = Life::begin(IssuerOrigin::TakesOver);
    assert_eq!(taken_over.set.origin(), IssuerOrigin::TakesOver);
}

#[test]
fn a_takeover_reads_back_with_its_imported_signing_key() {
    let mut life = Life::begin(IssuerOrigin::TakesOver);
    life.import("their-kid/1", Algorithm::Es256, ImportAs::Active)
        .unwrap();
    let active = life.set.active(Algorithm::Es256).unwrap();
    assert_eq!(active.kid().as_str(), "their-kid/1");
}

#[test]
fn an_instant_or_length_beyond_every_calendar_reads_back() {
    let mut life = Life::begin(IssuerOrigin::Fresh);
    life.set = life
        .set
        .with_latest_at_least(Timestamp::from_millis(u64::MAX));
    life.rotate(Algorithm::Es256);
    assert_eq!(life.set.latest(), Timestamp::from_millis(u64::MAX));
}

#[test]
fn only_keys_that_changed_are_written_and_a_lost_private_half_is_erased() {
    let mut life = Life::begin(IssuerOrigin::Fresh);
    let (before, tokens) = (life.set.clone(), SetTokens::of(&life.stored));
    let retiring = life.kid_of(Algorithm::Es256, "active");
    let standing_by = life.kid_of(Algorithm::Es256, "pending");
    life.rotate(Algorithm::Es256);
    let fresh = fresh(Some(&before), &life.set);
    let writes = documents::writes(Some((&before, &tokens)), &life.set, fresh);
    let (issuer, keys) = writes.split_first().unwrap();
    assert!(matches!(issuer, Write::Replace(_, token, _) if *token == tokens.issuer));
    assert_eq!(keys.len(), 3, "RS256 keys stay as they are");
    for write in keys {
        let id = &write.key().id;
        let known = tokens.keys.get(&Kid::parse(id).unwrap());
        let content = match (write, known) {
            (Write::Create(_, content), None) => content,
            (Write::Replace(_, token, content), Some(known)) if token == known => content,
            other => panic!("{other:?}"),
        };
        let expected = if *id == retiring.as_str() {
            SealedChange::Erase
        } else if *id == standing_by.as_str() {
            SealedChange::Keep
        } else {
            SealedChange::Set(seal(&Kid::parse(id).unwrap()))
        };
        assert_eq!(content.sealed, expected);
        assert!(!content.is_final);
    }
}

#[derive(Debug, Clone)]
enum Move {
    Wait(u64),
    Rotate(Option<Algorithm>, Readiness),
    Revoke(usize, Successor),
    Import(Algorithm, ImportAs),
    SetTtl(u64),
    Drop(bool),
}

fn moves() -> impl Strategy<Value = Move> {
    let algorithm = prop_oneof![Just(Algorithm::Es256), Just(Algorithm::Rs256)];
    prop_oneof![
        (0..3_000_000_u64).prop_map(Move::Wait),
        (
            proptest::option::of(algorithm.clone()),
            prop_oneof![Just(Readiness::Required), Just(Readiness::Waived)]
        )
            .prop_map(|(algorithm, readiness)| Move::Rotate(algorithm, readiness)),
        (
            0..12_usize,
            prop_oneof![Just(Successor::Promote), Just(Successor::Discard)]
        )
            .prop_map(|(index, successor)| Move::Revoke(index, successor)),
        (
            algorithm,
            prop_oneof![
                Just(ImportAs::Pending),
                Just(ImportAs::Active),
                Just(ImportAs::Retired)
            ]
        )
            .prop_map(|(algorithm, state)| Move::Import(algorithm, state)),
        (900..86_400_u64).prop_map(Move::SetTtl),
        any::<bool>().prop_map(Move::Drop),
    ]
}

fn play(life: &mut Life, number: usize, step: &Move) -> Result<(), RuleViolation> {
    let mut policy = life.set.policy().clone();
    match step {
        Move::Wait(seconds) => {
            life.now = life.now.after(Duration::from_secs(*seconds));
            life.attempt(&Command::ApplyPlan)
        }
        Move::Rotate(algorithm, readiness) => life.attempt(&Command::Rotate {
            algorithm: *algorithm,
            readiness: *readiness,
        }),
        Move::Revoke(index, successor) => {
            let keys = life.set.keys();
            let kid = keys[index % keys.len()].kid().clone();
            life.attempt(&Command::Revoke {
                kid,
                reason: format!("reason {number} ü\u{0}"),
                successor: *successor,
            })
        }
        Move::Import(algorithm, state) => {
            life.import(&format!("theirs-{number}"), *algorithm, *state)
        }
        Move::SetTtl(seconds) => {
            policy.max_token_ttl = Duration::from_secs(*seconds);
            life.attempt(&Command::SetPolicy(policy.into()))
        }
        Move::Drop(drop) => {
            policy.algorithms = vec![Algorithm::Es256, Algorithm::Rs256];
            policy.algorithms.truncate(if *drop { 1 } else { 2 });
            life.attempt(&Command::SetPolicy(policy.into()))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    // `write` asserts the round trip after each step.
    #[test]
    fn every_life_reads_back_after_every_change(
        takes_over in any::<bool>(),
        steps in proptest::collection::vec(moves(), 1..25),
    ) {
        let founding = if takes_over { IssuerOrigin::TakesOver } else { IssuerOrigin::Fresh };
        let mut life = Life::begin(founding);
        for (number, step) in steps.iter().enumerate() {
            // A refusal is an answer, too; the set is then as it was.
            let _ = play(&mut life, number, step);
        }
        prop_assert!(life.set.version() >= 1);
    }
}

/// Alters the document of the first key in `state`.
fn alter_key(stored: &mut StoredSet, state: &str, alter: impl FnOnce(&mut Value)) -> String {
    let row = row_in(stored, state);
    let mut document: Value = serde_json::from_str(&row.document).unwrap();
    alter(&mut document);
    row.document = document.to_string();
    row.key.id.clone()
}

fn row_in<'a>(stored: &'a mut StoredSet, state: &str) -> &'a mut Record {
    let marker = format!("\"name\":\"{state}\"");
    stored
        .keys
        .iter_mut()
        .find(|row| row.document.contains(&marker))
        .unwrap()
}

fn alter_set(stored: &mut StoredSet, alter: impl FnOnce(&mut Value)) {
    let mut document: Value = serde_json::from_str(&stored.issuer.document).unwrap();
    alter(&mut document);
    stored.issuer.document = document.to_string();
}

fn remove(value: &mut Value, member: &str) {
    value.as_object_mut().unwrap().remove(member).unwrap();
}

/// What `corrupt` makes of a sound set is refused, naming the issuer and `rule`, and the key if
/// `corrupt` says which.
#[track_caller]
fn refused(rule: &str, corrupt: impl FnOnce(&mut StoredSet) -> Option<String>) {
    let mut stored = full_life().stored;
    documents::key_set(&stored).unwrap();
    let kid = corrupt(&mut stored);
    let error = documents::key_set(&stored).unwrap_err();
    let expected = match &kid {
        Some(kid) => format!("issuer a, key {kid}"),
        None => "issuer a".to_owned(),
    };
    assert_eq!(error.subject, expected, "{error}");
    assert!(error.reason.contains(rule), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&error.subject) && text.contains(rule),
        "{text}"
    );
}

#[test]
fn a_key_document_that_does_not_parse_is_refused() {
    for length in [0, 1, 40] {
        refused("EOF", |stored| {
            let row = row_in(stored, "active");
            row.document.truncate(length);
            Some(row.key.id.clone())
        });
    }
    refused("trailing characters", |stored| {
        let row = row_in(stored, "active");
        row.document.push('x');
        Some(row.key.id.clone())
    });
    refused("recursion limit", |stored| {
        let row = row_in(stored, "active");
        row.document = format!("{{\"jwk\":{}", "[".repeat(100_000));
        Some(row.key.id.clone())
    });
}

#[test]
fn a_set_document_that_does_not_parse_is_refused() {
    for length in [0, 1, 40] {
        refused("EOF", |stored| {
            stored.issuer.document.truncate(length);
            None
        });
    }
}

#[test]
fn a_record_of_another_format_is_refused() {
    for format in [0, 2, 4_294_967_295_u32] {
        let rule = format!("unknown format {format}");
        refused(&rule, |stored| {
            Some(alter_key(stored, "retired", |key| {
                key["format"] = json!(format)
            }))
        });
        refused(&rule, |stored| {
            alter_set(stored, |set| set["format"] = json!(format));
            None
        });
    }
}

#[test]
fn an_unknown_member_is_refused_wherever_it_stands() {
    refused("unknown field `extra`", |stored| {
        Some(alter_key(stored, "active", |key| key["extra"] = json!(1)))
    });
    for state in ["pending", "active", "retired", "removed", "revoked"] {
        refused("unknown field `extra`", |stored| {
            Some(alter_key(stored, state, |key| {
                key["state"]["extra"] = json!(1)
            }))
        });
    }
    refused("unknown field `extra`", |stored| {
        alter_set(stored, |set| set["extra"] = json!(1));
        None
    });
    refused("extra", |stored| {
        alter_set(stored, |set| set["policy"]["extra"] = json!(1));
        None
    });
}

// Attack 84: a pending key whose record lost "missing_until" must not count as known to everyone.
#[test]
fn a_missing_member_is_refused_and_never_filled_in() {
    for (state, members) in [
        ("pending", ["missing_until"].as_slice()),
        ("active", &["activated_at", "longest_ttl", "widest_skew"]),
        (
            "retired",
            &[
                "activated_at",
                "retired_at",
                "tokens_until",
                "published_until",
            ],
        ),
        ("removed", &["activated_at", "retired_at", "removed_at"]),
        (
            "revoked",
            &["activated_at", "retired_at", "revoked_at", "reason"],
        ),
    ] {
        for member in members.iter().chain(&["name"]) {
            refused(&format!("missing field `{member}`"), |stored| {
                Some(alter_key(stored, state, |key| {
                    remove(&mut key["state"], member)
                }))
            });
        }
    }
    for member in [
        "format",
        "jwk",
        "origin",
        "created_at",
        "published_at",
        "state",
    ] {
        refused(&format!("missing field `{member}`"), |stored| {
            Some(alter_key(stored, "active", |key| remove(key, member)))
        });
    }
    for member in [
        "format",
        "founding",
        "created_at",
        "latest",
        "served_fresh_until",
        "policy",
    ] {
        refused(&format!("missing field `{member}`"), |stored| {
            alter_set(stored, |set| remove(set, member));
            None
        });
    }
}

// Records of before it was kept from when the schedule counts.
#[test]
fn a_schedule_counts_from_the_activation_where_nothing_else_was_kept() {
    let mut stored = full_life().stored;
    let written = documents::key_set(&stored).unwrap();
    alter_key(&mut stored, "active", |key| {
        assert!(!key["state"]["scheduled_from"].is_null());
        remove(&mut key["state"], "scheduled_from");
    });
    let read = documents::key_set(&stored).unwrap();
    assert_eq!(read, written);
}

#[test]
fn an_algorithm_that_nothing_signs_for_reads_back_as_vacant() {
    let mut life = Life::begin(IssuerOrigin::Fresh);
    let kid = life.kid_of(Algorithm::Es256, "active");
    let command = Command::Revoke {
        kid,
        reason: "leaked".to_owned(),
        successor: Successor::Discard,
    };
    let (one, none) = (Attestation::OnePerson, AvailableKeys::default());
    let decision = decide(
        &life.set,
        &command,
        one,
        life.now,
        &none,
        &Adoption::default(),
    )
    .unwrap();
    (life.set, life.stored) = write(
        &life.store,
        Some((&life.set, &SetTokens::of(&life.stored))),
        decision.change.unwrap(),
    );
    assert_eq!(life.set.vacant(), &BTreeSet::from([Algorithm::Es256]));
    // Nothing is vacant while something signs.
    alter_set(&mut life.stored, |set| set["vacant"] = json!(["RS256"]));
    let error = documents::key_set(&life.stored).unwrap_err().to_string();
    assert!(error.contains("RS256 cannot be vacant"), "{error}");
}

// Records of before it was kept when a publication ended.
#[test]
fn an_end_of_publication_that_was_not_kept_is_taken_for_the_later_event() {
    let mut stored = full_life().stored;
    for state in ["removed", "revoked"] {
        alter_key(&mut stored, state, |key| {
            remove(&mut key["state"], "published_until")
        });
    }
    let set = documents::key_set(&stored).unwrap();
    let removed = set.keys().iter().find_map(|key| match key.state() {
        State::Removed(removed) if removed.published_until.is_none() => Some((key, removed)),
        _ => None,
    });
    let (key, removed) = removed.unwrap();
    let was_published = |instant| {
        let keys = set.keys_at(instant).unwrap();
        let past = keys.into_iter().find(|past| past.key.kid() == key.kid());
        past.unwrap().was_published
    };
    assert!(was_published(
        removed.removed_at.before(Duration::from_millis(1))
    ));
    assert!(!was_published(removed.removed_at));
}

#[test]
fn a_state_that_does_not_exist_is_refused() {
    for name in ["expired", "Active", ""] {
        refused("unknown variant", |stored| {
            Some(alter_key(stored, "active", |key| {
                key["state"]["name"] = json!(name)
            }))
        });
    }
}

#[test]
fn an_instant_that_is_none_is_refused() {
    for instant in [json!(-1), json!(1.5), json!("1"), json!(null), json!(1e30)] {
        refused("invalid", |stored| {
            Some(alter_key(stored, "active", |key| {
                key["state"]["activated_at"] = instant;
            }))
        });
    }
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    refused("duplicate field `format`", |stored| {
        let row = row_in(stored, "active");
        row.document = row.document.replacen('{', "{\"format\":1,", 1);
        Some(row.key.id.clone())
    });
}

// J3: a private member in a public record, however it came there.
#[test]
fn a_private_member_in_a_jwk_is_refused_and_not_repeated() {
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        let mut stored = full_life().stored;
        let kid = alter_key(&mut stored, "active", |key| {
            key["jwk"][member] = json!("c2VjcmV0")
        });
        let error = documents::key_set(&stored).unwrap_err().to_string();
        assert!(
            error.contains(&kid) && error.contains("private member"),
            "{error}"
        );
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}

#[test]
fn a_jwk_that_is_no_usable_key_is_refused() {
    for (member, value, rule) in [
        ("kty", json!("oct"), "kty"),
        ("crv", json!("P-384"), "crv"),
        ("use", json!("enc"), "use"),
        ("alg", json!("RS256"), "alg"),
        ("alg", json!("none"), "none"),
        ("x", json!("AAAA"), "P-256"),
        ("kid", json!("with space"), "kid"),
        ("kid", json!(7), "kid"),
    ] {
        refused(rule, |stored| {
            Some(alter_key(stored, "active", |key| {
                key["jwk"][member] = value
            }))
        });
    }
    refused("object", |stored| {
        Some(alter_key(stored, "active", |key| key["jwk"] = json!([])))
    });
}

#[test]
fn a_row_that_holds_another_key_is_refused() {
    refused("another key", |stored| {
        let row = row_in(stored, "active");
        row.key.id = "moved\n".to_owned();
        Some("moved\\n".to_owned())
    });
    refused("another key", |stored| {
        let kid = stored.keys[0].key.id.clone();
        stored.keys[0].key.id = stored.keys[1].key.id.clone();
        stored.keys[1].key.id = kid;
        Some(stored.keys[0].key.id.clone())
    });
}

#[test]
fn a_private_half_stands_with_pending_and_active_keys_and_no_others() {
    for state in ["pending", "active"] {
        refused("private half", |stored| {
            let row = row_in(stored, state);
            row.sealed = None;
            Some(row.key.id.clone())
        });
    }
    for state in ["retired", "removed", "revoked"] {
        refused("private half", |stored| {
            let row = row_in(stored, state);
            row.sealed = Some(b"left over".to_vec());
            Some(row.key.id.clone())
        });
    }
}

#[test]
fn two_active_keys_are_refused() {
    refused("two keys are active for ES256", |stored| {
        alter_key(stored, "pending", |key| {
            key["state"] = json!({
                "name": "active", "activated_at": 1, "longest_ttl": 1, "widest_skew": 1
            });
        });
        None
    });
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    refused("stands twice", |stored| {
        let row = row_in(stored, "retired").clone();
        stored.keys.push(row);
        None
    });
}

#[test]
fn a_version_that_no_commit_writes_is_refused() {
    refused("version 0", |stored| {
        stored.issuer.version = 0;
        None
    });
}

#[test]
fn a_path_that_is_not_the_path_of_the_url_is_refused() {
    for path in ["", "/", "/a/", "/b", "a"] {
        refused("path column", |stored| {
            stored.issuer.unique = Some(path.to_owned());
            None
        });
    }
}

#[test]
fn a_policy_that_has_not_the_form_of_one_is_refused() {
    for (member, value, rule) in [
        ("algorithms", json!(["HS256"]), "HS256"),
        ("algorithms", json!([]), "algorithms"),
        ("url", json!("http://id.example.com/a"), "https"),
        ("max_token_ttl", json!(3600), "max_token_ttl"),
    ] {
        refused(rule, |stored| {
            alter_set(stored, |set| set["policy"][member] = value);
            None
        });
    }
    refused("unknown variant", |stored| {
        alter_set(stored, |set| {
            set["founding"] = json!("by accident");
        });
        None
    });
}

// Issue 10, case 16: a rule that comes later, or a time zone that goes, ends no issuer.
#[test]
fn a_policy_that_may_not_be_set_any_more_is_read() {
    let atlantis = json!({"cron": "0 3 1 * *", "timezone": "Europe/Atlantis"});
    for (member, value) in [
        ("lead", json!("10m")),
        ("rsa_bits", json!(1024)),
        ("rotation", atlantis),
    ] {
        let mut stored = full_life().stored;
        alter_set(&mut stored, |set| set["policy"][member] = value.clone());
        let set = documents::key_set(&stored).unwrap();
        assert_eq!(set.policy().to_document()[member], value);
        assert_eq!(set.keys().len(), stored.keys.len());
    }
}

/// One of the documents of `stored`: the set's for 0, a key's for any other number.
fn document(stored: &mut StoredSet, index: usize) -> &mut String {
    let count = stored.keys.len() + 1;
    match (index % count).checked_sub(1) {
        None => &mut stored.issuer.document,
        Some(key) => &mut stored.keys[key].document,
    }
}

fn stored_life() -> &'static StoredSet {
    static STORED: std::sync::OnceLock<StoredSet> = std::sync::OnceLock::new();
    STORED.get_or_init(|| full_life().stored)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    // Some flips make another legal document, such as another instant. No flip makes a panic,
    // two signers, or a set of another name.
    #[test]
    fn flipped_bytes_never_panic_and_errors_name_the_issuer(
        index in 0..32_usize,
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1..=255_u8), 1..4),
    ) {
        let mut stored = stored_life().clone();
        let text = document(&mut stored, index);
        let mut bytes = text.clone().into_bytes();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        *text = String::from_utf8_lossy(&bytes).into_owned();
        match documents::key_set(&stored) {
            Err(error) => prop_assert!(error.subject.starts_with("issuer a"), "{error}"),
            Ok(set) => {
                prop_assert_eq!(set.keys().len(), stored.keys.len());
                for (key, row) in set.keys().iter().zip(&stored.keys) {
                    prop_assert_eq!(key.kid().as_str(), &row.key.id);
                    prop_assert_eq!(key.holds_private_half(), row.sealed.is_some());
                }
            }
        }
    }

    #[test]
    fn arbitrary_text_is_never_a_record(index in 0..32_usize, text in ".*") {
        let mut stored = stored_life().clone();
        *document(&mut stored, index) = text;
        prop_assert!(documents::key_set(&stored).is_err());
    }
}
