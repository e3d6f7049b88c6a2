//! Copies that are values of a ConfigMap. No real cluster is here: a server of the test's own speaks the part of
//! the Kubernetes API that is used, by its conventions (resourceVersion, merge patch, Status), over HTTPS.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{Server, eventually, start};
use super::{create, events, kids, rotate, successor, text, unhealthy_copies};

const TOKEN: &str = "the-token-of-the-service-account";

/// The one ConfigMap of a cluster, and what happens to it.
#[derive(Default)]
struct Cluster {
    map: Mutex<Option<Value>>,
    /// Another writer changes it just before this many changes come.
    rivals: AtomicUsize,
    /// How many requests had no usable token.
    unauthorized: AtomicUsize,
}

fn status(code: u16, reason: &str) -> (u16, Value) {
    let document = json!({"kind": "Status", "status": "Failure", "reason": reason, "code": code});
    (code, document)
}

impl Cluster {
    /// Counts the version on, as each write does.
    fn write(map: &mut Value) {
        let version = map["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        let version: u64 = version.parse().unwrap();
        map["metadata"]["resourceVersion"] = json!((version + 1).to_string());
    }

    fn answer(&self, method: &str, path: &str, head: &str, body: &str) -> (u16, Value) {
        if !head.contains(&format!("authorization: Bearer {TOKEN}\r\n")) {
            self.unauthorized.fetch_add(1, Ordering::SeqCst);
            return status(401, "Unauthorized");
        }
        let all = "/api/v1/namespaces/gateways/configmaps";
        let mut map = self.map.lock().unwrap();
        if method != "GET" && self.rivals.load(Ordering::SeqCst) > 0 {
            self.rivals.fetch_sub(1, Ordering::SeqCst);
            let rival = map.get_or_insert_with(|| json!({"metadata": {}, "data": {}}));
            rival["data"]["other"] = json!("kept");
            Self::write(rival);
        }
        match (method, map.as_mut()) {
            ("GET", Some(map)) if path == format!("{all}/jwks") => (200, map.clone()),
            ("GET", _) => status(404, "NotFound"),
            ("POST", None) if path == all => {
                let mut created: Value = serde_json::from_str(body).unwrap();
                assert_eq!(created["metadata"]["name"], "jwks");
                Self::write(&mut created);
                *map = Some(created.clone());
                (201, created)
            }
            ("POST", Some(_)) => status(409, "AlreadyExists"),
            ("PATCH", Some(map)) if path == format!("{all}/jwks") => {
                assert!(head.contains("content-type: application/merge-patch+json\r\n"));
                let patch: Value = serde_json::from_str(body).unwrap();
                let version = &patch["metadata"]["resourceVersion"];
                if *version != map["metadata"]["resourceVersion"] {
                    return status(409, "Conflict");
                }
                merge(map, &patch);
                Self::write(map);
                (200, map.clone())
            }
            _ => status(405, "MethodNotAllowed"),
        }
    }

    fn value(&self, key: &str) -> Option<String> {
        let map = self.map.lock().unwrap();
        Some(map.as_ref()?["data"][key].as_str()?.to_owned())
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in members {
        merge(&mut target[name], value);
    }
}

/// Serves a cluster, and returns its URL. What a pod would find is in the folder.
fn serve(cluster: &Arc<Cluster>, folder: &TempDir) -> String {
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    std::fs::write(folder.path().join("ca.crt"), &pem).unwrap();
    std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config =
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (cluster, config) = (Arc::clone(cluster), Arc::new(config));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut bytes = Vec::new();
            let mut chunk = [0; 4096];
            let request = loop {
                let Ok(count @ 1..) = stream.read(&mut chunk) else {
                    break None;
                };
                bytes.extend_from_slice(&chunk[..count]);
                let read = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = read.split_once("\r\n\r\n") {
                    let length = head.lines().find_map(|line| {
                        let value = line.strip_prefix("content-length: ")?;
                        value.parse::<usize>().ok()
                    });
                    if body.len() >= length.unwrap_or_default() {
                        break Some((format!("{head}\r\n"), body.to_owned()));
                    }
                }
            };
            let Some((head, body)) = request else {
                continue;
            };
            let mut line = head.split(' ');
            let (method, path) = (line.next().unwrap(), line.next().unwrap());
            let (status, document) = cluster.answer(method, path, &head, &body);
            let document = document.to_string();
            let length = document.len();
            let _ = stream.write_all(
                format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n{document}")
                    .as_bytes(),
            );
            let _ = stream.flush();
        }
    });
    format!("https://localhost:{port}")
}

fn configuration(url: &str, folder: &TempDir) -> String {
    let file = |name: &str| folder.path().join(name);
    let (token, ca) = (file("token"), file("ca.crt"));
    format!(
        "push.cluster = {{ delay = \"3s\", config_map = {{ namespace = \"gateways\", name = \"jwks\", \
         key = \"{{issuer}}.json\", api_server = \"{url}\", token_file = {token:?}, ca = {ca:?} }} }}\n"
    )
}

fn wait_for_key(cluster: &Cluster, key: &str, kid: &str) -> String {
    eventually("the copy has the key", || {
        let copy = cluster.value(key)?;
        kids(&copy).contains(&kid.to_owned()).then_some(copy)
    })
}

fn kid_of_successor(server: &Server, issuer: &str) -> String {
    successor(server, issuer)["kid"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn config_map_has_the_sets_of_all_issuers_and_its_delay_counts() {
    let (cluster, folder) = (Arc::<Cluster>::default(), tempfile::tempdir().unwrap());
    let server = start(&configuration(&serve(&cluster, &folder), &folder));
    create(&server, "orders", &["cluster"]);
    create(&server, "payments", &["cluster"]);
    assert_eq!(rotate(&server, "orders", false).status, 200);
    let kid = kid_of_successor(&server, "orders");
    let copy = wait_for_key(&cluster, "orders.json", &kid);
    assert_eq!(copy, text(&server.fetch("/orders/.well-known/jwks.json")));
    wait_for_key(
        &cluster,
        "payments.json",
        &kid_of_successor(&server, "payments"),
    );
    let confirmed = eventually("a confirmation", || events(&server, "key-confirmed").pop());
    assert_eq!(confirmed["kid"], kid.as_str());
    // The lead of 2 s counts from the delay on.
    let waits = confirmed["ready_at"].as_u64().unwrap() - confirmed["at"].as_u64().unwrap();
    assert!(waits >= 5, "{confirmed}");
    assert_eq!(cluster.unauthorized.load(Ordering::SeqCst), 0);
    assert!(!server.log().contains(TOKEN));
}

#[test]
fn change_that_another_writer_has_overtaken_is_refused_and_made_again() {
    let (cluster, folder) = (Arc::<Cluster>::default(), tempfile::tempdir().unwrap());
    cluster.rivals.store(2, Ordering::SeqCst);
    let server = start(&configuration(&serve(&cluster, &folder), &folder));
    create(&server, "orders", &["cluster"]);
    wait_for_key(
        &cluster,
        "orders.json",
        &kid_of_successor(&server, "orders"),
    );
    assert_eq!(cluster.rivals.load(Ordering::SeqCst), 0);
    assert_eq!(cluster.value("other").as_deref(), Some("kept"));
    let log = server.log();
    let refusals = log.matches("another process has changed the ConfigMap meanwhile");
    assert_eq!(refusals.count(), 2, "{log}");
}

#[test]
fn token_that_is_not_accepted_is_told_and_the_next_one_is_read() {
    let (cluster, folder) = (Arc::<Cluster>::default(), tempfile::tempdir().unwrap());
    let settings = configuration(&serve(&cluster, &folder), &folder);
    let token = folder.path().join("token");
    std::fs::write(&token, "expired").unwrap();
    let server = start(&settings);
    create(&server, "orders", &["cluster"]);
    let unhealthy = eventually("a report", || unhealthy_copies(&server).pop());
    assert_eq!(
        unhealthy["reason"],
        "cannot read the ConfigMap: status 401 Unauthorized"
    );
    std::fs::write(&token, TOKEN).unwrap();
    wait_for_key(
        &cluster,
        "orders.json",
        &kid_of_successor(&server, "orders"),
    );
}
