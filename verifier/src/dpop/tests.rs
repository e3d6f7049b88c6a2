use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;

/// RFC 9449 §4.1, figure 1; its key is that of §6.1, figure 8.
const RFC_TOKEN_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
const RFC_TOKEN_PROOF_AT: u64 = 1_562_262_616;

/// RFC 9449 §6.1, figure 8.
const RFC_THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// RFC 9449 §7.1, figure 12.
const RFC_RESOURCE_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const RFC_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

const NOW: u64 = 1_700_000_000;
const URL: &str = "https://id.example/token";

struct Holder(EcdsaKeyPair);

impl Holder {
    fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        let (x, y) = (
            base64url::encode(&point[1..33]),
            base64url::encode(&point[33..]),
        );
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| base64url::encode(value.to_string().as_bytes());
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", base64url::encode(signature.as_ref()))
    }

    fn proof(&self, change: impl Fn(&mut Value, &mut Value)) -> String {
        let mut header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()});
        let mut claims = json!({"jti": "a", "htm": "POST", "htu": URL, "iat": NOW});
        change(&mut header, &mut claims);
        self.sign(&header, &claims)
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn request(proof: &str) -> DpopRequest<'_> {
    DpopRequest {
        proof,
        method: "POST",
        url: URL,
        access_token: None,
    }
}

fn check(proof: &str) -> Result<DpopProof, DpopError> {
    Dpop::default().check(&request(proof), at(NOW))
}

fn use_once(dpop: &Dpop, proof: &str, now: u64) -> Result<(), DpopError> {
    let checked = dpop.check(&request(proof), at(now))?;
    dpop.use_up(&checked, at(now))
}

#[test]
fn the_proofs_of_the_rfc_are_accepted() {
    let token_request = DpopRequest {
        url: "https://server.example.com/token",
        ..request(RFC_TOKEN_PROOF)
    };
    let dpop = Dpop::default();
    let proof = dpop.check(&token_request, at(RFC_TOKEN_PROOF_AT)).unwrap();
    assert_eq!(proof.key().to_string(), RFC_THUMBPRINT);
    let resource_request = DpopRequest {
        proof: RFC_RESOURCE_PROOF,
        method: "GET",
        url: "https://resource.example.org/protectedresource",
        access_token: Some(RFC_TOKEN),
    };
    let then = at(RFC_TOKEN_PROOF_AT + 2);
    let proof = dpop.check(&resource_request, then).unwrap();
    assert_eq!(proof.key().to_string(), RFC_THUMBPRINT);
    let other_token = DpopRequest {
        access_token: Some("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxV"),
        ..resource_request
    };
    assert_eq!(dpop.check(&other_token, then), Err(DpopError::WrongToken));
    // The proof for the token endpoint has no ath.
    let without = DpopRequest {
        access_token: Some(RFC_TOKEN),
        ..token_request
    };
    let refused = dpop.check(&without, at(RFC_TOKEN_PROOF_AT));
    assert_eq!(refused, Err(DpopError::Claim("ath")));
}

#[test]
fn a_proof_has_the_form_of_one() {
    let holder = Holder::new();
    assert!(check(&holder.proof(|_, _| {})).is_ok());
    let typ = |typ: Value| holder.proof(move |header, _| header["typ"] = typ.clone());
    assert!(check(&typ(json!("application/DPoP+JWT"))).is_ok());
    for other in ["JWT", "at+jwt", "dpop"] {
        assert_eq!(
            check(&typ(json!(other))),
            Err(DpopError::WrongType),
            "{other}"
        );
    }
    let no_typ = holder.proof(|header, _| {
        header.as_object_mut().unwrap().remove("typ");
    });
    assert_eq!(check(&no_typ), Err(DpopError::WrongType));
    for (alg, expected) in [
        ("none", JwsError::UnknownAlgorithm),
        ("HS256", JwsError::UnknownAlgorithm),
        ("RS256", JwsError::AlgorithmMismatch),
    ] {
        let proof = holder.proof(|header, _| header["alg"] = json!(alg));
        assert_eq!(check(&proof), Err(DpopError::Form(expected)), "{alg}");
    }
    let crit = holder.proof(|header, _| header["crit"] = json!(["jwk"]));
    let refused = Err(DpopError::Form(JwsError::RefusedParameter("crit")));
    assert_eq!(check(&crit), refused);
    let long = "a".repeat(MAX_DPOP_PROOF_BYTES + 1);
    assert!(matches!(
        check(&long),
        Err(DpopError::Form(JwsError::TooLarge { .. }))
    ));
    for (claim, value) in [
        ("jti", json!(null)),
        ("jti", json!("")),
        ("jti", json!("a".repeat(LONGEST_NAME + 1))),
        ("jti", json!(7)),
        ("htm", json!(["POST"])),
        ("htu", json!(null)),
        ("iat", json!("1700000000")),
        ("iat", json!(-1)),
    ] {
        let proof = holder.proof(|_, claims| claims[claim] = value.clone());
        assert_eq!(
            check(&proof),
            Err(DpopError::Claim(claim)),
            "{claim} {value}"
        );
    }
}

#[test]
fn the_key_is_public_and_has_signed_it() {
    let (holder, thief) = (Holder::new(), Holder::new());
    let stolen = thief.proof(|header, _| header["jwk"] = holder.jwk());
    assert_eq!(check(&stolen), Err(DpopError::Form(JwsError::BadSignature)));
    let keyless = holder.proof(|header, _| {
        header.as_object_mut().unwrap().remove("jwk");
    });
    assert_eq!(check(&keyless), Err(DpopError::KeyMissing));
    let private = holder.proof(|header, _| header["jwk"]["d"] = json!("AQ"));
    assert_eq!(
        check(&private),
        Err(DpopError::Key(JwkError::PrivateMember("d")))
    );
    let symmetric = holder.proof(|header, _| header["jwk"] = json!({"kty": "oct", "k": "AQ"}));
    assert!(matches!(check(&symmetric), Err(DpopError::Key(_))));
    let text = holder.proof(|header, _| header["jwk"] = json!("key"));
    assert!(matches!(check(&text), Err(DpopError::Key(_))));
}

#[test]
fn a_proof_is_about_one_method_and_one_address() {
    let holder = Holder::new();
    let about = |method: &str, url: &str| {
        let proof = holder.proof(|_, claims| {
            claims["htm"] = json!(method);
            claims["htu"] = json!(url);
        });
        check(&proof).map(|_| ())
    };
    for same in [
        "HTTPS://ID.example:443/token",
        "https://id.example/%74oken?a#b",
    ] {
        assert_eq!(about("POST", same), Ok(()), "{same}");
    }
    for method in ["GET", "post", ""] {
        assert_eq!(about(method, URL), Err(DpopError::WrongMethod), "{method}");
    }
    for url in [
        "https://id.example/tokens",
        "https://id.example/token/",
        "http://id.example/token",
        "https://id.example:8443/token",
        "https://attacker.example/token",
        "https://id.example@attacker.example/token",
        "/token",
        "",
    ] {
        assert_eq!(about("POST", url), Err(DpopError::WrongUrl), "{url}");
    }
}

#[test]
fn a_proof_is_young_and_not_from_the_future() {
    let holder = Holder::new();
    let issued = |iat: Value| {
        let proof = holder.proof(|_, claims| claims["iat"] = iat.clone());
        check(&proof).map(|_| ())
    };
    let lead = MAX_DPOP_CLOCK_LEAD.as_secs();
    let age = DEFAULT_DPOP_MAX_AGE.as_secs();
    assert_eq!(issued(json!(NOW + lead)), Ok(()));
    assert_eq!(issued(json!(NOW + lead + 1)), Err(DpopError::FromTheFuture));
    let last = 9_007_199_254_740_991_u64;
    assert_eq!(issued(json!(last)), Err(DpopError::FromTheFuture));
    assert_eq!(issued(json!(NOW - age)), Ok(()));
    assert_eq!(issued(json!(NOW as f64 - 59.5)), Ok(()));
    assert_eq!(issued(json!(NOW - age - 1)), Err(DpopError::TooOld));
}

#[test]
fn a_proof_is_used_once_however_its_address_is_spelled() {
    let (holder, other) = (Holder::new(), Holder::new());
    let dpop = Dpop::default();
    let proof = holder.proof(|_, _| {});
    assert_eq!(use_once(&dpop, &proof, NOW), Ok(()));
    assert_eq!(use_once(&dpop, &proof, NOW), Err(DpopError::Replayed));
    // A clone of the rules has the same memory.
    assert_eq!(
        use_once(&dpop.clone(), &proof, NOW + 60),
        Err(DpopError::Replayed)
    );
    let respelled = holder.proof(|_, claims| claims["htu"] = json!("https://ID.example/token?x=1"));
    assert_eq!(use_once(&dpop, &respelled, NOW), Err(DpopError::Replayed));
    // The same jti of another key, and another jti.
    assert_eq!(use_once(&dpop, &other.proof(|_, _| {}), NOW), Ok(()));
    let next = holder.proof(|_, claims| claims["jti"] = json!("b"));
    assert_eq!(use_once(&dpop, &next, NOW), Ok(()));
}

#[test]
fn a_full_memory_takes_no_more_proofs() {
    let holder = Holder::new();
    let dpop = Dpop::default().remember(2, 3);
    let numbered =
        |number: u32| holder.proof(|_, claims| claims["jti"] = json!(number.to_string()));
    assert_eq!(use_once(&dpop, &numbered(1), NOW), Ok(()));
    assert_eq!(use_once(&dpop, &numbered(2), NOW), Ok(()));
    assert_eq!(
        use_once(&dpop, &numbered(3), NOW),
        Err(DpopError::MemoryFull)
    );
    let another = Holder::new().proof(|_, _| {});
    assert_eq!(use_once(&dpop, &another, NOW), Ok(()));
    let third = Holder::new().proof(|_, _| {});
    assert_eq!(use_once(&dpop, &third, NOW), Err(DpopError::MemoryFull));
}

#[test]
fn a_nonce_is_needed_where_it_is_asked_for() {
    let holder = Holder::new();
    let dpop = Dpop::default().require_nonces(&[9; 32]);
    let with = |nonce: Value| holder.proof(|_, claims| claims["nonce"] = nonce.clone());
    let outcome = |proof: &str| dpop.check(&request(proof), at(NOW)).map(|_| ());
    assert_eq!(Dpop::default().nonce(at(NOW)), None);
    let nonce = dpop.nonce(at(NOW)).unwrap();
    assert_eq!(outcome(&with(json!(nonce))), Ok(()));
    assert_eq!(
        outcome(&holder.proof(|_, _| {})),
        Err(DpopError::NonceRequired)
    );
    let old = dpop.nonce(at(NOW - 1000)).unwrap();
    for wrong in [old.as_str(), "made-up"] {
        assert_eq!(
            outcome(&with(json!(wrong))),
            Err(DpopError::NonceRequired),
            "{wrong}"
        );
    }
    for malformed in [json!(""), json!(7), json!("a".repeat(LONGEST_NAME + 1))] {
        assert_eq!(outcome(&with(malformed)), Err(DpopError::Claim("nonce")));
    }
}
