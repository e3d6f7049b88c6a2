//! Jobs and pods that trade in the token of their platform.

use serde_json::{Value, json};

use crate::exchange::{ACCESS_TOKEN, Login, form, trade};
use crate::support::{Answer, Server};
use crate::world::{Client, Signatory, assert_error, client_with, now, post, service, verified};

const BEARER: &str = "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A service that trusts a CI platform.
struct Ci {
    server: Server,
    platform: Signatory,
    _folder: tempfile::TempDir,
}

impl Ci {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let platform = Signatory::new("mine");
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, platform.jwks().to_string()).unwrap();
        let trust = format!(
            "[[trusted_issuers]]\nname = \"ci\"\nissuer = \"https://ci.example\"\n\
             audience = \"https://keys.example\"\njwks_file = \"{}\"\n",
            file.display()
        );
        Self {
            server: service(&trust),
            platform,
            _folder: folder,
        }
    }

    /// The client of the jobs of a repository.
    fn job(&self, repository: &str, roles: &[&str]) -> Client {
        let workload = json!([{"issuer": "ci", "claims": {"repository": repository}}]);
        let limits = json!({"audiences": ["registry", "https://orders"], "scopes": ["push", "pull"],
            "subjects": "own-id"});
        let changes = json!({"roles": roles, "limits": limits, "workloads": workload});
        client_with(&self.server, changes)
    }

    fn token(&self, repository: &str, changes: &Value) -> String {
        let mut claims = json!({"iss": "https://ci.example", "aud": "https://keys.example",
            "sub": "user-1", "repository": repository, "iat": now(), "exp": now() + 120,
            "jti": "job-1", "scope": "root", "sid": "theirs"});
        let changes = changes.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(changes);
        self.platform.sign(&claims)
    }

    fn ask(&self, form: &str) -> Answer {
        post(&self.server, "/token", &[], form)
    }
}

/// The token of the platform is all that a job needs; the new one is about its client, and no user.
#[test]
fn a_job_trades_in_the_token_of_its_platform() {
    let ci = Ci::new();
    let job = ci.job("org/shop", &["exchanger"]);
    let token = ci.token("org/shop", &json!({}));
    let end = now() + 120;
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    for form in [
        form(&token, "audience=registry&scope=push").replace(ACCESS_TOKEN, jwt),
        format!("{BEARER}&assertion={token}&audience=registry&scope=push"),
    ] {
        let answer = ci.ask(&form);
        assert_eq!(answer.status, 200, "{}", answer.json());
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let (header, claims) = verified(&ci.server, &token);
        assert_eq!(header["typ"], "at+jwt");
        assert!(claims["exp"].as_u64().unwrap() <= end);
        let mut claims = claims;
        for name in ["iss", "iat", "exp", "jti"] {
            claims.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(
            claims,
            json!({"sub": job.id, "client_id": job.id, "aud": "registry", "scope": "push",
                "ancestor_jtis": ["job-1"]})
        );
    }
    // The job may prove its client in another way, too, if it is the same one.
    let good = form(&token, "audience=registry");
    assert_eq!(job.ask(&ci.server, &good).status, 200);
    let other = ci.job("org/other", &["exchanger"]);
    let answer = other.ask(&ci.server, &good);
    let what = "another client's workload";
    assert_error(
        &answer,
        400,
        "invalid_request",
        "invalid-subject-token",
        what,
    );
}

#[test]
fn the_limits_of_the_client_hold_for_its_jobs() {
    let ci = Ci::new();
    ci.job("org/shop", &["exchanger"]);
    let token = ci.token("org/shop", &json!({}));
    // Without a scope in the request the job has all of its client, and nothing of what the platform says.
    let answer = ci.ask(&form(&token, "audience=registry"));
    assert_eq!(answer.json()["scope"], "pull push");
    for (more, name, code) in [
        (
            "audience=registry&scope=root",
            "invalid_scope",
            "client-limit",
        ),
        ("audience=billing", "invalid_target", "client-limit"),
        ("", "invalid_target", "invalid-target"),
    ] {
        assert_error(&ci.ask(&form(&token, more)), 400, name, code, more);
    }
    ci.job("org/idle", &["auditor"]);
    let answer = ci.ask(&form(
        &ci.token("org/idle", &json!({})),
        "audience=registry",
    ));
    assert_error(
        &answer,
        400,
        "unauthorized_client",
        "role-missing",
        "no role",
    );
}

#[test]
fn what_is_no_token_of_a_workload_is_refused() {
    let ci = Ci::new();
    ci.job("org/shop", &["exchanger"]);
    for (changes, what) in [
        (json!({"exp": now() - 600}), "expired"),
        (
            json!({"aud": "https://other.example"}),
            "for another service",
        ),
        (json!({"repository": "org/none"}), "of no client"),
        (json!({"nbf": now() + 600}), "not valid yet"),
    ] {
        let token = ci.token("org/shop", &changes);
        let answer = ci.ask(&form(&token, "audience=registry"));
        let code = "invalid-subject-token";
        assert_error(&answer, 400, "invalid_request", code, what);
        let answer = ci.ask(&format!("{BEARER}&assertion={token}&audience=registry"));
        assert_error(&answer, 400, "invalid_grant", "invalid-assertion", what);
    }
    let thief = Signatory::new("mine");
    let claims = json!({"iss": "https://ci.example", "aud": "https://keys.example",
        "repository": "org/shop", "exp": now() + 60});
    let answer = ci.ask(&form(&thief.sign(&claims), "audience=registry"));
    let code = "invalid-subject-token";
    assert_error(
        &answer,
        400,
        "invalid_request",
        code,
        "signed by another key",
    );
    // An issuer that is not trusted proves no client.
    let claims = json!({"iss": "https://other.example", "exp": now() + 60});
    let answer = ci.ask(&form(&thief.sign(&claims), "audience=registry"));
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-missing",
        "not trusted",
    );
}

/// A `jti` of the platform takes back what it was traded in for; with a ban it is not traded in again.
#[test]
fn the_jti_of_the_platform_takes_back_what_came_of_it() {
    let ci = Ci::new();
    ci.job("org/shop", &["exchanger"]);
    let introspector = client_with(&ci.server, json!({"roles": ["introspector"]}));
    let token = ci.token("org/shop", &json!({}));
    let asked = form(&token, "audience=registry");
    let new = ci.ask(&asked).json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let is_active = || {
        let basic = [("authorization", introspector.basic())];
        let answer = post(&ci.server, "/introspect", &basic, &format!("token={new}"));
        answer.json()["active"] == true
    };
    assert!(is_active());
    let body = json!({"jti": "job-1", "ban": true});
    let answer = ci
        .server
        .call("POST", "/v1/issuers/default/revocations", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    assert!(!is_active());
    assert_error(
        &ci.ask(&asked),
        400,
        "unauthorized_client",
        "banned",
        "a banned job",
    );
}

/// A job acts for a user whose token it was given.
#[test]
fn the_token_of_a_platform_names_an_actor() {
    let ci = Ci::new();
    let changes = json!({"roles": ["exchanger"], "limits": {"audiences": ["registry"]},
        "workloads": [{"issuer": "ci", "claims": {"repository": "org/shop"}}]});
    let job = client_with(&ci.server, changes);
    let user = Login::new(&ci.server).user(&ci.server, &json!({"aud": "registry"}));
    let actor = ci.token("org/shop", &json!({}));
    let more = format!("audience=registry&actor_token={actor}&actor_token_type={ACCESS_TOKEN}");
    let answer = trade(&ci.server, &job, &user, &more);
    assert_eq!(answer.status, 200, "{}", answer.json());
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let claims = verified(&ci.server, &token).1;
    assert_eq!(
        (&claims["sub"], &claims["act"]["sub"]),
        (&json!("user-1"), &json!(job.id))
    );
    assert!(claims["exp"].as_u64().unwrap() <= now() + 120);
}
