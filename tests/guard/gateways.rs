//! Real nginx and real Envoy, set up as docs/verifiers.md says, with a guard behind them: what a service is
//! told, and how long a banned user gets in.
//!
//! A fenced block of the page whose info string is `LANGUAGE guard FILE` is a gateway's configuration. Only
//! ports are changed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::exchange::{Raw, plain};
use crate::support::gateway::{Running, envoy, free_port, nginx, run_envoy, run_nginx};
use crate::support::page::blocks;
use crate::support::{Server, eventually, now_millis, report, start as start_service};
use crate::world::{Guard, HEADERS, ban, create_issuer, settings, start, token};

/// How many users are banned through each gateway, one after the other.
const BANS: usize = 5;

/// A gateway before a service that answers with the head of each request.
struct Gateway {
    name: &'static str,
    url: String,
    _process: Running,
    _folder: TempDir,
}

impl Gateway {
    /// Starts what is in this file of the page.
    fn start(
        name: &'static str,
        file: &str,
        guard: &Guard,
        run: impl FnOnce(&Path, &str, u16) -> Running,
    ) -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verifiers.md");
        let page = std::fs::read_to_string(page).unwrap();
        let is_file = |info: &str| info.split_whitespace().skip(1).eq(["guard", file]);
        let block = blocks(&page).into_iter().find(|block| is_file(block.info));
        let mut configuration = block
            .unwrap_or_else(|| panic!("the page has no {file}"))
            .body;
        let (front, behind) = (free_port(), echo());
        let guard: u16 = guard.url.rsplit(':').next().unwrap().parse().unwrap();
        for (page, here) in [(9000, guard), (8000, front), (3000, behind)] {
            let mut is_changed = false;
            for (before, after) in [
                (format!("127.0.0.1:{page}"), format!("127.0.0.1:{here}")),
                (
                    format!("port_value: {page} "),
                    format!("port_value: {here} "),
                ),
            ] {
                is_changed |= configuration.contains(&before);
                configuration = configuration.replace(&before, &after);
            }
            assert!(is_changed, "{file} has no port {page}");
        }
        // As docs/guard.md says of requirements.
        for (before, after) in [
            (
                "proxy_pass http://guard/;",
                "proxy_pass http://guard/orders;",
            ),
            (
                "server_uri: {",
                "path_prefix: /orders\n                        server_uri: {",
            ),
        ] {
            configuration = configuration.replace(before, after);
        }
        let folder = tempfile::tempdir().unwrap();
        let process = run(folder.path(), &configuration, front);
        Self {
            name,
            url: format!("http://127.0.0.1:{front}"),
            _process: process,
            _folder: folder,
        }
    }

    fn get(&self, headers: &[(&str, &str)]) -> Raw {
        plain(&self.url, "GET", "/orders/7", headers)
    }

    fn status(&self, token: &str) -> u16 {
        self.get(&[("Authorization", &format!("Bearer {token}"))])
            .status
    }
}

/// The service behind a gateway: it answers with the head of the request; its port.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap().take(65_536)).lines();
                let lines = lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty());
                let body = lines.collect::<Vec<_>>().join("\n");
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
            });
        }
    });
    port
}

#[test]
fn nginx_asks_the_guard() {
    match nginx() {
        Ok(program) => test("nginx", "nginx-guard.conf", |folder, text, port| {
            run_nginx(&program, folder, text, port)
        }),
        Err(why) => report(&format!("SKIPPED: nginx with the guard: {why}")),
    }
}

#[test]
fn envoy_asks_the_guard() {
    match envoy() {
        Ok(program) => test("Envoy", "envoy-guard.yaml", |folder, text, port| {
            run_envoy(&program, folder, text, port)
        }),
        Err(why) => report(&format!("SKIPPED: Envoy with the guard: {why}")),
    }
}

fn test(name: &'static str, file: &str, run: impl FnOnce(&Path, &str, u16) -> Running) {
    let server = start_service("");
    let issuer = create_issuer(&server, "shop", json!({ "revocation_max_age": "5s" }));
    let needed = "[[requirements]]\npath = \"/orders\"\nscopes = [\"orders:read\"]\n";
    let guard = start(&settings(&issuer, needed)).ready();
    let gateway = Gateway::start(name, file, &guard, run);
    tells_the_service_what_the_token_says(&gateway, &server);
    refuses_as_the_guard_does(&gateway, &server);
    keeps_banned_users_out(&gateway, &server);
    lets_nobody_in_without_a_verdict(&gateway, server, guard);
}

fn good(server: &Server, subject: &str) -> String {
    token(
        server,
        "shop",
        json!({ "sub": subject, "scope": "orders:read", "client_id": "web" }),
    )
}

fn tells_the_service_what_the_token_says(gateway: &Gateway, server: &Server) {
    let authorization = format!("Bearer {}", good(server, "user-1"));
    let mut headers = vec![("Authorization", authorization.as_str())];
    // The token has no session: nothing may stand in its place.
    for name in HEADERS
        .into_iter()
        .chain(["X-AUTH-SUBJECT", "X_Auth_Subject"])
    {
        headers.push((name, "intruder"));
    }
    // A header that is listed here is dropped by the next hop (RFC 9110 §7.6.1).
    headers.push(("Connection", "X-Auth-Subject"));
    let answer = gateway.get(&headers);
    let head = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 200, "{}: {head}", gateway.name);
    let named = |name: &str| -> Vec<String> {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        let named = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim().to_owned()).collect()
    };
    assert!(!head.contains("intruder"), "{}: {head}", gateway.name);
    assert_eq!(named("x-auth-subject"), ["user-1"]);
    assert_eq!(named("x-auth-client"), ["web"]);
    assert_eq!(named("x-auth-scope"), ["orders:read"]);
    assert!(
        named("x-auth-session").iter().all(String::is_empty),
        "{head}"
    );
    assert_eq!(named("authorization"), Vec::<String>::new());
}

fn refuses_as_the_guard_does(gateway: &Gateway, server: &Server) {
    let without = gateway.get(&[]);
    assert_eq!(without.status, 401);
    assert_eq!(
        without.header("www-authenticate"),
        Some("Bearer realm=\"api\"")
    );
    let forged = gateway.get(&[("Authorization", "Bearer a.b.c")]);
    assert_eq!(forged.status, 401);
    let challenge = forged.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    let narrow = token(server, "shop", json!({}));
    assert_eq!(gateway.status(&narrow), 403);
    let bearer = format!("Bearer {}", good(server, "user-1"));
    let twice = [
        ("Authorization", bearer.as_str()),
        ("Authorization", "Bearer a.b.c"),
    ];
    for headers in [twice, [twice[1], twice[0]]] {
        let status = gateway.get(&headers).status;
        assert!([400, 401].contains(&status), "{}: {status}", gateway.name);
    }
}

/// Bans users, and prints how long each got in after the answer to the ban.
fn keeps_banned_users_out(gateway: &Gateway, server: &Server) {
    let mut seconds = Vec::new();
    for number in 0..BANS {
        let subject = format!("user-{number}-banned");
        let token = good(server, &subject);
        assert_eq!(gateway.status(&token), 200);
        let ban = ban(server, "shop", &subject);
        let banned_at = Instant::now();
        let mut last = Duration::ZERO;
        eventually("the ban", || {
            let asked_at = banned_at.elapsed();
            match gateway.status(&token) {
                200 => last = asked_at,
                status => return (status == 401).then_some(()),
            }
            None
        });
        let guaranteed = ban["in_force_at_verifiers"]["guaranteed"].as_u64().unwrap();
        assert!(now_millis() / 1000 <= guaranteed, "{}", gateway.name);
        seconds.push(last.as_secs_f64());
        assert_eq!(gateway.status(&good(server, "user-1")), 200);
    }
    seconds.sort_by(f64::total_cmp);
    report(&format!(
        "{}: seconds from the answer of a ban to the last acceptance, of {BANS}: median {:.2}, worst {:.2}",
        gateway.name,
        seconds[BANS / 2],
        seconds[BANS - 1],
    ));
}

/// Without revocations, and without a guard, no request gets in, and clients are told to come back.
fn lets_nobody_in_without_a_verdict(gateway: &Gateway, server: Server, guard: Guard) {
    let authorization = format!("Bearer {}", good(&server, "user-1"));
    let ask = || gateway.get(&[("Authorization", &authorization)]);
    assert_eq!(ask().status, 200);
    drop(server);
    let undecided = eventually("the bound", || {
        Some(ask()).filter(|answer| answer.status != 200)
    });
    assert_eq!(undecided.status, 503, "{}", gateway.name);
    assert_eq!(
        undecided.header("retry-after"),
        Some("5"),
        "{}",
        gateway.name
    );
    drop(guard);
    let cut = ask();
    assert_eq!(cut.status, 503, "{}", gateway.name);
    assert_eq!(cut.header("retry-after"), Some("5"), "{}", gateway.name);
}
