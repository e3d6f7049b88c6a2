//! Tokens that are taken back, from the command line.

use keywright_verifier::Jws;
use keywright_verifier::revocation::RevocationDocument;
use serde_json::Value;

use crate::command::{done, said};
use crate::support::{Server, start};

fn sign(server: &Server) -> String {
    done(
        server,
        &[
            "token",
            "sign",
            "--claim",
            "sub=user-9",
            "--claim",
            "sid=s-1",
        ],
    )
}

fn json(server: &Server, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&done(server, &arguments)).unwrap()
}

#[test]
fn a_ban_states_both_bounds_and_is_lifted() {
    let server = start("");
    let text = done(&server, &["ban", "user-9", "--reason", "fraud", "--wait"]);
    for words in [
        "banned until the ban is lifted",
        "as expected from",
        "whatever fails from",
        "until",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let (_, refused) = said(&server, &["token", "sign", "--claim", "sub=user-9"]);
    assert!(refused.contains("banned"), "{refused}");
    let list = done(&server, &["revocations", "--subject", "user-9"]);
    assert!(
        list.contains("subject user-9") && list.contains("fraud"),
        "{list}"
    );
    let lifted = done(&server, &["unban", "user-9"]);
    assert!(
        lifted.contains("subject user-9: the ban is lifted"),
        "{lifted}"
    );
    let none = done(&server, &["unban", "user-9"]);
    assert!(none.contains("nothing was banned"), "{none}");
    sign(&server);
}

#[test]
fn a_ban_that_has_ended_keeps_no_other_from_being_lifted() {
    let server = start("");
    let ended = server.call(
        "POST",
        "/v1/issuers/default/revocations",
        Some(&serde_json::json!({"subject": "user-9", "ban": {"until": crate::support::now_millis() / 1000 + 1}})),
    );
    assert_eq!(ended.status, 201);
    crate::support::eventually("the end of the ban", || {
        (done_or_not(&server)).then_some(())
    });
    done(&server, &["ban", "user-9", "--until", "2h"]);
    let lifted = done(&server, &["unban", "user-9"]);
    assert!(lifted.contains("the ban is lifted"), "{lifted}");
    sign(&server);
}

/// Whether a token is signed.
fn done_or_not(server: &Server) -> bool {
    said(server, &["token", "sign", "--claim", "sub=user-9"]).0 == 0
}

#[test]
fn a_logout_and_a_token_are_taken_back() {
    let server = start("");
    let token = sign(&server);
    let logout = json(
        &server,
        &["logout", "--session", "s-1", "--subject", "user-9"],
    );
    assert_eq!(logout["selector"]["session"], "s-1");
    let revoked = json(&server, &["token", "revoke", token.trim()]);
    assert!(revoked["selector"]["jti"].is_string());
    let by_jti = json(&server, &["token", "revoke", "some-jti"]);
    assert_eq!(by_jti["selector"]["jti"], "some-jti");
    let id = revoked["id"].as_str().unwrap();
    let shown = done(&server, &["revocations", "show", id]);
    assert!(shown.contains("taken back"), "{shown}");
    let (code, nothing) = said(&server, &["logout"]);
    assert!(code == 2 && nothing.contains("--session"), "{nothing}");
    let (_, unsure) = said(&server, &["revocations", "everything"]);
    assert!(unsure.contains("--yes"), "{unsure}");
    let all = json(&server, &["revocations", "everything", "--yes"]);
    assert_eq!(all["selector"]["issuer"], true);
}

#[test]
fn whom_a_ban_hits_is_named_and_what_hits_everyone_is_asked_about() {
    let server = start("");
    let (code, nobody) = said(&server, &["ban"]);
    assert!(code == 2 && nobody.contains("whom to ban"), "{nobody}");
    for wide in [["--client", "web"], ["--audience", "orders"]] {
        let ban = [["ban"].as_slice(), &wide].concat();
        let (code, unsure) = said(&server, &ban);
        assert!(code == 2 && unsure.contains("--yes"), "{unsure}");
        let listed = json(&server, &[["revocations"].as_slice(), &wide].concat());
        assert_eq!(listed["revocations"], serde_json::json!([]));
        done(&server, &[ban.as_slice(), &["--yes"]].concat());
    }
    // One user of a client is no more than one user.
    done(&server, &["ban", "user-9", "--client", "web"]);
}

#[test]
fn one_ban_of_several_is_lifted_by_its_identifier() {
    let server = start("");
    let ban = || {
        json(&server, &["ban", "user-9"])["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (first, second) = (ban(), ban());
    let lifted = done(&server, &["unban", "--id", &first]);
    assert!(
        lifted.contains(&first) && lifted.contains("other bans still hold"),
        "{lifted}"
    );
    assert!(!done_or_not(&server));
    let (code, again) = said(&server, &["unban", "--id", &first]);
    assert!(
        code == 1 && again.contains("keywright revocations"),
        "{again}"
    );
    done(&server, &["unban", "--id", &second]);
    sign(&server);
}

#[test]
fn revocations_are_listed_page_by_page_and_those_of_the_whole_issuer_alone() {
    let server = start("");
    let path = "/v1/issuers/default/revocations/batch";
    for page in 0..2 {
        let many: Vec<Value> = (0..600)
            .map(|number| serde_json::json!({ "jti": format!("token-{page}-{number}") }))
            .collect();
        let many = serde_json::json!({ "revocations": many });
        assert_eq!(server.call("POST", path, Some(&many)).status, 201);
    }
    done(&server, &["revocations", "everything", "--yes"]);
    let count = |arguments: &[&str]| {
        let listed = json(&server, &[&["revocations"], arguments].concat());
        listed["revocations"].as_array().unwrap().len()
    };
    assert_eq!(count(&[]), 1201);
    assert_eq!(count(&["--whole-issuer"]), 1);
}

#[test]
fn without_a_feed_nobody_is_said_to_be_told() {
    let server = start("");
    done(
        &server,
        &["issuers", "set", "default", "--set", "revocation_feed=off"],
    );
    let text = done(&server, &["ban", "user-9", "--wait"]);
    assert!(text.contains("no verifier is told"), "{text}");
    assert!(
        text.contains("every verifier may accept its tokens until"),
        "{text}"
    );
}

#[test]
fn a_file_for_verifiers_without_a_network_is_written_whole() {
    let server = start("");
    let folder = server.folder();
    let path = folder.path().join("revocations.json");
    let path = path.to_str().unwrap();
    done(&server, &["ban", "user-9"]);
    let arguments = ["revocations", "file", "--output", path, "--max-age", "36h"];
    done(&server, &arguments);
    let document = RevocationDocument::parse(&std::fs::read(path).unwrap()).unwrap();
    let claims = Jws::inspect(&document.head, 65_536).unwrap().claims;
    assert_eq!(claims["max_age"], 129_600);
    let (_, refused) = said(&server, &["revocations", "file", "--max-age", "1s"]);
    assert!(refused.contains("max_age is 1s"), "{refused}");
    let printed = done(&server, &["revocations", "file"]);
    assert!(RevocationDocument::parse(printed.as_bytes()).is_ok());
}

#[test]
fn a_command_that_waits_ends_when_followers_can_be_expected_to_know() {
    let server = start("");
    let banned = json(&server, &["ban", "user-9", "--wait"]);
    let expected = banned["in_force_at_verifiers"]["expected"]
        .as_u64()
        .unwrap();
    assert!(crate::support::now_millis() / 1000 >= expected);
}
