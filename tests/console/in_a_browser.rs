//! The flows of `node/flows.mjs` in Chromium: what they see is in `target/console` afterwards.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Server, report, start};
use crate::world::{create_client, create_issuer, credential, ok};

/// Where Debian and others put Chromium.
const CHROMIUM: [&str; 3] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
];

/// Chromium, where it and the packages are; otherwise a line says what is not tried.
fn chromium() -> Option<&'static str> {
    let skipped = |why: &str| report(&format!("SKIPPED: the console in a browser: {why}"));
    if std::env::var("KEYWRIGHT_SKIP_CONSOLE").is_ok_and(|value| value == "1") {
        skipped("KEYWRIGHT_SKIP_CONSOLE=1");
        return None;
    }
    if !folder().join("node_modules/playwright-core").is_dir() {
        skipped("npm ci was not run in tests/console/node");
        return None;
    }
    let found = CHROMIUM.into_iter().find(|path| Path::new(path).is_file());
    if found.is_none() {
        skipped("Chromium is not installed");
    }
    found
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/node"))
}

fn sign(server: &Server, subject: &str, claims: &Value) -> String {
    let mut all = json!({"sub": subject, "aud": "orders"});
    crate::world::merge(&mut all, claims.clone());
    server.sign("shop", &json!({"claims": all}))
}

#[test]
fn every_flow_holds_at_three_widths_in_light_and_dark() {
    let Some(chromium) = chromium() else {
        return;
    };
    let server = start("console.environment = \"production\"\nissuance_log.to = \"file\"\n");
    create_issuer(&server, "shop", json!({"algorithms": ["ES256", "RS256"]}));
    create_issuer(&server, "victim", json!({}));
    create_issuer(&server, "orders", json!({"algorithms": ["ES256", "RS256"]}));
    create_issuer(
        &server,
        "takes-two",
        json!({"confirmation": "second-person"}),
    );
    let force = json!({"force": true, "reason": "INC-4712: key seen on a build host"});
    ok(server.call("POST", "/v1/issuers/takes-two/rotate", Some(&json!({}))));
    ok(server.call("POST", "/v1/issuers/takes-two/rotate", Some(&force)));
    let victim = json!({"claims": {"sub": "user-4", "aud": "orders"}});
    server.sign("victim", &victim);
    let token = sign(&server, "user-1", &json!({}));
    let banned = sign(&server, "user-2", &json!({}));
    let ban = json!({"subject": "user-2", "ban": true, "reason": "INC-4713: account taken over"});
    ok(server.call("POST", "/v1/issuers/shop/revocations", Some(&ban)));
    let text = "<script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}gnirts";
    let hostile = sign(&server, "user-3", &json!({"<b>name</b>": text}));
    // Another payload than was signed.
    let parts: Vec<&str> = hostile.split('.').collect();
    let hostile = format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86));
    let checkout = json!({
        "name": "checkout", "roles": ["issuer"],
        "limits": {"audiences": ["orders"], "subjects": ["user-*"], "max_ttl": "10m"},
    });
    ok(server.call("POST", "/v1/clients", Some(&checkout)));
    let second = create_client(&server, "oncall-2", &["security", "auditor"]);
    let link = ok(server.call("POST", "/v1/console/links", None));
    let pictures = concat!(env!("CARGO_MANIFEST_DIR"), "/target/console");
    let given = json!({
        "base": server.internal.replace("127.0.0.1", "localhost"),
        "credential": server.admin,
        "chromium": chromium,
        "pictures": pictures,
        "documentation": concat!(env!("CARGO_MANIFEST_DIR"), "/docs/images"),
        "second": credential(&second),
        "link": link["path"],
        "token": token,
        "banned": banned,
        "hostile": hostile,
    });
    // `scripts/console-pictures` has the same service shown to the documentation's readers.
    let program = match std::env::var_os("CONSOLE_PICTURES") {
        Some(_) => "pictures.mjs",
        None => "flows.mjs",
    };
    let output = Command::new("node")
        .arg(program)
        .current_dir(folder())
        .env("CONSOLE_TEST", given.to_string())
        .output()
        .expect("node");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
