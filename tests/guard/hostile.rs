//! What a client may send through a gateway, or to the guard itself.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::exchange::{connect, head, plain, read_to_end, send};
use crate::support::{Server, eventually, start as start_service};
use crate::world::{Guard, create_issuer, settings, start, token};

/// A guard and a token that it accepts; the service may end.
fn guard_with(more: &str) -> (Guard, String, Server) {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({}));
    let guard = start(&settings(&issuer, more)).ready();
    let good = token(&server, "shop", json!({}));
    (guard, good, server)
}

#[test]
fn an_authorization_that_is_not_one_bearer_token_is_401_and_never_400() {
    let (guard, good, _server) = guard_with("");
    let bearer = format!("Bearer {good}");
    let missing = "token-missing";
    let malformed = "authorization-malformed";
    for (headers, code) in [
        (
            vec![("Authorization", "Basic dXNlcjpwYXNz".to_owned())],
            missing,
        ),
        (vec![("Authorization", good.clone())], missing),
        (vec![("Authorization", format!("BearerX {good}"))], missing),
        (vec![("Authorization", String::new())], missing),
        (vec![("Authorization", "Bearer".to_owned())], malformed),
        (vec![("Authorization", "Bearer   ".to_owned())], malformed),
        (
            vec![("Authorization", format!("Bearer \u{e4}{good}"))],
            malformed,
        ),
        (
            vec![
                ("Authorization", bearer.clone()),
                ("Authorization", bearer.clone()),
            ],
            malformed,
        ),
        (
            vec![
                ("Authorization", bearer.clone()),
                ("authorization", "Basic a".to_owned()),
            ],
            malformed,
        ),
        (
            vec![("Authorization", format!("{bearer},{bearer}"))],
            "token-malformed",
        ),
        (
            vec![("Authorization", format!("{bearer} x"))],
            "token-malformed",
        ),
        (
            vec![("Authorization", format!("Bearer {}", "a".repeat(8193)))],
            "token-too-large",
        ),
        (vec![("Proxy-Authorization", bearer.clone())], missing),
        (vec![("X-Auth-Subject", "admin".to_owned())], missing),
        (vec![("Cookie", format!("access_token={good}"))], missing),
    ] {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = plain(&guard.url, "GET", "/", &headers);
        assert_eq!(answer.status, 401, "{headers:?}");
        assert_eq!(answer.json()["code"], code, "{headers:?}");
        assert!(answer.header("www-authenticate").is_some(), "{headers:?}");
    }
    // A token is taken from the header alone.
    let query = plain(&guard.url, "GET", &format!("/?access_token={good}"), &[]);
    assert_eq!(query.status, 401);
    let form = format!("access_token={good}");
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
        form.len()
    );
    assert_eq!(send(&guard.url, request.as_bytes()).status, 401);
    assert_eq!(
        plain(&guard.url, "GET", "/", &[("Authorization", &bearer)]).status,
        200
    );
}

#[test]
fn nothing_of_a_token_is_logged_or_answered() {
    let (guard, good, _server) = guard_with("[log]\nfilter = \"debug\"\n");
    let (body, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{body}.{flipped}{}", &signature[1..]);
    for token in [good.as_str(), &forged] {
        let authorization = format!("Bearer {token}");
        for target in [
            format!("/{token}"),
            format!("/?token={token}"),
            "/".to_owned(),
        ] {
            let answer = plain(
                &guard.url,
                "GET",
                &target,
                &[("Authorization", &authorization)],
            );
            let said = format!(
                "{:?}{}",
                answer.headers,
                String::from_utf8_lossy(&answer.body)
            );
            for part in token.split('.') {
                assert!(!said.contains(part), "{said}");
            }
        }
    }
    let log = eventually("the last line", || {
        let log = guard.log();
        (log.matches("bad-signature").count() == 3).then_some(log)
    });
    for part in good.split('.').chain(forged.split('.')) {
        assert!(!log.contains(part), "{log}");
    }
    assert!(!log.contains("user-1"), "{log}");
}

#[test]
fn heads_and_connections_are_bounded_and_silence_keeps_nobody_out() {
    let (guard, good, _server) = guard_with("max_connections = 8\nidle_timeout = \"1s\"");
    let authorization = format!("Bearer {good}");
    let large = "a".repeat(100_000);
    let answer = plain(
        &guard.url,
        "GET",
        "/",
        &[("X-Large", &large), ("Authorization", &authorization)],
    );
    assert_eq!(answer.status, 431);
    let many: String = (0..200)
        .map(|number| format!("X-{number}: a\r\n"))
        .collect();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{many}\r\n");
    assert_eq!(send(&guard.url, request.as_bytes()).status, 431);

    // Twice as many connections as there may be; one more is served at once.
    let silent: Vec<_> = (0..16).map(|_| connect(&guard.url)).collect();
    let answer = plain(&guard.url, "GET", "/", &[("Authorization", &authorization)]);
    assert_eq!(answer.status, 200);
    drop(silent);

    // A head that never ends is waited for no longer than the timeout.
    let mut slow = connect(&guard.url);
    slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    let began = Instant::now();
    read_to_end(&mut slow);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

/// A connection to a gateway is used again, also after a refusal and after a body that is not read.
#[test]
fn a_connection_is_kept_for_the_next_request() {
    let (guard, good, _server) = guard_with("");
    let mut stream = connect(&guard.url);
    let mut statuses = Vec::new();
    for authorization in ["Bearer a.b.c".to_owned(), format!("Bearer {good}")] {
        let request = head("GET", "/", &[("Authorization", &authorization)]);
        let request = request.replace("Connection: close\r\n", "");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let text = String::from_utf8(answer).unwrap();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        statuses.push(text.split(' ').nth(1).unwrap().to_owned());
    }
    assert_eq!(statuses, ["401", "200"]);
}
