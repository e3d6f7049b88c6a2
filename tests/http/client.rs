//! The crate keywright-client against a real service, and against servers that are none.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;

use keywright_api::{
    AuditEvent, AuditPage, BatchResult, EventKind, IssuerName, KeyState, RevokeRequest,
    RotateRequest, SignRequest,
};
use keywright_client::{
    AuditFilter, Client, Credential, Download, Error, RevocationFilter, ServiceAddress,
};
use serde_json::{Map, Value, json};

use crate::support::{Server, start};

fn issuer() -> IssuerName {
    IssuerName::parse("default").unwrap()
}

fn client_of(address: &str, credential: &str) -> Client {
    let address = ServiceAddress::parse(address).unwrap();
    let credential = Credential::parse(credential).unwrap();
    Client::new(&address).unwrap().with_credential(credential)
}

fn client(server: &Server) -> Client {
    client_of(&server.internal, &server.admin)
}

async fn whole(mut download: Download) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = download.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[test]
fn every_operation_of_the_internal_api_has_a_method_of_its_name() {
    let methods = include_str!("../../client/src/operations.rs");
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let mut missing = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let ids = operations.as_object().unwrap().values();
        for id in ids.filter_map(|operation| operation.get("operationId")?.as_str()) {
            let mut name = String::new();
            for letter in id.chars() {
                if letter.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(letter.to_ascii_lowercase());
            }
            let is_there = ["(", "<"]
                .iter()
                .any(|next| methods.contains(&format!("fn {name}{next}")));
            if path.starts_with("/v1/") && !is_there {
                missing.push(name);
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[tokio::test]
async fn keys_tokens_and_the_log_are_read_and_changed() {
    let server = start("");
    let (client, issuer) = (client(&server), issuer());

    let request: SignRequest =
        serde_json::from_value(json!({"claims": {"sub": "user-1"}, "expires_in": 60})).unwrap();
    let token = client.sign_token(&issuer, &request).await.unwrap();
    let batch = json!({"requests": [{"claims": {}}, {"claims": {"iss": "x"}}]});
    let results = client.sign_tokens(&issuer, &batch).await.unwrap().results;
    assert!(matches!(&results[0], BatchResult::Token(_)));
    assert!(matches!(&results[1], BatchResult::Problem(_)));

    let keys = client.list_keys(&issuer).await.unwrap().keys;
    let signer = keys.iter().find(|key| key.kid == token.kid).unwrap();
    assert_eq!(signer.state, KeyState::Active);
    assert_eq!(&client.read_key(&issuer, &token.kid).await.unwrap(), signer);
    let verifiers = client.list_verifiers(&issuer).await.unwrap();
    assert!(verifiers.keys.iter().any(|key| key.kid == token.kid));
    let rotated = client
        .rotate(&issuer, &RotateRequest::default())
        .await
        .unwrap();
    assert!(!rotated.forced);
    let retired = client.read_key(&issuer, &token.kid).await.unwrap();
    assert_eq!(retired.state, KeyState::Retired);
    let expected = client
        .read_exposure(&issuer, &token.kid, false)
        .await
        .unwrap();
    let reason = "a test".parse().unwrap();
    let request = RevokeRequest {
        reason,
        discard_successor: None,
    };
    let exposure = client
        .revoke_key(&issuer, &token.kid, &request)
        .await
        .unwrap();
    assert_eq!(exposure.revoked, expected.revoked);

    let ban = json!({"subject": "a&b=c", "ban": true});
    let revocation = client
        .revoke_tokens(&issuer, &ban)
        .await
        .unwrap()
        .revocation;
    let filter = RevocationFilter {
        selector: revocation.selector.clone(),
        is_live: Some(true),
    };
    let found = client
        .list_revocations(&issuer, &filter, None, 10)
        .await
        .unwrap();
    assert_eq!(found.revocations.len(), 1);
    client.lift_ban(&issuer, &revocation.id).await.unwrap();

    let filter = AuditFilter {
        kid: Some(token.kid.clone()),
        ..AuditFilter::default()
    };
    let page: AuditPage<AuditEvent> = client.read_audit(&filter, 0, 100).await.unwrap();
    assert_eq!(page.events.last().unwrap().event, EventKind::KeyRevoked);
    let export = client.export_audit(0).await.unwrap();
    let lines = String::from_utf8(whole(export).await.unwrap()).unwrap();
    let head = client.read_audit_head().await.unwrap();
    assert_eq!(u64::try_from(lines.lines().count()).unwrap(), head.sequence);
    assert!(client.read_health_report().await.unwrap().ready);
}

#[tokio::test]
async fn refusals_have_a_code_and_changes_meet_the_record_that_was_read() {
    let server = start("");
    let (client, issuer) = (client(&server), issuer());
    let reserved = json!({"claims": {"iss": "x"}});
    let refused = client
        .sign_token(&issuer, &reserved)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(refused.code(), Some("claim-reserved"));
    let unknown = IssuerName::parse("other").unwrap();
    let refused = client.read_issuer(&unknown).await.unwrap_err();
    assert_eq!(refused.code(), Some("unknown-issuer"));

    let answer = client.read_issuer(&issuer).answer().await.unwrap();
    let mut policy: Map<String, Value> = serde_json::from_str(answer.text()).unwrap();
    let mut policy = policy["policy"].take();
    policy["max_token_ttl"] = "2h".into();
    let tag = answer.entity_tag().unwrap();
    client
        .set_issuer(&issuer, &policy, Some(tag))
        .await
        .unwrap();
    let late = client
        .set_issuer(&issuer, &policy, Some(tag))
        .await
        .unwrap_err();
    assert_eq!(late.code(), Some("precondition-failed"));

    policy["confirmation"] = "second-person".into();
    client.set_issuer(&issuer, &policy, None).await.unwrap();
    let everything = json!({"issuer": true, "reason": "a test"});
    let waits = client
        .revoke_tokens(&issuer, &everything)
        .await
        .unwrap_err();
    let Error::Awaits(awaited) = waits else {
        panic!("{waits}");
    };
    let approvals = client.list_approvals().await.unwrap().approvals;
    assert_eq!(approvals, std::slice::from_ref(&awaited.approval));
    client.reject(&awaited.approval.id).await.unwrap();
}

#[tokio::test]
async fn a_credential_that_is_wrong_is_refused_and_never_shown() {
    let server = start("");
    let wrong = client_of(&server.internal, "kw_wrong_secret");
    let refused = wrong.list_issuers().await.unwrap_err();
    assert_eq!(refused.code(), Some("credential-invalid"));
    for shown in [refused.to_string(), format!("{refused:?}")] {
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[tokio::test]
async fn a_unix_socket_leads_to_the_service() {
    let server = start("");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("internal.sock");
    forward(
        &path,
        server.internal.strip_prefix("http://").unwrap().to_owned(),
    );
    let client = client_of(&format!("unix://{}", path.display()), &server.admin);
    let token = client
        .sign_token(&issuer(), &json!({"claims": {}}))
        .await
        .unwrap();
    assert!(token.token.starts_with("ey"));
}

/// A socket whose connections end at a TCP address.
fn forward(path: &Path, to: String) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for here in listener.incoming() {
            let (mut here, mut there) = (here.unwrap(), TcpStream::connect(&to).unwrap());
            let (mut back, mut from) = (here.try_clone().unwrap(), there.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut here, &mut there);
                let _ = there.shutdown(Shutdown::Write);
            });
            std::thread::spawn(move || std::io::copy(&mut from, &mut back));
        }
    });
}

/// A server that sends the same to everyone, and closes.
fn sends(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                request.extend(byte);
            }
            let _ = stream.write_all(&answer);
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn what_is_no_keywright_is_told_apart() {
    let page = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>".to_vec();
    let moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(17 * 1024 * 1024, b' ');
    for (answer, what) in [
        (page, "another document"),
        (moved.to_vec(), "status 302"),
        (endless, "more than"),
    ] {
        let client = client_of(&sends(answer), "kw_1_secret");
        let error = client.list_issuers().await.unwrap_err();
        assert!(matches!(error, Error::UnexpectedAnswer { .. }), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
    }
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let client = client_of(&format!("http://{closed}"), "kw_1_secret");
    let error = client.list_issuers().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_download_that_ends_early_is_no_download() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec();
    let client = client_of(&sends(half), "kw_1_secret");
    let error = whole(client.take_backup().await.unwrap())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}
