//! Keys found by an issuer's metadata.

use keywright_verifier::{RemoteKeys, RemoteKeysError};

use crate::fixtures::{
    Signer, complaint, eventually, first_set, hasty, in_time, milliseconds, set_of, together,
    verdict, verifier_of,
};
use crate::issuer::{Issuer, Reply};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

fn metadata(issuer: &str, jwks_uri: &str) -> Reply {
    Reply::json(format!(
        r#"{{"issuer":"{issuer}","jwks_uri":"{jwks_uri}","scopes_supported":["openid"]}}"#
    ))
}

fn not_found() -> Reply {
    Reply::http("404 Not Found", &["content-type: text/html"], "<html>")
}

/// An issuer whose metadata and keys stand at these paths.
fn issuer_with(name_path: &str, metadata_path: &str, signer: &Signer) -> Issuer {
    let issuer = Issuer::start(Reply::Silence);
    let found = metadata(&issuer.url(name_path), &issuer.url("/jwks"));
    let set = Reply::json(set_of([signer]));
    let metadata_path = metadata_path.to_owned();
    issuer.behave(move |request| match &*request.path {
        "/jwks" => set.clone(),
        path if path == metadata_path => found.clone(),
        _ => not_found(),
    });
    issuer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_found_where_either_specification_puts_it() {
    for (name_path, metadata_path, asked_for) in [
        ("", OPENID, &[OPENID, "/jwks"][..]),
        ("/", OPENID, &[OPENID, "/jwks"]),
        ("", OAUTH, &[OPENID, OAUTH, "/jwks"]),
        (
            "/tenant",
            "/tenant/.well-known/openid-configuration",
            &["/tenant/.well-known/openid-configuration", "/jwks"],
        ),
        (
            "/tenant/",
            "/tenant/.well-known/openid-configuration",
            &["/tenant/.well-known/openid-configuration", "/jwks"],
        ),
        (
            "/tenant",
            "/.well-known/oauth-authorization-server/tenant",
            &[
                "/tenant/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server/tenant",
                "/jwks",
            ],
        ),
    ] {
        let known = Signer::new("known");
        let issuer = issuer_with(name_path, metadata_path, &known);
        let name = issuer.url(name_path);
        let keys = RemoteKeys::of_issuer(&name).start().unwrap();
        in_time(&name, keys.ready())
            .await
            .unwrap_or_else(|_| panic!("{name}: {}", complaint(&keys)));
        let verifier = verifier_of(&name, keys);
        assert_eq!(verdict(&verifier, &known.token_of(&name)).await, "good");
        assert_eq!(issuer.paths(), asked_for);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_cannot_be_believed_yields_no_keys() {
    const OTHER: &str = "names another issuer";
    const MALFORMED: &str = "malformed";
    const REFUSED: &str = "jwks_uri of the metadata is refused";
    let mut issuers = Vec::new();
    for (found, says) in [
        // RFC 8414 §3.3: byte for byte.
        (r#"{"issuer":"SELF/","jwks_uri":"SELF/jwks"}"#, OTHER),
        (r#"{"issuer":"SELF ","jwks_uri":"SELF/jwks"}"#, OTHER),
        (
            r#"{"issuer":"HTTP://127.0.0.1:PORT","jwks_uri":"SELF/jwks"}"#,
            OTHER,
        ),
        (
            r#"{"issuer":"http://localhost:PORT","jwks_uri":"SELF/jwks"}"#,
            OTHER,
        ),
        (
            r#"{"issuer":"https://id.example","jwks_uri":"SELF/jwks"}"#,
            OTHER,
        ),
        (r#"{"issuer":"","jwks_uri":"SELF/jwks"}"#, OTHER),
        (r#"{"jwks_uri":"SELF/jwks"}"#, MALFORMED),
        (r#"{"issuer":["SELF"],"jwks_uri":"SELF/jwks"}"#, MALFORMED),
        (r#"{"issuer":"SELF"}"#, MALFORMED),
        (r#"{"issuer":"SELF","jwks_uri":null}"#, MALFORMED),
        (
            r#"{"issuer":"https://evil.example","issuer":"SELF","jwks_uri":"SELF/jwks"}"#,
            MALFORMED,
        ),
        ("{", MALFORMED),
        ("", MALFORMED),
        (
            r#"{"issuer":"SELF","jwks_uri":"http://id.example/jwks"}"#,
            REFUSED,
        ),
        (
            r#"{"issuer":"SELF","jwks_uri":"http://10.0.0.1/jwks"}"#,
            REFUSED,
        ),
        (
            r#"{"issuer":"SELF","jwks_uri":"file:///etc/jwks.json"}"#,
            REFUSED,
        ),
        (r#"{"issuer":"SELF","jwks_uri":"/jwks"}"#, REFUSED),
        (
            r#"{"issuer":"SELF","jwks_uri":"data:application/json,{}"}"#,
            REFUSED,
        ),
        (
            r#"{"issuer":"SELF","jwks_uri":"http://u:p@127.0.0.1:PORT/jwks"}"#,
            REFUSED,
        ),
    ] {
        issuers.push(async move {
            let known = Signer::new("known");
            let issuer = Issuer::start(Reply::Silence);
            let name = issuer.url("");
            let body = found
                .replace("SELF", &name)
                .replace("PORT", &issuer.port().to_string());
            let set = set_of([&known]);
            issuer.behave(move |request| match &*request.path {
                OPENID => Reply::json(&body),
                _ => Reply::json(&set),
            });
            let keys = RemoteKeys::of_issuer(&name).start().unwrap();
            assert!(in_time(found, keys.ready()).await.is_err(), "{found}");
            assert!(
                complaint(&keys).contains(says),
                "{found}: {}",
                complaint(&keys)
            );
            let paths = issuer.paths();
            assert!(
                paths.iter().all(|path| path == OPENID),
                "{found}: {paths:?}"
            );
            let verifier = verifier_of(&name, keys);
            let verdict = verdict(&verifier, &known.token_of(&name)).await;
            assert_eq!(verdict, "keys-unavailable", "{found}");
        });
    }
    together(issuers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_with_a_wrong_head_yields_no_keys() {
    let mut issuers = Vec::new();
    for (reply, says) in [
        // Attack 83.
        (
            Reply::http("302 Found", &["location: /elsewhere"], ""),
            "status 302",
        ),
        (
            Reply::http("308 Permanent", &["location: /elsewhere"], ""),
            "status 308",
        ),
        (Reply::http("500 Oh", &[], ""), "status 500"),
        (Reply::http("401 No", &[], ""), "status 401"),
        (
            Reply::http("200 OK", &["content-type: text/html"], "<html>"),
            "metadata is malformed",
        ),
        (
            Reply::Endless {
                head: b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec(),
                chunk: vec![b' '; 65_536],
            },
            "longer than 65536 bytes",
        ),
        (Reply::Silence, "too long to answer"),
    ] {
        issuers.push(async move {
            let issuer = Issuer::start(Reply::Silence);
            let name = issuer.url("");
            let good = metadata(&name, &issuer.url("/jwks"));
            issuer.behave(move |request| match &*request.path {
                OPENID => reply.clone(),
                _ => good.clone(),
            });
            let keys = RemoteKeys::of_issuer(&name)
                .timeout(milliseconds(500))
                .start()
                .unwrap();
            assert!(in_time(says, keys.ready()).await.is_err(), "{says}");
            assert!(
                complaint(&keys).contains(says),
                "{says}: {}",
                complaint(&keys)
            );
            let paths = issuer.paths();
            assert!(paths.iter().all(|path| path == OPENID), "{says}: {paths:?}");
        });
    }
    together(issuers).await;
}

// Both exchanges together: a caller that waits for a token waits no longer than the timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeout_is_for_discovery_and_keys_together() {
    let issuer = Issuer::start(Reply::Silence);
    let name = issuer.url("");
    let found = metadata(&name, &issuer.url("/jwks")).after(milliseconds(350));
    let set = Reply::json(set_of([&Signer::new("known")])).after(milliseconds(350));
    issuer.behave(move |request| match &*request.path {
        OPENID => found.clone(),
        _ => set.clone(),
    });
    let keys = RemoteKeys::of_issuer(&name)
        .timeout(milliseconds(500))
        .start()
        .unwrap();
    assert!(in_time("two exchanges", keys.ready()).await.is_err());
    assert!(
        complaint(&keys).contains("too long"),
        "{}",
        complaint(&keys)
    );
    assert_eq!(issuer.paths()[..2], [OPENID, "/jwks"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_asked_for_once_while_the_keys_are_found() {
    let known = Signer::new("known");
    let issuer = issuer_with("", OPENID, &known);
    let keys = hasty(RemoteKeys::of_issuer(&issuer.url("")))
        .start()
        .unwrap();
    first_set(&keys).await;
    eventually("refreshes", async || issuer.count() >= 4).await;
    assert_eq!(issuer.paths()[..4], [OPENID, "/jwks", "/jwks", "/jwks"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_moved_are_found_again_and_a_tag_does_not_move_with_them() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(Reply::Silence);
    let name = issuer.url("");
    let tagged = |signer| {
        Reply::http(
            "200 OK",
            &["content-type: application/json", "etag: \"1\""],
            set_of([signer]),
        )
    };
    let (found, set) = (metadata(&name, &issuer.url("/old")), tagged(&old));
    issuer.behave(move |request| match &*request.path {
        OPENID => found.clone(),
        _ => set.clone(),
    });
    let keys = hasty(RemoteKeys::of_issuer(&name)).start().unwrap();
    first_set(&keys).await;
    let verifier = verifier_of(&name, keys);
    let (old_token, new_token) = (old.token_of(&name), new.token_of(&name));
    assert_eq!(verdict(&verifier, &old_token).await, "good");

    let (found, set) = (metadata(&name, &issuer.url("/new")), tagged(&new));
    issuer.behave(move |request| match &*request.path {
        OPENID => found.clone(),
        // The new address happens to count its versions from 1 too.
        "/new" => match request.field("if-none-match") {
            Some("\"1\"") => Reply::http("304 Not Modified", &["etag: \"1\""], ""),
            _ => set.clone(),
        },
        _ => not_found(),
    });
    eventually("the move", async || {
        verdict(&verifier, &new_token).await == "good"
    })
    .await;
    assert_eq!(verdict(&verifier, &old_token).await, "unknown-key");
}

#[tokio::test]
async fn issuer_that_no_token_can_name_is_refused_at_the_start() {
    for name in [
        "",
        "id.example",
        "http://id.example",
        "https://id.example?tenant=1",
        "https://id.example#tenant",
        "https://user@id.example",
        "ftp://127.0.0.1",
    ] {
        let refusal = RemoteKeys::of_issuer(name).start();
        assert!(
            matches!(refusal, Err(RemoteKeysError::Address(_))),
            "{name}"
        );
    }
}
