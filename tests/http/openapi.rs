//! The description against the service that it describes.
//!
//! `docs/openapi.json` is what the service answers at `/openapi.json`, as a golden file: a
//! difference is a change of the contract, and is reviewed with the code. What it shows is sent, and
//! what comes back is held against its schemas.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywright_verifier::Jws;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::document::{Document, FILE, Operation, document};
use crate::exchange::plain;
use crate::support::{Answer, Server, Signatory, now_millis, request, start, start_with};
use crate::world::{create_client, create_issuer, kid, policy};

/// Set to 1, it writes the golden file anew.
const BLESS: &str = "KEYWRIGHT_BLESS";

#[test]
fn the_document_in_the_repository_is_what_the_service_serves() {
    let server = start("");
    let served = plain(&server.internal, "GET", "/openapi.json", &[]);
    assert_eq!(served.status, 200);
    if std::env::var(BLESS).is_ok_and(|value| value == "1") {
        std::fs::write(FILE, &served.body).unwrap();
    }
    let golden = std::fs::read_to_string(FILE).unwrap_or_default();
    let served = String::from_utf8(served.body).unwrap();
    if golden == served {
        return;
    }
    let mut lines = golden.lines().zip(served.lines()).enumerate();
    let difference = lines.find(|(_, (golden, served))| golden != served);
    let (number, (golden, served)) =
        difference.unwrap_or((golden.lines().count(), ("the end", "more, or less")));
    panic!(
        "docs/openapi.json:{} is not what the code says:\n  file: {golden}\n  code: {served}\n\
         If the change is meant, write it anew: {BLESS}=1 cargo test --test http openapi",
        number + 1
    );
}

/// The order in which the examples make sense: an issuer is there before its keys are changed, and a
/// rotation comes before the revocation that uses its successor up.
const STORY: [&str; 127] = [
    "setIssuer",
    "listIssuers",
    "readIssuer",
    "signToken",
    "signTokens",
    "openGrant",
    "listGrants",
    "readGrant",
    "changeGrant",
    "endGrant",
    "revokeTokens",
    "revokeTokensInBatch",
    "listRevocations",
    "readRevocationFile",
    "readRevocation",
    "liftBan",
    "eraseRevocation",
    "listKeys",
    "listVerifiers",
    "readKey",
    "readExposure",
    "readLiveTokens",
    "readPlan",
    "previewPlan",
    "rotate",
    "stopCanary",
    "importKey",
    "revokeKey",
    "createClient",
    "listClients",
    "readClient",
    "checkSigning",
    "setClient",
    "rotateCredential",
    "revokeCredential",
    "deleteClient",
    "deleteIssuer",
    "listApprovals",
    "confirm",
    "reject",
    "readHistory",
    "readAudit",
    "readAuditHead",
    "exportAudit",
    "followEvents",
    "createWebhook",
    "listWebhooks",
    "readWebhook",
    "rotateWebhookSecret",
    "resumeWebhook",
    "deleteWebhook",
    "correctClock",
    "readMasterKey",
    "rotateMasterKey",
    "takeBackup",
    "readRegister",
    "listReplicas",
    "readHealthReport",
    "createConsoleLink",
    "readMetrics",
    "readDescription",
    "readDocumentation",
    "readStart",
    "readKeySet",
    "readKeySetOf",
    "readOpenidConfiguration",
    "readOpenidConfigurationOf",
    "readOauthMetadata",
    "readOauthMetadataOf",
    "preflightKeySet",
    "preflightKeySetOf",
    "preflightOpenidConfiguration",
    "preflightOpenidConfigurationOf",
    "preflightOauthMetadata",
    "preflightOauthMetadataOf",
    "readSsfConfiguration",
    "readSsfConfigurationOf",
    "preflightSsfConfiguration",
    "preflightSsfConfigurationOf",
    "readRevocations",
    "readRevocationsOf",
    "readRevocationSegment",
    "readRevocationSegmentOf",
    "preflightRevocations",
    "preflightRevocationsOf",
    "preflightRevocationSegment",
    "preflightRevocationSegmentOf",
    "readStatusList",
    "readStatusListOf",
    "readStatusLists",
    "readStatusListsOf",
    "preflightStatusList",
    "preflightStatusListOf",
    "preflightStatusLists",
    "preflightStatusListsOf",
    "requestToken",
    "requestTokenOf",
    "introspectToken",
    "introspectTokenOf",
    "consumeToken",
    "consumeTokenOf",
    "takeTokenBack",
    "takeTokenBackOf",
    "revokeGlobally",
    "revokeGloballyOf",
    "pushSecurityEvent",
    "pushSecurityEventOf",
    "createEventStream",
    "createEventStreamOf",
    "readEventStreams",
    "readEventStreamsOf",
    "updateEventStream",
    "updateEventStreamOf",
    "replaceEventStream",
    "replaceEventStreamOf",
    "readEventStreamStatus",
    "readEventStreamStatusOf",
    "setEventStreamStatus",
    "setEventStreamStatusOf",
    "verifyEventStream",
    "verifyEventStreamOf",
    "pollEvents",
    "pollEventsOf",
    "deleteEventStream",
    "deleteEventStreamOf",
    "readHealth",
    "readReadiness",
];

/// Another system whose events are believed.
struct Transmitter {
    keys: Signatory,
    folder: TempDir,
}

impl Transmitter {
    fn new() -> Self {
        let keys = Signatory::new("login-1");
        let folder = tempfile::tempdir().unwrap();
        let jwks = keys.jwks().to_string();
        std::fs::write(folder.path().join("jwks.json"), jwks).unwrap();
        Self { keys, folder }
    }

    fn trusted(&self) -> String {
        let file = self.folder.path().join("jwks.json");
        format!(
            "[[trusted_issuers]]\nname = \"login\"\nissuer = \"https://login.example\"\n\
             audience = \"https://keys.example\"\njwks_file = \"{}\"\n",
            file.display()
        )
    }

    /// A token that says that an account was disabled.
    fn event(&self) -> Value {
        let event = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
        let header = json!({"alg": "ES256", "kid": "login-1", "typ": "secevent+jwt"});
        let claims = json!({
            "iss": "https://login.example", "aud": "https://keys.example",
            "iat": now_millis() / 1000, "jti": format!("{:x}", crate::world::number()),
            "sub_id": {"format": "opaque", "id": "user-9"}, "events": {event: {}},
        });
        json!(self.keys.sign_under(&header, &claims))
    }
}

/// A service that has the master key which the example names, beside its own, believes a transmitter, and
/// has an issuance log.
fn with_two_master_keys(transmitter: &Transmitter) -> Server {
    let master_key = "AQEB".repeat(10) + "AQE=";
    let further = [("KEYWRIGHT_FURTHER_MASTER_KEY", master_key.as_str())];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let configuration = format!(
        "oauth.enabled = true\nissuance_log.to = \"file\"\n{}",
        transmitter.trusted()
    );
    start_with(folder, &configuration, &further).unwrap()
}

#[test]
fn every_example_can_be_sent_and_is_answered_as_described() {
    let transmitter = Transmitter::new();
    let server = with_two_master_keys(&transmitter);
    let document = document();
    let ids: BTreeSet<String> = document
        .operations()
        .into_iter()
        .map(|operation| operation.id)
        .collect();
    let story: BTreeSet<String> = STORY.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(
        ids, story,
        "the document and the story have the same operations"
    );
    let second = create_client(&server, "second", &["security"]);
    let second = second["credential"].as_str().unwrap().to_owned();
    let mut seen = BTreeSet::new();
    for id in STORY {
        let operation = document.operation(id);
        let bodies = operation.bodies();
        let bodies: Vec<Option<&Value>> = match bodies.as_slice() {
            [] => vec![None],
            bodies => bodies.iter().map(|(_, body)| Some(body)).collect(),
        };
        for body in bodies {
            let path = operation.path_with(&existing(&server, id));
            let path = match id {
                "readHistory" => {
                    let now = now_millis();
                    format!("{path}?at={}.{:03}", now / 1000, now % 1000)
                }
                "followEvents" => format!("{path}?max_seconds=1"),
                _ => path,
            };
            let of_stream = id.contains("EventStream") || id.starts_with("pollEvents");
            let stream = match of_stream && !id.starts_with("createEventStream") {
                true => Some(event_stream(&server, id.ends_with("Of"))),
                false => None,
            };
            let path = match &stream {
                Some(stream) if operation.has_query() => format!("{path}?stream_id={stream}"),
                _ => path,
            };
            let named = body.map(|body| match (body.get("stream_id"), &stream) {
                (Some(_), Some(stream)) => {
                    let mut body = body.clone();
                    body["stream_id"] = json!(stream);
                    body
                }
                _ => body.clone(),
            });
            let body = named.as_ref();
            let (used, headers) = match id {
                "consumeToken" => (Some(single_use(&server, "default")), IDEMPOTENCY_KEY),
                "consumeTokenOf" => (Some(single_use(&server, "shop")), IDEMPOTENCY_KEY),
                "pushSecurityEvent" | "pushSecurityEventOf" => {
                    (Some(transmitter.event()), [].as_slice())
                }
                _ => (None, [].as_slice()),
            };
            let body = used.as_ref().or(body);
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect();
            // The client that asks for something does not confirm it.
            let caller = match id {
                "confirm" => &second,
                _ => &server.admin,
            };
            let answer = send_as(caller, &server, &operation, &path, body, &headers);
            assert!(
                (200..300).contains(&answer.status),
                "{id}: {}",
                shown(&answer)
            );
            check(&document, &operation, &answer);
            seen.insert((id, answer.status));
            if operation.value["responses"].get("304").is_some() {
                let tag = answer.header("etag").unwrap().to_owned();
                let again = send(&server, &operation, &path, body, &[("if-none-match", tag)]);
                assert_eq!((again.status, again.body.len()), (304, 0), "{id}");
                check(&document, &operation, &again);
            }
        }
    }
    assert!(
        seen.contains(&("setIssuer", 201)) && seen.contains(&("setIssuer", 200)),
        "an issuer was created and replaced"
    );
}

/// A stream of security events of the administrator, who may have few.
fn event_stream(server: &Server, is_of_shop: bool) -> String {
    let issuer = if is_of_shop { "/shop" } else { "" };
    let url = format!("{}{issuer}/ssf/streams", server.public);
    let headers = [("authorization", format!("Bearer {}", server.admin))];
    let known = request("GET", &url, &headers, None).json();
    if let Some(id) = known[0]["stream_id"].as_str() {
        return id.to_owned();
    }
    let body = ("application/json", b"{}".to_vec());
    let made = request("POST", &url, &headers, Some(body)).json();
    made["stream_id"].as_str().unwrap().to_owned()
}

/// What tells attempts to use a token up apart.
const IDEMPOTENCY_KEY: &[(&str, &str)] = &[("idempotency-key", "6f1b2f0e9f6c4c5c")];

/// The form that uses up a new token which counts once.
fn single_use(server: &Server, issuer: &str) -> Value {
    let body = json!({"claims": {"aud": "orders"}, "single_use": true});
    json!({ "token": server.sign(issuer, &body) })
}

/// Path parameters whose example is the name of something that every service has another of.
fn existing(server: &Server, id: &str) -> Vec<(&'static str, String)> {
    match id {
        "readKey" | "readExposure" | "readLiveTokens" | "revokeKey" => {
            vec![("kid", kid(server, "default", "active"))]
        }
        "deleteClient" | "readClient" | "checkSigning" | "setClient" | "rotateCredential"
        | "revokeCredential" => {
            let client = create_client(server, "short-lived", &["issuer"]);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            vec![
                ("id", text(&client["id"])),
                ("credential", text(&client["credentials"][0]["id"])),
            ]
        }
        "readGrant" | "changeGrant" | "endGrant" => {
            let claims = json!({"sub": "user-1", "aud": "orders"});
            let open = json!({"claims": claims, "client": "public"});
            let made = server.call("POST", "/v1/issuers/default/grants", Some(&open));
            vec![("grant", made.json()["grant"].as_str().unwrap().to_owned())]
        }
        "readRevocation" | "liftBan" | "eraseRevocation" => {
            let ban = json!({"subject": format!("user-{:x}", crate::world::number()), "ban": true});
            let made = server.call("POST", "/v1/issuers/default/revocations", Some(&ban));
            vec![("revocation", made.json()["id"].as_str().unwrap().to_owned())]
        }
        "readWebhook" | "rotateWebhookSecret" | "resumeWebhook" | "deleteWebhook" => {
            let body = json!({"url": "https://hooks.example/", "events": ["key.revoked"]});
            let made = server.call("POST", "/v1/webhooks", Some(&body));
            vec![("webhook", made.json()["id"].as_str().unwrap().to_owned())]
        }
        "readRevocationSegment" => vec![("hash", segment_of(server, "default", ""))],
        "readRevocationSegmentOf" => vec![("hash", segment_of(server, "shop", "/shop"))],
        "readStatusList" => vec![("list", status_list_of(server, "default"))],
        "readStatusListOf" => vec![("list", status_list_of(server, "shop"))],
        "deleteIssuer" => {
            let name = format!("ends-{:x}", crate::world::number());
            create_issuer(server, &name, json!({}));
            vec![("issuer", name)]
        }
        "confirm" | "reject" => {
            let name = format!("ends-{:x}", crate::world::number());
            create_issuer(server, &name, json!({ "confirmation": "second-person" }));
            let path = format!("/v1/issuers/{name}/delete");
            let asked = server.call("POST", &path, Some(&json!({ "reason": "moved" })));
            let approval = &asked.json()["approval"]["id"];
            vec![("approval", approval.as_str().unwrap().to_owned())]
        }
        _ => Vec::new(),
    }
}

/// The address of the list in which a token of an issuer has its entry, whose tokens have one from now on.
fn status_list_of(server: &Server, issuer: &str) -> String {
    let path = format!("/v1/issuers/{issuer}");
    let mut policy = server.call("GET", &path, None).json()["policy"].clone();
    policy["status"] = json!(true);
    assert_eq!(server.call("PUT", &path, Some(&policy)).status, 200);
    let token = server.sign(issuer, &json!({"claims": {}}));
    let claims = Jws::inspect(&token, 65_536).unwrap().claims;
    let uri = claims["status"]["status_list"]["uri"].as_str().unwrap();
    uri.rsplit('/').next().unwrap().to_owned()
}

/// A segment of the feed of an issuer, which has so many revocations that there is one.
fn segment_of(server: &Server, issuer: &str, path: &str) -> String {
    let many: Vec<Value> = (0..100)
        .map(|number| json!({"jti": format!("{number}")}))
        .collect();
    let body = json!({ "revocations": many });
    let batch = format!("/v1/issuers/{issuer}/revocations/batch");
    assert_eq!(server.call("POST", &batch, Some(&body)).status, 201);
    crate::world::eventually("a segment", || {
        let head = server.fetch(&format!("{path}/.well-known/revocations"));
        let claims = Jws::inspect(std::str::from_utf8(&head.body).ok()?, 65_536)
            .ok()?
            .claims;
        Some(claims["segments"][0]["hash"].as_str()?.to_owned())
    })
}

fn send(
    server: &Server,
    operation: &Operation,
    path: &str,
    body: Option<&Value>,
    headers: &[(&str, String)],
) -> Answer {
    send_as(&server.admin, server, operation, path, body, headers)
}

fn send_as(
    caller: &str,
    server: &Server,
    operation: &Operation,
    path: &str,
    body: Option<&Value>,
    headers: &[(&str, String)],
) -> Answer {
    let mut headers = headers.to_vec();
    if !operation.roles.is_empty() {
        headers.push(("authorization", format!("Bearer {caller}")));
    }
    if operation.is_oauth() {
        // kw_<client>_<secret>
        let id = caller.split('_').nth(1).unwrap();
        let pair = STANDARD.encode(format!("{id}:{caller}"));
        headers.push(("authorization", format!("Basic {pair}")));
    }
    let base = match operation.is_public {
        true => &server.public,
        false => &server.internal,
    };
    let body = body.map(|body| {
        let (media_type, _) = operation.body().unwrap();
        (media_type, written(media_type, body).into_bytes())
    });
    request(&operation.method, &format!("{base}{path}"), &headers, body)
}

/// A body as it is sent.
fn written(media_type: &str, body: &Value) -> String {
    if media_type == "application/json" {
        return body.to_string();
    }
    if let Some(text) = body.as_str() {
        return text.to_owned();
    }
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in body.as_object().unwrap() {
        form.append_pair(name, value.as_str().unwrap());
    }
    form.finish()
}

/// Fails unless the document has this answer: its status, its media type, its headers, its body.
fn check(document: &Document, operation: &Operation, answer: &Answer) {
    let what = format!("{} {}", operation.id, answer.status);
    let response = &operation.value["responses"][answer.status.to_string()];
    assert!(!response.is_null(), "{what} is not documented");
    let response = document.resolve(response);
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        if document.resolve(header)["required"] == true {
            assert!(answer.header(name).is_some(), "{what} lacks {name}");
        }
    }
    let Some(content) = response["content"].as_object() else {
        assert!(answer.body.is_empty(), "{what} has a body");
        return;
    };
    let (media_type, content) = content.iter().next().unwrap();
    assert_eq!(
        answer.header("content-type"),
        Some(media_type.as_str()),
        "{what}"
    );
    let value = match media_type.ends_with("json") {
        true => answer.json(),
        false => String::from_utf8_lossy(&answer.body).into(),
    };
    document.assert_valid(&content["schema"], &value, &what);
    if media_type == "application/problem+json" {
        let codes = response["x-codes"].as_array().unwrap();
        assert!(codes.contains(&value["code"]), "{what}: {value}");
        assert_eq!(value["status"], answer.status, "{what}");
    }
}

fn shown(answer: &Answer) -> String {
    format!(
        "{} {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    )
}

#[test]
fn every_shown_body_and_answer_is_one_of_its_schema() {
    let document = document();
    let mut examples = 0;
    for operation in document.operations() {
        let id = &operation.id;
        let schema = operation
            .body()
            .map(|(_, content)| content["schema"].clone());
        let schema = &schema.unwrap_or_default();
        for (name, body) in operation.bodies() {
            document.assert_valid(schema, &body, &format!("{id}, body {name}"));
            examples += 1;
        }
        for (status, response) in operation.value["responses"].as_object().unwrap() {
            let contents = document.resolve(response)["content"].as_object();
            for content in contents.into_iter().flatten().map(|(_, content)| content) {
                if let Some(example) = content.get("example") {
                    document.assert_valid(&content["schema"], example, &format!("{id} {status}"));
                    examples += 1;
                }
            }
        }
    }
    assert!(examples > 30, "only {examples} examples");
}

#[test]
fn the_shown_problem_is_answered_as_it_is_shown() {
    let server = start("");
    let document = document();
    let problem = &document.0["components"]["schemas"]["Problem"];
    let body = json!({ "claims": {}, "expires_in": 4000 });
    let answer = server.call("POST", "/v1/issuers/default/tokens", Some(&body));
    assert_eq!(answer.json(), problem["examples"][0]);
    check(&document, &document.operation("signToken"), &answer);
}

/// Events have many shapes, and the examples meet only some of them.
#[test]
fn every_event_that_can_be_brought_about_is_one_of_the_schema() {
    let transmitter = Transmitter::new();
    let server = with_two_master_keys(&transmitter);
    let document = document();
    let call = |method: &str, path: &str, body: Value| {
        let answer = server.call(method, path, Some(&body));
        assert!(answer.status < 300, "{method} {path}: {}", shown(&answer));
    };
    let short = json!({
        "lead": "1s", "jwks_max_age": "1s", "stale_if_error": "0s", "clock_skew": "0s",
        "default_token_ttl": "1s", "max_token_ttl": "1s", "rotation": {"every": "30d"},
    });
    call("PUT", "/v1/issuers/a", policy("a", short.clone()));
    call(
        "POST",
        "/v1/issuers/a/rotate",
        json!({ "force": true, "reason": "drill" }),
    );
    let path = format!("/v1/issuers/a/keys/{}/revoke", kid(&server, "a", "active"));
    call("POST", &path, json!({ "reason": "leak" }));
    call("POST", "/v1/master-key/rotate", json!({}));
    let hook = json!({ "url": "https://hooks.example/", "events": ["key.revoked"] });
    let hook = server.call("POST", "/v1/webhooks", Some(&hook)).json();
    let hook = format!("/v1/webhooks/{}", hook["id"].as_str().unwrap());
    call("POST", &format!("{hook}/secrets"), json!({}));
    call("POST", &format!("{hook}/resume"), json!({}));
    assert_eq!(server.call("DELETE", &hook, None).status, 204);
    let ban = json!({ "subject": "user-1", "ban": true });
    let ban = server
        .call("POST", "/v1/issuers/a/revocations", Some(&ban))
        .json();
    let lift = format!("/v1/issuers/a/revocations/{}", ban["id"].as_str().unwrap());
    assert_eq!(server.call("DELETE", &lift, None).status, 204);
    call("POST", &format!("{lift}/erase"), json!({}));
    let claims = json!({ "sub": "user-2", "aud": "orders" });
    let grant = json!({ "claims": claims, "client": "public" });
    let grant = server.call("POST", "/v1/issuers/a/grants", Some(&grant));
    let grant = grant.json()["grant"].as_str().unwrap().to_owned();
    let grant = format!("/v1/issuers/a/grants/{grant}");
    assert_eq!(server.call("DELETE", &grant, None).status, 204);
    let mut longer = short;
    longer["max_token_ttl"] = "2s".into();
    call("PUT", "/v1/issuers/a", policy("a", longer));
    let client = create_client(&server, "short-lived", &["issuer"]);
    let path = format!("/v1/clients/{}", client["id"].as_str().unwrap());
    call(
        "PUT",
        &path,
        json!({ "name": "renamed", "roles": ["issuer"] }),
    );
    call("POST", &format!("{path}/credentials"), json!({}));
    let first = client["credentials"][0]["id"].as_str().unwrap();
    let first = format!("{path}/credentials/{first}");
    assert_eq!(server.call("DELETE", &first, None).status, 204);
    assert_eq!(server.call("DELETE", &path, None).status, 204);
    let second = create_client(&server, "second", &["security"]);
    let second = second["credential"].as_str().unwrap();
    let two = json!({ "confirmation": "second-person" });
    call("PUT", "/v1/issuers/b", policy("b", two));
    let ask = || {
        let reason = json!({ "reason": "moved" });
        let asked = server.call("POST", "/v1/issuers/b/delete", Some(&reason));
        let id = asked.json()["approval"]["id"].as_str().unwrap().to_owned();
        format!("/v1/approvals/{id}")
    };
    assert_eq!(server.call("DELETE", &ask(), None).status, 204);
    let confirm = format!("{}/confirm", ask());
    let confirmed = server.call_as(Some(second), "POST", &confirm, None);
    assert_eq!(confirmed.status, 200);
    assert_eq!(server.call("POST", "/v1/backup", None).status, 200);
    let stream = event_stream(&server, false);
    let headers = [("authorization", format!("Bearer {}", server.admin))];
    let url = format!("{}/ssf/streams", server.public);
    let body = json!({"stream_id": stream, "description": "x"}).to_string();
    let body = ("application/json", body.into_bytes());
    assert_eq!(request("PATCH", &url, &headers, Some(body)).status, 200);
    let url = format!("{url}?stream_id={stream}");
    assert_eq!(request("DELETE", &url, &headers, None).status, 204);
    let removed = || {
        let page = server.call("GET", "/v1/audit?limit=1000", None);
        let text = String::from_utf8(page.body.clone()).unwrap();
        text.contains("key-removed").then_some(page)
    };
    let page = crate::world::eventually("the removal of a key", removed);
    check(&document, &document.operation("readAudit"), &page);
    let seen: BTreeSet<String> = page.json()["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect();
    let schema = &document.0["components"]["schemas"]["EventKind"]["enum"];
    let mut documented: BTreeSet<String> = serde_json::from_value(schema.clone()).unwrap();
    // They take a store that was tampered with, a quarter of an hour, and a restore.
    for event in ["corrupt-record", "approval-expired", "restored"] {
        assert!(documented.remove(event), "{event}");
    }
    // Several processes: see tests/replicas.
    assert!(documented.remove("revocations-closed"));
    // A receiver that is gone, and a schedule that stands still: see `webhooks`.
    for event in ["webhook-paused", "rotation-overdue", "event-stream-paused"] {
        assert!(documented.remove(event), "{event}");
    }
    // Successors that wait for copies: see tests/push.
    for event in ["key-confirmed", "key-unconfirmed"] {
        assert!(documented.remove(event), "{event}");
    }
    // A rotation that has waited for verifiers: see `adoption`.
    assert!(documented.remove("adoption-missed"));
    // A schedule that has begun a canary: see `canary`.
    for event in ["key-canary-started", "key-canary-stopped"] {
        assert!(documented.remove(event), "{event}");
    }
    // A clock that was ahead: see tests/access/clock.rs.
    assert!(documented.remove("clock-corrected"));
    // These, a store of an earlier version, and a service that has ended: see tests/master_key.
    for event in ["master-key-named", "master-key-replaced"] {
        assert!(documented.remove(event), "{event}");
    }
    assert_eq!(seen, documented);
    let plan = server.call("GET", "/v1/issuers/a/plan", None);
    check(&document, &document.operation("readPlan"), &plan);
    let keys = server.call("GET", "/v1/issuers/a/keys", None);
    check(&document, &document.operation("listKeys"), &keys);
}

// The request of a signature is read by hand, because the issuance log wants what is good of a bad one.
#[test]
fn a_request_to_sign_is_read_with_the_members_of_its_schema() {
    let server = start("");
    let document = document();
    let call = |member: &str| {
        let mut body = json!({ "claims": {} });
        body[member] = Value::Null;
        let answer = server.call("POST", "/v1/issuers/default/tokens", Some(&body));
        answer.json()["code"].as_str().unwrap().to_owned()
    };
    let schema = &document.0["components"]["schemas"]["SignRequest"];
    for member in schema["properties"].as_object().unwrap().keys() {
        assert_eq!(call(member), "field-type", "{member}");
    }
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(call("jti"), "unknown-field");
    assert_eq!(schema["required"], json!(["claims"]));
    let empty = server.call("POST", "/v1/issuers/default/tokens", Some(&json!({})));
    assert_eq!(empty.json()["field"], "claims");
}

/// Words that generators of clients use for code of their own, by language.
const GENERATED_NAMES: [&str; 14] = [
    "ApiClient",
    "AuthenticatedClient",
    "Client",
    "ClientInterface",
    "ClientOption",
    "ClientWithResponses",
    "Configuration",
    "Error",
    "HttpRequestDoer",
    "NewClient",
    "Request",
    "RequestEditorFn",
    "Response",
    "Server",
];

/// Adds what a generator would read wrongly: where it is, and what it is.
fn find_traps(place: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let place = format!("{place}/{name}");
                let is_bound = ["minimum", "maximum", "const", "default"].contains(&name.as_str());
                if is_bound
                    && member
                        .as_u64()
                        .is_some_and(|bound| i64::try_from(bound).is_err())
                {
                    found.push(format!("{place} is over 2^63 - 1"));
                }
                if name == "properties" || name == "$defs" {
                    let boolean = member.as_object().into_iter().flatten();
                    let boolean = boolean.filter(|(_, schema)| schema.is_boolean());
                    found.extend(boolean.map(|(name, _)| format!("{place}/{name} is a boolean")));
                }
                let words = member
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str);
                let taken = words.filter(|word| {
                    let is_taken = |name: &&str| name.eq_ignore_ascii_case(word);
                    GENERATED_NAMES.iter().any(is_taken)
                });
                if name == "enum" && !members.contains_key("x-enum-varnames") {
                    let place = &place;
                    found.extend(taken.map(|word| format!("{place} has the word {word}")));
                }
                if ["items", "not", "if", "then", "else", "propertyNames"].contains(&name.as_str())
                    && member.is_boolean()
                {
                    found.push(format!("{place} is a boolean"));
                }
                find_traps(&place, member, found);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                find_traps(&format!("{place}/{index}"), element, found);
            }
        }
        _ => {}
    }
}

#[test]
fn no_generator_of_clients_misreads_the_document() {
    let document = document();
    let mut found = Vec::new();
    find_traps("", &document.0["paths"], &mut found);
    find_traps("/components", &document.0["components"], &mut found);
    let schemas = document.0["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys() {
        let is_taken = |taken: &&str| taken.eq_ignore_ascii_case(name);
        if GENERATED_NAMES.iter().any(is_taken) {
            found.push(format!("the schema {name} has a name of generated code"));
        }
        let operations = document.operations();
        // Generators make names of these from the identifiers of operations.
        let made = operations.iter().flat_map(|operation| {
            ["", "Response", "Params", "JsonBody"].map(|end| operation.id.clone() + end)
        });
        found.extend(
            made.filter(|made| made.eq_ignore_ascii_case(name))
                .map(|made| format!("the schema {name} is named like {made} of an operation")),
        );
    }
    for operation in document.operations() {
        for (status, response) in operation.value["responses"].as_object().unwrap() {
            let response = document.resolve(response);
            let problem = &response["content"]["application/problem+json"];
            if problem.is_null() {
                continue;
            }
            let place = format!("{} {status}", operation.id);
            if problem["schema"] != json!({"$ref": "#/components/schemas/Problem"}) {
                found.push(format!("{place} has a problem of its own"));
            }
            let codes = response["x-codes"].as_array().cloned().unwrap_or_default();
            let description = response["description"].as_str().unwrap();
            let is_named = |code: &Value| description.contains(code.as_str().unwrap());
            if codes.is_empty() || !codes.iter().all(is_named) {
                found.push(format!("{place} does not name its codes"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_page_says_everything_and_loads_nothing() {
    let server = start("");
    let answer = plain(&server.internal, "GET", "/docs", &[]);
    assert_eq!(answer.status, 200);
    let start = plain(&server.internal, "GET", "/", &[]);
    assert_eq!(start.body, answer.body);
    let policy = answer.header("content-security-policy").unwrap().to_owned();
    let page = String::from_utf8(answer.body).unwrap();
    // One script runs, and no other: the search.
    let (page, rest) = page.split_once("<script>").unwrap();
    let (script, end) = rest.split_once("</script>").unwrap();
    assert_eq!(end, "\n</body>\n</html>\n");
    let hash = STANDARD.encode(digest(&SHA256, script.as_bytes()));
    let only = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(policy, only);
    for forbidden in [
        "<script",
        "javascript:",
        " src=",
        "<link",
        "@import",
        "url(",
        " onclick",
    ] {
        assert!(!page.contains(forbidden), "the page has {forbidden}");
    }
    let document = document();
    for operation in document.operations() {
        let place = format!("<article id=\"{}\">", operation.id);
        assert_eq!(page.matches(&place).count(), 1, "{}", operation.id);
        assert!(page.contains(&operation.path), "{}", operation.path);
    }
    let codes = &document.0["components"]["schemas"]["ProblemCode"]["x-codes"];
    for code in codes.as_array().unwrap() {
        let place = format!("<tr id=\"problem-{}\">", code["code"].as_str().unwrap());
        assert_eq!(page.matches(&place).count(), 1, "{place}");
    }
    let titles: Vec<&str> = page.split("<h3>").skip(1).collect();
    let titles: Vec<&str> = titles
        .iter()
        .map(|rest| rest.split("</h3>").next().unwrap())
        .collect();
    let distinct: BTreeSet<&&str> = titles.iter().collect();
    assert_eq!(
        distinct.len(),
        titles.len(),
        "two operations have one title"
    );
    let first = page.find("<h2 id=").unwrap();
    assert!(page[first..].starts_with("<h2 id=\"authentication\">"));
    let targets = page.split("href=\"").skip(1);
    for target in targets.map(|rest| rest.split('"').next().unwrap()) {
        let leads = target == "/openapi.json"
            || target
                .strip_prefix('#')
                .is_some_and(|id| page.contains(&format!("id=\"{id}\"")));
        assert!(leads, "{target} leads nowhere");
    }
}

/// The commands beside operations that only read work as they are shown.
#[test]
fn the_commands_of_the_page_can_be_pasted() {
    let server = start("");
    let page = plain(&server.internal, "GET", "/docs", &[]);
    let page = String::from_utf8(page.body).unwrap();
    let articles = page.split("<article id=\"").skip(1);
    let mut run = 0;
    for article in articles {
        let id = article.split('"').next().unwrap();
        let Some((_, rest)) = article.split_once("<pre class=\"curl\">") else {
            continue;
        };
        let command = rest.split("</pre>").next().unwrap();
        let command = command
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&");
        let reads = [
            "listIssuers",
            "listKeys",
            "readIssuer",
            "readKeySet",
            "readMetrics",
            "createClient",
            "signToken",
        ];
        if !reads.contains(&id) {
            continue;
        }
        run += 1;
        let command = command
            .replace("http://127.0.0.1:8081", &server.internal)
            .replace("http://127.0.0.1:8080/", &format!("{}/", server.public));
        let shell = format!("{command} --fail-with-body");
        let output = std::process::Command::new("bash")
            .args(["-c", &shell])
            .current_dir(server.folder().path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{id}: {command}\n{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    assert_eq!(run, 7);
}

/// Each member of a form is read: with a value that no request may have, or beside another proof, it is
/// refused.
#[test]
fn the_forms_of_oauth_are_refused_as_described() {
    let server = start("oauth.enabled = true\n");
    let document = document();
    // It is read by its name alone: a token says what it is.
    let mut seen = BTreeSet::from(["token_type_hint".to_owned()]);
    for (id, body) in [
        ("requestToken", json!({"grant_type": "password"})),
        ("requestToken", json!({"grant_type": ""})),
        (
            "requestToken",
            json!({"grant_type": "refresh_token", "refresh_token": "kwr1.a"}),
        ),
        (
            "requestToken",
            json!({"grant_type": "client_credentials", "audience": "a", "scope": " "}),
        ),
        (
            "requestToken",
            json!({"grant_type": "client_credentials", "resource": "a#b"}),
        ),
        (
            "requestToken",
            json!({"grant_type": "client_credentials", "audience": "a".repeat(300)}),
        ),
        (
            "requestToken",
            json!({"grant_type": "client_credentials", "client_secret": "a"}),
        ),
        (
            "requestToken",
            json!({"grant_type": "client_credentials", "client_assertion": "a", "client_assertion_type": "b"}),
        ),
        (
            "requestToken",
            json!({"grant_type": "client_credentials", "client_id": "another"}),
        ),
        (
            "requestToken",
            json!({"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": "a", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "actor_token": "a", "actor_token_type": "urn:ietf:params:oauth:token-type:jwt"}),
        ),
        (
            "requestToken",
            json!({"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "scope": "a",
                "requested_token_type": "urn:ietf:params:oauth:token-type:txn_token",
                "request_details": "{}", "request_context": "[]"}),
        ),
        (
            "requestToken",
            json!({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a"}),
        ),
        ("introspectToken", json!({"token": ""})),
        ("consumeToken", json!({"token": ""})),
        ("takeTokenBack", json!({"token": ""})),
    ] {
        seen.extend(body.as_object().unwrap().keys().cloned());
        let operation = document.operation(id);
        let path = operation.path_with(&[]);
        let answer = send(&server, &operation, &path, Some(&body), &[]);
        assert!(
            (400..500).contains(&answer.status),
            "{body}: {}",
            answer.status
        );
        check(&document, &operation, &answer);
        let description = answer.json()["error_description"]
            .as_str()
            .unwrap()
            .to_owned();
        let (code, _) = description.split_once(": ").unwrap();
        let response = &operation.value["responses"][answer.status.to_string()];
        let codes = document.resolve(response)["x-codes"]
            .as_array()
            .unwrap()
            .clone();
        assert!(
            codes.contains(&json!(code)),
            "{id}: {code} is not among {codes:?}"
        );
    }
    let schemas = &document.0["components"]["schemas"];
    let members = ["TokenForm", "OneTokenForm"].map(|form| &schemas[form]["properties"]);
    let members = members
        .into_iter()
        .flat_map(|members| members.as_object().unwrap().keys());
    assert_eq!(seen, members.cloned().collect());
}
