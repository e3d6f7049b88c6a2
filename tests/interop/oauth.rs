//! OAuth clients that keywright did not write. Each is told the issuer's URL and its own credentials, and
//! finds everything else by discovery.

use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_verifier::{Algorithm, JwkSet, Jws};
use oauth2::basic::{BasicClient, BasicTokenType};
use oauth2::{
    AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RequestTokenError, Scope,
    TokenResponse as _, TokenUrl,
};
use p256::elliptic_curve::Generate as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use serde_json::{Value, json};

use crate::support::{Server, eventually, report, request, since_epoch, start};
use crate::verifiers::{node, node_script, python, python_script};
use crate::{create_issuer, verifiers};

const AUDIENCE: &str = "https://orders.example";
const BILLING: &str = "https://billing.example";

/// An issuer, and what its clients have in their environment.
struct Site {
    server: Server,
    issuer: String,
    environment: Vec<(&'static str, String)>,
}

impl Site {
    fn new() -> Self {
        let server = start("oauth.enabled = true\noauth.dpop_nonce = true\n");
        let started = since_epoch().as_secs();
        let issuer = create_issuer(&server, "shop", json!({"algorithms": ["ES256", "RS256"]}));
        let limits = json!({"audiences": [AUDIENCE], "scopes": ["orders:read", "orders:write"]});
        let (public, private) = key_pair();
        let secret = client(&server, json!({"roles": ["issuer"], "limits": limits}));
        let keyed = client(
            &server,
            json!({"roles": ["issuer"], "limits": limits, "jwks": {"keys": [public]}, "credential": null}),
        );
        let audiences = json!({ "audiences": [AUDIENCE] });
        let service = client(
            &server,
            json!({"roles": ["introspector"], "limits": audiences}),
        );
        let limits = json!({"audiences": [AUDIENCE, BILLING], "scopes": ["orders:read"]});
        let trader = json!({"roles": ["exchanger"], "limits": limits});
        let trader = client(&server, trader);
        // Assertions from the second of the start are refused.
        eventually("the next second", || {
            (since_epoch().as_secs() > started + 1).then_some(())
        });
        let text =
            |client: &Value, name: &str| client[name].as_str().unwrap_or_default().to_owned();
        let environment = vec![
            ("ISSUER", issuer.clone()),
            ("CLIENT_ID", text(&secret, "id")),
            ("CLIENT_SECRET", text(&secret, "credential")),
            ("KEY_CLIENT_ID", text(&keyed, "id")),
            ("KEY", private.to_string()),
            ("SERVICE_ID", text(&service, "id")),
            ("SERVICE_SECRET", text(&service, "credential")),
            ("TRADER_ID", text(&trader, "id")),
            ("TRADER_SECRET", text(&trader, "credential")),
        ];
        Self {
            server,
            issuer,
            environment,
        }
    }

    /// What a client has in its environment.
    fn value(&self, name: &str) -> String {
        let mut all = self.environment.iter();
        let (_, value) = all.find(|(other, _)| *other == name).unwrap();
        value.clone()
    }

    /// What the issuer says of itself (RFC 8414).
    fn metadata(&self) -> Value {
        let (origin, path) = self.issuer.rsplit_once('/').unwrap();
        let url = format!("{origin}/.well-known/oauth-authorization-server/{path}");
        request("GET", &url, &[], None).json()
    }

    /// Runs a client, and answers the line that it prints.
    fn run(&self, name: &str, mut command: Command) -> Value {
        let output = command
            .envs(self.environment.iter().cloned())
            .env(
                "CLIENT_GRANT",
                self.grant(&self.environment[1].1, json!({})),
            )
            .env("PUBLIC_GRANT", self.grant("public", json!({})))
            .env("BOUND_GRANT", self.grant("public", json!({"bind": "dpop"})))
            .env("USER_TOKEN", self.user_token())
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (said, errors) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{name}: {said}{errors}");
        serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{name}: {error}: {said}{errors}"))
    }

    /// A token of a user that a service was called with.
    fn user_token(&self) -> String {
        let claims = json!({"sub": "user-1", "aud": AUDIENCE, "scope": "orders:read orders:write"});
        self.server.sign("shop", &json!({ "claims": claims }))
    }

    /// Checks that a client has traded a user's token in for one that says less.
    fn check_trade(&self, name: &str, said: &Value) {
        let traded = &said["traded"];
        let kind = "urn:ietf:params:oauth:token-type:access_token";
        assert_eq!(traded["issued_token_type"], kind, "{name}");
        let jws = Jws::parse(traded["access_token"].as_str().unwrap(), 8192).unwrap();
        let claims = jws.unverified_claims().unwrap();
        assert_eq!(claims["sub"], "user-1", "{name}");
        assert_eq!(claims["aud"], BILLING, "{name}");
        assert_eq!(claims["scope"], "orders:read", "{name}");
        assert_eq!(claims["act"]["sub"], claims["client_id"], "{name}");
        assert_eq!(said["wider"], "invalid_scope", "{name}");
        report(&format!("{name}: token exchange"));
    }

    /// The refresh token of a new grant.
    fn grant(&self, client: &str, refresh: Value) -> String {
        let claims = json!({"sub": "user-1", "aud": AUDIENCE, "scope": "orders:read"});
        let body = json!({"claims": claims, "client": client, "refresh": refresh});
        let opened = self
            .server
            .call("POST", "/v1/issuers/shop/grants", Some(&body));
        assert_eq!(opened.status, 201, "{}", opened.json());
        opened.json()["refresh_token"].as_str().unwrap().to_owned()
    }

    /// Checks that a client has renewed two grants three times each, and was told of the reuse of a token.
    fn check_renewals(&self, name: &str, said: &Value) {
        let url = format!("{}/.well-known/jwks.json", self.issuer);
        let keys = JwkSet::parse(&request("GET", &url, &[], None).body).unwrap();
        let renewed = said["renewed"].as_array().unwrap();
        assert_eq!(renewed.len(), 6, "{name}");
        for of_grant in renewed.chunks(3) {
            let sessions = of_grant.iter().map(|token| {
                let jws = Jws::parse(token.as_str().unwrap(), 8192).unwrap();
                let verified = jws.verify(&keys, &Algorithm::ALL).unwrap();
                let claims: Value = serde_json::from_slice(verified.payload()).unwrap();
                assert_eq!(claims["sub"], "user-1", "{name}");
                claims["sid"].clone()
            });
            let sessions: Vec<Value> = sessions.collect();
            assert!(
                sessions
                    .iter()
                    .all(|sid| *sid == sessions[0] && sid.is_string()),
                "{name}"
            );
        }
        assert_eq!(
            said["reused"],
            json!(["invalid_grant", "invalid_grant"]),
            "{name}"
        );
        report(&format!("{name}: refresh with rotation"));
    }

    /// Checks that a client got tokens that are bound to its keys, one of its own and three of a grant, and that
    /// the grant is of no use without its key.
    fn check_bound(&self, name: &str, said: &Value) {
        let url = format!("{}/.well-known/jwks.json", self.issuer);
        let keys = JwkSet::parse(&request("GET", &url, &[], None).body).unwrap();
        let bound = said["bound"].as_array().unwrap();
        let thumbprints: Vec<Value> = bound
            .iter()
            .map(|answer| {
                // RFC 6749 §5.1: the case of the type does not count, and both libraries read it in lower case.
                let token_type = answer["token_type"].as_str().unwrap();
                assert!(token_type.eq_ignore_ascii_case("DPoP"), "{name}");
                let jws = Jws::parse(answer["access_token"].as_str().unwrap(), 8192).unwrap();
                let verified = jws.verify(&keys, &Algorithm::ALL).unwrap();
                let claims: Value = serde_json::from_slice(verified.payload()).unwrap();
                claims["cnf"]["jkt"].clone()
            })
            .collect();
        let [own, of_grant @ ..] = thumbprints.as_slice() else {
            panic!("{name}: no token is bound");
        };
        assert!(
            own.is_string() && of_grant.len() == 3,
            "{name}: {thumbprints:?}"
        );
        assert!(of_grant.iter().all(|one| *one == of_grant[0]), "{name}");
        assert_ne!(*own, of_grant[0], "{name}");
        assert_eq!(said["stolen"], "invalid_grant", "{name}");
        report(&format!("{name}: DPoP with nonces"));
    }

    /// Checks that a client got a good token by each of these methods.
    fn check(&self, name: &str, said: &Value, methods: &[&str], refusal: &str) {
        let url = format!("{}/.well-known/jwks.json", self.issuer);
        let keys = JwkSet::parse(&request("GET", &url, &[], None).body).unwrap();
        let tokens = said["tokens"].as_object().unwrap();
        let found: Vec<&str> = tokens.keys().map(String::as_str).collect();
        assert_eq!(found, methods, "{name}");
        for (method, token) in tokens {
            let jws = Jws::parse(token.as_str().unwrap(), 8192).unwrap();
            let verified = jws.verify(&keys, &Algorithm::ALL).unwrap();
            let claims: Value = serde_json::from_slice(verified.payload()).unwrap();
            assert_eq!(jws.typ(), Some("at+jwt"), "{name}, {method}");
            assert_eq!(claims["aud"], AUDIENCE, "{name}, {method}");
            assert_eq!(claims["sub"], claims["client_id"], "{name}, {method}");
        }
        assert_eq!(said["refused"], refusal, "{name}");
        report(&format!("{name}: {}", methods.join(", ")));
    }
}

/// A P-256 key as a public and a private JWK.
fn key_pair() -> (Value, Value) {
    let secret = p256::SecretKey::try_generate_from_rng(&mut rand::rngs::SysRng).unwrap();
    let point = secret.public_key().to_sec1_point(false);
    let public = json!({
        "kty": "EC", "crv": "P-256", "kid": "mine", "use": "sig", "alg": "ES256",
        "x": URL_SAFE_NO_PAD.encode(point.x().unwrap()),
        "y": URL_SAFE_NO_PAD.encode(point.y().unwrap()),
    });
    let mut private = public.clone();
    private["d"] = URL_SAFE_NO_PAD.encode(secret.to_bytes()).into();
    (public, private)
}

fn client(server: &Server, mut body: Value) -> Value {
    body["name"] = "a generic client".into();
    let answer = server.call("POST", "/v1/clients", Some(&body));
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

/// A token that a client has taken back is active before and not afterwards.
fn assert_taken_back(name: &str, said: &Value) {
    assert_eq!(
        (&said["before"], &said["after"]),
        (&json!(true), &json!(false)),
        "{name}"
    );
}

#[test]
fn node_clients_configure_themselves_by_discovery() {
    let Some(folder) = node() else { return };
    let installed = folder.join("node_modules/oauth4webapi").is_dir();
    if !verifiers::available(
        "KEYWRIGHT_SKIP_NODE",
        "openid-client, oauth4webapi",
        installed,
    ) {
        return;
    }
    let site = Site::new();
    let name = "openid-client";
    let said = site.run(name, node_script(&folder, "oauth-openid-client.mjs"));
    let methods = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ];
    site.check(name, &said, &methods, "invalid_scope");
    site.check_renewals(name, &said);
    site.check_bound(name, &said);
    site.check_trade(name, &said);
    assert_taken_back(name, &said);
    let name = "oauth4webapi";
    let said = site.run(name, node_script(&folder, "oauth-oauth4webapi.mjs"));
    site.check(name, &said, &["client_secret_post"], "invalid_target");
    site.check_renewals(name, &said);
    site.check_bound(name, &said);
    assert_taken_back(name, &said);
}

#[test]
fn authlib_configures_itself_by_the_metadata() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let said = site.run("Authlib", python_script(&python, "oauth_authlib.py"));
    let methods = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ];
    site.check("Authlib", &said, &methods, "invalid_target");
    site.check_renewals("Authlib", &said);
    assert_taken_back("Authlib", &said);
}

#[test]
fn go_configures_itself_by_discovery() {
    if std::env::var("KEYWRIGHT_SKIP_GO").is_ok_and(|value| value == "1") {
        return report("SKIPPED: golang.org/x/oauth2: KEYWRIGHT_SKIP_GO=1");
    }
    if Command::new("go").arg("version").output().is_err() {
        return report("SKIPPED: golang.org/x/oauth2: go is missing");
    }
    let site = Site::new();
    let mut command = Command::new("go");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/go");
    command
        .args(["run", "./oauth"])
        .current_dir(folder)
        .env("GOTOOLCHAIN", "local");
    let said = site.run("golang.org/x/oauth2", command);
    let methods = ["client_secret_basic", "client_secret_post", "detected"];
    site.check("golang.org/x/oauth2", &said, &methods, "invalid_target");
    site.check_renewals("golang.org/x/oauth2", &said);
}

#[test]
fn spring_security_configures_itself_by_discovery() {
    let jars = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/java");
    let installed = jars.join("pom.xml").is_file();
    if !verifiers::available("KEYWRIGHT_SKIP_JAVA", "Spring Security", installed) {
        return;
    }
    let classes = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/java/OauthSpring.java");
    let built = Command::new("javac")
        .arg("-cp")
        .arg(jars.join("*"))
        .arg("-d")
        .args([classes.path(), &program])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{errors}");
    let mut path = classes.path().as_os_str().to_owned();
    path.push(":");
    path.push(jars.join("*"));
    let site = Site::new();
    let mut command = Command::new("java");
    command
        .args(["-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp"])
        .arg(path)
        .arg("OauthSpring");
    let said = site.run("Spring Security", command);
    let methods = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ];
    site.check("Spring Security", &said, &methods, "invalid_target");
    site.check_renewals("Spring Security", &said);
}

#[test]
fn the_crate_oauth2_gets_tokens_at_the_endpoint_of_the_metadata() {
    let site = Site::new();
    let metadata = site.metadata();
    let endpoint = metadata["token_endpoint"].as_str().unwrap().to_owned();
    let client = |method: AuthType| {
        BasicClient::new(ClientId::new(site.value("CLIENT_ID")))
            .set_client_secret(ClientSecret::new(site.value("CLIENT_SECRET")))
            .set_token_uri(TokenUrl::new(endpoint.clone()).unwrap())
            .set_auth_type(method)
    };
    let ask = |method: AuthType, scope: &str| {
        let client = client(method);
        let request = client.exchange_client_credentials();
        let request = request.add_scope(Scope::new(scope.to_owned()));
        request.request(&exchange)
    };
    let token = |method| {
        let answer = ask(method, "orders:read").unwrap();
        assert_eq!(*answer.token_type(), BasicTokenType::Bearer);
        answer.access_token().secret().clone()
    };
    let refusal = match ask(AuthType::BasicAuth, "admin").unwrap_err() {
        RequestTokenError::ServerResponse(refusal) => refusal.error().to_string(),
        other => panic!("{other}"),
    };
    let said = json!({
        "tokens": {
            "client_secret_basic": token(AuthType::BasicAuth),
            "client_secret_post": token(AuthType::RequestBody),
        },
        "refused": refusal,
    });
    let methods = ["client_secret_basic", "client_secret_post"];
    site.check("oauth2 (Rust)", &said, &methods, "invalid_scope");
}

/// What the crate oauth2 sends its requests with.
fn exchange(request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .new_agent();
    let (parts, mut body) = agent.run(request)?.into_parts();
    Ok(HttpResponse::from_parts(parts, body.read_to_vec()?))
}
