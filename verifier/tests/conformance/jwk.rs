//! RFC 7517 §4, RFC 7518 §6, RFC 7638.

use keywright_verifier::json::{FieldError, JsonError};
use keywright_verifier::{Algorithm, InvalidKid, Jwk, JwkError, Kid, MAX_JWK_BYTES, PublicKey};
use p256::elliptic_curve::sec1::ToSec1Point as _;
use serde_json::{Value, json};

use crate::fixtures::{RFC_7515_EC_JWK, RFC_7638_MODULUS, base64url, octets, rsa_jwk};

const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

fn ec() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "1"})
}

fn rsa() -> Value {
    json!({"kty": "RSA", "n": RFC_7638_MODULUS, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
}

fn with(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
    jwk[name] = value.into();
    jwk
}

fn without(mut jwk: Value, name: &str) -> Value {
    jwk.as_object_mut().unwrap().remove(name).unwrap();
    jwk
}

fn refusal(jwk: Value) -> JwkError {
    Jwk::from_value(jwk).unwrap_err()
}

/// An odd number of exactly `bits` bits, big-endian.
fn odd_number(bits: usize) -> Vec<u8> {
    let mut number = vec![0; bits.div_ceil(8)];
    number[0] = 1 << ((bits - 1) % 8);
    *number.last_mut().unwrap() |= 1;
    number
}

#[test]
fn the_thumbprint_is_the_one_of_rfc_7638_section_3_1() {
    let jwk = Jwk::from_value(rsa()).unwrap();
    assert_eq!(
        jwk.thumbprint().as_str(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    assert_eq!(jwk.kid().as_str(), "2011-04-29");
    assert_eq!(jwk.algorithm(), Algorithm::Rs256);
}

// The value that other implementations compute for the EC key of RFC 7517 appendix A.1.
#[test]
fn the_thumbprint_of_an_ec_key_covers_crv_kty_x_and_y() {
    let jwk = Jwk::from_value(ec()).unwrap();
    assert_eq!(
        jwk.thumbprint().as_str(),
        "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"
    );
}

#[test]
fn a_key_without_kid_is_named_by_its_whole_thumbprint() {
    let jwk = Jwk::from_value(without(rsa(), "kid")).unwrap();
    assert_eq!(jwk.kid(), &jwk.thumbprint());
    assert_eq!(jwk.kid(), rsa_jwk(RFC_7638_MODULUS).kid());
}

#[test]
fn coordinates_keep_their_leading_zeros() {
    let (x, y) = point_with_a_leading_zero();
    let jwk = Jwk::new(None, PublicKey::p256(x, y).unwrap()).unwrap();
    let members: Value = serde_json::from_str(&jwk.to_json()).unwrap();
    assert_eq!(members["x"].as_str().unwrap().len(), 43);
    assert_eq!(octets(members["x"].as_str().unwrap()), x);
    assert_eq!(Jwk::parse(jwk.to_json().as_bytes()).unwrap(), jwk);

    // One octet less, and one more: the same number, and published with 32 octets.
    for other in [
        x[1..].to_vec(),
        [&[0], &x[..]].concat(),
        [&[0; 33], &x[..]].concat(),
    ] {
        let foreign = with(with(ec(), "y", base64url(y)), "x", base64url(other));
        let foreign = Jwk::from_value(without(foreign, "kid")).unwrap();
        assert_eq!(foreign.to_json(), jwk.to_json());
    }
}

fn point_with_a_leading_zero() -> ([u8; 32], [u8; 32]) {
    (1_u32..)
        .find_map(|scalar| {
            let mut secret = [0; 32];
            secret[28..].copy_from_slice(&scalar.to_be_bytes());
            let key = p256::SecretKey::from_slice(&secret).unwrap().public_key();
            let point = key.to_sec1_point(false);
            let point = point.as_bytes();
            (point[1] == 0).then(|| {
                (
                    point[1..33].try_into().unwrap(),
                    point[33..].try_into().unwrap(),
                )
            })
        })
        .unwrap()
}

#[test]
fn json_has_its_members_in_one_order_and_nothing_else() {
    let jwk = Jwk::from_value(with(with(ec(), "x5t", "abc"), "ext", true)).unwrap();
    let text = format!(
        r#"{{"kty":"EC","kid":"1","use":"sig","alg":"ES256","crv":"P-256","x":"{X}","y":"{Y}"}}"#
    );
    assert_eq!(jwk.to_json(), text);
    let jwk = Jwk::from_value(rsa()).unwrap();
    let text = format!(
        r#"{{"kty":"RSA","kid":"2011-04-29","use":"sig","alg":"RS256","n":"{RFC_7638_MODULUS}","e":"AQAB"}}"#
    );
    assert_eq!(jwk.to_json(), text);
    let mut output = b"before".to_vec();
    jwk.write_json(&mut output);
    assert_eq!(output, format!("before{text}").into_bytes());
}

#[test]
fn a_kid_with_quotes_and_backslashes_is_escaped() {
    let kid = r#"a"b\c\"d"#;
    let jwk = Jwk::from_value(with(ec(), "kid", kid)).unwrap();
    let members: Value = serde_json::from_str(&jwk.to_json()).unwrap();
    assert_eq!(members["kid"], kid);
}

// Standard J3: not one of these may pass through, whatever the kind of key. Attack 67 for the text.
#[test]
fn a_private_member_is_refused_by_name_and_its_value_is_not_repeated() {
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        for jwk in [
            ec(),
            rsa(),
            with(ec(), "kty", "oct"),
            with(ec(), "kty", "OKP"),
        ] {
            let error = refusal(with(jwk, name, "c2VjcmV0LXZhbHVl"));
            assert_eq!(error, JwkError::PrivateMember(name));
            let text = format!("{error} {error:?}");
            assert!(
                text.contains(&format!("\"{name}\"")) && !text.contains("c2VjcmV0"),
                "{text}"
            );
        }
    }
    assert_eq!(
        refusal(with(ec(), "d", Value::Null)),
        JwkError::PrivateMember("d")
    );
}

// RFC 7517 appendix A.2: the private twin of the EC key above.
#[test]
fn the_private_sample_key_of_rfc_7517_is_refused() {
    let jwk = with(ec(), "d", "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE");
    assert_eq!(refusal(jwk), JwkError::PrivateMember("d"));
}

#[test]
fn members_that_are_not_known_are_passed_over() {
    let jwk = with(
        with(
            with(rsa(), "x5c", json!(["MIIB"])),
            "x5u",
            "http://evil.example",
        ),
        "?",
        1,
    );
    assert_eq!(
        Jwk::from_value(jwk).unwrap(),
        Jwk::from_value(rsa()).unwrap()
    );
}

#[test]
fn only_ec_and_rsa_keys_are_supported() {
    for kty in ["oct", "OKP", "AKP", "ec", "Rsa", "RSA ", ""] {
        assert_eq!(
            refusal(with(rsa(), "kty", kty)),
            JwkError::UnsupportedKeyType,
            "{kty:?}"
        );
    }
    let missing = JwkError::Field(FieldError::Missing { field: "kty" });
    assert_eq!(refusal(without(rsa(), "kty")), missing);
}

#[test]
fn only_p_256_is_supported() {
    for crv in ["P-384", "P-521", "secp256k1", "p-256", ""] {
        assert_eq!(
            refusal(with(ec(), "crv", crv)),
            JwkError::UnsupportedCurve,
            "{crv:?}"
        );
    }
    assert_eq!(
        refusal(without(ec(), "crv")),
        JwkError::Field(FieldError::Missing { field: "crv" })
    );
}

// Attack 16.
#[test]
fn a_key_for_another_purpose_is_refused() {
    for purpose in ["enc", "SIG", ""] {
        assert_eq!(
            refusal(with(ec(), "use", purpose)),
            JwkError::UnsupportedUse,
            "{purpose:?}"
        );
    }
    assert!(Jwk::from_value(with(ec(), "use", "sig")).is_ok());
    assert!(matches!(refusal(with(ec(), "use", 1)), JwkError::Field(_)));
}

// Attack 16.
#[test]
fn key_operations_must_allow_verifying_and_nothing_but_signatures() {
    for operations in [
        json!([]),
        json!(["sign"]),
        json!(["encrypt"]),
        json!(["verify", "encrypt"]),
    ] {
        let error = refusal(with(ec(), "key_ops", operations.clone()));
        assert_eq!(error, JwkError::UnsupportedKeyOperations, "{operations}");
    }
    for operations in [json!(["verify"]), json!(["sign", "verify"])] {
        assert!(Jwk::from_value(with(ec(), "key_ops", operations)).is_ok());
    }
    let twice = json!(["verify", "verify"]);
    assert_eq!(
        refusal(with(ec(), "key_ops", twice)),
        JwkError::DuplicateKeyOperation
    );
    for operations in [json!("verify"), json!(["verify", 1]), Value::Null] {
        assert!(matches!(
            refusal(with(ec(), "key_ops", operations)),
            JwkError::Field(_)
        ));
    }
}

// Attack 5: the key's algorithm comes from the key; what it names must agree with its kind.
#[test]
fn alg_must_be_the_one_of_the_kind_of_key() {
    assert_eq!(
        refusal(with(ec(), "alg", "RS256")),
        JwkError::AlgorithmMismatch
    );
    assert_eq!(
        refusal(with(rsa(), "alg", "ES256")),
        JwkError::AlgorithmMismatch
    );
    for alg in ["PS256", "RS512", "HS256", "none", "rs256"] {
        let error = refusal(with(rsa(), "alg", alg));
        assert!(
            matches!(error, JwkError::UnsupportedAlgorithm(_)),
            "{error}"
        );
    }
    let jwk = Jwk::from_value(without(rsa(), "alg")).unwrap();
    assert_eq!(jwk.algorithm(), Algorithm::Rs256);
    assert!(matches!(
        refusal(with(rsa(), "alg", Value::Null)),
        JwkError::Field(_)
    ));
}

// RFC 7518 §2 and §6: others write padding, the other alphabet, line breaks and more octets. The same
// number is the same key, under the same thumbprint, and is published in its canonical spelling.
#[test]
fn numbers_of_other_implementations_are_read_and_written_canonically() {
    // The last character of a 32-octet value carries two bits that say nothing.
    let trailing_bits = format!("{}5", X.strip_suffix('4').unwrap());
    let standard = |text: &str| text.replace('-', "+").replace('_', "/");
    let n = octets(RFC_7638_MODULUS);
    let zeros = |count: usize, n: &[u8]| base64url([&vec![0; count], n].concat());
    for (jwk, member, spellings) in [
        (
            ec(),
            "x",
            vec![
                format!("{X}="),
                format!("{X}\n"),
                format!(" {X}"),
                trailing_bits,
                zeros(1, &octets(X)),
                zeros(9, &octets(X)),
            ],
        ),
        (
            ec(),
            "y",
            vec![format!("{Y}="), standard(Y), format!("{}=", standard(Y))],
        ),
        (
            rsa(),
            "n",
            vec![
                zeros(1, &n),
                zeros(2, &n),
                standard(RFC_7638_MODULUS),
                format!("{RFC_7638_MODULUS}=="),
                format!("{}\r\n{}", &RFC_7638_MODULUS[..64], &RFC_7638_MODULUS[64..]),
            ],
        ),
        (
            rsa(),
            "e",
            vec![
                "AAEAAQ".to_owned(),
                "AAEAAQ==".to_owned(),
                "AAAAAAABAAE=".to_owned(),
            ],
        ),
    ] {
        let canonical = Jwk::from_value(jwk.clone()).unwrap();
        for spelling in spellings {
            let foreign = Jwk::from_value(with(jwk.clone(), member, spelling.clone()));
            let foreign = foreign.unwrap_or_else(|error| panic!("{member} {spelling:?}: {error}"));
            assert_eq!(foreign.to_json(), canonical.to_json());
            assert_eq!(foreign.thumbprint(), canonical.thumbprint());
        }
    }
}

#[test]
fn what_is_no_base64_is_refused_by_name() {
    for x in ["AQAB====", "AQ.AB", "{}", "A", "\u{e4}"] {
        let error = refusal(with(ec(), "x", x));
        assert_eq!(error, JwkError::NotBase64url { field: "x" }, "{x:?}");
        let error = refusal(with(rsa(), "e", x));
        assert_eq!(error, JwkError::NotBase64url { field: "e" }, "{x:?}");
    }
}

#[test]
fn a_coordinate_has_at_most_32_octets() {
    for length in [33, 64] {
        for field in ["x", "y"] {
            let error = refusal(with(ec(), field, base64url(vec![1; length])));
            assert_eq!(error, JwkError::CoordinateLength { field }, "{length}");
        }
    }
    for length in [0, 1, 31] {
        let error = refusal(with(ec(), "x", base64url(vec![1; length])));
        assert_eq!(error, JwkError::NotOnCurve, "{length}");
    }
}

// Attack 23.
#[test]
fn a_point_that_is_not_on_the_curve_is_refused_everywhere() {
    assert_eq!(refusal(with(ec(), "y", X)), JwkError::NotOnCurve);
    let zero = base64url([0; 32]);
    assert_eq!(
        refusal(with(with(ec(), "x", zero.clone()), "y", zero)),
        JwkError::NotOnCurve
    );
    // A coordinate that is the field's prime or more is another spelling of a smaller one.
    assert_eq!(
        refusal(with(ec(), "x", base64url([0xff; 32]))),
        JwkError::NotOnCurve
    );

    let (x, y) = ([1; 32], [2; 32]);
    assert_eq!(PublicKey::p256(x, y), Err(JwkError::NotOnCurve));
    assert_eq!(
        Jwk::new(None, PublicKey::P256 { x, y }),
        Err(JwkError::NotOnCurve)
    );
}

// Attacks 26 and 28.
#[test]
fn an_rsa_modulus_has_2048_to_8192_bits_and_an_even_number_of_them() {
    let check = |bits| PublicKey::rsa(odd_number(bits), vec![1, 0, 1]).map(|_| ());
    for bits in [2048, 2050, 3072, 4096, 8192] {
        assert_eq!(check(bits), Ok(()), "{bits}");
    }
    for bits in [1, 512, 1024, 2046, 2047, 8193, 8194, 16_384] {
        assert_eq!(
            check(bits),
            Err(JwkError::RsaModulusSize { bits }),
            "{bits}"
        );
    }
    for bits in [2049, 3071, 8191] {
        assert_eq!(
            check(bits),
            Err(JwkError::RsaModulusOddLength { bits }),
            "{bits}"
        );
    }
    let mut even = odd_number(2048);
    *even.last_mut().unwrap() = 2;
    assert_eq!(
        PublicKey::rsa(even, vec![1, 0, 1]),
        Err(JwkError::RsaModulusEven)
    );
}

// Attack 26.
#[test]
fn an_rsa_exponent_is_odd_and_above_65536_and_below_2_to_the_256() {
    let check = |e: Vec<u8>| PublicKey::rsa(odd_number(2048), e).map(|_| ());
    assert_eq!(check(vec![1, 0, 1]), Ok(()));
    assert_eq!(check(odd_number(33)), Ok(()));
    for e in [
        vec![1],
        vec![3],
        vec![17],
        vec![0xff, 0xff],
        vec![1, 0, 0],
        vec![1, 0, 2],
    ] {
        assert_eq!(check(e.clone()), Err(JwkError::RsaExponent), "{e:?}");
    }
    assert_eq!(check(odd_number(257)), Err(JwkError::RsaExponent));
}

#[test]
fn a_legal_exponent_that_cannot_be_computed_with_is_refused_rather_than_never_verifying() {
    for bits in [34, 256] {
        let error = PublicKey::rsa(odd_number(2048), odd_number(bits)).unwrap_err();
        assert_eq!(error, JwkError::UnsupportedExponent, "{bits}");
    }
}

#[test]
fn rsa_numbers_are_positive_and_kept_without_leading_zero_octets() {
    let mut n = octets(RFC_7638_MODULUS);
    n.insert(0, 0);
    let leading = |field| JwkError::LeadingZero { field };
    for zero in ["", "AA", "AAAA"] {
        assert_eq!(refusal(with(rsa(), "n", zero)), leading("n"));
        assert_eq!(refusal(with(rsa(), "e", zero)), leading("e"));
    }
    let unchecked = PublicKey::Rsa {
        n,
        e: vec![1, 0, 1],
    };
    assert_eq!(Jwk::new(None, unchecked), Err(leading("n")));
}

#[test]
fn a_missing_member_or_one_of_another_type_is_named() {
    for (jwk, field) in [(ec(), "x"), (ec(), "y"), (rsa(), "n"), (rsa(), "e")] {
        let missing = JwkError::Field(FieldError::Missing { field });
        assert_eq!(refusal(without(jwk.clone(), field)), missing);
        let wrong = JwkError::Field(FieldError::WrongType {
            field,
            expected: "a string",
        });
        assert_eq!(refusal(with(jwk, field, 1)), wrong);
    }
    for jwk in [json!([]), json!("jwk"), Value::Null] {
        assert!(matches!(
            refusal(jwk),
            JwkError::Field(FieldError::NotAnObject { .. })
        ));
    }
}

#[test]
fn a_kid_that_cannot_be_one_is_refused() {
    assert_eq!(
        refusal(with(ec(), "kid", "")),
        JwkError::Kid(InvalidKid::Empty)
    );
    assert!(matches!(
        refusal(with(ec(), "kid", "a b")),
        JwkError::Kid(_)
    ));
    assert!(matches!(refusal(with(ec(), "kid", 1)), JwkError::Field(_)));
    assert!(matches!(
        refusal(with(ec(), "kid", Value::Null)),
        JwkError::Field(_)
    ));
}

// Standard J2 and attack 33: two parsers must not see two keys.
#[test]
fn a_member_that_stands_twice_is_refused() {
    let text = RFC_7515_EC_JWK.replace('}', r#","kty":"EC"}"#);
    let duplicate = JsonError::DuplicateMember {
        name: "kty".to_owned(),
    };
    assert_eq!(Jwk::parse(text.as_bytes()), Err(JwkError::Json(duplicate)));
}

#[test]
fn a_document_over_the_size_limit_is_refused_before_it_is_read() {
    let padded = |length| {
        format!(
            "{RFC_7515_EC_JWK}{}",
            " ".repeat(length - RFC_7515_EC_JWK.len())
        )
    };
    assert!(Jwk::parse(padded(MAX_JWK_BYTES).as_bytes()).is_ok());
    assert_eq!(
        Jwk::parse(padded(MAX_JWK_BYTES + 1).as_bytes()),
        Err(JwkError::TooLarge)
    );
    assert_eq!(
        Jwk::parse(&vec![b'{'; MAX_JWK_BYTES + 1]),
        Err(JwkError::TooLarge)
    );
}

#[test]
fn an_imported_kid_is_kept_and_the_thumbprint_stays_the_same() {
    let key = Jwk::from_value(ec()).unwrap().public_key().clone();
    let jwk = Jwk::new(Some(Kid::parse("kept").unwrap()), key).unwrap();
    assert_eq!(jwk.kid().as_str(), "kept");
    assert_eq!(
        jwk.thumbprint(),
        Jwk::from_value(ec()).unwrap().thumbprint()
    );
}
