//! Attacks 18 to 30: signatures that are none, and keys that anybody can sign with.

use std::collections::BTreeSet;

use num_bigint::BigUint;
use ring::digest;
use serde_json::{Map, Value};

use crate::der;
use crate::naive::Defence;
use crate::service::{Service, claims, forged_claims};
use crate::signers::{
    EcSigner, PRIMES, RsaSigner, SHA_256_INFO, assemble, disassemble, ec_jwk, padded, sha_256,
    signing_input,
};
use crate::textbook::{P256, octets_of_length};

const EC_HEADER: &str = r#"{"alg":"ES256","kid":"k1"}"#;
const RSA_HEADER: &str = r#"{"alg":"RS256","kid":"k1"}"#;

fn forged_input(header: &str) -> String {
    signing_input(header, forged_claims().to_string())
}

fn octets_32(number: &BigUint) -> Vec<u8> {
    octets_of_length(number, 32)
}

// CVE-2022-21449: 0 = 0 holds for every message and every key.
pub(crate) fn attack_18_r_and_s_are_zero() {
    let (service, issuer) = Service::with_issuer();
    let input = forged_input(EC_HEADER);
    let token = assemble(&input, [0; 64]);
    service.withstands(&token, "bad-signature", Defence::ScalarRange);
    // The order is another spelling of 0, and one of the two may be left as it was.
    let order = octets_32(&P256.order);
    let token = assemble(&input, [&order[..], &order].concat());
    service.withstands(&token, "bad-signature", Defence::ScalarRange);
    let (_, genuine) = disassemble(&issuer.token(&claims()));
    let (r, s) = genuine.split_at(32);
    for signature in [[r, &[0; 32]].concat(), [&[0; 32], s].concat()] {
        assert_eq!(
            service.verify(&assemble(&input, signature)),
            Err("bad-signature")
        );
    }
}

// Adding the order needs a number so small that chance finds none in years. So the signature stands
// first, with small r and s, and the key is computed that it belongs to: Q = (s·R − z·G) / r.
pub(crate) fn attack_19_r_or_s_is_not_below_the_order() {
    let input = forged_input(EC_HEADER);
    let (r, y) = smallest_point();
    let s = BigUint::from(5_u32);
    let z = BigUint::from_bytes_be(&sha_256(input.as_bytes()));
    let left = P256.multiply(&s, &Some((r.clone(), y)));
    let right = P256.negate(&P256.multiply(&(z % &P256.order), &P256.generator));
    let inverse = P256.inverse_of_scalar(&r);
    let (x, y) = P256.multiply(&inverse, &P256.add(&left, &right)).unwrap();
    let service = Service::new([ec_jwk("k1", &octets_32(&x), &octets_32(&y))]);

    let token = |r: &BigUint, s: &BigUint| assemble(&input, [octets_32(r), octets_32(s)].concat());
    service.accepts(&token(&r, &s));
    let (high_r, high_s) = (&r + &P256.order, &s + &P256.order);
    for (r, s) in [(&high_r, &s), (&r, &high_s), (&high_r, &high_s)] {
        service.withstands(&token(r, s), "bad-signature", Defence::ScalarRange);
    }
}

/// The point of P-256 with the smallest x above 0. The prime is 3 modulo 4.
fn smallest_point() -> (BigUint, BigUint) {
    let exponent = (&P256.prime + 1_u32) / 4_u32;
    (1_u32..)
        .map(BigUint::from)
        .find_map(|x| {
            let y = P256.square_of_y(&x).modpow(&exponent, &P256.prime);
            P256.contains(&x, &y).then_some((x, y))
        })
        .unwrap()
}

pub(crate) fn attack_20_der_signature() {
    let (service, issuer) = Service::with_issuer();
    let token = issuer.token(&claims());
    let (input, signature) = disassemble(&token);
    let other = assemble(input, der::ecdsa_signature(&signature));
    service.withstands(&other, "bad-signature", Defence::FixedFormOnly);
}

pub(crate) fn attack_21_signature_of_another_length() {
    let (service, issuer) = Service::with_issuer();
    let rsa = RsaSigner::with_exponent(65_537);
    let rsa_service = Service::new([rsa.jwk("k1")]);
    for (service, token) in [
        (service, issuer.token(&claims())),
        (rsa_service, rsa.token("k1", &claims())),
    ] {
        service.accepts(&token);
        let (input, signature) = disassemble(&token);
        for trailing in [&[0][..], &[0; 3], b"anything"] {
            let other = assemble(input, [&signature, trailing].concat());
            service.withstands(&other, "bad-signature", Defence::SignatureLength);
        }
        for length in [1, signature.len() - 1] {
            let other = assemble(input, &signature[..length]);
            assert_eq!(service.verify(&other), Err("bad-signature"));
        }
    }
}

// No verifier can tell which of the two signatures its signer wrote, so the crate accepts both (as
// every library does). The defence is the replay cache's: see attack 53 for the one that works.
pub(crate) fn attack_22_mirrored_signature_passes_a_replay_cache_of_texts() {
    let (service, issuer) = Service::with_issuer();
    let token = issuer.token(&claims());
    let twin = mirrored(&token);
    let mut texts = BTreeSet::new();
    let mut identities = BTreeSet::new();
    let identity = |claims: &Map<String, Value>| {
        ["iss", "jti"].map(|name| claims[name].as_str().unwrap().to_owned())
    };
    let first = service.accepts(&token);
    assert!(texts.insert(token.clone()) && identities.insert(identity(&first)));
    let second = service.accepts(&twin);
    assert_eq!(second, first);
    assert!(texts.insert(twin), "a cache of texts sees another token");
    assert!(!identities.insert(identity(&second)), "one of jti does not");
}

/// The same token with n − s in the place of s.
pub(crate) fn mirrored(token: &str) -> String {
    let (input, signature) = disassemble(token);
    let (r, s) = signature.split_at(32);
    let mirrored = octets_32(&(&P256.order - BigUint::from_bytes_be(s)));
    assemble(input, [r, &mirrored].concat())
}

// (1, 0) lies on another curve and has order 2 there: twice the key is infinity. So an attacker who makes
// u2 even signs anything: R = u1·G, r = x(R), s = z / u1.
pub(crate) fn attack_23_key_that_is_not_on_the_curve() {
    let (x, y) = (BigUint::from(1_u32), BigUint::ZERO);
    let service = Service::new([ec_jwk("k1", &octets_32(&x), &octets_32(&y))]);
    let input = forged_input(EC_HEADER);
    let z = BigUint::from_bytes_be(&sha_256(input.as_bytes()));
    let (r, s) = (2_u32..)
        .map(BigUint::from)
        .find_map(|u1| {
            let (r, _) = P256.multiply(&u1, &P256.generator)?;
            let s = &z * P256.inverse_of_scalar(&u1) % &P256.order;
            let u2 = &r * P256.inverse_of_scalar(&s) % &P256.order;
            (!u2.bit(0)).then_some((r % &P256.order, s))
        })
        .unwrap();
    let token = assemble(&input, [octets_32(&r), octets_32(&s)].concat());
    service.withstands(&token, "unknown-key", Defence::PointOnCurve);
}

// Each block but the first has a flaw that some library has overlooked (CVE-2006-4339 and after).
// The private key raises it, so that nothing but the padding is wrong.
pub(crate) fn attack_24_pkcs1_padding_forgeries() {
    let rsa = RsaSigner::with_exponent(65_537);
    let service = Service::new([rsa.jwk("k1")]);
    let input = forged_input(RSA_HEADER);
    let digest = sha_256(input.as_bytes());
    let good = padded(rsa.length(), &[&SHA_256_INFO[..], &digest].concat());
    service.accepts(&assemble(&input, rsa.sign_block(&good)));

    let filled = |before: &[u8], after: &[u8]| {
        let filling = vec![0x55; rsa.length() - before.len() - after.len()];
        [before, &filling, after].concat()
    };
    let short = [&[0, 1][..], &[0xff; 8], &[0], &SHA_256_INFO, &digest].concat();
    let changed = |at: usize, octet: u8| {
        let mut block = good.clone();
        block[at] = octet;
        block
    };
    let without_null = [
        &[0x30, 0x2f, 0x30, 0x0b][..],
        &SHA_256_INFO[4..15],
        &[0x04, 0x20],
        &digest,
    ]
    .concat();
    let long_length = [&[0x30, 0x81, 0x31][..], &SHA_256_INFO[2..], &digest].concat();
    let sha_1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, input.as_bytes());
    let sha_1_info = [
        0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14,
    ];
    let old_hash = [&sha_1_info[..], sha_1.as_ref()].concat();
    for (flaw, block) in [
        ("garbage after the digest", filled(&short, &[])),
        (
            "garbage before the digest info",
            filled(&[&[0, 1][..], &[0xff; 8], &[0]].concat(), &short[11..]),
        ),
        ("no padding", filled(&[0], &digest)),
        ("block type 2", changed(1, 2)),
        ("block type 0", changed(1, 0)),
        ("a padding octet that is not 0xff", changed(20, 0xfe)),
        (
            "no zero before the digest info",
            changed(rsa.length() - 52, 0xff),
        ),
        (
            "digest info without its NULL",
            padded(rsa.length(), &without_null),
        ),
        ("length in long form", padded(rsa.length(), &long_length)),
        ("digest without its info", padded(rsa.length(), &digest)),
        ("SHA-1 digest", padded(rsa.length(), &old_hash)),
    ] {
        println!("{flaw}");
        let token = assemble(&input, rsa.sign_block(&block));
        service.withstands(&token, "bad-signature", Defence::Padding);
    }
}

pub(crate) fn attack_26_exponent_1_or_3_or_short_modulus() {
    let input = forged_input(RSA_HEADER);
    let digest_info = [&SHA_256_INFO[..], &sha_256(input.as_bytes())].concat();
    let [p, _] = &*PRIMES;
    // With 1 the padding is its own signature, and everybody can write it. The sizes of the others
    // are what makes them weak: here their factors are known.
    let short = RsaSigner::from_totient(p.clone(), 65_537, &(p - 1_u32));
    for weak in [
        RsaSigner::with_exponent(1),
        RsaSigner::with_exponent(3),
        RsaSigner::with_exponent(257),
        short,
    ] {
        let service = Service::new([weak.jwk("k1")]);
        let block = padded(weak.length(), &digest_info);
        let token = assemble(&input, weak.sign_block(&block));
        service.withstands(&token, "unknown-key", Defence::RsaStrength);
    }
    let one = RsaSigner::with_exponent(1);
    let block = padded(one.length(), &digest_info);
    assert_eq!(one.sign_block(&block), block);
}

// The harm is time, which a test cannot assert. What it shows: a key of 10,237 bits would be used
// by a verifier without a cap, and a sound one of the same making, a size smaller, is used here.
pub(crate) fn attack_28_huge_modulus() {
    let [p, q] = &*PRIMES;
    let (product, units) = (p * q, (p - 1_u32) * (q - 1_u32));
    let power = |exponent: u32| {
        let totient = product.pow(exponent - 1) * &units;
        RsaSigner::from_totient(product.pow(exponent), 65_537, &totient)
    };
    let largest = power(4);
    Service::new([largest.jwk("k1")]).accepts(&largest.token("k1", &claims()));
    let huge = power(5);
    let service = Service::new([huge.jwk("k1")]);
    let token = huge.token("k1", &forged_claims());
    service.withstands(&token, "unknown-key", Defence::RsaSizeCap);
}

pub(crate) fn attack_30_empty_signature() {
    let issuer = EcSigner::new("k1");
    let rsa = RsaSigner::with_exponent(65_537);
    for (jwk, header) in [(issuer.jwk(), EC_HEADER), (rsa.jwk("k1"), RSA_HEADER)] {
        let service = Service::new([jwk]);
        let token = assemble(&forged_input(header), b"");
        assert!(token.ends_with('.'));
        service.withstands(&token, "token-malformed", Defence::RefusesEmptySignature);
    }
}
