//! Key files as tools write them: what is converted, and what is refused with a command that works.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywright::engine::{ImportError, KeyFormat, import_private_key, read_public_key};
use keywright_verifier::Algorithm::{self, Es256, Rs256};
use serde_json::{Value, json};

use crate::import::{accepted, der, openssl, p256_pem, pem, refused, rsa_pem};

/// The password of every file that has one.
const PASSWORD: &str = "password";

/// Runs a command line of a shell in a folder, and types the password as often as it asks. Without a
/// terminal, so that it asks no person.
fn shell(folder: &Path, line: &str) {
    let mut process = Command::new("setsid")
        .args(["-w", "sh", "-c", line])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let typed = format!("{PASSWORD}\n").repeat(4);
    // A command that asks for nothing may have ended.
    let _ = process.stdin.take().unwrap().write_all(typed.as_bytes());
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
}

/// Follows the advice of a refusal: runs its commands on `FILE` in the folder, and imports the result.
#[track_caller]
fn follow(folder: &Path, format: KeyFormat, algorithm: Algorithm) {
    let advice = format.to_string();
    for command in advice.split('`').skip(1).step_by(2) {
        if !command.starts_with("keywright") {
            shell(folder, command);
        }
    }
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    if let Some(public) = read("public.pem") {
        assert_eq!(read_public_key(&public).unwrap().algorithm(), algorithm);
        return;
    }
    if advice.contains("--public-key FILE") {
        return;
    }
    let converted = read("key.pem")
        .or_else(|| read("key.jwk"))
        .or_else(|| read("FILE"));
    let pair = import_private_key(algorithm, &converted.unwrap(), None).expect(&advice);
    assert_eq!(pair.jwk.algorithm(), algorithm);
}

/// What a file is that the commands made in an empty folder.
#[track_caller]
fn refused_file(algorithm: Algorithm, commands: &[&str], expected: KeyFormat) {
    let folder = tempfile::tempdir().unwrap();
    for command in commands {
        shell(folder.path(), command);
    }
    let content = fs::read(folder.path().join("FILE")).unwrap();
    let found = match std::str::from_utf8(&content) {
        Ok(text) => match refused(algorithm, text) {
            ImportError::Format(format) => format,
            error => panic!("{commands:?}: {error:?}"),
        },
        Err(_) => KeyFormat::of_binary(&content),
    };
    assert_eq!(found, expected, "{commands:?}");
    follow(folder.path(), found, algorithm);
}

const P256: &str = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out pkcs8";
const RSA: &str = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out pkcs8";
const CERTIFICATE: &str = "openssl req -x509 -key pkcs8 -subj /CN=test -days 2 -out certificate";

#[test]
fn every_kind_that_is_refused_names_a_command_that_works() {
    for (algorithm, make) in [(Es256, P256), (Rs256, RSA)] {
        let traditional = match algorithm {
            Es256 => "ec",
            Rs256 => "rsa -traditional",
        };
        let encrypt =
            format!("openssl {traditional} -in pkcs8 -aes128 -passout pass:{PASSWORD} -out FILE");
        let ssh = match algorithm {
            Es256 => "ecdsa -b 256",
            Rs256 => "rsa -b 2048",
        };
        let generate =
            |passphrase: &str| format!("ssh-keygen -q -t {ssh} -N '{passphrase}' -f FILE");
        let traditional_der = format!("openssl {traditional} -in pkcs8 -outform DER -out FILE");
        let export = format!(
            "openssl pkcs12 -export -inkey pkcs8 -in certificate -passout pass:{PASSWORD} -out FILE"
        );
        let encrypted = |form: &str| {
            format!(
                "openssl pkcs8 -topk8 -in pkcs8 -passout pass:{PASSWORD} -outform {form} -out FILE"
            )
        };
        let cases: [(&[&str], KeyFormat); 19] = [
            (&[make, &encrypted("PEM")], KeyFormat::Encrypted),
            (&[make, &encrypt], KeyFormat::Encrypted),
            (&[&generate("")], KeyFormat::Openssh),
            (
                &[&generate(""), "mv FILE.pub FILE"],
                KeyFormat::OpensshPublicKey,
            ),
            (
                &[make, CERTIFICATE, "mv certificate FILE"],
                KeyFormat::Certificate,
            ),
            (
                &[
                    make,
                    CERTIFICATE,
                    "openssl x509 -in certificate -trustout -out FILE",
                ],
                KeyFormat::Certificate,
            ),
            (
                &[
                    make,
                    CERTIFICATE,
                    "openssl x509 -in certificate -outform DER -out FILE",
                ],
                KeyFormat::DerCertificate,
            ),
            (
                &[make, "openssl pkey -in pkcs8 -pubout -out FILE"],
                KeyFormat::PublicKey,
            ),
            (
                &[
                    make,
                    "openssl pkey -in pkcs8 -pubout -outform DER -out FILE",
                ],
                KeyFormat::DerPublicKey,
            ),
            (
                &[
                    make,
                    "openssl pkcs8 -topk8 -nocrypt -in pkcs8 -outform DER -out FILE",
                ],
                KeyFormat::Der,
            ),
            (&[make, &traditional_der], KeyFormat::Der),
            (&[make, &encrypted("DER")], KeyFormat::Der),
            (
                &[make, "openssl pkey -in pkcs8 -outform DER | base64 > FILE"],
                KeyFormat::Base64Der,
            ),
            (
                &[
                    make,
                    "openssl pkey -in pkcs8 -outform DER | base64 -w0 > FILE",
                ],
                KeyFormat::Base64Der,
            ),
            (&[make, "base64 -w0 pkcs8 > FILE"], KeyFormat::Base64Pem),
            (&[make, CERTIFICATE, &export], KeyFormat::Pkcs12),
            (&[make, "iconv -t UTF-16 pkcs8 > FILE"], KeyFormat::Utf16),
            (
                &[
                    make,
                    "jq -n --rawfile key pkcs8 '{type: \"service_account\", private_key: $key}' > FILE",
                ],
                KeyFormat::ServiceAccount,
            ),
            (&[make, "cat pkcs8 pkcs8 > FILE"], KeyFormat::SeveralKeys),
        ];
        for (commands, expected) in cases {
            refused_file(algorithm, commands, expected);
        }
    }
}

#[test]
fn an_openssh_key_under_a_passphrase_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    shell(
        folder.path(),
        "ssh-keygen -q -t rsa -b 2048 -N password -f FILE",
    );
    let text = fs::read_to_string(folder.path().join("FILE")).unwrap();
    let error = refused(Rs256, &text);
    assert!(
        matches!(error, ImportError::Format(KeyFormat::Openssh)),
        "{error:?}"
    );
}

#[test]
fn a_java_key_store_names_commands_that_work() {
    let make = |kind: &str, key: &str| {
        format!(
            "keytool -genkeypair -storetype {kind} -keystore FILE -storepass {PASSWORD} -keypass \
             {PASSWORD} -dname CN=test -alias key -keyalg {key}"
        )
    };
    refused_file(
        Rs256,
        &[&make("JKS", "RSA -keysize 2048")],
        KeyFormat::JavaKeyStore,
    );
    refused_file(
        Es256,
        &[&make("JKS", "EC -groupname secp256r1")],
        KeyFormat::JavaKeyStore,
    );
    // What Java writes today.
    refused_file(
        Rs256,
        &[&make("PKCS12", "RSA -keysize 2048")],
        KeyFormat::Pkcs12,
    );
}

#[test]
fn a_block_that_is_cut_or_garbled_is_refused_as_such() {
    let ec = p256_pem();
    let middle = ec.len() / 2;
    for text in [
        ec[..middle].to_owned(),
        ec.replace("-----END PRIVATE KEY-----", ""),
        ec.replace("END PRIVATE KEY", "END EC PRIVATE KEY"),
        format!("{}*{}", &ec[..middle], &ec[middle..]),
        format!("{ec}{}", &ec[..middle]),
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n".to_owned(),
        "-----BEGIN PRIVATE KEY-----\ngarbage\n-----END PRIVATE KEY-----\n".to_owned(),
        "-----BEGIN PRIVATE KEY".to_owned(),
    ] {
        let error = refused(Es256, &text);
        assert!(
            matches!(error, ImportError::Format(KeyFormat::Garbled)),
            "{error:?}"
        );
    }
    for text in [
        "",
        " \n",
        "garbage",
        "[]",
        "{}",
        "{",
        "null",
        "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----",
    ] {
        let error = refused(Es256, text);
        assert!(
            matches!(error, ImportError::Format(KeyFormat::Unknown)),
            "{text}: {error:?}"
        );
    }
    assert_eq!(KeyFormat::of_binary(b"\x80\x81"), KeyFormat::Unknown);
    assert_eq!(KeyFormat::of_binary(&[0x30, 0x82]), KeyFormat::Unknown);
}

/// The forms of one key that are the same key.
fn spellings(pkcs8: &str, traditional: &str) -> Vec<String> {
    let der = der(pkcs8);
    let one_line = STANDARD.encode(&der);
    let wide = |width: usize| {
        let lines: Vec<&str> = one_line
            .as_bytes()
            .chunks(width)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        )
    };
    vec![
        pkcs8.trim_end().to_owned(),
        format!("\n \t{pkcs8}\n\n"),
        pkcs8.replace('\n', "\r\n"),
        pkcs8.replace('\n', " \t\n"),
        pkcs8.replace('\n', "\n\n"),
        pkcs8.replace('\n', ""),
        pkcs8.replace('\n', " "),
        pkcs8.replace('\n', "\\n"),
        pkcs8.lines().map(|line| format!("    {line}\n")).collect(),
        wide(1),
        wide(76),
        wide(100),
        wide(10_000),
        format!("\u{feff}{pkcs8}"),
        format!("Bag Attributes\n    friendlyName: key\nKey Attributes: <No Attributes>\n{pkcs8}"),
        format!("{pkcs8}something else"),
        format!("{}{pkcs8}", openssl("pkey -pubout", pkcs8)),
        traditional.to_owned(),
        format!("\u{feff}{}", traditional.replace('\n', "\r\n")),
        traditional.replace('\n', ""),
    ]
}

#[tokio::test]
async fn a_key_in_any_spelling_of_pem_is_the_same_key() {
    let ec = p256_pem();
    let rsa = rsa_pem("rsa_keygen_bits:2048");
    for (algorithm, pkcs8, traditional) in [
        (Es256, &ec, openssl("ec", &ec)),
        (Rs256, &rsa, openssl("rsa -traditional", &rsa)),
    ] {
        let plain = accepted(algorithm, pkcs8).await;
        for text in spellings(pkcs8, &traditional) {
            assert_eq!(accepted(algorithm, &text).await.jwk, plain.jwk, "{text}");
        }
    }
}

#[tokio::test]
async fn the_output_of_openssl_pkcs12_is_taken_in_as_it_is() {
    for (algorithm, make) in [(Es256, P256), (Rs256, RSA)] {
        let folder = tempfile::tempdir().unwrap();
        for command in [
            make,
            CERTIFICATE,
            "openssl pkcs12 -export -inkey pkcs8 -in certificate -passout pass:a -name key -out p12",
            "openssl pkcs12 -in p12 -nodes -passin pass:a -out FILE",
        ] {
            shell(folder.path(), command);
        }
        let text = fs::read_to_string(folder.path().join("FILE")).unwrap();
        assert!(
            text.contains("Bag Attributes") && text.contains("CERTIFICATE"),
            "{text}"
        );
        let pkcs8 = fs::read_to_string(folder.path().join("pkcs8")).unwrap();
        assert_eq!(
            accepted(algorithm, &text).await.jwk,
            accepted(algorithm, &pkcs8).await.jwk
        );
    }
}

#[tokio::test]
async fn ec_parameters_may_be_named_explicit_or_beside_the_key() {
    for form in ["uncompressed", "compressed", "hybrid"] {
        for encoding in ["named_curve", "explicit"] {
            let pem = openssl("ecparam -name prime256v1 -genkey", "");
            // With its own block of parameters before it.
            let plain = accepted(Es256, &pem).await.jwk;
            let options = format!("-param_enc {encoding} -conv_form {form}");
            let sec1 = openssl(&format!("ec {options}"), &pem);
            let converted = import_private_key(Es256, &sec1, None);
            // No library reads a hybrid point, and no tool writes one unasked.
            if form == "hybrid" {
                assert!(converted.is_err());
                continue;
            }
            assert_eq!(converted.unwrap().jwk, plain, "{options}");
            let pkcs8 = openssl("pkcs8 -topk8 -nocrypt", &sec1);
            assert_eq!(accepted(Es256, &pkcs8).await.jwk, plain, "{options}");
        }
    }
    let without_point = openssl("ec -no_public", &p256_pem());
    accepted(Es256, &without_point).await;
}

// CVE-2020-0601: another generator makes another key of the same point.
#[test]
fn explicit_parameters_that_are_not_all_those_of_p_256_are_refused() {
    let explicit = openssl(
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
        "",
    );
    let explicit = der(&explicit);
    let parameters = explicit
        .windows(32)
        .enumerate()
        .filter(|(_, window)| {
            // prime, a, b, the generator's x and y, and the order.
            let starts: [&[u8]; 5] = [
                &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1],
                &[0x5a, 0xc6, 0x35, 0xd8],
                &[0x6b, 0x17, 0xd1, 0xf2],
                &[0x4f, 0xe3, 0x42, 0xe2],
                &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
            ];
            starts.iter().any(|start| window.starts_with(start))
        })
        .map(|(at, _)| at);
    let mut count = 0;
    for at in parameters.collect::<Vec<_>>() {
        let mut altered = explicit.clone();
        altered[at + 20] ^= 1;
        let error = refused(Es256, &pem("PRIVATE KEY", &altered));
        assert!(
            matches!(error, ImportError::Unusable(Es256)),
            "{at}: {error:?}"
        );
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn a_key_without_a_curve_must_have_a_point_on_p_256() {
    // ECPrivateKey without parameters: SEQUENCE, version 1, the scalar, and the point.
    let bare = |curve: &str| {
        let pkcs8 = openssl(
            &format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve}"),
            "",
        );
        let pkcs8 = der(&pkcs8);
        let at = pkcs8
            .windows(5)
            .position(|window| window == [2, 1, 1, 4, 32])
            .unwrap();
        pem("EC PRIVATE KEY", &pkcs8[at - 2..])
    };
    assert!(import_private_key(Es256, &bare("P-256"), None).is_ok());
    let error = refused(Es256, &bare("secp256k1"));
    assert!(matches!(error, ImportError::Unusable(Es256)), "{error:?}");
}

/// A private JWK as Python's `cryptography` and `openssl` see the key.
fn private_jwk(pem: &str) -> Value {
    let script = r#"
import base64, json, sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
key = load_pem_private_key(sys.stdin.buffer.read(), None)
numbers = key.private_numbers()
def b64(number, size=None):
    size = size or (number.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(number.to_bytes(size, "big")).rstrip(b"=").decode()
public = numbers.public_numbers
if hasattr(public, "x"):
    jwk = {"kty": "EC", "crv": "P-256", "x": b64(public.x, 32), "y": b64(public.y, 32),
           "d": b64(numbers.private_value, 32)}
else:
    jwk = {"kty": "RSA", "n": b64(public.n), "e": b64(public.e), "d": b64(numbers.d),
           "p": b64(numbers.p), "q": b64(numbers.q), "dp": b64(numbers.dmp1),
           "dq": b64(numbers.dmq1), "qi": b64(numbers.iqmp)}
print(json.dumps(jwk))
"#;
    let mut process = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process
        .stdin
        .take()
        .unwrap()
        .write_all(pem.as_bytes())
        .unwrap();
    let output = process.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).expect("these tests need python3 with cryptography")
}

fn with(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
    jwk[name] = value.into();
    jwk
}

#[tokio::test]
async fn a_private_jwk_is_the_key_that_its_numbers_say() {
    for (algorithm, pem) in [
        (Es256, p256_pem()),
        (Rs256, rsa_pem("rsa_keygen_bits:2048")),
    ] {
        let plain = accepted(algorithm, &pem).await.jwk;
        let jwk = private_jwk(&pem);
        let d = jwk["d"].as_str().unwrap();
        let padded = format!("AAAA{}", d.replace('-', "+").replace('_', "/"));
        for variant in [
            jwk.clone(),
            with(jwk.clone(), "key_ops", json!(["sign"])),
            with(jwk.clone(), "key_ops", json!(["sign", "verify"])),
            with(jwk.clone(), "use", "sig"),
            with(jwk.clone(), "alg", algorithm.as_str()),
            with(jwk.clone(), "d", padded),
        ] {
            let text = format!("\u{feff}\n{variant:#}\n");
            assert_eq!(accepted(algorithm, &text).await.jwk, plain);
        }
        let named = with(jwk.clone(), "kid", "their-key").to_string();
        let pair = import_private_key(algorithm, &named, None).unwrap();
        assert_eq!(pair.jwk.kid().as_str(), "their-key");
        let renamed = keywright_verifier::Kid::parse("ours").unwrap();
        let pair = import_private_key(algorithm, &named, Some(renamed)).unwrap();
        assert_eq!(pair.jwk.kid().as_str(), "ours");
        if algorithm == Rs256 {
            let mut short = jwk.clone();
            for member in ["p", "q", "dp", "dq", "qi"] {
                short.as_object_mut().unwrap().remove(member);
            }
            assert_eq!(accepted(algorithm, &short.to_string()).await.jwk, plain);
        }
    }
}

#[test]
fn a_jwk_that_is_no_signing_key_is_refused_with_the_reason() {
    let jwk = private_jwk(&p256_pem());
    let other = private_jwk(&p256_pem());
    let says = |jwk: Value| refused(Es256, &jwk.to_string()).to_string();
    let mut public = jwk.clone();
    public.as_object_mut().unwrap().remove("d");
    for (jwk, part) in [
        (public.clone(), "--public-key FILE"),
        (json!({ "keys": [jwk] }), "jq '.keys[0]' FILE"),
        (with(jwk.clone(), "use", "enc"), "use must be sig"),
        (
            with(jwk.clone(), "key_ops", json!(["deriveKey"])),
            "key_ops",
        ),
        (with(jwk.clone(), "key_ops", json!(["verify"])), "key_ops"),
        (with(jwk.clone(), "alg", "ES384"), "ES384"),
        (
            with(jwk.clone(), "d", "*"),
            "\"d\" is neither base64url nor base64",
        ),
        (with(jwk.clone(), "d", 1), "\"d\""),
        (
            with(jwk.clone(), "d", other["d"].clone()),
            "not a usable ES256 key",
        ),
        (
            json!({ "kty": "oct", "k": "c2VjcmV0LXNlY3JldA" }),
            "kty must be EC or RSA",
        ),
        (
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA" }),
            "kty must be EC or RSA",
        ),
    ] {
        let text = says(jwk);
        assert!(text.contains(part), "{text}");
    }
    let error = refused(Rs256, &jwk.to_string());
    assert!(matches!(error, ImportError::Unusable(Rs256)), "{error:?}");
    let rsa = private_jwk(&rsa_pem("rsa_keygen_bits:2048"));
    let (p, q) = (rsa["p"].clone(), rsa["q"].clone());
    for broken in [
        with(rsa.clone(), "p", q),
        with(rsa.clone(), "d", p),
        with(rsa, "e", "AQAD"),
    ] {
        let error = refused(Rs256, &broken.to_string());
        assert!(matches!(error, ImportError::Unusable(Rs256)), "{error:?}");
    }

    let folder = tempfile::tempdir().unwrap();
    let set = json!({ "keys": [jwk] }).to_string();
    fs::write(folder.path().join("FILE"), set).unwrap();
    follow(folder.path(), KeyFormat::JwkSet, Es256);
    follow(folder.path(), KeyFormat::PublicJwk, Es256);
}

#[test]
fn a_public_key_in_pem_is_read_and_what_is_none_is_named() {
    let (ec, rsa) = (p256_pem(), rsa_pem("rsa_keygen_bits:2048"));
    for (algorithm, private, public) in [
        (Es256, &ec, openssl("pkey -pubout", &ec)),
        (Rs256, &rsa, openssl("pkey -pubout", &rsa)),
        (Rs256, &rsa, openssl("rsa -RSAPublicKey_out", &rsa)),
    ] {
        let pair = import_private_key(algorithm, private, None).unwrap();
        assert_eq!(read_public_key(&public).unwrap(), pair.jwk);
        assert_eq!(
            read_public_key(&format!("\u{feff}{public}")).unwrap(),
            pair.jwk
        );
    }
    for algorithm in [
        "ED25519",
        "EC -pkeyopt ec_paramgen_curve:P-384",
        "RSA-PSS -pkeyopt rsa_keygen_bits:2048",
    ] {
        let private = openssl(&format!("genpkey -algorithm {algorithm}"), "");
        let public = openssl("pkey -pubout", &private);
        assert_eq!(
            read_public_key(&public),
            Err(KeyFormat::OtherPublicKey),
            "{algorithm}"
        );
    }
    // A private key is not silently reduced to its public half.
    assert_eq!(read_public_key(&ec), Err(KeyFormat::OtherPublicKey));
    assert_eq!(read_public_key("garbage"), Err(KeyFormat::Unknown));
}
