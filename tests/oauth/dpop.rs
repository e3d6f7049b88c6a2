//! Tokens that are bound to a key by a DPoP proof (RFC 9449), and every proof that is refused.

use serde_json::{Value, json};

use crate::grants::{open, opened, shown};
use crate::refresh::renew;
use crate::support::{Answer, Server, start_in};
use crate::world::{
    Client, ISSUER, Signatory, assert_error, client, client_with, escape, now, orders, post,
    service, verified,
};

const CLIENT_CREDENTIALS: &str = "grant_type=client_credentials";

impl Signatory {
    /// A proof for the token endpoint, with changes of its header and claims.
    fn proof_with(&self, change: impl Fn(&mut Value, &mut Value)) -> String {
        let mut header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.public_jwk()});
        let jti = format!("{:032x}", rand::random::<u128>());
        let htu = format!("{ISSUER}/token");
        let mut claims = json!({"jti": jti, "htm": "POST", "htu": htu, "iat": now()});
        change(&mut header, &mut claims);
        self.sign_under(&header, &claims)
    }

    pub fn proof(&self) -> String {
        self.proof_with(|_, _| {})
    }
}

/// Asks for a token of a client's own with these `DPoP` headers.
fn ask(server: &Server, client: &Client, proofs: &[String]) -> Answer {
    let mut headers = vec![("authorization", client.basic())];
    headers.extend(proofs.iter().map(|proof| ("dpop", proof.clone())));
    post(server, "/token", &headers, CLIENT_CREDENTIALS)
}

/// Renews a grant with this proof, without a client.
fn renew_with(server: &Server, grant: &Value, proof: String) -> Answer {
    let token = escape(grant["refresh_token"].as_str().unwrap());
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    post(server, "/token", &[("dpop", proof)], &form)
}

fn renewed_with(server: &Server, grant: &Value, holder: &Signatory) -> Value {
    let answer = renew_with(server, grant, holder.proof());
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

fn claims_of(server: &Server, token: &Value) -> Value {
    verified(server, token["access_token"].as_str().unwrap()).1
}

fn assert_unproven(answer: &Answer, what: &str) {
    assert_error(answer, 400, "invalid_grant", "binding-unproven", what);
}

#[test]
fn a_token_is_bound_to_the_key_of_the_proof() {
    let server = service("");
    let client = client(&server, orders());
    let holder = Signatory::new("mine");
    let answer = ask(&server, &client, &[holder.proof()]);
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(answer.header("dpop-nonce"), None);
    let token = answer.json();
    assert_eq!(token["token_type"], "DPoP");
    let cnf = json!({"jkt": holder.thumbprint()});
    assert_eq!(claims_of(&server, &token)["cnf"], cnf);

    let limits = json!({"audiences": ["orders"]});
    let introspector = client_with(
        &server,
        json!({"roles": ["introspector"], "limits": limits}),
    );
    let form = format!("token={}", token["access_token"].as_str().unwrap());
    let basic = [("authorization", introspector.basic())];
    let told = post(&server, "/introspect", &basic, &form).json();
    assert_eq!((&told["token_type"], &told["cnf"]), (&json!("DPoP"), &cnf));

    let unbound = client.token(&server, CLIENT_CREDENTIALS);
    assert_eq!(unbound["token_type"], "Bearer");
    assert_eq!(claims_of(&server, &unbound).get("cnf"), None);
}

#[test]
fn every_proof_that_is_not_one_for_this_request_is_refused() {
    let server = service("");
    let client = client(&server, orders());
    let (holder, thief) = (Signatory::new("mine"), Signatory::new("mine"));
    let with = |change: fn(&mut Value, &mut Value)| vec![holder.proof_with(change)];
    for (proofs, what) in [
        (vec![holder.proof(), holder.proof()], "two headers"),
        (vec![String::new()], "an empty header"),
        (vec!["a.b.c".to_owned()], "no JWT"),
        (with(|header, _| header["typ"] = json!("JWT")), "typ"),
        (with(|header, _| header["alg"] = json!("none")), "none"),
        (with(|header, _| header["alg"] = json!("HS256")), "HS256"),
        (
            with(|header, _| header["jwk"]["d"] = json!("AQ")),
            "a private key",
        ),
        (with(|header, _| header["jwk"] = json!(null)), "no key"),
        (
            vec![thief.proof_with(|header, _| header["jwk"] = holder.public_jwk())],
            "another's signature",
        ),
        (
            with(|_, claims| claims["htm"] = json!("GET")),
            "another method",
        ),
        (
            with(|_, claims| claims["htu"] = json!(format!("{ISSUER}/introspect"))),
            "another endpoint",
        ),
        (
            with(|_, claims| claims["htu"] = json!("https://evil.example/token")),
            "another host",
        ),
        (
            with(|_, claims| claims["iat"] = json!(now() - 120)),
            "stale",
        ),
        (
            with(|_, claims| claims["iat"] = json!(now() + 120)),
            "early",
        ),
        (with(|_, claims| claims["jti"] = json!(null)), "no jti"),
    ] {
        let answer = ask(&server, &client, &proofs);
        assert_error(
            &answer,
            400,
            "invalid_dpop_proof",
            "invalid-dpop-proof",
            what,
        );
    }
    // The address that the service was reached under does not count, and no header that names another.
    let reached = format!("{}/token", server.public);
    let elsewhere = holder.proof_with(|_, claims| claims["htu"] = json!(reached));
    assert_ne!(server.public, ISSUER);
    let headers = [
        ("authorization", client.basic()),
        ("dpop", elsewhere),
        ("x-forwarded-host", reached.clone()),
        ("forwarded", format!("host={reached}")),
    ];
    let answer = post(&server, "/token", &headers, CLIENT_CREDENTIALS);
    assert_error(
        &answer,
        400,
        "invalid_dpop_proof",
        "invalid-dpop-proof",
        "its address",
    );
    // A wrong proof of a client that is not one says nothing of the proof.
    let stranger = Client {
        id: client.id.clone(),
        secret: "kw_x_y".to_owned(),
    };
    let answer = ask(&server, &stranger, &[holder.proof()]);
    assert_error(
        &answer,
        401,
        "invalid_client",
        "credential-invalid",
        "a stranger",
    );
}

#[test]
fn a_proof_is_used_once() {
    let server = service("");
    let client = client(&server, orders());
    let holder = Signatory::new("mine");
    let proof =
        holder.proof_with(|_, claims| claims["htu"] = json!("HTTP://127.0.0.1:8080/%74oken"));
    assert_eq!(
        ask(&server, &client, std::slice::from_ref(&proof)).status,
        200
    );
    let again = ask(&server, &client, &[proof]);
    assert_error(
        &again,
        400,
        "invalid_dpop_proof",
        "dpop-proof-replayed",
        "again",
    );
    // What is refused for another reason does not use a proof up.
    let proof = holder.proof();
    let headers = [("dpop", proof.clone())];
    let nobody = post(&server, "/token", &headers, CLIENT_CREDENTIALS);
    assert_error(
        &nobody,
        401,
        "invalid_client",
        "credential-missing",
        "no client",
    );
    assert_eq!(ask(&server, &client, &[proof]).status, 200);
}

#[test]
fn a_nonce_is_needed_where_the_operator_asks_for_it() {
    let server = service("oauth.dpop_nonce = true\n");
    let client = client(&server, orders());
    let holder = Signatory::new("mine");
    let challenge = ask(&server, &client, &[holder.proof()]);
    assert_error(
        &challenge,
        400,
        "use_dpop_nonce",
        "dpop-nonce-required",
        "none",
    );
    let nonce = challenge.header("dpop-nonce").unwrap().to_owned();
    let with = |nonce: &str| holder.proof_with(|_, claims| claims["nonce"] = json!(nonce));
    let answer = ask(&server, &client, &[with(&nonce)]);
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert!(answer.header("dpop-nonce").is_some());
    let wrong = ask(&server, &client, &[with("made-up")]);
    assert_error(
        &wrong,
        400,
        "use_dpop_nonce",
        "dpop-nonce-required",
        "wrong",
    );
    // A token that is not bound needs none, and the secret outlives the process.
    client.token(&server, CLIENT_CREDENTIALS);
    let (_, folder) = server.terminate();
    let server = start_in(folder, "oauth.enabled = true\noauth.dpop_nonce = true\n").unwrap();
    let answer = ask(&server, &client, &[with(&nonce)]);
    assert_eq!(answer.status, 200, "{}", answer.json());
}

#[test]
fn a_grant_is_bound_to_the_key_that_the_login_service_names() {
    let server = service("");
    let (holder, thief) = (Signatory::new("mine"), Signatory::new("mine"));
    let refresh = json!({"bind": "dpop", "thumbprint": holder.thumbprint()});
    let grant = opened(&server, json!({ "refresh": refresh }));
    assert_eq!(grant["token_type"], "DPoP");
    let cnf = json!({"jkt": holder.thumbprint()});
    assert_eq!(claims_of(&server, &grant)["cnf"], cnf);
    let read = shown(&server, &grant);
    assert_eq!(
        (&read["bind"], &read["thumbprint"]),
        (&json!("dpop"), &json!(holder.thumbprint()))
    );
    assert_unproven(&renew(&server, &grant, ""), "no proof");
    assert_unproven(&renew_with(&server, &grant, thief.proof()), "another key");
    let next = renewed_with(&server, &grant, &holder);
    assert_eq!(next["token_type"], "DPoP");
    assert_eq!(claims_of(&server, &next)["cnf"], cnf);
    // A token that was used is of no use to a thief either, and ends nothing: the thief cannot log the
    // owner out.
    let last = renewed_with(&server, &next, &holder);
    for stolen in [&grant, &next, &last] {
        assert_unproven(&renew(&server, stolen, ""), "stolen");
        assert_unproven(&renew_with(&server, stolen, thief.proof()), "stolen");
    }
    assert_eq!(shown(&server, &grant)["state"], "live");
    renewed_with(&server, &last, &holder);
    // The owner's own reuse is still reuse.
    let reused = renew_with(&server, &grant, holder.proof());
    assert_error(
        &reused,
        400,
        "invalid_grant",
        "refresh-token-reused",
        "reuse",
    );
}

#[test]
fn the_first_renewal_binds_a_grant_to_its_key() {
    let server = service("");
    let (holder, thief) = (Signatory::new("mine"), Signatory::new("mine"));
    let grant = opened(&server, json!({"refresh": {"bind": "dpop"}}));
    assert_eq!(grant["token_type"], "Bearer");
    assert_eq!(shown(&server, &grant)["bind"], "dpop");
    assert_unproven(&renew(&server, &grant, ""), "no proof");
    let next = renewed_with(&server, &grant, &holder);
    assert_eq!(shown(&server, &grant)["thumbprint"], holder.thumbprint());
    // A lost response: the same key gets the same successor.
    assert_eq!(
        renewed_with(&server, &grant, &holder)["refresh_token"],
        next["refresh_token"]
    );
    assert_unproven(&renew_with(&server, &next, thief.proof()), "another key");
    renewed_with(&server, &next, &holder);
    // The first token was good for anyone. That another key comes with it means that two have it.
    let two = renew_with(&server, &grant, thief.proof());
    assert_error(
        &two,
        400,
        "invalid_grant",
        "refresh-token-reused",
        "two keys",
    );
    assert_eq!(shown(&server, &grant)["state"], "ended");
}

#[test]
fn a_public_grant_is_bound_by_the_first_proof_and_that_of_a_client_is_not() {
    let server = service("");
    let holder = Signatory::new("mine");
    let grant = opened(&server, json!({}));
    let next = renewed_with(&server, &grant, &holder);
    assert_eq!(next["token_type"], "DPoP");
    assert_unproven(&renew(&server, &next, ""), "without the proof");
    renewed_with(&server, &next, &holder);

    let client = client(&server, orders());
    let grant = opened(&server, json!({"client": client.id}));
    let as_client = |grant: &Value, holder: Option<&Signatory>| {
        let token = escape(grant["refresh_token"].as_str().unwrap());
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        let mut headers = vec![("authorization", client.basic())];
        headers.extend(holder.map(|holder| ("dpop", holder.proof())));
        let answer = post(&server, "/token", &headers, &form);
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    };
    let bound = as_client(&grant, Some(&holder));
    assert_eq!(bound["token_type"], "DPoP");
    let other = as_client(&bound, Some(&Signatory::new("mine")));
    assert_eq!(as_client(&other, None)["token_type"], "Bearer");
}

#[test]
fn a_binding_that_cannot_be_meant_is_refused() {
    let server = service("");
    let thumbprint = Signatory::new("mine").thumbprint();
    for refresh in [
        json!({"thumbprint": thumbprint}),
        json!({"bind": "dpop", "thumbprint": "x"}),
        json!({"bind": "dpop", "thumbprint": format!("{thumbprint}A")}),
        json!({"bind": "mtls", "thumbprint": ""}),
    ] {
        let answer = open(&server, json!({ "refresh": refresh }));
        let document = answer.json();
        assert_eq!(
            (answer.status, &document["code"]),
            (400, &json!("invalid-refresh")),
            "{refresh}: {document}"
        );
    }
    let claims = json!({"sub": "a", "aud": "orders", "cnf": {"jkt": thumbprint}});
    let answer = open(&server, json!({ "claims": claims }));
    assert_eq!(answer.json()["code"], "claim-reserved", "{}", answer.json());
}
