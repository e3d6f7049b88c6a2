//! A verifier with a cache of proven signatures says what one without says, whatever has happened to
//! keys, tokens and revocations in between.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keywright_verifier::{Algorithm, KeyFile, RevocationFile, Rules, Verifier};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::file::Folder;
use crate::keys::base64url;
use crate::scene::{FILE_TYP, Key, Published, now_seconds};

const ISSUER: &str = "https://id.example";

/// So few that entries are displaced all the time.
const SMALL_CACHE: usize = 32;

/// Tokens of each key, and as many that are forged.
const TOKENS: usize = 6;

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// A token is presented so many seconds after the start.
    Present { token: usize, after: u64 },
    /// The issuer publishes these of its keys, of which two have one kid.
    Publish { keys: Vec<usize> },
    /// The subject of a token is taken back.
    Revoke { subject: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let present = (0..3 * TOKENS, 0..7200_u64);
    prop_oneof![
        8 => present.prop_map(|(token, after)| Step::Present { token, after }),
        2 => proptest::sample::subsequence(vec![0, 1, 2], 1..=3)
            .prop_map(|keys| Step::Publish { keys }),
        1 => (0..TOKENS).prop_map(|subject| Step::Revoke { subject }),
    ]
}

/// An issuer of three keys, two of which have one kid, with everything that was ever signed.
struct World {
    folder: Folder,
    keys: [Key; 3],
    tokens: Vec<String>,
    start: u64,
    revocations: u64,
}

impl World {
    fn new() -> Self {
        let keys = [Key::new("first"), Key::new("other"), Key::new("other")];
        let mut folder = Folder::new();
        let [first, ..] = &keys;
        folder.key = first.clone();
        folder.published = Published::new(ISSUER, first, 36_000);
        let start = now_seconds();
        let mut tokens = Vec::new();
        for key in &keys {
            for number in 0..TOKENS / 2 {
                let lifetime = 1800 * (number as u64 + 1);
                let claims = json!({"sub": format!("user-{number}"), "exp": start + lifetime});
                let token = key.token(ISSUER, claims);
                tokens.push(forged(&token));
                tokens.push(token);
            }
        }
        let world = Self {
            folder,
            keys,
            tokens,
            start,
            revocations: 0,
        };
        world.publish(&[0, 1]);
        world.folder.write(&world.folder.document());
        world
    }

    fn publish(&self, keys: &[usize]) {
        let keys: Vec<_> = keys.iter().map(|index| self.keys[*index].jwk()).collect();
        self.folder.write_keys(&keys);
    }

    /// Takes the tokens of a subject back, in a newer file also within a millisecond.
    fn revoke(&mut self, subject: &str) {
        self.folder.published.revoke("subject", &[subject]);
        self.revocations += 1;
        let mut head = self.folder.published.head(None);
        head.issued_at_milliseconds += self.revocations;
        let document = self.folder.document_of(FILE_TYP, &head.claims());
        self.folder.write(&document);
    }

    fn verifier(&self, signatures: usize) -> Verifier {
        let keys = KeyFile::open(self.folder.path("jwks.json")).unwrap();
        let file = RevocationFile::open(self.folder.path("revocations.json")).unwrap();
        Verifier::new(
            Rules::new(ISSUER, "orders", [Algorithm::Es256]),
            keys.check_every(Duration::ZERO),
        )
        .unwrap()
        .with_revocations(file.check_every(Duration::ZERO).danger_without_bound())
        .unwrap()
        .signature_cache(signatures)
    }

    /// The code of what is wrong with a token so many seconds after the start, `good` when nothing is.
    fn verdict(&self, verifier: &Verifier, token: usize, after: u64) -> &'static str {
        let token = &self.tokens[token];
        let outcome = verifier.verify_with_held_keys::<Value>(token, self.at(after));
        outcome.map_or_else(|error| error.code(), |_| "good")
    }

    fn at(&self, after: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.start + after)
    }
}

/// The token with a signature over something else, of the right length.
fn forged(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let other: Vec<u8> = signature.bytes().rev().take(64).collect();
    format!("{input}.{}", base64url(other))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_cached_verdict_is_the_one_without_a_cache(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let cached = world.verifier(SMALL_CACHE);
        let plain = world.verifier(0);
        for step in steps {
            match step {
                Step::Present { token, after } => {
                    let (token, now) = (&world.tokens[token], world.at(after));
                    let verdict = |verifier: &Verifier| {
                        let outcome = verifier.verify_with_held_keys::<Value>(token, now);
                        outcome.map(|verified| (verified.claims, verified.header, verified.vouched_at))
                    };
                    prop_assert_eq!(verdict(&cached), verdict(&plain));
                }
                Step::Publish { keys } => world.publish(&keys),
                Step::Revoke { subject } => {
                    world.revoke(&format!("user-{}", subject / 2));
                }
            }
        }
    }
}

/// A good token, and what becomes of it.
#[test]
fn a_cached_token_is_refused_once_its_key_is_gone_it_has_expired_or_was_revoked() {
    let mut world = World::new();
    let verifier = world.verifier(SMALL_CACHE);
    let token = 1;
    for _ in 0..3 {
        assert_eq!(world.verdict(&verifier, token, 0), "good");
    }
    assert_eq!(world.verdict(&verifier, token, 1800), "token-expired");
    assert_eq!(world.verdict(&verifier, token, 0), "good");
    world.publish(&[1]);
    assert_eq!(world.verdict(&verifier, token, 0), "unknown-key");
    world.publish(&[0]);
    assert_eq!(world.verdict(&verifier, token, 0), "good");
    world.revoke("user-0");
    assert_eq!(world.verdict(&verifier, token, 0), "revoked");
}

/// Two keys of one kid, one after the other: what the first has signed is nothing to the second.
#[test]
fn a_token_is_proven_for_its_key_and_not_for_another_one_of_the_same_kid() {
    let world = World::new();
    world.publish(&[1]);
    let verifier = world.verifier(SMALL_CACHE);
    let verdict = || world.verdict(&verifier, TOKENS + 1, 0);
    assert_eq!(verdict(), "good");
    world.publish(&[2]);
    assert_eq!(verdict(), "bad-signature");
    world.publish(&[1]);
    assert_eq!(verdict(), "good");
}
