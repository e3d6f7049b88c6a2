//! The second way in: the certificate that a connection was opened with.

use rcgen::{CertificateParams, SanType};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::authority::{Authority, Files, Pair};
use crate::client::{Client, Stream, eventually, exchange};
use crate::exchange::Raw;
use crate::support::{Server, start};

struct World {
    own: Authority,
    callers: Authority,
    server: Server,
    _files: Files,
}

fn world() -> World {
    let (own, callers) = (Authority::new(), Authority::new());
    let files = Files::new(&own.server());
    let server = start(&files.settings_with(&callers, "optional"));
    World {
        own,
        callers,
        server,
        _files: files,
    }
}

fn request(call: &str, authorization: Option<&str>, body: &Value) -> String {
    let authorization = authorization
        .map(|value| format!("Authorization: {value}\r\n"))
        .unwrap_or_default();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let length = body.len();
    format!(
        "{call} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

impl World {
    fn connect(&self, shown: Option<&Pair>) -> Stream {
        let client = Client::new(&self.own, shown);
        client.connect(&self.server.internal).unwrap()
    }

    fn admin(&self, call: &str, body: Value) -> Raw {
        let bearer = format!("Bearer {}", self.server.admin);
        let request = request(call, Some(&bearer), &body);
        exchange(&mut self.connect(None), &request).unwrap()
    }

    /// A client without a credential, and its id.
    fn create(&self, certificates: Value) -> String {
        let body = json!({
            "name": "by certificate", "roles": ["issuer", "security"], "credential": null,
            "certificates": certificates,
        });
        let created = self.admin("POST /v1/clients", body);
        assert_eq!(created.status, 201, "{}", created.json());
        created.json()["id"].as_str().unwrap().to_owned()
    }

    fn signs(&self, shown: Option<&Pair>, authorization: Option<&str>) -> (u16, Value) {
        signs_on(&mut self.connect(shown), authorization)
    }
}

fn signs_on(stream: &mut Stream, authorization: Option<&str>) -> (u16, Value) {
    let call = "POST /v1/issuers/default/tokens";
    let answer = exchange(
        stream,
        &request(call, authorization, &json!({"claims": {}})),
    )
    .unwrap();
    (answer.status, answer.json()["code"].clone())
}

const SIGNED: (u16, Value) = (201, Value::Null);

fn invalid() -> (u16, Value) {
    (401, json!("credential-invalid"))
}

fn uri(name: &str) -> impl FnOnce(&mut CertificateParams) {
    let uri = SanType::URI(name.try_into().unwrap());
    |params| params.subject_alt_names = vec![uri]
}

#[test]
fn a_certificate_lets_in_the_client_that_has_its_name() {
    let world = world();
    let by_name = world.callers.caller("orders.internal");
    let in_capitals = world.callers.caller("ORDERS.Internal");
    let spiffe = "spiffe://example.com/orders";
    let by_uri = world.callers.caller_with("x", uri(spiffe));
    let by_thumbprint = world.callers.caller("billing.internal");
    let its_twin = world.callers.caller("billing.internal");
    let hexadecimal: String = digest(&SHA256, &by_thumbprint.der)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    world.create(json!([{"dns": "orders.internal"}]));
    world.create(json!([{"uri": spiffe}]));
    world.create(json!([{"sha256": hexadecimal}]));
    for pair in [&by_name, &in_capitals, &by_uri, &by_thumbprint] {
        assert_eq!(world.signs(Some(pair), None), SIGNED);
    }
    // Neither parts of a name, nor a name in another place, nor the same name again.
    let common_name = world.callers.caller_with("x", |params| {
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "orders.internal");
    });
    let wildcard = world.callers.caller("*.internal");
    let below = world.callers.caller("a.orders.internal");
    let other_uri = world
        .callers
        .caller_with("x", uri("spiffe://example.com/orders/a"));
    let other_case = world
        .callers
        .caller_with("x", uri("spiffe://example.com/Orders"));
    let uri_as_name = world.callers.caller_with("x", uri("dns:orders.internal"));
    for pair in [
        &its_twin,
        &common_name,
        &wildcard,
        &below,
        &other_uri,
        &other_case,
        &uri_as_name,
    ] {
        assert_eq!(world.signs(Some(pair), None), invalid());
    }
    assert_eq!(world.signs(None, None), (401, json!("credential-missing")));
}

#[test]
fn a_certificate_of_two_clients_is_nobodys_and_one_name_has_one_client() {
    let world = world();
    let both = world.callers.caller_with("x", |params| {
        params.subject_alt_names = vec![
            SanType::DnsName("orders.internal".try_into().unwrap()),
            SanType::DnsName("billing.internal".try_into().unwrap()),
        ];
    });
    let orders = world.create(json!([{"dns": "orders.internal"}]));
    assert_eq!(world.signs(Some(&both), None), SIGNED);
    let billing = world.create(json!([{"dns": "billing.internal"}]));
    assert_eq!(world.signs(Some(&both), None), invalid());
    // The log is read by a thread of its own, which may be behind.
    eventually("a line in the log", || {
        let log = world.server.log();
        log.contains("names several clients").then_some(())
    });

    let terms = |certificates: Value| json!({"name": "a", "roles": ["issuer"], "certificates": certificates});
    for rule in ["orders.internal", "Orders.INTERNAL"] {
        let taken = world.admin("POST /v1/clients", terms(json!([{"dns": rule}])));
        assert_eq!(
            (taken.status, &taken.json()["code"]),
            (409, &json!("certificate-taken"))
        );
    }
    let call = format!("PUT /v1/clients/{billing}");
    let taken = world.admin(&call, terms(json!([{"dns": "orders.internal"}])));
    assert_eq!(
        (taken.status, &taken.json()["code"]),
        (409, &json!("certificate-taken"))
    );
    // Two names of one client are one client.
    let freed = world.admin(&format!("DELETE /v1/clients/{orders}"), Value::Null);
    assert_eq!(freed.status, 204);
    let names = json!([{"dns": "orders.internal"}, {"dns": "billing.internal"}]);
    assert_eq!(world.admin(&call, terms(names)).status, 200);
    assert_eq!(world.signs(Some(&both), None), SIGNED);
}

#[test]
fn authorization_decides_over_the_certificate() {
    let world = world();
    let pair = world.callers.caller("orders.internal");
    world.create(json!([{"dns": "orders.internal"}]));
    let body = json!({"name": "auditor", "roles": ["auditor"]});
    let auditor = world.admin("POST /v1/clients", body).json();
    let auditor = format!("Bearer {}", auditor["credential"].as_str().unwrap());
    assert_eq!(
        world.signs(Some(&pair), Some(&auditor)),
        (403, json!("role-missing"))
    );
    for (wrong, code) in [
        ("Bearer kw_0000000000000000_x", "credential-invalid"),
        ("Bearer", "credential-invalid"),
        ("Bearer x", "credential-invalid"),
        ("Basic YTpi", "credential-missing"),
    ] {
        assert_eq!(
            world.signs(Some(&pair), Some(wrong)),
            (401, json!(code)),
            "{wrong}"
        );
    }
    assert_eq!(world.signs(Some(&pair), None), SIGNED);
}

#[test]
fn a_deletion_ends_access_on_connections_that_are_open() {
    let world = world();
    let pair = world.callers.caller("orders.internal");
    let id = world.create(json!([{"dns": "orders.internal"}]));
    let body = json!({"name": "bearer", "roles": ["issuer"]});
    let other = world.admin("POST /v1/clients", body).json();
    let bearer = format!("Bearer {}", other["credential"].as_str().unwrap());
    let mut by_certificate = world.connect(Some(&pair));
    let mut by_credential = world.connect(None);
    assert_eq!(signs_on(&mut by_certificate, None), SIGNED);
    assert_eq!(signs_on(&mut by_credential, Some(&bearer)), SIGNED);
    for id in [&id, other["id"].as_str().unwrap()] {
        let deleted = world.admin(&format!("DELETE /v1/clients/{id}"), Value::Null);
        assert_eq!(deleted.status, 204);
    }
    assert_eq!(signs_on(&mut by_certificate, None), invalid());
    assert_eq!(signs_on(&mut by_credential, Some(&bearer)), invalid());
}

#[test]
fn the_log_names_the_certificate_and_the_address() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let world = world();
    let pair = world.callers.caller("orders.internal");
    let id = world.create(json!([{"dns": "orders.internal"}]));
    let call = "POST /v1/issuers/default/rotate";
    let rotate = request(call, None, &json!({"force": true}));
    let rotated = exchange(&mut world.connect(Some(&pair)), &rotate).unwrap();
    assert_eq!(rotated.status, 200, "{}", rotated.json());
    let page = world.admin("GET /v1/audit?event=key-activated&limit=1000", Value::Null);
    let events = page.json()["events"].as_array().unwrap().clone();
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &pair.der));
    assert_eq!(
        events.last().unwrap()["actor"],
        json!({
            "kind": "client", "id": id, "name": "by certificate", "via": "certificate",
            "sha256": thumbprint, "address": "127.0.0.1",
        })
    );
}

#[test]
fn neither_keys_of_certificates_nor_credentials_reach_log_or_files() {
    let (own, callers) = (Authority::new(), Authority::new());
    let server_pair = own.server();
    let files = Files::new(&server_pair);
    let settings = files.settings_with(&callers, "optional");
    let server = start(&format!("log.filter = \"trace\"\n{settings}"));
    let world = World {
        own,
        callers,
        server,
        _files: files,
    };
    let pair = world.callers.caller("orders.internal");
    world.create(json!([{"dns": "orders.internal"}]));
    assert_eq!(world.signs(Some(&pair), None), SIGNED);
    let stranger = Authority::new().caller("orders.internal");
    let refused = Client::new(&world.own, Some(&stranger));
    assert!(
        refused
            .send(
                &world.server.internal,
                &request("GET /metrics", None, &Value::Null)
            )
            .is_err()
    );
    let admin = world.server.admin.clone();
    assert_eq!(
        world.signs(Some(&pair), Some(&format!("Bearer {admin}"))),
        SIGNED
    );
    assert_eq!(
        world.signs(Some(&pair), Some(&format!("Bearer {admin}x"))),
        invalid()
    );
    let log = world.server.log();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "the log is talkative"
    );
    let line = |pair: &Pair| pair.key.lines().nth(2).unwrap().to_owned();
    for secret in [line(&server_pair), line(&pair), line(&stranger)] {
        assert!(!log.contains(&secret));
        assert!(!crate::support::files_contain(
            &world.server.data(),
            secret.as_bytes()
        ));
    }
    assert!(!log.contains(&admin[20..]));
}

#[test]
fn a_certificate_signs_in_to_the_console_without_a_session() {
    let world = world();
    let caller = world.callers.caller("oncall.internal");
    world.create(json!([{"dns": "oncall.internal"}]));
    let page = |shown: Option<&Pair>| {
        let request = "GET /console/issuers/default HTTP/1.1\r\nHost: localhost\r\n\r\n";
        exchange(&mut world.connect(shown), request).unwrap()
    };
    let answer = page(Some(&caller));
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(answer.status, 200, "{text}");
    assert!(
        text.contains("by certificate") && text.contains("Rotate now"),
        "{text}"
    );
    assert!(!text.contains("Sign out"), "there is no session to end");
    assert_eq!(answer.header("set-cookie"), None);
    // Its forms have a token of their own, and a page elsewhere does not know it.
    let token = text.split("name=\"form_token\" value=\"").nth(1).unwrap();
    let token = token.split('"').next().unwrap();
    let rotate = |token: &str, from: &str| {
        let body = format!("form_token={token}&force=yes");
        let head = "POST /console/issuers/default/rotate HTTP/1.1\r\nHost: localhost\r\n";
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let length = body.len();
        let request = format!(
            "{head}Sec-Fetch-Site: {from}\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        exchange(&mut world.connect(Some(&caller)), &request)
            .unwrap()
            .status
    };
    assert_eq!(rotate(token, "cross-site"), 403);
    assert_eq!(rotate("other", "same-origin"), 403);
    assert_eq!(rotate(token, "same-origin"), 200);
    // Without one, or with one that names no client, there is the sign-in.
    assert_eq!(page(None).status, 303);
    assert_eq!(
        page(Some(&world.callers.caller("nobody.internal"))).status,
        303
    );
}
