//! How a grant is renewed at the token endpoint, and every way in which it is not.

use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::grants::{open, opened, shown};
use crate::support::postgres::shared;
use crate::support::{Answer, Server, start_in};
use crate::world::{Client, assert_error, client, client_with, escape, post, service, verified};

/// Renews a grant by its refresh token, without a client.
pub fn renew(server: &Server, grant: &Value, more: &str) -> Answer {
    renew_as(server, None, grant, more)
}

fn form(grant: &Value, more: &str) -> String {
    let token = grant["refresh_token"].as_str().unwrap();
    format!(
        "grant_type=refresh_token&refresh_token={}{more}",
        escape(token)
    )
}

fn renew_as(server: &Server, client: Option<&Client>, grant: &Value, more: &str) -> Answer {
    let headers: Vec<(&str, String)> = client
        .map(|client| ("authorization", client.basic()))
        .into_iter()
        .collect();
    post(server, "/token", &headers, &form(grant, more))
}

/// The answer to a renewal.
pub fn renewed(server: &Server, grant: &Value, more: &str) -> Value {
    let answer = renew(server, grant, more);
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

fn revoke(server: &Server, grant: &Value) -> Answer {
    let token = escape(grant["refresh_token"].as_str().unwrap());
    post(server, "/revoke", &[], &format!("token={token}"))
}

fn active(server: &Server, introspector: &Client, token: &Value) -> Value {
    let basic = [("authorization", introspector.basic())];
    let token = escape(token.as_str().unwrap());
    post(server, "/introspect", &basic, &format!("token={token}")).json()
}

fn introspector(server: &Server) -> Client {
    let limits = json!({"audiences": ["orders"]});
    client_with(server, json!({"roles": ["introspector"], "limits": limits}))
}

/// The grant of a token is refused, with this code of ours.
fn assert_refused(answer: &Answer, code: &str, what: &str) {
    assert_error(answer, 400, "invalid_grant", code, what);
}

#[test]
fn a_grant_is_renewed_and_its_tokens_are_one_line() {
    let server = service("");
    let grant = opened(&server, json!({}));
    let mut tokens = vec![grant.clone()];
    for number in 1..4 {
        let next = renewed(&server, tokens.last().unwrap(), "");
        let token = next["refresh_token"].as_str().unwrap();
        let begin = format!("kwr1.{}.{number}.", grant["grant"].as_str().unwrap());
        assert!(token.starts_with(&begin), "{token}");
        assert_eq!(next["scope"], "read write");
        let (header, claims) = verified(&server, next["access_token"].as_str().unwrap());
        assert_eq!(
            (&header["typ"], &claims["sid"]),
            (&json!("at+jwt"), &grant["grant"])
        );
        tokens.push(next);
    }
    assert_ne!(tokens[1]["access_token"], tokens[2]["access_token"]);
}

#[test]
fn a_lost_answer_is_given_again_with_another_access_token() {
    let server = service("");
    let grant = opened(&server, json!({}));
    let first = renewed(&server, &grant, "");
    let again = renewed(&server, &grant, "");
    assert_eq!(first["refresh_token"], again["refresh_token"]);
    let jti = |answer: &Value| {
        verified(&server, answer["access_token"].as_str().unwrap()).1["jti"].clone()
    };
    assert_ne!(jti(&first), jti(&again));
    // Either answer goes on.
    let next = renewed(&server, &again, "");
    assert_eq!(
        next["refresh_token"],
        renewed(&server, &first, "")["refresh_token"]
    );
    renewed(&server, &next, "");
}

#[test]
fn a_token_that_was_used_before_ends_the_grant_and_takes_its_tokens_back() {
    let server = service("");
    let introspector = introspector(&server);
    let grant = opened(&server, json!({}));
    let second = renewed(&server, &grant, "");
    let third = renewed(&server, &second, "");
    assert_eq!(
        active(&server, &introspector, &third["access_token"])["active"],
        true
    );
    let reuse = renew(&server, &grant, "");
    assert_refused(&reuse, "refresh-token-reused", "the first");
    let after = renew(&server, &third, "");
    assert_refused(&after, "grant-ended", "the current");
    let inactive = json!({"active": false});
    for token in [
        &third["access_token"],
        &grant["access_token"],
        &third["refresh_token"],
    ] {
        assert_eq!(active(&server, &introspector, token), inactive);
    }
    assert_eq!(shown(&server, &grant)["cause"], "reused");
    let events = server
        .call("GET", "/v1/audit?event=grant-ended", None)
        .json();
    let event = &events["events"][0];
    assert_eq!(
        (&event["grant"], &event["cause"]),
        (&grant["grant"], &json!("reused"))
    );
    assert_eq!(
        event["actor"],
        json!({"kind": "holder", "address": "127.0.0.1"})
    );
    let last = server
        .call("GET", "/v1/audit?event=tokens-revoked", None)
        .json();
    assert_eq!(last["events"].as_array().unwrap().len(), 1);
}

#[test]
fn without_grace_a_lost_answer_ends_the_grant() {
    let server = service("oauth.refresh_grace = \"0s\"\n");
    let grant = opened(&server, json!({}));
    renewed(&server, &grant, "");
    let reuse = renew(&server, &grant, "");
    assert_refused(&reuse, "refresh-token-reused", "again");
}

#[test]
fn one_token_is_answered_six_times() {
    let server = service("");
    let grant = opened(&server, json!({}));
    for _ in 0..6 {
        renewed(&server, &grant, "");
    }
    let reuse = renew(&server, &grant, "");
    assert_refused(&reuse, "refresh-token-reused", "the seventh");
}

#[test]
fn scope_and_target_only_shrink_and_the_grant_keeps_its_own() {
    let server = service("");
    let grant = opened(&server, json!({}));
    let less = renewed(&server, &grant, "&scope=read&audience=billing");
    assert_eq!(less["scope"], "read");
    let (_, claims) = verified(&server, less["access_token"].as_str().unwrap());
    assert_eq!(
        (&claims["scope"], &claims["aud"]),
        (&json!("read"), &json!("billing"))
    );
    for (more, error, code) in [
        ("&scope=read%20admin", "invalid_scope", "invalid-scope"),
        ("&scope=%20", "invalid_scope", "invalid-scope"),
        ("&audience=other", "invalid_target", "invalid-target"),
        ("&resource=urn:a%23b", "invalid_target", "invalid-target"),
        (
            "&resource=urn:a&audience=orders",
            "invalid_target",
            "invalid-target",
        ),
    ] {
        assert_error(&renew(&server, &less, more), 400, error, code, more);
    }
    assert_eq!(renewed(&server, &less, "")["scope"], "read write");
}

#[test]
fn a_malformed_request_changes_nothing() {
    let server = service("");
    let grant = opened(&server, json!({}));
    let before = shown(&server, &grant);
    let token = escape(grant["refresh_token"].as_str().unwrap());
    let base = "grant_type=refresh_token";
    for (form, status, error, code) in [
        (base.to_owned(), 400, "invalid_request", "field-missing"),
        (
            format!("{base}&refresh_token={token}&refresh_token={token}"),
            400,
            "invalid_request",
            "duplicate-member",
        ),
        (
            format!("{base}&refresh_token={token}&client_secret=a"),
            400,
            "invalid_request",
            "field-missing",
        ),
        (
            format!("{base}&refresh_token={token}&client_id=public&client_secret=a"),
            401,
            "invalid_client",
            "credential-invalid",
        ),
        (
            format!("{base}&refresh_token={token}&client_id=other"),
            400,
            "invalid_grant",
            "foreign-token",
        ),
        (
            format!("{base}&refresh_token=kwr1"),
            400,
            "invalid_grant",
            "invalid-refresh-token",
        ),
        (
            format!("{base}&refresh_token={}", "a".repeat(30_000)),
            400,
            "invalid_grant",
            "invalid-refresh-token",
        ),
    ] {
        let answer = post(&server, "/token", &[], &form);
        assert_error(&answer, status, error, code, &form[..form.len().min(90)]);
    }
    assert_eq!(shown(&server, &grant), before);
    renewed(&server, &grant, "&client_id=public");
}

#[test]
fn a_made_up_token_ends_nothing_and_counts_against_its_address() {
    let server = service("");
    let grant = opened(&server, json!({}));
    let next = renewed(&server, &grant, "");
    let real = next["refresh_token"].as_str().unwrap();
    let (begin, secret) = real.rsplit_once('.').unwrap();
    let first = secret.chars().next().unwrap();
    let other = if first == 'A' { 'B' } else { 'A' };
    let altered = format!("{begin}.{other}{}", &secret[1..]);
    let (head, _) = begin.rsplit_once('.').unwrap();
    let made_up = [
        altered,
        format!("{head}.0.{secret}"),
        format!("{head}.2.{secret}"),
        format!("kwr1.00112233445566778899aabbccddeeff.1.{secret}"),
    ];
    for token in &made_up {
        let answer = renew(&server, &json!({ "refresh_token": token }), "");
        assert_refused(&answer, "invalid-refresh-token", token);
    }
    assert_eq!(shown(&server, &grant)["state"], "live");
    let throttled = (0..40).any(|_| {
        let answer = renew(&server, &json!({ "refresh_token": made_up[0] }), "");
        answer.status == 429
    });
    assert!(throttled);
    // Who has the token is let in all the same.
    renewed(&server, &next, "");
}

#[test]
fn the_grant_of_a_client_is_renewed_by_that_client_alone() {
    let server = service("");
    let (holder, other) = (client(&server, json!({})), client(&server, json!({})));
    let grant = opened(&server, json!({"client": holder.id}));
    let (_, claims) = verified(&server, grant["access_token"].as_str().unwrap());
    assert_eq!(claims["client_id"], holder.id.as_str());
    let nobody = renew(&server, &grant, &format!("&client_id={}", holder.id));
    assert_error(
        &nobody,
        401,
        "invalid_client",
        "credential-missing",
        "nobody",
    );
    let foreign = renew_as(&server, Some(&other), &grant, "");
    assert_refused(&foreign, "foreign-token", "another");
    let wrong = Client {
        id: holder.id.clone(),
        secret: other.secret.clone(),
    };
    let wrong = renew_as(&server, Some(&wrong), &grant, "");
    assert_error(
        &wrong,
        401,
        "invalid_client",
        "credential-invalid",
        "a wrong secret",
    );
    assert_eq!(shown(&server, &grant)["state"], "live");
    let own = renew_as(&server, Some(&holder), &grant, "");
    assert_eq!(own.status, 200, "{}", own.json());
    // A thief without the secret is never served, and does not end the grant either.
    let thief = renew(&server, &grant, "");
    assert_error(
        &thief,
        401,
        "invalid_client",
        "credential-missing",
        "a thief",
    );
    let next = renew_as(&server, Some(&holder), &own.json(), "");
    assert_eq!(next.status, 200);
}

#[test]
fn the_token_of_another_issuer_is_none_of_this_one() {
    let server = service("");
    let policy = json!({"url": "http://127.0.0.1:8080/shop", "algorithms": ["ES256"]});
    assert_eq!(
        server.call("PUT", "/v1/issuers/shop", Some(&policy)).status,
        201
    );
    let grant = opened(&server, json!({}));
    let answer = post(&server, "/shop/token", &[], &form(&grant, ""));
    assert_refused(&answer, "invalid-refresh-token", "another issuer");
    renewed(&server, &grant, "");
}

#[test]
fn what_takes_tokens_back_takes_back_the_grants_that_were_opened_before() {
    let server = service("");
    for selector in [
        json!({"subject": "user-1"}),
        json!({"subject": "user-1", "ban": true}),
        json!({"client": "public"}),
        json!({"audience": "billing"}),
        json!({"issuer": true}),
    ] {
        let grant = opened(&server, json!({}));
        let by_session = opened(
            &server,
            json!({"claims": {"sub": "user-3", "aud": "orders"}}),
        );
        let path = "/v1/issuers/default/revocations";
        let revoked = server.call("POST", path, Some(&selector));
        assert_eq!(revoked.status, 201, "{}", revoked.json());
        let refused = renew(&server, &grant, "");
        assert_error(
            &refused,
            400,
            "invalid_grant",
            "grant-ended",
            &selector.to_string(),
        );
        if selector.get("ban").is_some() {
            let id = revoked.json()["id"].as_str().unwrap().to_owned();
            let banned = open(&server, json!({}));
            assert_eq!(banned.json()["code"], "banned");
            assert_eq!(
                server.call("DELETE", &format!("{path}/{id}"), None).status,
                204
            );
            // The ban is over, and what it took back stays so.
            let still = renew(&server, &grant, "");
            assert_refused(&still, "grant-ended", "lifted");
        }
        let session = json!({"session": by_session["grant"]});
        assert_eq!(server.call("POST", path, Some(&session)).status, 201);
        let refused = renew(&server, &by_session, "");
        assert_refused(&refused, "grant-ended", "the session");
    }
    // One that is opened afterwards is another one.
    renewed(&server, &opened(&server, json!({})), "");
}

#[test]
fn a_grant_ends_when_it_is_unused_and_its_tokens_never_live_longer() {
    let server = service("");
    let grant = opened(&server, json!({"refresh": {"absolute": "2s"}}));
    assert!(grant["expires_in"].as_u64().unwrap() <= 3);
    let (_, claims) = verified(&server, grant["access_token"].as_str().unwrap());
    let ends_at = shown(&server, &grant)["ends_at"].as_u64().unwrap();
    assert_eq!(claims["exp"], ends_at);
    let unused = opened(&server, json!({"refresh": {"idle": "1s"}}));
    crate::support::eventually("the end of two grants", || {
        let state = |grant| shown(&server, grant)["state"] == "expired";
        (state(&grant) && state(&unused)).then_some(())
    });
    for grant in [&grant, &unused] {
        let refused = renew(&server, grant, "");
        assert_refused(&refused, "grant-ended", "expired");
    }
}

#[test]
fn whoever_has_a_refresh_token_ends_its_grant() {
    let server = service("");
    let introspector = introspector(&server);
    let grant = opened(&server, json!({}));
    let next = renewed(&server, &grant, "");
    let known = active(&server, &introspector, &next["refresh_token"]);
    assert_eq!(known["active"], true, "{known}");
    assert_eq!(
        (&known["sub"], &known["client_id"]),
        (&json!("user-1"), &json!("public"))
    );
    assert_eq!(known.get("token_type"), None);
    let before = active(&server, &introspector, &grant["refresh_token"]);
    assert_eq!(before, json!({"active": false}), "the one before");
    // An old token will do, and one that never was is answered alike.
    let made_up = json!({"refresh_token": "kwr1.00112233445566778899aabbccddeeff.0.AAAA"});
    for token in [&made_up, &grant, &grant] {
        let answer = revoke(&server, token);
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
    let refused = renew(&server, &next, "");
    assert_refused(&refused, "grant-ended", "revoked");
    let access = active(&server, &introspector, &next["access_token"]);
    assert_eq!(access, json!({"active": false}));
    let holder = client(&server, json!({}));
    let grant = opened(&server, json!({"client": holder.id}));
    assert_error(
        &revoke(&server, &grant),
        401,
        "invalid_client",
        "credential-missing",
        "nobody",
    );
    assert_eq!(shown(&server, &grant)["state"], "live");
}

#[test]
fn a_grant_outlives_a_crash_of_the_service() {
    let server = service("");
    let grant = opened(&server, json!({}));
    let next = renewed(&server, &grant, "");
    let folder = server.kill();
    let server = start_in(folder, "oauth.enabled = true\n").unwrap();
    // The answer may have been lost in the crash.
    assert_eq!(
        renewed(&server, &grant, "")["refresh_token"],
        next["refresh_token"]
    );
    renewed(&server, &next, "");
}

/// Two services on one database are asked with the same token at the same time, again and again.
#[test]
fn of_two_replicas_that_race_one_line_of_successors_comes() {
    let Some(postgres) = shared() else {
        return;
    };
    let url = postgres.database();
    let settings = format!("oauth.enabled = true\nstore.url = \"{url}\"\n");
    let first = start_in(Arc::new(tempfile::tempdir().unwrap()), &settings).unwrap();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    for file in ["master.key", "admin.token"] {
        let to = folder.path().join("keys").join(file);
        std::fs::copy(first.data().join(file), to).unwrap();
    }
    let second = start_in(folder, &settings).unwrap();
    let mut grant = opened(&first, json!({}));
    for round in 1..=10 {
        let answers: Vec<Answer> = thread::scope(|scope| {
            let asked = [&first, &second, &first, &second]
                .map(|server| scope.spawn(|| renew(server, &grant, "")));
            asked
                .into_iter()
                .map(|asked| asked.join().unwrap())
                .collect()
        });
        let tokens: Vec<Value> = answers
            .iter()
            .map(|answer| {
                assert_eq!(answer.status, 200, "{}", answer.json());
                answer.json()["refresh_token"].clone()
            })
            .collect();
        assert!(
            tokens.iter().all(|token| *token == tokens[0]),
            "round {round}: {tokens:?}"
        );
        grant["refresh_token"] = tokens[0].clone();
    }
    // What one has ended the other one knows at once.
    assert_eq!(revoke(&first, &grant).status, 200);
    let refused = renew(&second, &grant, "");
    assert_refused(&refused, "grant-ended", "at the other");
}
