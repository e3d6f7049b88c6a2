//! What one caller takes has a bound, and the others go on meanwhile: slots, bodies, memory,
//! computing. Each test runs a hostile caller beside one that signs, and prints what that one felt.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::exchange::{chunked, connect, head, parse, read_to_end};
use crate::support::{Answer, Server, report, start};
use crate::world::{create_client, create_issuer, credential, ok};

const SIGN: &str = "/v1/issuers/default/tokens";
const BATCH: &str = "/v1/issuers/default/tokens/batch";
const PLAN: &str = "/v1/issuers/default/plan";

/// No signature may take longer while others are hostile. The machine is shared by many tests.
const COARSE_CAP: Duration = Duration::from_secs(5);

fn signs(server: &Server, bearer: &str) -> Answer {
    let body = Some(("application/json", br#"{"claims":{"sub":"a"}}"#.to_vec()));
    server.call_as(Some(bearer), "POST", SIGN, body)
}

/// Signs without a pause until told to stop, every time with success. How long each took.
fn keeps_signing(server: &Server, bearer: &str, over: &AtomicBool) -> Vec<Duration> {
    let mut taken = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let answer = signs(server, bearer);
        assert_eq!(answer.status, 201, "{}", answer.json());
        taken.push(begin.elapsed());
    }
    taken
}

fn median(taken: &[Duration]) -> Duration {
    let mut sorted = taken.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// Ends the loop also where the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs something hostile while another client signs, which must not feel much of it.
pub fn while_another_signs<T>(what: &str, server: &Server, hostile: impl FnOnce() -> T) -> T {
    let signer = credential(&create_client(server, "signer", &["issuer"]));
    let calm: Vec<Duration> = (0..50)
        .map(|_| {
            let begin = Instant::now();
            assert_eq!(signs(server, &signer).status, 201);
            begin.elapsed()
        })
        .collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| keeps_signing(server, &signer, &over));
        let end = Over(&over);
        let result = hostile();
        drop(end);
        let taken = other.join().expect("every signature succeeds");
        let longest = taken.iter().max().copied().unwrap_or_default();
        report(&format!(
            "{what}: {} signatures meanwhile, median {:.1} ms ({:.1} × calm), longest {:.0} ms",
            taken.len(),
            median(&taken).as_secs_f64() * 1e3,
            median(&taken).as_secs_f64() / median(&calm).as_secs_f64(),
            longest.as_secs_f64() * 1e3,
        ));
        assert!(longest < COARSE_CAP, "a signature took {longest:?}");
        result
    })
}

/// Sends a head and the beginning of its body, and no more.
fn unfinished(
    server: &Server,
    bearer: &str,
    call: (&str, &str),
    framing: &str,
    body: &[u8],
) -> TcpStream {
    let authorization = format!("Bearer {bearer}");
    let (name, value) = framing.split_once(": ").unwrap();
    let mut request = head(
        call.0,
        call.1,
        &[
            ("Authorization", &authorization),
            ("Content-Type", "application/json"),
            (name, value),
        ],
    )
    .into_bytes();
    request.extend_from_slice(body);
    let mut stream = connect(&server.internal);
    // The answer may come, and the end, before all is sent.
    let _ = stream.write_all(&request);
    stream
}

/// Runs the same in so many threads.
pub fn at_a_time<T: Send>(threads: usize, run: impl Fn() -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(&run)).collect();
        let ended = started.into_iter().map(|thread| thread.join().unwrap());
        ended.collect()
    })
}

/// What the security team does, and what monitors it.
fn the_security_team_works(server: &Server) {
    let security = credential(&create_client(server, "security", &["security"]));
    let leaked = create_client(server, "leaked", &["issuer"]);
    let id = leaked["client"]["id"]
        .as_str()
        .or(leaked["id"].as_str())
        .unwrap();
    let removed = server.call("DELETE", &format!("/v1/clients/{id}"), None);
    assert_eq!(removed.status, 204);
    let body = Some(("application/json", br#"{"force":true}"#.to_vec()));
    let rotated = server.call_as(Some(&security), "POST", "/v1/issuers/default/rotate", body);
    assert_eq!(rotated.status, 200, "{}", rotated.json());
    let approvals = server.call_as(Some(&security), "GET", "/v1/approvals", None);
    assert_eq!(approvals.status, 200);
    let metrics =
        crate::support::request("GET", &format!("{}/metrics", server.internal), &[], None);
    assert_eq!(metrics.status, 200);
    assert_eq!(server.fetch("/.well-known/jwks.json").status, 200);
    assert_eq!(
        server.call("GET", "/v1/issuers/default/keys", None).status,
        200
    );
}

#[test]
fn bodies_that_never_come_hold_no_slot_of_others() {
    let server = start("");
    let auditor = credential(&create_client(&server, "auditor", &["auditor"]));
    let issuer = credential(&create_client(&server, "issuer", &["issuer"]));
    let admin = credential(&create_client(&server, "admin", &["admin"]));
    let announced = "Content-Length: 1000";
    let streamed = "Transfer-Encoding: chunked";
    // The first takes as many as there are slots for all, the others as many as one class has.
    for (what, count, bearer, call, framing, body) in [
        ("plan", 2100, &auditor, ("POST", PLAN), announced, "{"),
        (
            "plan, chunked",
            1100,
            &auditor,
            ("POST", PLAN),
            streamed,
            "1\r\n{",
        ),
        ("tokens", 1100, &issuer, ("POST", SIGN), announced, "{"),
        ("batch", 1100, &issuer, ("POST", BATCH), announced, "{"),
        (
            "clients",
            1100,
            &admin,
            ("POST", "/v1/clients"),
            announced,
            "{",
        ),
        (
            "issuers",
            1100,
            &admin,
            ("PUT", "/v1/issuers/new"),
            announced,
            "{",
        ),
    ] {
        while_another_signs(what, &server, || {
            let open = || unfinished(&server, bearer, call, framing, body.as_bytes());
            let mut held: Vec<TcpStream> = (0..count).map(|_| open()).collect();
            the_security_team_works(&server);
            let refused = parse(&read_to_end(held.last_mut().unwrap()));
            assert_eq!(refused.status, 429, "{what}");
            assert_eq!(refused.json()["code"], "too-many-requests");
            assert_eq!(refused.header("retry-after"), Some("1"));
            assert!(refused.header("x-request-id").is_some());
            // The first ones are still waited for.
            held[0].set_nonblocking(true).unwrap();
            assert!(held[0].peek(&mut [0]).is_err(), "{what}");
        });
    }
}

#[test]
fn a_class_of_routes_that_is_full_leaves_the_others_alone() {
    // A quarter of the requests are for what auditors read, and of these one caller has one.
    let server = start("internal.max_requests = 16\n");
    let auditors: Vec<String> = (0..4)
        .map(|number| {
            credential(&create_client(
                &server,
                &format!("auditor {number}"),
                &["auditor"],
            ))
        })
        .collect();
    let held: Vec<TcpStream> = auditors
        .iter()
        .map(|auditor| {
            unfinished(
                &server,
                auditor,
                ("POST", PLAN),
                "Content-Length: 1000",
                b"{",
            )
        })
        .collect();
    let another = credential(&create_client(&server, "another auditor", &["auditor"]));
    let refused = crate::world::eventually("a full class", || {
        let body = json!({ "url": "http://127.0.0.1:8080" }).to_string();
        let body = Some(("application/json", body.into_bytes()));
        let answer = server.call_as(Some(&another), "POST", PLAN, body);
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["code"], "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // A slow body does not hold a slot of requests without one.
    let plan = server.call_as(Some(&auditors[0]), "GET", PLAN, None);
    assert_eq!(plan.status, 200);
    the_security_team_works(&server);
    drop(held);
    crate::world::eventually("room in the class", || {
        let plan = server.call_as(
            Some(&another),
            "POST",
            PLAN,
            Some(("application/json", b"{}".to_vec())),
        );
        (plan.status == 400).then_some(())
    });
}

#[test]
fn what_was_taken_is_given_back_however_a_request_ends() {
    // One slot in each class.
    let server = start("internal.max_requests = 1\ninternal.request_timeout = \"1s\"\n");
    let bearer = server.admin.clone();
    let call = |body: &[u8]| {
        let body = Some(("application/json", body.to_vec()));
        server.call_as(Some(&bearer), "POST", SIGN, body).status
    };
    for _ in 0..3 {
        assert_eq!(call(br#"{"claims":{}}"#), 201);
        assert_eq!(call(b"{"), 400, "a body that is refused");
        assert_eq!(call(&vec![b' '; 70_000]), 413, "a body that is too large");
        // A caller that disconnects.
        drop(unfinished(
            &server,
            &bearer,
            ("POST", SIGN),
            "Content-Length: 1000",
            b"{",
        ));
        crate::world::eventually("a slot", || {
            (call(br#"{"claims":{}}"#) == 201).then_some(())
        });
        // A body that does not come. The slot of the call before it is given back a moment after
        // its answer, so that the first attempt may be refused.
        crate::world::eventually("a slot for a slow body", || {
            let mut slow = unfinished(
                &server,
                &bearer,
                ("POST", SIGN),
                "Content-Length: 1000",
                b"{",
            );
            match parse(&read_to_end(&mut slow)).status {
                408 => Some(()),
                429 => None,
                status => panic!("{status}"),
            }
        });
        crate::world::eventually("the slot of the slow body", || {
            (call(br#"{"claims":{}}"#) == 201).then_some(())
        });
        let exported = server.call("GET", "/v1/audit/export", None);
        assert_eq!(exported.status, 200, "a response that is streamed");
    }
}

/// The resident memory of the process now, and at its peak, in MiB.
fn resident(server: &Server) -> (f64, f64) {
    let path = format!("/proc/{}/status", server.process());
    let status = std::fs::read_to_string(path).unwrap();
    let of = |name: &str| -> f64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib = line.split_whitespace().nth(1).unwrap();
        kib.parse::<f64>().unwrap() / 1024.0
    };
    (of("VmRSS:"), of("VmHWM:"))
}

fn limited(server: &Server, name: &str, rate: u64, burst: u64) -> String {
    let rate = json!({"signatures_per_second": rate, "burst": burst});
    let body = json!({"name": name, "roles": ["issuer"], "limits": {"rate": rate}});
    credential(&ok(server.call("POST", "/v1/clients", Some(&body))))
}

fn repeated(item: &str, bytes: usize) -> Vec<u8> {
    let count = (bytes - 20) / (item.len() + 1);
    format!(r#"{{"requests":[{}]}}"#, vec![item; count].join(",")).into_bytes()
}

const BATCH_LIMIT: usize = 4 * 1024 * 1024;

#[test]
fn a_batch_takes_little_more_memory_than_its_text() {
    let server = start("");
    let bearer = server.admin.clone();
    let sends = |body: Vec<u8>| {
        let body = Some(("application/json", body));
        server.call_as(Some(&bearer), "POST", BATCH, body)
    };
    // The first batch of all makes what stays.
    assert_eq!(
        sends(repeated(r#"{"claims":{"sub":"a"}}"#, 20_000)).status,
        200
    );
    let objects = vec![r#"{"":{}}"#; 500_000].join(",");
    for (what, body, status, code) in [
        (
            "empty objects",
            repeated("{}", BATCH_LIMIT),
            400,
            "batch-size",
        ),
        ("numbers", repeated("0", BATCH_LIMIT), 400, "batch-size"),
        (
            "objects of one member",
            repeated(r#"{"":{}}"#, BATCH_LIMIT),
            400,
            "batch-size",
        ),
        (
            "one request of many objects",
            format!(r#"{{"requests":[{{"claims":{{"a":[{objects}]}}}}]}}"#).into_bytes(),
            400,
            "json-too-many-values",
        ),
        (
            "many values beside the requests",
            format!(r#"{{"other":[{objects}],"requests":[]}}"#).into_bytes(),
            400,
            "json-too-many-values",
        ),
        (
            "many values in every request",
            repeated(
                &format!(r#"{{"claims":{{"a":[{}]}}}}"#, vec!["{}"; 1400].join(",")),
                BATCH_LIMIT,
            ),
            200,
            "",
        ),
    ] {
        let (before, _) = resident(&server);
        let answer = sends(body);
        assert_eq!(answer.status, status, "{what}");
        if status == 400 {
            assert_eq!(answer.json()["code"], code, "{what}");
        }
        let (_, peak) = resident(&server);
        report(&format!(
            "{what}: {before:.0} MiB before, at most {peak:.0} MiB"
        ));
        assert!(peak < 160.0, "{what}: {peak} MiB");
    }
}

#[test]
fn unfinished_batches_are_few_and_their_memory_comes_back() {
    let server = start("");
    let slow = limited(&server, "slow", 1, 1);
    let unlimited = credential(&create_client(&server, "unlimited", &["issuer"]));
    let (before, _) = resident(&server);
    let announced = format!("Content-Length: {BATCH_LIMIT}");
    let body = vec![b' '; BATCH_LIMIT - 1];
    let chunks = chunked(&body);
    let chunks = &chunks[..chunks.len() - b"0\r\n\r\n".len()];
    for (what, bearer, framing, body) in [
        (
            "a client with a rate of 1/s",
            &slow,
            announced.as_str(),
            &body[..],
        ),
        (
            "a client without a rate",
            &unlimited,
            announced.as_str(),
            &body[..],
        ),
        ("chunked", &unlimited, "Transfer-Encoding: chunked", chunks),
    ] {
        while_another_signs(what, &server, || {
            let open = || unfinished(&server, bearer, ("POST", BATCH), framing, body);
            let held = at_a_time(40, || (0..10).map(|_| open()).collect::<Vec<_>>());
            the_security_team_works(&server);
            drop(held);
        });
        let (after, peak) = resident(&server);
        report(&format!(
            "{what}: {before:.0} MiB before, at most {peak:.0}, {after:.0} after"
        ));
        assert!(peak < 300.0, "{what}: {peak} MiB");
    }
    let begin = Instant::now();
    let given_back = loop {
        let (after, _) = resident(&server);
        if after < before * 1.5 || begin.elapsed() > Duration::from_secs(60) {
            break after;
        }
        std::thread::sleep(Duration::from_millis(500));
        let _: Value = ok(server.call("GET", "/v1/issuers", None));
    };
    report(&format!(
        "{before:.0} MiB before, {given_back:.0} MiB ({:.1} ×, aim 1.5 ×) {:.0} s later",
        given_back / before,
        begin.elapsed().as_secs_f64()
    ));
    // The aim is printed; what a debug build on a busy machine keeps is a coarse cap.
    assert!(given_back < before * 2.5, "{given_back} MiB of {before}");
}

#[test]
fn a_batch_pays_for_one_signature_before_its_body() {
    let server = start("");
    // Announced and never sent.
    let client = limited(&server, "slow", 1, 2);
    let open = || {
        unfinished(
            &server,
            &client,
            ("POST", BATCH),
            "Content-Length: 1000",
            b"{",
        )
    };
    let mut held: Vec<TcpStream> = (0..20).map(|_| open()).collect();
    // Which of them come first is not said.
    std::thread::sleep(Duration::from_secs(2));
    let mut refused = 0;
    for stream in &mut held {
        stream.set_nonblocking(true).unwrap();
        if let Ok(1..) = stream.peek(&mut [0]) {
            stream.set_nonblocking(false).unwrap();
            let answer = parse(&read_to_end(stream));
            assert_eq!(answer.status, 429);
            assert_eq!(answer.json()["code"], "rate-limited");
            refused += 1;
        }
    }
    assert!(refused >= 15, "{refused} of 20");
    // A body that breaks a rule has cost one; a batch that is refused for its rate costs none.
    let client = limited(&server, "other", 1, 1000);
    let sends = |count: usize| {
        let body = json!({ "requests": vec![json!({"claims": {}}); count] }).to_string();
        let body = Some(("application/json", body.into_bytes()));
        server.call_as(Some(&client), "POST", BATCH, body)
    };
    assert_eq!(sends(600).status, 200);
    for _ in 0..5 {
        assert_eq!(sends(600).status, 429);
    }
    assert_eq!(sends(390).status, 200);
}

#[test]
fn batches_of_one_client_leave_room_in_the_signing_queue() {
    let server = start("");
    let hostile = credential(&create_client(&server, "hostile", &["issuer"]));
    for algorithm in ["RS256", "ES256"] {
        let item = json!({"claims": {"sub": "a"}, "alg": algorithm});
        let body = json!({ "requests": vec![item.clone(); 1000] }).to_string();
        let other = credential(&create_client(&server, "other", &["issuer"]));
        while_another_signs(&format!("{algorithm} batches"), &server, || {
            std::thread::scope(|scope| {
                let batches: Vec<_> = (0..4)
                    .map(|_| {
                        let body = Some(("application/json", body.clone().into_bytes()));
                        let (server, hostile) = (&server, &hostile);
                        scope.spawn(move || server.call_as(Some(hostile), "POST", BATCH, body))
                    })
                    .collect();
                // What another client asks of the same queue.
                for _ in 0..20 {
                    let body = Some(("application/json", item.to_string().into_bytes()));
                    let answer = server.call_as(Some(&other), "POST", SIGN, body);
                    assert_eq!(answer.status, 201, "{}", answer.json());
                }
                for batch in batches {
                    let answer = ok(batch.join().unwrap());
                    let results = answer["results"].as_array().unwrap();
                    let signed = results.iter().filter(|result| result["token"].is_string());
                    assert_eq!(signed.count(), 1000, "{algorithm}");
                }
            });
        });
    }
}

#[test]
fn computing_waits_its_turn_beside_signatures() {
    let server = start("");
    let policy = json!({ "rotation": {"cron": "* * * * *", "timezone": "Europe/Berlin"},
        "lead": "2s", "jwks_max_age": "1s", "stale_if_error": "0s", "clock_skew": "0s" });
    let auditor = credential(&create_client(&server, "auditor", &["auditor"]));
    let admin = credential(&create_client(&server, "admin", &["admin"]));
    create_issuer(&server, "planned", json!({}));
    let mut body = crate::world::policy("planned", policy);
    body["max_token_ttl"] = json!("10s");
    body["default_token_ttl"] = json!("10s");
    let schema: serde_json::Map<String, Value> = (0..200)
        .map(|name| {
            (
                format!("claim{name}"),
                json!({"type": "string", "pattern": "^[a-z]{1,20}$"}),
            )
        })
        .collect();
    let terms = json!({"name": "schema", "roles": ["issuer"],
        "limits": {"claims_schema": {"properties": schema}}});
    let plan = "/v1/issuers/planned/plan?until=99999999999";
    let planned = server.call_as(
        Some(&auditor),
        "POST",
        plan,
        Some(("application/json", body.to_string().into_bytes())),
    );
    assert_eq!(planned.status, 200, "{}", planned.json());
    assert!(planned.json()["occurrences"].as_array().unwrap().len() >= 1000);
    for (what, bearer, method, path, body) in [
        ("100 plans", &auditor, "GET", plan, None),
        ("100 previews", &auditor, "POST", plan, Some(body)),
        ("100 schemas", &admin, "POST", "/v1/clients", Some(terms)),
    ] {
        while_another_signs(what, &server, || {
            let begin = Instant::now();
            std::thread::scope(|scope| {
                let mut calls = Vec::new();
                for _ in 0..100 {
                    let body = body
                        .as_ref()
                        .map(|body| ("application/json", body.to_string().into_bytes()));
                    let server = &server;
                    calls.push(
                        scope.spawn(move || server.call_as(Some(bearer), method, path, body)),
                    );
                }
                the_security_team_works(&server);
                for call in calls {
                    let answer = call.join().unwrap();
                    let refused = [429, 503].contains(&answer.status)
                        && answer.header("retry-after").is_some();
                    assert!(
                        refused || [200, 201].contains(&answer.status),
                        "{what}: {}",
                        answer.json()
                    );
                }
            });
            report(&format!(
                "{what} took {:.1} s",
                begin.elapsed().as_secs_f64()
            ));
        });
    }
}
