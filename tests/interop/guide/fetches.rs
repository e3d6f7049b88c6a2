//! What the guide says of unknown kids, counted: it decides what a lead has to outlast, and what a
//! stranger who invents kids can make a verifier do.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::programs::{Workshop, serve};
use super::{AUDIENCE, encode};
use crate::now_millis;
use crate::support::start;

/// How many tokens with a kid of its own each program is shown, within its cool-down.
const INVENTED: usize = 6;

/// How often each of them fetches then, which is what the page's table says in words.
fn fetches(file: &str) -> RangeInclusive<usize> {
    let exactly = |count| count..=count;
    match file {
        "verify-jwks-rsa.mjs" => exactly(INVENTED),
        // A question that comes right behind a fetch may still be given that fetch's result.
        "verify-go-oidc.go" => 2..=INVENTED,
        // The first token fills the cache, and is looked for once more.
        "VerifySpring.java" => exactly(INVENTED + 1),
        // One fetch fills the cache, and one more is allowed.
        "VerifyNimbus.java" | "verify-keyfunc.go" => exactly(2),
        _ => exactly(1),
    }
}

#[test]
fn unknown_kids_make_the_programs_of_the_guide_fetch_as_often_as_it_says() {
    let set = start("").fetch("/.well-known/jwks.json").body;
    let set = String::from_utf8(set).expect("UTF-8");
    let counts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let counted = Arc::clone(&counts);
    let port = serve(move |head| {
        let file = head.split('/').nth(1).unwrap_or_default().to_owned();
        *counted.lock().unwrap().entry(file).or_default() += 1;
        set.clone()
    });
    let issuer_of = move |file: &str| format!("http://127.0.0.1:{port}/{file}");
    let (programs, _folder) = Workshop::open(issuer_of).start_all();
    for mut program in programs {
        for number in 0..INVENTED {
            let header = json!({
                "alg": "ES256", "typ": program.typ, "kid": format!("invented-{number}")
            });
            let claims = json!({
                "iss": issuer_of(&program.file), "aud": AUDIENCE, "sub": "user-1",
                "client_id": "web", "jti": "1", "iat": now_millis() / 1000,
                "exp": now_millis() / 1000 + 300,
            });
            let signature = "A".repeat(86);
            let token = format!("{}.{}.{signature}", encode(&header), encode(&claims));
            let answer = program.verify(&token);
            assert!(answer.is_err(), "{}: {answer:?}", program.file);
        }
        // nginx asks a verifier that has its own text, and so its own issuer.
        let asks = match program.file.as_str() {
            "nginx.conf" => "auth-service.mjs",
            file => file,
        };
        let fetched = counts.lock().unwrap().get(asks).copied();
        let fetched = fetched.unwrap_or_default();
        let expected = fetches(asks);
        assert!(
            expected.contains(&fetched),
            "{asks} fetched {fetched} times and not {expected:?}"
        );
    }
}
