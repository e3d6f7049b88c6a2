//! What of keys is in the memory of a real process: while they are in use, and when they are not any
//! more.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use keywright::lifecycle::IssuerName;
use keywright::store::seal::MasterKeys;
use keywright_verifier::Kid;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use serde_json::json;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use crate::support::{Server, eventually, report, start_in};
use crate::world::{Key, folder, named};

const BLOCK: usize = 1 << 20;
const PAGE: usize = 4096;

/// How often each of these texts is in the memory that a process may write.
fn count(server: &Server, needles: &[Vec<u8>]) -> Vec<usize> {
    let process = format!("/proc/{}", server.process());
    let maps = std::fs::read_to_string(format!("{process}/maps")).unwrap();
    let memory = File::open(format!("{process}/mem")).unwrap();
    let longest = needles.iter().map(Vec::len).max().unwrap();
    let mut counts = vec![0; needles.len()];
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (mut at, to) = (number(from), number(to));
        while at < to {
            let length = usize::try_from(to - at).unwrap().min(BLOCK + longest);
            let mut block = vec![0; length];
            // Some mappings cannot be read, and are of the kernel.
            let read = memory.read_at(&mut block, at).unwrap_or(0);
            for (needle, count) in needles.iter().zip(&mut counts) {
                *count += occurrences(&block[..read], needle);
            }
            at += BLOCK as u64;
        }
    }
    counts
}

/// How often a text begins in the first [`BLOCK`] bytes. Pages of zeros are passed over.
fn occurrences(block: &[u8], needle: &[u8]) -> usize {
    let begins = |at: &usize| block.get(*at..*at + needle.len()) == Some(needle);
    let mut found = 0;
    for (number, page) in block.chunks(PAGE).enumerate().take(BLOCK / PAGE) {
        if page == &[0; PAGE][..page.len()] {
            continue;
        }
        let here = page
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == needle[0]);
        found += here
            .map(|(at, _)| number * PAGE + at)
            .filter(begins)
            .count();
    }
    found
}

/// The forms of a P-256 scalar: as it is written, as limbs of this machine, and as limbs times 2^256,
/// which ring signs with.
fn forms_of_scalar(secret: &p256::SecretKey) -> Vec<Vec<u8>> {
    let mut scaled = *secret.to_nonzero_scalar().as_ref();
    for _ in 0..256 {
        scaled = scaled.double();
    }
    let plain = secret.to_bytes().to_vec();
    let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
    let scaled = reversed(&scaled.to_bytes());
    vec![plain.clone(), reversed(&plain), scaled]
}

fn forms_of_primes(secret: &rsa::PrivateKey) -> Vec<Vec<u8>> {
    use rsa::traits::PrivateKeyParts as _;
    let primes = secret.primes().iter();
    primes
        .flat_map(|prime| {
            [
                prime.to_be_bytes().into_vec(),
                prime.to_le_bytes().into_vec(),
            ]
        })
        .collect()
}

fn serve(key: &Key) -> Server {
    let folder = folder();
    let settings = named(folder.path(), &[key]);
    start_in(Arc::clone(&folder), &settings).unwrap()
}

fn rotate(server: &Server, issuer: &str) {
    let path = format!("/v1/issuers/{issuer}/rotate");
    eventually("a successor", || {
        let answer = server.call("POST", &path, Some(&json!({ "force": true })));
        (answer.status == 200).then_some(())
    });
}

fn sign(server: &Server) {
    for algorithm in ["ES256", "RS256"] {
        let request = json!({ "claims": { "sub": "user-1" }, "alg": algorithm });
        server.sign("default", &request);
        // Batches are signed on threads of their own.
        let batch = json!({ "requests": vec![request; 20] });
        let answer = server.call("POST", "/v1/issuers/default/tokens/batch", Some(&batch));
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
}

fn active(server: &Server, algorithm: &str) -> String {
    let keys = server.call("GET", "/v1/issuers/default/keys", None).json();
    let keys = keys["keys"].as_array().unwrap().iter();
    let mut active = keys.filter(|key| key["state"] == "active" && key["algorithm"] == algorithm);
    active.next().unwrap()["kid"].as_str().unwrap().to_owned()
}

/// The private half of a key, as the store has it.
fn private_half(server: &Server, master: &Key, kid: &str) -> Vec<u8> {
    let path = server.data().join("keywright.db").display().to_string();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sealed: Vec<u8> = runtime.block_on(async {
        let mut connection = SqliteConnection::connect(&path).await.unwrap();
        let query = sqlx::query_scalar("SELECT sealed FROM records WHERE kind = 'key' AND id = ?1");
        query.bind(kid).fetch_one(&mut connection).await.unwrap()
    });
    let issuer = IssuerName::parse("default").unwrap();
    let keys = MasterKeys::of(master.master());
    let opened = keys
        .open(&issuer, &Kid::parse(kid).unwrap(), &sealed)
        .unwrap();
    opened.to_vec()
}

/// Waits until none of these texts is left, and says what is when that does not come.
fn gone(server: &Server, what: &str, forms: &[Vec<u8>]) {
    let mut left = Vec::new();
    let nothing_left = (0..10).any(|_| {
        // Connections of before end, and so do snapshots.
        server.fetch("/healthz");
        left = count(server, forms);
        left.iter().all(|count| *count == 0)
    });
    assert!(nothing_left, "{what} is left in memory: {left:?}");
}

#[test]
fn a_master_key_is_in_memory_once_whatever_it_came_from() {
    let key = Key::new(7);
    let settings = |folder: &Path, source: &str| match source {
        "file" => named(folder, &[&key]),
        "further" => named(folder, &[&Key::new(8), &key]),
        _ => {
            let path = key.put(folder, "printed.key");
            format!("master_key_command = [\"cat\", {path:?}]\n")
        }
    };
    for source in ["file", "further", "command"] {
        let folder = folder();
        let settings = settings(folder.path(), source);
        let server = start_in(folder, &settings).unwrap();
        sign(&server);
        rotate(&server, "default");
        sign(&server);
        let counts = count(&server, &key.forms());
        report(&format!(
            "copies of the master key from a {source} (octets, base64, hexadecimal, …): {counts:?}"
        ));
        // The cipher's first round keys are the key itself.
        assert!(counts[0] <= 1, "{source}: {counts:?}");
        assert!(
            counts[1..].iter().all(|count| *count == 0),
            "{source}: {counts:?}"
        );
    }
}

#[test]
fn an_imported_scalar_is_in_memory_while_it_signs_and_not_before_or_after() {
    use p256::elliptic_curve::Generate as _;
    let server = serve(&Key::new(7));
    let policy = json!({
        "url": "http://127.0.0.1:8080/shop", "algorithms": ["ES256"], "takes_over": true,
    });
    let created = server.call("PUT", "/v1/issuers/shop", Some(&policy));
    assert_eq!(created.status, 201, "{}", created.json());
    let import = |state: &str| {
        let secret = p256::SecretKey::try_generate_from_rng(&mut rand::rngs::SysRng).unwrap();
        let pem = secret.to_pkcs8_pem(LineEnding::LF).unwrap();
        let body = json!({ "algorithm": "ES256", "state": state, "private_key": pem.as_str() });
        let answer = server.call("POST", "/v1/issuers/shop/keys", Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.json());
        let mut forms = forms_of_scalar(&secret);
        // A text from the PEM, with a part of the private half.
        forms.push(pem.as_bytes()[80..100].to_vec());
        forms
    };
    let claims = json!({ "claims": { "sub": "user-1" } });
    let active = import("active");
    server.sign("shop", &claims);
    let counts = count(&server, &active);
    report(&format!(
        "copies of an imported scalar that signs: {counts:?}"
    ));
    assert_eq!(counts, [0, 0, 1, 0]);
    for state in ["pending", "retired"] {
        let forms = import(state);
        gone(
            &server,
            &format!("an imported scalar that is {state}"),
            &forms,
        );
    }
    rotate(&server, "shop");
    server.sign("shop", &claims);
    gone(&server, "an imported scalar that has retired", &active);
}

#[test]
fn an_imported_rsa_key_leaves_no_prime_behind() {
    use rsa::pkcs8::EncodePrivateKey as _;
    let server = serve(&Key::new(7));
    let secret = rsa::PrivateKey::new(&mut rand::rngs::SysRng, 2048).unwrap();
    let pem = secret.to_pkcs8_pem(rsa::pkcs8::LineEnding::LF).unwrap();
    let mut forms = forms_of_primes(&secret);
    forms.push(pem.as_bytes()[700..720].to_vec());
    let body = json!({ "algorithm": "RS256", "state": "pending", "private_key": pem.as_str() });
    let answer = server.call("POST", "/v1/issuers/default/keys", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    gone(&server, "an imported prime that is pending", &forms);
}

#[test]
fn keys_of_the_service_are_gone_when_they_have_retired() {
    let master = Key::new(7);
    let folder = folder();
    let settings = named(folder.path(), &[&master]);
    let server = start_in(folder, &settings).unwrap();
    sign(&server);
    let [ec, rsa] = ["ES256", "RS256"].map(|algorithm| {
        let kid = active(&server, algorithm);
        private_half(&server, &master, &kid)
    });
    let scalar = forms_of_scalar(&p256::SecretKey::from_pkcs8_der(&ec).unwrap());
    let primes = {
        use rsa::pkcs8::DecodePrivateKey as _;
        forms_of_primes(&rsa::PrivateKey::from_pkcs8_der(&rsa).unwrap())
    };
    let (before, of_primes) = (count(&server, &scalar), count(&server, &primes));
    report(&format!(
        "copies of a scalar that signs: {before:?}; of primes: {of_primes:?}"
    ));
    assert!(
        before[0] == 0 && before[1] == 0 && before[2] == 1,
        "{before:?}"
    );
    rotate(&server, "default");
    sign(&server);
    gone(&server, "a scalar that has retired", &scalar);
    gone(&server, "a prime that has retired", &primes);
}
