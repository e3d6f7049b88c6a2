//! What a client finds by discovery.

use serde_json::{Value, json};

use crate::support::{end_of, spawn_in};
use crate::world::{ISSUER, service};

#[test]
fn the_metadata_names_the_endpoint_and_how_to_call_it() {
    let server = service("");
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let metadata: Value = server.fetch(path).json();
        let endpoints = json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{ISSUER}/.well-known/jwks.json"),
            "token_endpoint": format!("{ISSUER}/token"),
            "grant_types_supported": ["client_credentials", "refresh_token",
                "urn:ietf:params:oauth:grant-type:token-exchange",
                "urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "token_endpoint_auth_methods_supported":
                ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256", "RS256"],
            "revocation_endpoint": format!("{ISSUER}/revoke"),
            "introspection_endpoint": format!("{ISSUER}/introspect"),
            "introspection_signing_alg_values_supported": ["ES256", "RS256"],
            "dpop_signing_alg_values_supported": ["ES256", "RS256"],
        });
        for (name, value) in endpoints.as_object().unwrap() {
            assert_eq!(metadata[name], *value, "{path}: {name}");
        }
    }
}

/// Secrets cross no network in the clear unless the operator says so.
#[test]
fn secrets_are_not_taken_in_the_clear_from_other_machines() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("check.toml");
    let check = |extra: &str| {
        let text = format!("public.listen = \"0.0.0.0:0\"\n{extra}");
        std::fs::write(&config, text).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_keywright"))
            .args(["config", "check", "--config"])
            .arg(&config)
            .env_clear()
            .current_dir(folder.path())
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let enabled = "oauth.enabled = true\n";
    let (accepted, said) = check(enabled);
    assert!(
        !accepted && said.contains("oauth.allow_plaintext"),
        "{said}"
    );
    assert!(check(&format!("{enabled}oauth.allow_plaintext = true\n")).0);
    assert!(check("oauth.enabled = false\n").0);
}

#[test]
fn an_origin_that_no_browser_sends_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let child = spawn_in(
        folder.path(),
        "oauth.allowed_origins = [\"https://app.example/\"]\n",
    );
    let (code, said) = end_of(child);
    assert_ne!(code, 0);
    assert!(said.contains("https://app.example/"), "{said}");
}
