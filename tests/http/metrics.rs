//! What `/metrics` shows, against the tables of docs/monitoring.md.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Server, eventually, request, start};

/// What is absent in a service that has a store of its own, no certificate, no grants and no trouble.
const OF_OTHERS: [&str; 14] = [
    "keywright_consumptions",
    "keywright_grant_renewals",
    "keywright_grants",
    "keywright_grants_ended",
    "keywright_issuer_fault",
    "keywright_lease_seconds",
    "keywright_push_attempts",
    "keywright_push_behind_seconds",
    "keywright_security_event_attempts",
    "keywright_task_last_failure_timestamp_seconds",
    "keywright_tls_certificate_expiry_seconds",
    "keywright_tls_reload_failing",
    "keywright_waiting_rotations",
    "keywright_webhook_attempts",
];

fn metrics(server: &Server) -> String {
    let url = format!("{}/metrics", server.internal);
    String::from_utf8(request("GET", &url, &[], None).body).unwrap()
}

/// The metrics of the service's own table, without the ending of counters.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../../docs/monitoring.md");
    let service = page.split("## keywright guard").next().unwrap();
    let rows = service.lines().filter(|line| line.starts_with("| `"));
    let names = rows.filter_map(|row| row.split('|').nth(1));
    let names = names.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let is_metric = |name: &&str| name.starts_with("keywright_") || name.starts_with("process_");
    names.filter(is_metric).map(family).collect()
}

fn family(name: &str) -> String {
    let ending = name.strip_suffix("_total");
    let ending = ending.or_else(|| name.strip_suffix("_info"));
    ending.unwrap_or(name).to_owned()
}

#[test]
fn every_metric_that_is_served_is_documented_and_the_other_way_round() {
    let server = start("[oauth]\nenabled = true\n\n[issuance_log]\nto = \"file\"\n");
    server.sign("default", &json!({ "claims": { "sub": "user-1" } }));
    server.fetch("/.well-known/jwks.json");
    server.fetch("/token");
    server.fetch("/nowhere");
    let ban = json!({ "subject": "user-2", "ban": true, "reason": "a theft" });
    let path = "/v1/issuers/default/revocations";
    assert_eq!(server.call("POST", path, Some(&ban)).status, 201);
    assert_eq!(server.call("BREW", "/v1/anything", None).status, 404);

    let text = eventually("the first scheduled change", || {
        let text = metrics(&server);
        text.contains("keywright_rotation_failing{").then_some(text)
    });
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<_> = types
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let documented = documented();
    let unknown: Vec<_> = served.difference(&documented).collect();
    assert_eq!(unknown, [""; 0], "served and not documented");
    let missing: Vec<_> = documented.difference(&served).collect();
    assert_eq!(missing, OF_OTHERS, "documented and not served");

    let sample = |name: &str| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("{name}\n{text}"));
        value.parse::<f64>().unwrap()
    };
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("keywright_build_info{{version=\"{version}\"}}");
    let took = |listener: &str, method: &str, route: &str| {
        let labels = format!("listener=\"{listener}\",method=\"{method}\",route=\"{route}\"");
        format!("keywright_request_seconds_count{{{labels}}}")
    };
    for (name, value) in [
        (&*build, 1.0),
        ("keywright_revocations{issuer=\"default\"}", 1.0),
        (
            "keywright_verifiers{issuer=\"default\",key_set=\"current\"}",
            1.0,
        ),
        ("keywright_approvals_waiting", 0.0),
        (
            &took("internal", "POST", "/v1/issuers/{issuer}/tokens"),
            1.0,
        ),
        (
            &took("internal", "POST", "/v1/issuers/{issuer}/revocations"),
            1.0,
        ),
        (&took("internal", "other", "none"), 1.0),
        (&took("public", "GET", "/.well-known/jwks.json"), 1.0),
        (&took("public", "GET", "/token"), 1.0),
        (&took("public", "GET", "none"), 1.0),
    ] {
        assert_eq!(sample(name), value, "{name}");
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_threads",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(sample(name) > 0.0, "{name}");
    }
    assert!(sample("keywright_feed_age_seconds") < 5.0);
    assert!(text.ends_with("# EOF\n"));
}
