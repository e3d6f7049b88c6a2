//! Too fast and too often: a client that asks too much waits, and no other one does.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::exchange::{connect, head, parse, read_to_end};
use crate::support::{Answer, Server, start};
use crate::world::{self, ok};

const TOKENS: &str = "/v1/issuers/default/tokens";

fn signs(server: &Server, bearer: &str) -> Answer {
    let body = Some(("application/json", br#"{"claims":{}}"#.to_vec()));
    server.call_as(Some(bearer), "POST", TOKENS, body)
}

fn limited(server: &Server) -> String {
    let rate = json!({"signatures_per_second": 1, "burst": 1});
    let body = json!({"name": "slow", "roles": ["issuer"], "limits": {"rate": rate}});
    world::credential(&ok(server.call("POST", "/v1/clients", Some(&body))))
}

#[test]
fn a_flood_is_refused_by_its_heads() {
    let server = start("");
    let credential = limited(&server);
    let bearer = format!("Bearer {credential}");
    // Announced and never sent: the service, which waits for the body, waits for the time-out.
    let head = head(
        "POST",
        TOKENS,
        &[
            ("Authorization", &bearer),
            ("Content-Type", "application/json"),
            ("Content-Length", "60000"),
        ],
    );
    let begin = Instant::now();
    let mut refused = None;
    for _ in 0..5 {
        let mut stream = connect(&server.internal);
        stream
            .set_read_timeout(Some(Duration::from_secs(3)))
            .unwrap();
        signs(&server, &credential);
        stream.write_all(head.as_bytes()).unwrap();
        let mut first = [0];
        if let Ok(1..) = stream.peek(&mut first) {
            refused = Some(parse(&read_to_end(&mut stream)));
            break;
        }
    }
    let refused = refused.expect("an answer before the body");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["code"], "rate-limited");
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "before the time-out"
    );
}

#[test]
fn bad_credentials_are_slowed_down_and_a_good_one_from_the_same_address_is_not() {
    let server = start("internal.max_requests = 1\n");
    // Of all of them none is looked at as a failure when it is good.
    for _ in 0..30 {
        assert_eq!(signs(&server, &server.admin).status, 201);
    }
    let bad = "kw_0000000000000000_x";
    let begin = Instant::now();
    let statuses: Vec<u16> = (0..25).map(|_| signs(&server, bad).status).collect();
    let refilled = usize::try_from(begin.elapsed().as_secs()).unwrap() + 1;
    assert!(
        statuses[..20].iter().all(|status| *status == 401),
        "{statuses:?}"
    );
    let slowed = statuses.iter().filter(|status| **status == 429).count();
    assert!(slowed > 0 && slowed + refilled >= 5, "{statuses:?}");
    let refused = std::iter::repeat_with(|| signs(&server, bad)).find(|one| one.status == 429);
    let refused = refused.unwrap();
    assert_eq!(refused.json()["code"], "too-many-failures");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        signs(&server, &server.admin).status,
        201,
        "the good one still does"
    );

    // While an answer is held back it takes none of the places, of which there is one here.
    let flood = || -> TcpStream {
        let mut stream = connect(&server.internal);
        let authorization = format!("Bearer {bad}");
        let head = head("GET", "/v1/clients", &[("Authorization", &authorization)]);
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let proven = (0..40).any(|_| {
        let held = flood();
        std::thread::sleep(Duration::from_millis(40));
        let good = signs(&server, &server.admin).status;
        held.set_nonblocking(true).unwrap();
        let is_held = held.peek(&mut [0]).is_err();
        is_held && good == 201
    });
    assert!(proven, "a refusal that is held back keeps others out");
}
