//! What probes and the health report say.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::{Server, request, spawn_in, start, start_in};
use crate::world::{create_client, create_issuer, credential, edit, eventually, ok};

/// Changes the database, also of a service that runs.
fn execute(folder: &Path, statement: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let url = format!("sqlite://{}", folder.join("keys/keywright.db").display());
    runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let query = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
        query.execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// A policy under which a rotation is due every ten seconds.
fn hurried() -> Value {
    json!({
        "rotation": { "every": "10s" }, "lead": "5s", "jwks_max_age": "1s", "clock_skew": "0s",
        "stale_if_error": "0s", "default_token_ttl": "1s", "max_token_ttl": "1s",
    })
}

fn report(server: &Server) -> Value {
    ok(server.call("GET", "/v1/health", None))
}

/// The issuers that have a fault, and the state of each.
fn states(report: &Value) -> Vec<(&str, &str)> {
    let faults = report["issuers"].as_array().unwrap().iter();
    faults
        .map(|fault| {
            let text = |member: &str| fault[member].as_str().unwrap();
            (text("issuer"), text("state"))
        })
        .collect()
}

#[test]
fn what_is_wrong_with_one_issuer_leaves_the_process_ready_and_is_reported() {
    let server = start("");
    for name in ["corrupt", "keyless"] {
        create_issuer(&server, name, json!({}));
    }
    create_issuer(&server, "late", hurried());
    let body = json!({
        "name": "limited", "roles": ["auditor"], "limits": { "issuers": ["late", "default"] },
    });
    let limited = credential(&ok(server.call("POST", "/v1/clients", Some(&body))));
    let well = report(&server);
    assert_eq!(
        (&well["ready"], &well["issuer_count"]),
        (&json!(true), &json!(4))
    );
    assert_eq!(states(&well), []);

    let folder = server.kill();
    edit(
        folder.path(),
        "UPDATE records SET document = '{' WHERE kind = 'issuer' AND id = 'corrupt'",
    );
    edit(
        folder.path(),
        "UPDATE records SET sealed = NULL, is_final = 1, document = json_set(document, '$.state', json('{
            \"name\": \"revoked\", \"activated_at\": null, \"retired_at\": null,
            \"revoked_at\": 1795000000000, \"published_until\": null, \"reason\": \"a test\"
        }')) WHERE kind = 'key' AND owner = 'keyless'",
    );
    // What would mend them cannot be committed.
    execute(
        folder.path(),
        "CREATE TRIGGER hold BEFORE UPDATE ON records
         WHEN OLD.kind = 'issuer' AND OLD.id IN ('keyless', 'late')
         BEGIN SELECT RAISE(ABORT, 'held'); END",
    );
    let server = start_in(Arc::clone(&folder), "").unwrap();
    let shown = eventually("three faults", || {
        let shown = report(&server);
        (shown["issuers"].as_array().unwrap().len() == 3).then_some(shown)
    });
    assert_eq!(
        states(&shown),
        [
            ("corrupt", "unusable"),
            ("keyless", "no-active-key"),
            ("late", "schedule-failing"),
        ]
    );
    assert_eq!(shown["issuer_count"], 4);
    assert!(shown["issuers"][2]["since"].is_u64(), "{shown}");
    let probe = server.fetch("/readyz");
    assert_eq!((probe.status, probe.body), (200, b"ready\n".to_vec()));
    assert_eq!(shown["ready"], true);
    assert_eq!(shown["store"]["answers"], true);
    server.sign("default", &json!({ "claims": {} }));

    let metrics = crate::exchange::plain(&server.internal, "GET", "/metrics", &[]).body;
    let metrics = String::from_utf8(metrics).unwrap();
    for line in [
        "keywright_ready 1",
        "keywright_issuer_fault{issuer=\"corrupt\",state=\"unusable\"} 1",
        "keywright_issuer_fault{issuer=\"keyless\",state=\"no-active-key\"} 1",
        "keywright_issuer_fault{issuer=\"late\",state=\"schedule-failing\"} 1",
        "keywright_task_restarts_total{task=\"scheduler\"} 0",
    ] {
        assert!(
            metrics.lines().any(|shown| shown == line),
            "{line}\n{metrics}"
        );
    }
    let logged = eventually("a log line", || {
        let log = server.log();
        log.contains("an issuer has a fault").then_some(log)
    });
    assert!(logged.contains("corrupt"), "{logged}");

    // A client that is limited to issuers reads of those alone.
    let narrow = server.call_as(Some(&limited), "GET", "/v1/health", None);
    let narrow = ok(narrow);
    assert_eq!(states(&narrow), [("late", "schedule-failing")]);
    assert_eq!(narrow["issuer_count"], 2);
    assert_eq!(narrow["tasks"], report(&server)["tasks"]);
}

#[test]
fn the_report_names_every_task_of_the_background() {
    let server = start("issuance_log.to = \"file\"\n");
    let report = report(&server);
    let tasks: Vec<&str> = report["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| {
            assert_eq!(
                (&task["state"], &task["restarts"]),
                (&json!("running"), &json!(0))
            );
            task["name"].as_str().unwrap()
        })
        .collect();
    assert_eq!(
        tasks,
        [
            "access-upkeep",
            "copies",
            "event-streams",
            "issuance-log",
            "issuer-check",
            "listener-internal",
            "listener-public",
            "revocations",
            "scheduler",
            "service-log",
            "store-check",
            "upkeep",
            "webhooks",
        ]
    );
    let other = create_client(&server, "other", &["issuer"]);
    let answer = server.call_as(Some(&credential(&other)), "GET", "/v1/health", None);
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (403, &json!("role-missing"))
    );
}

#[test]
fn five_hundred_probes_at_once_are_all_answered() {
    let server = start("");
    let address = server.public.strip_prefix("http://").unwrap().to_owned();
    let mut probes: Vec<TcpStream> = (0..500)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    for probe in &mut probes {
        let asked = b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        probe.write_all(asked).unwrap();
        probe
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
    }
    for mut probe in probes {
        let mut answer = String::new();
        probe.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// A line of the log that cannot be written is a panic in some builds, and then every task that
/// logs panics. Keys are rotated even so.
#[test]
fn keys_rotate_on_when_the_log_cannot_be_written() {
    let server = start("");
    create_issuer(&server, "hurried", hurried());
    let (admin, data, folder) = (server.admin.clone(), server.data(), server.kill());
    std::fs::remove_file(data.join("listen.json")).unwrap();
    let mut service = spawn_in(folder.path(), "");
    let mut log = BufReader::new(service.stderr.take().unwrap()).lines();
    while !log.next().unwrap().unwrap().contains("keywright serves") {}
    drop(log);

    let addresses = std::fs::read(data.join("listen.json")).unwrap();
    let addresses: Value = serde_json::from_slice(&addresses).unwrap();
    let url = format!(
        "{}/v1/issuers/hurried",
        addresses["internal"].as_str().unwrap()
    );
    let authorization = [("authorization", format!("Bearer {admin}"))];
    let version = || {
        let issuer = ok(request("GET", &url, &authorization, None));
        issuer["version"].as_u64().unwrap()
    };
    for _ in 0..3 {
        let before = version();
        eventually("the next rotation", || (version() > before).then_some(()));
    }
    let body = Some(("application/json", br#"{"claims":{}}"#.to_vec()));
    let signed = request("POST", &format!("{url}/tokens"), &authorization, body);
    assert_eq!(signed.status, 201);
    service.kill().unwrap();
    service.wait().unwrap();
}
