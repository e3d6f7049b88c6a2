//! Keys that `openssl` made, as people have them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywright::engine::{
    ImportError, KeyPair, WeakKey, check_strength, import_private_key, read_public_key,
};
use keywright_verifier::Algorithm::{self, Es256, Rs256};
use keywright_verifier::Kid;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};

use crate::keys::{reveals, signs};

pub(crate) fn openssl(arguments: &str, input: &str) -> String {
    let mut process = Command::new("openssl")
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("these tests need the openssl command");
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn p256_pem() -> String {
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", "")
}

pub(crate) fn rsa_pem(options: &str) -> String {
    let options = options.replace(' ', " -pkeyopt ");
    openssl(&format!("genpkey -algorithm RSA -pkeyopt {options}"), "")
}

/// The bytes between the boundaries.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.contains("--")).collect();
    STANDARD.decode(body).unwrap()
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// A well-formed private key of openssl's, its bytes altered where `from` stands.
fn replaced(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = der
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    [&der[..at], to, &der[at + from.len()..]].concat()
}

pub(crate) async fn accepted(algorithm: Algorithm, pem: &str) -> KeyPair {
    let pair = import_private_key(algorithm, pem, None).unwrap();
    assert_eq!(pair.jwk.algorithm(), algorithm);
    assert_eq!(pair.jwk.kid(), &pair.jwk.thumbprint());
    signs(&pair).await;
    pair
}

pub(crate) fn refused(algorithm: Algorithm, pem: &str) -> ImportError {
    let error = import_private_key(algorithm, pem, None).unwrap_err();
    let shown = format!("{error} {error:?}");
    // Windows of the text itself: what is refused need not be base64 at all.
    for line in pem.lines().filter(|line| !line.contains("--")) {
        for at in 0..line.len().saturating_sub(12) {
            let part = line.get(at..at + 12).unwrap_or(line);
            assert!(!shown.contains(part), "{shown}");
        }
        if let Ok(bytes) = STANDARD.decode(line) {
            assert!(!reveals(&shown, &bytes), "{shown}");
        }
    }
    error
}

#[track_caller]
fn unusable(algorithm: Algorithm, pem: &str) {
    let error = refused(algorithm, pem);
    assert!(
        matches!(error, ImportError::Unusable(named) if named == algorithm),
        "{error:?}"
    );
}

#[tokio::test]
async fn p256_keys_of_openssl_are_taken_in() {
    accepted(Es256, &p256_pem()).await;
}

#[tokio::test]
async fn rsa_keys_of_openssl_are_taken_in() {
    for bits in [2048, 3072, 4096] {
        accepted(Rs256, &rsa_pem(&format!("rsa_keygen_bits:{bits}"))).await;
    }
}

#[tokio::test]
async fn a_larger_exponent_is_taken_in() {
    // The largest that Go reads, 2^31 − 1.
    let pem = rsa_pem("rsa_keygen_bits:2048 rsa_keygen_pubexp:2147483647");
    accepted(Rs256, &pem).await;
}

#[tokio::test]
async fn white_space_around_the_block_and_windows_line_ends_do_not_matter() {
    let pem = p256_pem();
    let plain = accepted(Es256, &pem).await;
    for variant in [
        pem.trim_end().to_owned(),
        format!("\n \t{pem}\n\n"),
        pem.replace('\n', "\r\n"),
    ] {
        assert_eq!(accepted(Es256, &variant).await.jwk, plain.jwk);
    }
}

#[tokio::test]
async fn the_kid_stays_when_it_is_given() {
    let pem = p256_pem();
    let kid = Kid::parse("their-key/2019").unwrap();
    let pair = import_private_key(Es256, &pem, Some(kid.clone())).unwrap();
    assert_eq!(pair.jwk.kid(), &kid);
    assert_ne!(pair.jwk.thumbprint(), kid);
    signs(&pair).await;
}

#[tokio::test]
async fn an_imported_key_is_the_key_that_openssl_means() {
    let pem = p256_pem();
    let public = der(&openssl("pkey -pubout", &pem));
    let pair = import_private_key(Es256, &pem, None).unwrap();
    let keywright_verifier::PublicKey::P256 { x, y } = pair.jwk.public_key() else {
        panic!("{:?}", pair.jwk);
    };
    assert!(public.ends_with(&[x.as_slice(), y].concat()));
}

#[test]
fn a_block_whose_contents_are_no_key_is_refused() {
    for der in [
        b"not DER at all".to_vec(),
        vec![0x30, 0x00],
        der(&openssl("pkey -pubout", &p256_pem())),
    ] {
        for algorithm in [Es256, Rs256] {
            refused(algorithm, &pem("PRIVATE KEY", &der));
        }
    }
}

// K2.
#[test]
fn other_curves_are_refused() {
    for algorithm in [
        "EC -pkeyopt ec_paramgen_curve:P-384",
        "EC -pkeyopt ec_paramgen_curve:secp256k1",
        "EC -pkeyopt ec_paramgen_curve:secp256k1 -pkeyopt ec_param_enc:explicit",
        "EC -pkeyopt ec_paramgen_curve:prime239v1 -pkeyopt ec_param_enc:explicit",
        "ED25519",
    ] {
        let pem = openssl(&format!("genpkey -algorithm {algorithm}"), "");
        unusable(Es256, &pem);
        unusable(Rs256, &pem);
    }
}

// K1. ring signs with primes of a multiple of 512 bits, so that the steps are 1024 bits.
#[test]
fn rsa_keys_of_other_lengths_are_refused_with_the_lengths_that_are_taken() {
    let odd = rsa::PrivateKey::new(&mut rand::rngs::SysRng, 2049).unwrap();
    let mut pems = vec![odd.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()];
    // openssl rounds an odd length down.
    for bits in [1024, 2056, 2560] {
        pems.push(rsa_pem(&format!("rsa_keygen_bits:{bits}")));
    }
    for pem in pems {
        unusable(Rs256, &pem);
        let text = refused(Rs256, &pem).to_string();
        assert!(text.contains("2048, 3072 or 4096 bits"), "{text}");
    }
}

#[test]
fn rsa_exponents_outside_the_rule_are_refused() {
    for exponent in ["3", "257", "65535", "8589934593"] {
        let options = format!("rsa_keygen_bits:2048 rsa_keygen_pubexp:{exponent}");
        unusable(Rs256, &rsa_pem(&options));
    }
}

// Tighter than K1, for imports alone: Go refuses a whole set for one such key.
#[test]
fn an_rsa_exponent_of_2_to_the_31_or_more_is_refused_with_the_reason() {
    for exponent in ["2147483649", "8589934591"] {
        let options = format!("rsa_keygen_bits:2048 rsa_keygen_pubexp:{exponent}");
        let error = refused(Rs256, &rsa_pem(&options));
        assert!(
            matches!(error, ImportError::Weak(WeakKey::LargeExponent)),
            "{error:?}"
        );
        assert!(error.to_string().contains("2^31"), "{error}");
    }
}

#[test]
fn an_rsa_key_that_anyone_can_compute_is_refused_with_the_reason() {
    for (pem, reason, named) in [
        (
            include_str!("weak_keys/roca.pem"),
            WeakKey::Roca,
            "CVE-2017-15361",
        ),
        (
            include_str!("weak_keys/close_primes.pem"),
            WeakKey::ClosePrimes,
            "CVE-2022-26320",
        ),
    ] {
        let error = refused(Rs256, pem);
        assert!(
            matches!(error, ImportError::Weak(found) if found == reason),
            "{error:?}"
        );
        assert!(error.to_string().contains(named), "{error}");
        // The public half alone, as it is imported to verify.
        let jwk = read_public_key(&openssl("pkey -pubout", pem)).unwrap();
        assert_eq!(check_strength(jwk.public_key()), Err(reason));
    }
    for _ in 0..20 {
        let jwk = read_public_key(&openssl("pkey -pubout", &rsa_pem("rsa_keygen_bits:2048")));
        assert_eq!(check_strength(jwk.unwrap().public_key()), Ok(()));
    }
}

#[test]
fn rsa_keys_of_another_purpose_are_refused() {
    let pss = openssl(
        "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
        "",
    );
    unusable(Rs256, &pss);
    let three = rsa_pem("rsa_keygen_bits:3072 rsa_keygen_primes:3");
    unusable(Rs256, &three);
}

// K3.
#[test]
fn a_key_of_the_other_algorithm_is_refused() {
    unusable(Rs256, &p256_pem());
    unusable(Es256, &rsa_pem("rsa_keygen_bits:2048"));
}

#[test]
fn halves_that_do_not_belong_together_are_refused() {
    let (one, two) = (der(&p256_pem()), der(&p256_pem()));
    let point = |der: &[u8]| der[der.len() - 64..].to_vec();
    let mixed = replaced(&one, &point(&one), &point(&two));
    unusable(Es256, &pem("PRIVATE KEY", &mixed));
    let off_curve = replaced(&one, &point(&one), &[7; 64]);
    unusable(Es256, &pem("PRIVATE KEY", &off_curve));

    // n, d, p and q in turn. The numbers after them only speed a computation up and are made anew.
    let rsa = der(&rsa_pem("rsa_keygen_bits:2048"));
    for at in [60, 200, 320, 450, 600, 750] {
        let mut altered = rsa.clone();
        altered[at] ^= 0x40;
        unusable(Rs256, &pem("PRIVATE KEY", &altered));
    }
}
