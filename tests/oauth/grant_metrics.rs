//! What the metrics say of grants.

use serde_json::json;

use crate::grants::opened;
use crate::refresh::{renew, renewed};
use crate::support::{Server, request};
use crate::world::service;

/// The value of a sample; 0 if there is none.
fn sample(server: &Server, name: &str) -> u64 {
    let url = format!("{}/metrics", server.internal);
    let text = String::from_utf8(request("GET", &url, &[], None).body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

#[test]
fn renewals_are_counted_by_outcome_and_ends_by_cause() {
    let server = service("");
    let grant = opened(&server, json!({}));
    let second = renewed(&server, &grant, "");
    renewed(&server, &grant, "");
    renewed(&server, &second, "");
    assert_eq!(renew(&server, &grant, "").status, 400);
    assert_eq!(renew(&server, &second, "").status, 400);
    let requested = opened(&server, json!({}));
    let path = format!(
        "/v1/issuers/default/grants/{}",
        requested["grant"].as_str().unwrap()
    );
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    for (name, count) in [
        ("keywright_grant_renewals_total{outcome=\"renewed\"}", 2),
        ("keywright_grant_renewals_total{outcome=\"repeated\"}", 1),
        (
            "keywright_grant_renewals_total{outcome=\"refresh-token-reused\"}",
            1,
        ),
        ("keywright_grant_renewals_total{outcome=\"grant-ended\"}", 1),
        ("keywright_grants_ended_total{cause=\"reused\"}", 1),
        ("keywright_grants_ended_total{cause=\"requested\"}", 1),
    ] {
        assert_eq!(sample(&server, name), count, "{name}");
    }
}
