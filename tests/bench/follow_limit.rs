//! How often a token is verified by a verifier that follows what the issuer takes back, beside one that
//! does not, in turn.
//!
//!     follow_limit ISSUER SECONDS < TOKEN
//!
//! Prints one JSON object: verifications a second of both, their ratio, and by how much the process grew
//! when it learned what is revoked. Every signature is verified anew.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark may panic, prints its result and reads the clock"
)]

mod rate;

use std::io::Read as _;
use std::time::Duration;

use keywright_verifier::{Algorithm, RemoteKeys, RevocationFeed, Rules, Verifier};
use rate::rate;
use serde_json::{Value, json};

/// How long each of both has before the other's turn.
const TURN: Duration = Duration::from_millis(200);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let issuer = arguments.next().unwrap();
    let seconds: f64 = arguments.next().unwrap().parse().unwrap();
    let mut token = String::new();
    std::io::stdin().read_to_string(&mut token).unwrap();
    let turns = (seconds / TURN.as_secs_f64()).ceil().max(1.0) as usize;

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let guard = runtime.enter();
    let alone = verifier(&issuer);
    let verify = |verifier: &Verifier| {
        let verified = runtime.block_on(verifier.verify::<Value>(&token));
        drop(verified.unwrap());
    };
    verify(&alone);
    let before = resident_megabytes();
    let following = RevocationFeed::of_issuer(&issuer);
    let following = verifier(&issuer).with_revocations(following).unwrap();
    verify(&following);
    let megabytes = resident_megabytes() - before;

    let (mut rates, mut rates_alone) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        rates_alone.push(rate(TURN, || verify(&alone)));
        rates.push(rate(TURN, || verify(&following)));
    }
    drop(guard);
    let ratios = rates.iter().zip(&rates_alone);
    let ratio = median(ratios.map(|(ours, theirs)| ours / theirs).collect());
    let document = json!({
        "following": median(rates),
        "alone": median(rates_alone),
        "ratio": ratio,
        "megabytes": megabytes,
    });
    println!("{document}");
}

fn verifier(issuer: &str) -> Verifier {
    let rules = Rules::new(issuer, "orders", Algorithm::ALL);
    let keys = RemoteKeys::of_issuer(issuer).start().unwrap();
    Verifier::new(rules, keys).unwrap().signature_cache(0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn resident_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes / 1024.0
}
