//! The OAuth endpoints on a listener that asks clients for a certificate (RFC 8705).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::authority::{Authority, Files, Pair};
use crate::client::Client;
use crate::exchange::Raw;
use crate::support::{Server, request, start, start_in};

/// Where clients are told that the listener is.
const MTLS: &str = "https://mtls.id.example";

const CLIENT_CREDENTIALS: &str = "grant_type=client_credentials&audience=orders";

struct World {
    own: Authority,
    clients: Authority,
    server: Server,
    /// The address of the listener.
    mtls: String,
    _files: Files,
}

fn world() -> World {
    let (own, clients) = (Authority::new(), Authority::new());
    let files = Files::new(&own.server());
    let pair = files.path("server.pem");
    let roots = files.add("clients.pem", &clients.pem);
    let server = start(&format!(
        "oauth.enabled = true\n[oauth.mtls]\nlisten = \"127.0.0.1:0\"\nurl = \"{MTLS}\"\n\
         certificate = {pair:?}\nkey = {pair:?}\nclient_ca = {roots:?}\n"
    ));
    let listen = std::fs::read(server.data().join("listen.json")).unwrap();
    let listen: Value = serde_json::from_slice(&listen).unwrap();
    let mtls = listen["mtls"].as_str().unwrap().to_owned();
    World {
        own,
        clients,
        server,
        mtls,
        _files: files,
    }
}

impl World {
    /// The id of a client that is named by certificates alone.
    fn create(&self, certificates: Value) -> String {
        let body = json!({
            "name": "by certificate", "roles": ["issuer"], "credential": null,
            "certificates": certificates,
        });
        let created = self.server.call("POST", "/v1/clients", Some(&body));
        assert_eq!(created.status, 201, "{}", created.json());
        created.json()["id"].as_str().unwrap().to_owned()
    }

    fn post(&self, shown: &Pair, path: &str, form: &str) -> Raw {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let client = Client::new(&self.own, Some(shown));
        client.send(&self.mtls, &request).unwrap()
    }

    fn renew(&self, shown: &Pair, grant: &Value) -> Raw {
        let token = grant["refresh_token"].as_str().unwrap();
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        self.post(shown, "/token", &form)
    }

    fn open(&self, refresh: Value) -> Value {
        let claims = json!({"sub": "a", "aud": "orders"});
        let body = json!({"claims": claims, "client": "public", "refresh": refresh});
        let path = "/v1/issuers/default/grants";
        let opened = self.server.call("POST", path, Some(&body));
        assert_eq!(opened.status, 201, "{}", opened.json());
        opened.json()
    }
}

fn thumbprint(pair: &Pair) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, &pair.der))
}

fn claims(answer: &Value) -> Value {
    let token = answer["access_token"].as_str().unwrap();
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn refusal(answer: &Raw) -> (u16, Value, String) {
    let document = answer.json();
    let description = document["error_description"].as_str().unwrap_or_default();
    let code = description.split(':').next().unwrap_or_default();
    (answer.status, document["error"].clone(), code.to_owned())
}

fn refused(status: u16, error: &str, code: &str) -> (u16, Value, String) {
    (status, json!(error), code.to_owned())
}

#[test]
fn the_metadata_names_the_listener_and_what_it_does() {
    let world = world();
    let url = format!(
        "{}/.well-known/oauth-authorization-server",
        world.server.public
    );
    let metadata = request("GET", &url, &[], None).json();
    assert_eq!(
        metadata["mtls_endpoint_aliases"],
        json!({
            "token_endpoint": format!("{MTLS}/token"),
            "revocation_endpoint": format!("{MTLS}/revoke"),
            "introspection_endpoint": format!("{MTLS}/introspect"),
            "consumption_endpoint": format!("{MTLS}/consume"),
            "global_token_revocation_endpoint": format!("{MTLS}/global-token-revocation"),
        })
    );
    assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array();
    assert!(methods.unwrap().contains(&json!("tls_client_auth")));
    // Nothing else is there, and no client without a certificate.
    let client = world.clients.caller("orders.internal");
    for path in ["/.well-known/jwks.json", "/readyz", "/v1/clients"] {
        assert_eq!(world.post(&client, path, "").status, 404, "{path}");
    }
    let without = Client::new(&world.own, None);
    let request = "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    assert!(without.send(&world.mtls, request).is_err());
    let stranger = Authority::new().caller("orders.internal");
    let stranger = Client::new(&world.own, Some(&stranger));
    assert!(stranger.send(&world.mtls, request).is_err());
}

#[test]
fn a_client_authenticates_by_its_certificate_and_its_tokens_are_bound_to_it() {
    let world = world();
    let id = world.create(json!([{"dns": "orders.internal"}]));
    let other = world.create(json!([{"dns": "billing.internal"}]));
    let own = world.clients.caller("orders.internal");
    let form = format!("{CLIENT_CREDENTIALS}&client_id={id}");
    let answer = world.post(&own, "/token", &form);
    assert_eq!(answer.status, 200, "{}", answer.json());
    let token = answer.json();
    assert_eq!(token["token_type"], "Bearer");
    let said = claims(&token);
    assert_eq!(said["cnf"], json!({"x5t#S256": thumbprint(&own)}));
    assert_eq!(said["sub"], id);
    // Another client's certificate, one of no client, and none of the two named.
    let foreign = format!("{CLIENT_CREDENTIALS}&client_id={other}");
    let invalid = refused(401, "invalid_client", "credential-invalid");
    let missing = refused(401, "invalid_client", "credential-missing");
    let nameless = world.clients.caller("elsewhere.internal");
    assert_eq!(refusal(&world.post(&own, "/token", &foreign)), invalid);
    assert_eq!(refusal(&world.post(&nameless, "/token", &form)), invalid);
    assert_eq!(
        refusal(&world.post(&own, "/token", CLIENT_CREDENTIALS)),
        missing
    );
    let made_up = format!("{CLIENT_CREDENTIALS}&client_id=made-up");
    assert_eq!(refusal(&world.post(&own, "/token", &made_up)), missing);
    // A header is no certificate.
    let url = format!("{}/token", world.server.public);
    let headers = [("x-client-cert", own.certificate.replace('\n', ""))];
    let form = ("application/x-www-form-urlencoded", form.into_bytes());
    let answer = request("POST", &url, &headers, Some(form));
    assert_eq!(answer.status, 401);
}

#[test]
fn a_grant_is_bound_to_a_certificate() {
    let world = world();
    let (own, thief) = (
        world.clients.caller("page.internal"),
        world.clients.caller("thief.internal"),
    );
    let unproven = refused(400, "invalid_grant", "binding-unproven");
    let named = json!({"bind": "mtls", "thumbprint": thumbprint(&own)});
    for refresh in [named, json!({"bind": "mtls"})] {
        let grant = world.open(refresh);
        let next = world.renew(&own, &grant);
        assert_eq!(next.status, 200, "{}", next.json());
        let next = next.json();
        assert_eq!(claims(&next)["cnf"], json!({"x5t#S256": thumbprint(&own)}));
        assert_eq!(refusal(&world.renew(&thief, &next)), unproven);
        let token = next["refresh_token"].as_str().unwrap();
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        let form = ("application/x-www-form-urlencoded", form.into_bytes());
        let url = format!("{}/token", world.server.public);
        let without = request("POST", &url, &[], Some(form));
        assert_eq!(without.json()["error"], "invalid_grant");
        assert_eq!(world.renew(&own, &next).status, 200);
    }
}

#[test]
fn settings_of_the_listener_that_cannot_be_meant_are_refused() {
    let own = Authority::new();
    let files = Files::new(&own.server());
    let pair = files.path("server.pem");
    let roots = files.add("clients.pem", &own.pem);
    let start = |url: &str, roots: &std::path::Path| {
        let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let settings = format!(
            "oauth.enabled = true\n[oauth.mtls]\nlisten = \"127.0.0.1:0\"\nurl = \"{url}\"\n\
             certificate = {pair:?}\nkey = {pair:?}\nclient_ca = {roots:?}\n"
        );
        start_in(folder, &settings).err().unwrap_or_default()
    };
    for url in [
        "http://mtls.id.example",
        "https://mtls.id.example/a",
        "mtls",
    ] {
        let log = start(url, &roots);
        assert!(log.contains("is not an address such as"), "{url}: {log}");
    }
    let log = start(MTLS, &files.path("none.pem"));
    assert!(
        log.contains("oauth.mtls: ") && log.contains("none.pem"),
        "{log}"
    );
}
