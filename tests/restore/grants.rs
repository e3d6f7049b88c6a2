//! What a restore does to grants: they end, unless they are to be kept.

use std::fs;

use serde_json::{Value, json};

use crate::site::{done, elsewhere, refused, start_restored};
use crate::support::{Answer, Server, request, start};

fn open(server: &Server) -> Value {
    let body = json!({"claims": {"sub": "user-1", "aud": "orders"}, "client": "public"});
    let answer = server.call("POST", "/v1/issuers/default/grants", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

fn renew(server: &Server, grant: &Value) -> Answer {
    let token = grant["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    let form = ("application/x-www-form-urlencoded", form.into_bytes());
    request("POST", &format!("{}/token", server.public), &[], Some(form))
}

#[test]
fn grants_end_with_a_restore_unless_they_are_kept() {
    let oauth = "oauth.enabled = true\n";
    let server = start(oauth);
    let (kept, used_since) = (open(&server), open(&server));
    let backup = server.call("POST", "/v1/backup", None);
    assert_eq!(backup.status, 200);
    let since = renew(&server, &used_since).json();
    let later = open(&server);
    let restore = |arguments: &[&str]| {
        let folder = elsewhere(&server.data());
        fs::write(folder.path().join("config.toml"), "").unwrap();
        fs::write(folder.path().join("store.backup"), &backup.body).unwrap();
        let base = [
            "restore",
            "--from",
            "store.backup",
            "--config",
            "config.toml",
        ];
        (
            folder,
            [&base, arguments]
                .concat()
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let run = |arguments: &[&str]| {
        let (folder, all) = restore(arguments);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let told = done(folder.path(), &all);
        (start_restored(&folder, &server.data(), oauth), told)
    };
    let status = |server: &Server, grant: &Value| {
        let answer = renew(server, grant);
        let error = answer.json()["error_description"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (answer.status, error.split(':').next().unwrap().to_owned())
    };
    let never = (400, "invalid-refresh-token".to_owned());
    let (ended, told) = run(&["--nothing-revoked-since"]);
    assert_eq!(told["ended_grants"], 2);
    for grant in [&kept, &used_since, &since, &later] {
        assert_eq!(status(&ended, grant), never);
    }
    let (restored, told) = run(&["--nothing-revoked-since", "--keep-grants"]);
    assert_eq!(told["ended_grants"], 0);
    assert_eq!(renew(&restored, &kept).status, 200);
    assert_eq!(status(&restored, &later), never);
    // It was used after the backup: what the backup knows of it is not the whole.
    assert_eq!(
        status(&restored, &since),
        (400, "refresh-token-reused".to_owned())
    );
    assert_eq!(
        status(&restored, &used_since),
        (400, "grant-ended".to_owned())
    );
    // Where everything is taken back there is nothing to keep.
    let kid = server.call("GET", "/v1/issuers/default/keys", None).json()["keys"][0]["kid"].clone();
    let (folder, all) = restore(&["--revoked-since", kid.as_str().unwrap(), "--keep-grants"]);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert!(refused(folder.path(), &all).contains("grants cannot be kept"));
}
