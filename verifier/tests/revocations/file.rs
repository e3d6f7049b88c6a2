//! Revocations in a file that is replaced well or badly.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use keywright_verifier::revocation::{RevocationDocument, segment_hash};
use keywright_verifier::{
    Algorithm, Jwk, KeyFile, RevocationFile, Revocations, Rules, Verifier, VerifyError,
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::keys::{base64url, set};
use crate::scene::{FEED_TYP, FILE_TYP, Key, Published, complaint, now_milliseconds, now_seconds};

const ISSUER: &str = "https://id.example";

/// An issuer that writes files, and a verifier that looks at them for each token.
pub(crate) struct Folder {
    folder: TempDir,
    pub(crate) key: Key,
    pub(crate) published: Published,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::new("first");
        let published = Published::new(ISSUER, &key, 3600);
        let new = Self {
            folder,
            published,
            key,
        };
        new.write_keys(&[new.key.jwk()]);
        new
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write_keys(&self, keys: &[Jwk]) {
        let keys = set(keys.iter().cloned()).to_json();
        fs::write(self.path("jwks.json"), keys).unwrap();
    }

    /// The document of what is published now.
    pub(crate) fn document(&self) -> Value {
        self.document_of(FILE_TYP, &self.published.head(None).claims())
    }

    pub(crate) fn document_of(&self, typ: &str, claims: &Map<String, Value>) -> Value {
        let document = RevocationDocument {
            head: self.key.sign(typ, claims),
            segments: self.published.segments.clone(),
        };
        serde_json::from_slice(&document.to_json()).unwrap()
    }

    pub(crate) fn write(&self, document: &Value) {
        let other = self.path("other");
        fs::write(&other, document.to_string()).unwrap();
        fs::rename(other, self.path("revocations.json")).unwrap();
    }

    fn file(&self) -> RevocationFile {
        RevocationFile::open(self.path("revocations.json"))
            .unwrap()
            .check_every(Duration::ZERO)
    }

    fn verifier(&self, file: RevocationFile) -> Verifier {
        let keys = KeyFile::open(self.path("jwks.json")).unwrap();
        Verifier::new(
            Rules::new(ISSUER, "orders", [Algorithm::Es256]),
            keys.check_every(Duration::ZERO),
        )
        .unwrap()
        .with_revocations(file)
        .unwrap()
    }
}

fn revocations(verifier: &Verifier) -> &Revocations {
    verifier.revocations(ISSUER).unwrap()
}

fn verdict_at(verifier: &Verifier, token: &str, seconds: u64) -> &'static str {
    let now = UNIX_EPOCH + Duration::from_secs(seconds);
    let outcome: Result<_, VerifyError> = verifier
        .verify_with_held_keys::<Value>(token, now)
        .map(drop);
    outcome.map_or_else(|error| error.code(), |()| "good")
}

fn verdict(verifier: &Verifier, token: &str) -> &'static str {
    verdict_at(verifier, token, now_seconds())
}

#[test]
fn file_with_segments_takes_tokens_back() {
    let mut folder = Folder::new();
    folder.published.revoke("subject", &["mallory"]);
    folder.published.fill_segment(10);
    folder.write(&folder.document());
    let verifier = folder.verifier(folder.file());
    let of = |changes| verdict(&verifier, &folder.key.token(ISSUER, changes));
    assert_eq!(of(json!({})), "good");
    assert_eq!(of(json!({"sub": "mallory"})), "revoked");
    assert_eq!(of(json!({"jti": "9"})), "revoked");
    let revocations = revocations(&verifier);
    assert!(revocations.has_head());
    assert_eq!(revocations.record_count(), 11);
    assert!(revocations.head_age().unwrap() < Duration::from_secs(60));
    assert_eq!(complaint(revocations), "none");
}

#[test]
fn newer_file_replaces_and_an_older_one_does_not() {
    let mut folder = Folder::new();
    let old = folder.document();
    folder.write(&old);
    let verifier = folder.verifier(folder.file());
    let mallory = folder.key.token(ISSUER, json!({"sub": "mallory"}));
    assert_eq!(verdict(&verifier, &mallory), "good");
    folder.published.revoke("subject", &["mallory"]);
    let mut newer = folder.published.head(None);
    newer.issued_at_milliseconds += 1;
    folder.write(&folder.document_of(FILE_TYP, &newer.claims()));
    assert_eq!(verdict(&verifier, &mallory), "revoked");
    folder.write(&old);
    assert_eq!(verdict(&verifier, &mallory), "revoked");
    assert!(complaint(revocations(&verifier)).contains("older"));
}

#[test]
fn file_counts_for_as_long_as_it_says() {
    let folder = Folder::new();
    folder.write(&folder.document());
    let verifier = folder.verifier(folder.file());
    let issued_at = now_seconds();
    let far = json!({"exp": issued_at + 100_000});
    let token = folder.key.token(ISSUER, far.clone());
    assert_eq!(verdict_at(&verifier, &token, issued_at + 3590), "good");
    assert_eq!(
        verdict_at(&verifier, &token, issued_at + 3602),
        "revocations-stale"
    );
    let lax = folder.verifier(folder.file().danger_without_bound());
    assert_eq!(verdict_at(&lax, &token, issued_at + 3602), "good");
    let strict = folder.verifier(folder.file().bound(Duration::from_secs(10)));
    assert_eq!(
        verdict_at(&strict, &token, issued_at + 12),
        "revocations-stale"
    );
    let young = folder.key.token(
        ISSUER,
        json!({"iat": issued_at + 10, "exp": issued_at + 100}),
    );
    assert_eq!(verdict_at(&strict, &young, issued_at + 12), "good");
}

#[test]
fn content_that_is_not_the_issuers_file_replaces_nothing() {
    let mut folder = Folder::new();
    folder.published.revoke("subject", &["mallory"]);
    folder.published.fill_segment(10);
    folder.write(&folder.document());
    let verifier = folder.verifier(folder.file());
    let mallory = folder.key.token(ISSUER, json!({"sub": "mallory"}));
    let lies = {
        let claims = || folder.published.head(None).claims();
        let with_claim = |claim: &str, value: Value| {
            let mut claims = claims();
            claims.insert(claim.to_owned(), value);
            folder.document_of(FILE_TYP, &claims)
        };
        let with_segments = |segments: Value| {
            let mut document = folder.document();
            document["segments"] = segments;
            document
        };
        let hash = base64url(segment_hash(&folder.published.segments[0]));
        let stranger = Key::new("stranger").sign(FILE_TYP, &claims());
        let mut future = folder.published.head(None);
        future.issued_at_milliseconds = now_milliseconds() + 60_000;
        vec![
            (
                folder.document_of(FEED_TYP, &claims()),
                "no head of revocations",
            ),
            (
                folder.document_of("JWT", &claims()),
                "no head of revocations",
            ),
            (
                with_claim("iss", json!("https://evil.example")),
                "another issuer",
            ),
            (
                with_claim("sub", json!("https://evil.example/.well-known/revocations")),
                "another address",
            ),
            (with_claim("root", json!("A".repeat(43))), "root"),
            (with_claim("max_age", json!(59)), "max_age"),
            (with_claim("max_age", json!(40_000_000)), "max_age"),
            (folder.document_of(FILE_TYP, &future.claims()), "future"),
            (
                json!({"head": stranger, "segments": {}}),
                "no key of the set",
            ),
            (with_segments(json!({})), "segment"),
            (with_segments(json!([])), "holds no revocations"),
            (with_segments(json!({"x": "y"})), "segment"),
            (with_segments(json!({hash: base64url([0; 240])})), "segment"),
            (json!({"head": "x.y.z", "segments": {}}), "not accepted"),
            (json!({"segments": {}}), "holds no revocations"),
            (
                json!({"head": "x", "segments": {}, "more": 1}),
                "holds no revocations",
            ),
            (json!([]), "holds no revocations"),
        ]
    };
    for (document, says) in lies {
        folder.write(&document);
        assert_eq!(verdict(&verifier, &mallory), "revoked", "{says}");
        let text = complaint(revocations(&verifier));
        assert!(text.contains(says), "{says}: {text}");
        let other = folder.verifier_of_content_in_force(&document);
        assert!(other, "{says}");
    }
    folder.write(&folder.document());
    assert_eq!(verdict(&verifier, &mallory), "revoked");
    assert_eq!(complaint(revocations(&verifier)), "none");
}

impl Folder {
    /// Whether a verifier that starts with this content accepts no token by it.
    fn verifier_of_content_in_force(&self, document: &Value) -> bool {
        self.write(document);
        let Ok(file) = RevocationFile::open(self.path("revocations.json")) else {
            return true;
        };
        let verifier = self.verifier(file);
        let token = self.key.token(ISSUER, json!({}));
        verdict(&verifier, &token) == "revocations-stale" && !revocations(&verifier).has_head()
    }
}

#[test]
fn file_that_cannot_be_read_is_found_at_the_start() {
    let folder = Folder::new();
    let refusal = |name| {
        RevocationFile::open(folder.path(name))
            .unwrap_err()
            .to_string()
    };
    assert!(refusal("nowhere").contains("cannot be read"));
    assert!(refusal("").contains("no regular file"));
    fs::write(folder.path("garbled"), "{").unwrap();
    assert!(refusal("garbled").contains("no revocations"));
}

#[test]
fn file_that_disappears_stays_in_force() {
    let mut folder = Folder::new();
    folder.published.revoke("subject", &["mallory"]);
    folder.write(&folder.document());
    let verifier = folder.verifier(folder.file());
    let mallory = folder.key.token(ISSUER, json!({"sub": "mallory"}));
    assert_eq!(verdict(&verifier, &mallory), "revoked");
    fs::remove_file(folder.path("revocations.json")).unwrap();
    assert_eq!(verdict(&verifier, &mallory), "revoked");
    assert!(complaint(revocations(&verifier)).contains("cannot be read"));
}

#[test]
fn file_goes_with_its_key_and_comes_back_with_it() {
    let folder = Folder::new();
    folder.write(&folder.document());
    let verifier = folder.verifier(folder.file());
    let next = Key::new("next");
    let token = next.token(ISSUER, json!({}));
    folder.write_keys(&[next.jwk(), folder.key.jwk()]);
    assert_eq!(verdict(&verifier, &token), "good");
    folder.write_keys(&[next.jwk()]);
    assert_eq!(verdict(&verifier, &token), "revocations-stale");
    assert!(!revocations(&verifier).has_head());
    folder.write_keys(&[next.jwk(), folder.key.jwk()]);
    assert_eq!(verdict(&verifier, &token), "good");
}
