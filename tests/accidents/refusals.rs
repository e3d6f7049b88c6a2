//! A client whose requests are refused writes a few lines a minute, however many it sends.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::mounted::Mounted;
use crate::support::{Server, eventually, report, start, start_in};
use crate::{create_client, metric, ok};

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    whole.lines().map(read).collect()
}

/// What each client's refusals of a code have left: lines of their own, and how many were counted.
fn left(lines: &[Value], client: &Value, code: &str) -> (usize, u64) {
    let of = |line: &&Value| line["client"] == client["id"] && line["decision"] == code;
    let of: Vec<&Value> = lines.iter().filter(of).collect();
    let in_full = of.iter().filter(|line| line["request_id"].is_string());
    let counted = of.iter().filter_map(|line| line["count"].as_u64());
    (in_full.count(), counted.sum())
}

fn batch(server: &Server, client: &Value, item: &Value, count: usize) {
    let body = json!({ "requests": vec![item; count] })
        .to_string()
        .into_bytes();
    let secret = client["credential"].as_str().unwrap();
    let path = "/v1/issuers/default/tokens/batch";
    let body = Some(("application/json", body));
    ok(server.call_as(Some(secret), "POST", path, body));
}

#[test]
fn a_flood_of_refusals_is_a_few_lines_and_a_count_for_each_client_and_code() {
    let server = start("issuance_log.to = \"file\"\n");
    let path = server.folder().path().join("keys-issuance.jsonl");
    let [hostile, other] =
        ["hostile", "other"].map(|name| create_client(&server, name, &["issuer"]));
    let reserved = json!({ "claims": { "iss": "mine" } });
    for _ in 0..20 {
        batch(&server, &hostile, &json!({}), 1000);
        batch(&server, &hostile, &reserved, 1000);
    }
    batch(&server, &other, &json!({}), 8);
    let token = server.sign("default", &json!({ "claims": { "sub": "u" } }));
    assert!(!token.is_empty());
    let (code, _folder) = server.terminate();
    assert_eq!(code, Some(0));
    let lines = lines(&path);
    assert_eq!(left(&lines, &hostile, "field-missing"), (5, 19_995));
    assert_eq!(left(&lines, &hostile, "claim-reserved"), (5, 19_995));
    assert_eq!(left(&lines, &other, "field-missing"), (5, 3));
    let signed = lines.iter().filter(|line| line["decision"] == "signed");
    assert_eq!(signed.count(), 1);
    let size = std::fs::metadata(&path).unwrap().len();
    report(&format!("40,008 refusals of two clients: {size} bytes"));
    assert!(size < 20_000, "{size}");
    for line in lines.iter().filter(|line| line["count"].is_u64()) {
        assert!(
            line["since"].is_string() && line["time"].is_string(),
            "{line}"
        );
        assert!(line.get("sub").is_none() && line.get("request_id").is_none());
    }
}

#[test]
fn while_space_is_short_refusals_are_counted_and_tokens_have_their_lines() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let Some(disk) = Mounted::at(&folder.path().join("logs"), "size=16m") else {
        return;
    };
    let path = disk.path().join("issued.jsonl");
    let settings = format!("issuance_log.to = \"file\"\nissuance_log.path = {path:?}\n");
    let server = start_in(folder, &settings).unwrap();
    let client = create_client(&server, "hostile", &["issuer"]);
    // 5 of 16 MiB are free: less than for refusals, more than for tokens.
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![0; 11 << 20]).unwrap();
    eventually("a gauge", || {
        (metric(&server, "keywright_issuance_log_space_short") == Some(1)).then_some(())
    });
    for _ in 0..3 {
        batch(&server, &client, &json!({}), 100);
    }
    server.sign("default", &json!({ "claims": { "sub": "u" } }));
    eventually("the token's line", || {
        lines(&path)
            .iter()
            .any(|line| line["decision"] == "signed")
            .then_some(())
    });
    assert_eq!(left(&lines(&path), &client, "field-missing"), (0, 0));
    assert_eq!(server.log().matches("disk space is short").count(), 1);

    std::fs::remove_file(&filler).unwrap();
    eventually("a gauge", || {
        (metric(&server, "keywright_issuance_log_space_short") == Some(0)).then_some(())
    });
    let (code, _folder) = server.terminate();
    assert_eq!(code, Some(0));
    assert_eq!(left(&lines(&path), &client, "field-missing"), (0, 300));
}

#[test]
fn a_log_that_an_earlier_version_has_begun_in_the_data_folder_is_continued_there() {
    let server = start("issuance_log.to = \"file\"\n");
    let folder = server.folder();
    let beside = folder.path().join("keys-issuance.jsonl");
    let inside = server.data().join("issuance.jsonl");
    server.sign("default", &json!({ "claims": { "sub": "u" } }));
    assert_eq!(server.terminate().0, Some(0));
    assert_eq!((lines(&beside).len(), inside.exists()), (1, false));

    std::fs::rename(&beside, &inside).unwrap();
    let server = start_in(folder.clone(), "issuance_log.to = \"file\"\n").unwrap();
    server.sign("default", &json!({ "claims": { "sub": "u" } }));
    assert_eq!(server.terminate().0, Some(0));
    assert_eq!((lines(&inside).len(), beside.exists()), (2, false));
}
