//! A file that is replaced well or badly.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_verifier::{
    Algorithm, Jwk, JwkSet, KeyFile, KeyFileError, Kid, PublicKey, Rules, Verifier,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use tempfile::TempDir;

struct Signer {
    kid: String,
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self {
            kid: kid.to_owned(),
            pair: EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap(),
        }
    }

    fn set(&self) -> Vec<u8> {
        let point = self.pair.public_key().as_ref();
        let x = point[1..33].try_into().unwrap();
        let y = point[33..].try_into().unwrap();
        let kid = Kid::parse(&self.kid).unwrap();
        JwkSet::new(vec![
            Jwk::new(Some(kid), PublicKey::p256(x, y).unwrap()).unwrap(),
        ])
        .to_json()
    }

    fn token(&self) -> String {
        let header = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, self.kid);
        let claims = r#"{"iss":"https://id.example","aud":"orders","exp":4102444800}"#;
        let header = URL_SAFE_NO_PAD.encode(header);
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.unwrap()))
    }
}

/// A folder with a file of keys, and a verifier that looks at it for each token.
struct Scene {
    folder: TempDir,
    file: KeyFile,
    verifier: Verifier,
    old: Signer,
    new: Signer,
}

impl Scene {
    fn new() -> Self {
        let old = Signer::new("old");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        fs::write(&path, old.set()).unwrap();
        Self::of(folder, &path, old)
    }

    fn of(folder: TempDir, path: &Path, old: Signer) -> Self {
        let file = KeyFile::open(path).unwrap().check_every(Duration::ZERO);
        Self {
            folder,
            verifier: verifier(file.clone()),
            file,
            old,
            new: Signer::new("new"),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("jwks.json")
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(self.path(), content).unwrap();
    }

    fn replace(&self, content: impl AsRef<[u8]>) {
        let other = self.folder.path().join("other");
        fs::write(&other, content).unwrap();
        fs::rename(other, self.path()).unwrap();
    }

    fn serves_old_keys(&self) -> bool {
        let verdicts = (self.verdict_of(&self.old), self.verdict_of(&self.new));
        assert!(
            [("good", "unknown-key"), ("unknown-key", "good")].contains(&verdicts),
            "{verdicts:?}"
        );
        verdicts.0 == "good"
    }

    fn verdict_of(&self, signer: &Signer) -> &'static str {
        verdict(&self.verifier, &signer.token())
    }

    fn error(&self) -> Option<String> {
        self.file.last_error().map(|error| error.to_string())
    }
}

fn verifier(file: KeyFile) -> Verifier {
    let rules = Rules::new("https://id.example", "orders", [Algorithm::Es256]);
    Verifier::new(rules, file).unwrap()
}

fn verdict(verifier: &Verifier, token: &str) -> &'static str {
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    verifier
        .verify_with_held_keys::<serde_json::Value>(token, now)
        .map_or_else(|error| error.code(), |_| "good")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests measure how long something takes"
)]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn file_that_is_renamed_over_another_takes_its_place() {
    let scene = Scene::new();
    assert!(scene.serves_old_keys());
    scene.replace(scene.new.set());
    assert!(!scene.serves_old_keys());
    assert_eq!(scene.error(), None);
    scene.replace(scene.old.set());
    assert!(scene.serves_old_keys());
}

#[test]
fn half_of_a_file_replaces_nothing_and_the_whole_does() {
    let scene = Scene::new();
    let new = scene.new.set();
    for length in [0, 1, new.len() / 2, new.len() - 1] {
        scene.write(&new[..length]);
        assert!(scene.serves_old_keys(), "{length}");
        assert!(scene.error().is_some(), "{length}");
    }
    scene.write(&new);
    assert!(!scene.serves_old_keys());
    assert_eq!(scene.error(), None);
}

// `..data` is replaced by a rename, and the file's own path never changes.
#[test]
fn secret_that_kubernetes_mounts_is_followed_through_its_links() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    for (version, signer) in [("..1", &old), ("..2", &new)] {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("jwks.json"), signer.set()).unwrap();
    }
    symlink("..1", root.join("..data")).unwrap();
    symlink("..data/jwks.json", root.join("jwks.json")).unwrap();
    let mut scene = Scene::of(folder, &root.join("jwks.json"), old);
    scene.new = new;
    assert!(scene.serves_old_keys());
    symlink("..2", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    assert!(!scene.serves_old_keys());
    fs::remove_dir_all(root.join("..1")).unwrap();
    assert!(!scene.serves_old_keys());
    assert_eq!(scene.error(), None);
}

#[test]
fn content_that_is_no_set_of_keys_replaces_nothing() {
    let scene = Scene::new();
    let too_large = [scene.new.set(), vec![b' '; 524_288]].concat();
    let private = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}]}"#;
    for (content, says) in [
        (&b""[..], ""),
        (b"keys", ""),
        (b"{}", "keys"),
        (br#"{"keys":[]}"#, "no ES256 or RS256 key"),
        (
            br#"{"keys":[{"kty":"oct","k":"AA"}]}"#,
            "no ES256 or RS256 key",
        ),
        (private.as_bytes(), "no ES256 or RS256 key"),
        (&[0; 600_000], "larger"),
        (&too_large, "larger"),
    ] {
        scene.write(content);
        assert!(scene.serves_old_keys());
        let error = scene.error().unwrap();
        assert!(error.contains(says), "{error}");
        assert!(!error.contains("jpsQ"), "{error}");
    }
    scene.write(scene.new.set());
    assert!(!scene.serves_old_keys());
    assert_eq!(scene.error(), None);
}

#[test]
fn file_that_is_gone_or_no_file_any_more_replaces_nothing() {
    let scene = Scene::new();
    let path = scene.path();
    let renew = |what: &str| {
        fs::remove_file(&path)
            .or_else(|_| fs::remove_dir(&path))
            .unwrap();
        match what {
            "pipe" => assert!(
                Command::new("mkfifo")
                    .arg(&path)
                    .status()
                    .unwrap()
                    .success()
            ),
            "folder" => fs::create_dir(&path).unwrap(),
            "device" => symlink("/dev/zero", &path).unwrap(),
            "loop" => symlink(&path, &path).unwrap(),
            "dangling" => symlink("nowhere", &path).unwrap(),
            _ => {}
        }
    };
    for what in ["pipe", "folder", "device", "loop", "dangling", "nothing"] {
        renew(what);
        let start = now();
        assert!(scene.serves_old_keys(), "{what}");
        assert!(start.elapsed() < Duration::from_secs(2), "{what}");
        assert!(scene.error().unwrap().contains("jwks.json"), "{what}");
        let refusal = KeyFile::open(&path);
        assert!(
            matches!(
                refusal,
                Err(KeyFileError::NoFile { .. } | KeyFileError::Unreadable { .. })
            ),
            "{what}"
        );
        if what == "nothing" {
            scene.write("");
        }
    }
    scene.write(scene.new.set());
    assert!(!scene.serves_old_keys());
}

#[test]
fn file_without_usable_keys_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    for content in ["", "{", r#"{"keys":[]}"#, r#"{"keys":[1]}"#] {
        fs::write(&path, content).unwrap();
        assert!(
            matches!(KeyFile::open(&path), Err(KeyFileError::Set(_))),
            "{content}"
        );
    }
}

#[test]
fn file_that_may_not_be_read_replaces_nothing() {
    let scene = Scene::new();
    scene.replace(scene.new.set());
    fs::set_permissions(scene.path(), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(scene.path()).is_ok() {
        println!("skipped: root may read everything");
        return;
    }
    assert!(scene.serves_old_keys());
    assert!(scene.error().unwrap().contains("cannot be read"));
    fs::set_permissions(scene.path(), fs::Permissions::from_mode(0o400)).unwrap();
    assert!(!scene.serves_old_keys());
}

#[test]
fn file_is_looked_at_once_per_interval() {
    let scene = Scene::new();
    let interval = Duration::from_millis(300);
    let start = now();
    let file = KeyFile::open(scene.path()).unwrap().check_every(interval);
    let verifier = verifier(file);
    scene.replace(scene.new.set());
    let new = scene.new.token();
    while verdict(&verifier, &new) != "good" {
        assert!(start.elapsed() < Duration::from_secs(10));
        thread::yield_now();
    }
    assert!(start.elapsed() >= interval, "{:?}", start.elapsed());
}

#[test]
fn handles_of_one_file_share_what_was_read_and_each_has_its_interval() {
    let scene = Scene::new();
    let patient = scene.file.clone().check_every(Duration::MAX);
    let by_patient = verifier(patient.clone());
    scene.replace(scene.new.set());
    let (old, new) = (scene.old.token(), scene.new.token());
    assert_eq!(verdict(&by_patient, &old), "good");
    assert!(!scene.serves_old_keys());
    assert_eq!(verdict(&by_patient, &new), "good");
    scene.write("");
    assert!(!scene.serves_old_keys());
    assert!(patient.last_error().is_some());
}

// A key that was seen to be replaced does not come back, whatever stands in the file meanwhile.
#[test]
fn threads_that_verify_while_the_file_changes_see_each_set_once() {
    const VERSIONS: usize = 150;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let signers: Vec<Signer> = (0..VERSIONS)
        .map(|version| Signer::new(&version.to_string()))
        .collect();
    let tokens: Vec<String> = signers.iter().map(Signer::token).collect();
    fs::write(&path, signers[0].set()).unwrap();
    let file = KeyFile::open(&path).unwrap().check_every(Duration::ZERO);
    let verifier = verifier(file);
    let written = AtomicUsize::new(0);
    let highest = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let lowest = highest.load(Ordering::SeqCst);
                    // The next version is on its way when the last but one is written.
                    let latest = (written.load(Ordering::SeqCst) + 1).min(VERSIONS - 1);
                    for version in (lowest.saturating_sub(3)..=latest).rev() {
                        let seen = highest.load(Ordering::SeqCst);
                        if verdict(&verifier, &tokens[version]) == "good" {
                            assert!(version >= seen, "{version} came back after {seen}");
                            highest.fetch_max(version, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
        let half = &signers[0].set()[..40];
        for (version, signer) in signers.iter().enumerate().skip(1) {
            let other = folder.path().join("other");
            fs::write(&other, signer.set()).unwrap();
            fs::rename(&other, &path).unwrap();
            written.store(version, Ordering::SeqCst);
            let start = now();
            while highest.load(Ordering::SeqCst) < version {
                if start.elapsed() > Duration::from_secs(20) {
                    is_over.store(true, Ordering::SeqCst);
                    panic!("version {version} is never seen");
                }
                thread::yield_now();
            }
            fs::write(&path, half).unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
    });
}
