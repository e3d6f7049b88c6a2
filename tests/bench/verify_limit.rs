//! How often a token is verified in a second of processor time: by ring and by aws-lc-rs alone, which
//! are the limits, by `keywright-verifier` for the first time and again, and by `jsonwebtoken`. They
//! take turns, so that a machine that changes its speed changes it for all.
//!
//! Prints one JSON object: for each algorithm verifications a second, the allocations of one of ours,
//! and the token and the key set, so that other libraries can be given the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark may panic, prints its result and reads the clock"
)]

mod rate;

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use keywright_verifier::{Algorithm, Jwk, JwkSet, PublicKey, Rules, Verifier};
use rate::rate;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example.com";

/// How long each of the three has before the next one's turn.
const TURN: Duration = Duration::from_millis(200);

/// What a service reads of a token: the claims of RFC 9068.
#[derive(serde::Deserialize)]
struct Claims {
    sub: String,
    scope: String,
    client_id: String,
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key that signs, and what verifies with it.
struct Signer {
    jwk: Jwk,
    /// The public key as ring reads it.
    public: Vec<u8>,
    sign: Sign,
}

fn main() {
    let seconds: f64 = std::env::args()
        .nth(1)
        .map_or(2.0, |text| text.parse().unwrap());
    let turns = (seconds / TURN.as_secs_f64()).ceil().max(1.0) as usize;
    let mut document = serde_json::Map::new();
    for (algorithm, signer) in [(Algorithm::Es256, es256()), (Algorithm::Rs256, rs256())] {
        document.insert(algorithm.to_string(), measure(algorithm, &signer, turns));
    }
    println!("{}", Value::Object(document));
}

fn es256() -> Signer {
    let random = SystemRandom::new();
    let format = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(format, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(format, document.as_ref(), &random).unwrap();
    let public = pair.public_key().as_ref().to_vec();
    let (x, y) = public.get(1..).unwrap().split_at(32);
    let key = PublicKey::p256(x.try_into().unwrap(), y.try_into().unwrap()).unwrap();
    Signer {
        jwk: Jwk::new(None, key).unwrap(),
        public,
        sign: Box::new(move |message| pair.sign(&random, message).unwrap().as_ref().to_vec()),
    }
}

fn rs256() -> Signer {
    let private = rsa::PrivateKey::new(&mut rand::rngs::SysRng, 2048).unwrap();
    let pair = RsaKeyPair::from_pkcs8(private.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    let public = pair.public().as_ref().to_vec();
    let (modulus, exponent) = (private.n_bytes().into_vec(), private.e_bytes().into_vec());
    let key = PublicKey::rsa(modulus, exponent).unwrap();
    Signer {
        jwk: Jwk::new(None, key).unwrap(),
        public,
        sign: Box::new(move |message| {
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .unwrap();
            signature
        }),
    }
}

fn measure(algorithm: Algorithm, signer: &Signer, turns: usize) -> Value {
    let header = json!({"alg": algorithm, "kid": signer.jwk.kid(), "typ": "at+jwt"});
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = json!({
        "iss": ISSUER, "sub": "user-4711", "aud": "orders", "client_id": "shop",
        "scope": "orders:read orders:write", "iat": now, "exp": now + 3600,
        "jti": "0b0e0f7e-6d3c-4d0a-9a0d-2a5b7c9d1e3f",
    });
    let [header, payload] = [header, claims].map(|part| BASE64URL.encode(part.to_string()));
    let input = format!("{header}.{payload}");
    let signature = (signer.sign)(input.as_bytes());
    let token = format!("{input}.{}", BASE64URL.encode(&signature));
    let keys = JwkSet::new(vec![signer.jwk.clone()]);
    let published = keys.to_json();

    let rules = Rules::new(ISSUER, "orders", [algorithm]).typ("at+jwt");
    let caching = Verifier::new(rules, keys).unwrap();
    let plain = caching.clone().signature_cache(0);
    let verify = |verifier: &Verifier| {
        // With a fixed set nothing is waited for, so that one look is enough.
        let mut verifying = pin!(verifier.verify::<Claims>(&token));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(verified) = verifying.as_mut().poll(&mut context) else {
            panic!("a fixed set is waited for");
        };
        read(black_box(verified.unwrap().claims));
    };
    let (first, again) = (|| verify(&plain), || verify(&caching));

    let form: &'static dyn VerificationAlgorithm = match algorithm {
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
    };
    let key = UnparsedPublicKey::new(form, &signer.public);
    let ring = || key.verify(black_box(input.as_bytes()), &signature).unwrap();
    let aws_lc = aws_lc(&signer.jwk);
    let aws_lc = || aws_lc(black_box(input.as_bytes()), &signature);

    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&published).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(set.keys.first().unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(match algorithm {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    });
    validation.leeway = 0;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&["orders"]);
    let theirs = || {
        let decoded = jsonwebtoken::decode::<Claims>(&token, &key, &validation).unwrap();
        read(black_box(decoded.claims));
    };

    let allocations = allocation_counter::measure(first).count_total;
    let competitors: [(&str, &dyn Fn()); 5] = [
        ("ring", &ring),
        ("aws-lc-rs", &aws_lc),
        ("keywright-verifier", &first),
        ("keywright-verifier, again", &again),
        ("jsonwebtoken", &theirs),
    ];
    let mut rates = competitors.map(|_| Vec::new());
    for _ in 0..turns {
        for ((_, competitor), rates) in competitors.iter().zip(&mut rates) {
            rates.push(rate(TURN, competitor));
        }
    }
    let names = competitors.iter().map(|(name, _)| (*name).to_owned());
    json!({
        "rates": names.zip(rates.map(Value::from)).collect::<serde_json::Map<_, _>>(),
        "allocations": allocations,
        "token": token,
        "jwks": String::from_utf8(published).unwrap(),
    })
}

/// Verification by aws-lc-rs with a key that has been parsed.
fn aws_lc(jwk: &Jwk) -> impl Fn(&[u8], &[u8]) {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RsaPublicKeyComponents,
    };
    let key = match jwk.public_key() {
        PublicKey::P256 { x, y } => {
            let point = [&[4][..], x, y].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        }
        PublicKey::Rsa { n, e } => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        }
    };
    let key = key.unwrap();
    move |message, signature| key.verify_sig(message, signature).unwrap()
}

/// A service looks at the claims.
fn read(claims: Claims) {
    let Claims {
        sub,
        scope,
        client_id,
    } = claims;
    black_box((sub, scope, client_id));
}
