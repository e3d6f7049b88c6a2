//! Tokens of a trusted issuer whose key set cannot be had: they wait for little, and no client waits for
//! them.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::assertions::{AUDIENCE, Signatory, create, now, serve};
use crate::shares::{at_a_time, while_another_signs};
use crate::support::{Answer, Server, report, start};

/// An issuer that accepts connections, begins to answer with this, and then says nothing more.
fn stalls_after(beginning: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(beginning.as_bytes());
            held.push(stream);
        }
    });
    url
}

/// An issuer whose connections are never accepted.
fn never_accepts() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (
        format!("http://{}", listener.local_addr().unwrap()),
        listener,
    )
}

fn token(key: &Signatory, issuer: &str) -> String {
    key.sign(&json!({
        "iss": issuer, "aud": AUDIENCE, "sub": "a", "iat": now(), "exp": now() + 600,
    }))
}

fn signs(server: &Server, bearer: &str) -> (Answer, Duration) {
    let begin = Instant::now();
    let body = Some(("application/json", br#"{"claims":{}}"#.to_vec()));
    let answer = server.call_as(Some(bearer), "POST", "/v1/issuers/default/tokens", body);
    (answer, begin.elapsed())
}

#[test]
fn forged_tokens_wait_for_a_stalled_key_set_once_and_briefly() {
    let (deaf, _listener) = never_accepts();
    let stalled = [
        ("silent", format!("{}/jwks", stalls_after(""))),
        (
            "headless",
            format!("{}/jwks", stalls_after("HTTP/1.1 200 OK\r\n")),
        ),
        (
            "bodiless",
            format!(
                "{}/jwks",
                stalls_after(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"
                )
            ),
        ),
        ("deaf", format!("{deaf}/jwks")),
    ];
    let healthy = Signatory::new("healthy-1");
    let trusting = |name: &str, keys: &str| {
        format!(
            "[[trusted_issuers]]\nname = \"{name}\"\nissuer = \"https://{name}.example\"\n\
             audience = \"{AUDIENCE}\"\njwks_url = \"{keys}\"\n"
        )
    };
    let mut settings = trusting("healthy", &serve(&healthy.jwks()));
    for (name, url) in &stalled {
        settings += &trusting(name, url);
    }
    // The metadata stalls, and not the key set.
    let metadata = stalls_after("");
    settings += &format!(
        "[[trusted_issuers]]\nname = \"metadata\"\nissuer = \"{metadata}\"\n\
         audience = \"{AUDIENCE}\"\n"
    );
    let server = start(&settings);
    create(
        &server,
        json!({"workloads": [{"issuer": "healthy", "claims": {"sub": "a"}}]}),
    );
    let forger = Signatory::new("forged");
    let mut issuers: Vec<(&str, String)> = stalled
        .iter()
        .map(|(name, _)| (*name, format!("https://{name}.example")))
        .collect();
    issuers.push(("metadata", metadata));
    for (what, issuer) in &issuers {
        let forged = token(&forger, issuer);
        while_another_signs(what, &server, || {
            let begin = Instant::now();
            // The service asks by itself as well, so that it is not said which of them waits.
            let floods: Vec<Duration> = (0..4)
                .map(|_| {
                    let answers = at_a_time(50, || signs(&server, &forged));
                    for (answer, _) in &answers {
                        assert_eq!(answer.status, 503, "{what}: {}", answer.json());
                        assert_eq!(answer.json()["code"], "caller-undecidable");
                        assert!(answer.header("retry-after").is_some());
                    }
                    let taken = answers.iter().map(|(_, taken)| *taken);
                    taken.max().unwrap_or_default()
                })
                .collect();
            report(&format!("{what}: 4 × 50 waited at most {floods:?}"));
            let long = |taken: &&Duration| **taken > Duration::from_millis(1500);
            assert!(
                floods.iter().max() < Some(&Duration::from_secs(4)),
                "{what}"
            );
            assert!(
                floods.iter().filter(long).count() <= 1,
                "{what}: {floods:?}"
            );
            // Other issuers are not asked in vain for that.
            let (good, _) = signs(&server, &token(&healthy, "https://healthy.example"));
            assert_eq!(good.status, 201, "{what}: {}", good.json());
            assert!(begin.elapsed() < Duration::from_secs(10));
        });
    }
}
