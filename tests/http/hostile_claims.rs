//! Claims that cost more, or mean something else, than they seem to, from a client with a small
//! credential.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::support::{Answer, Server, report, start};
use crate::world::{credential, ok};

/// Creates a client of the role `issuer` with these limits, and answers its credential.
fn limited(server: &Server, limits: &Value) -> String {
    let body = json!({"name": "small", "roles": ["issuer"], "limits": limits});
    credential(&ok(server.call("POST", "/v1/clients", Some(&body))))
}

fn signs(server: &Server, credential: &str, path: &str, body: &Value) -> Answer {
    let body = Some(("application/json", body.to_string().into_bytes()));
    let path = format!("/v1/issuers/default/{path}");
    server.call_as(Some(credential), "POST", &path, body)
}

/// Objects in objects, with a wrong leaf.
fn nested(depth: usize) -> Value {
    (0..depth).fold(
        json!({"kind": "wrong"}),
        |child, _| json!({"kind": "node", "child": child}),
    )
}

/// `a0` refers to `a1` twice, and that to `a2`, and so on.
fn doubling(length: usize) -> Value {
    let mut defs = Map::new();
    for number in 0..length {
        let next = json!({ "$ref": format!("#/$defs/a{}", number + 1) });
        let name = format!("a{number}");
        defs.insert(name, json!({"anyOf": [next, next]}));
    }
    defs.insert(format!("a{length}"), json!({"required": ["never"]}));
    json!({"$ref": "#/$defs/a0", "$defs": defs})
}

#[test]
fn a_schema_whose_checks_could_take_for_ever_is_refused_when_it_is_set() {
    let server = start("");
    let node = |reference: &str| {
        let branch = json!({"properties": {"child": {"$ref": reference}}, "required": ["leaf"]});
        json!({"oneOf": [branch, branch]})
    };
    let started = Instant::now();
    for schema in [
        node("#"),
        json!({"$ref": "#/$defs/node", "$defs": {"node": node("#/$defs/node")}}),
        json!({"$defs": {"a/b": node("#/$defs/a~1b")}, "$ref": "#/$defs/a~1b"}),
        json!({"$defs": {"a": node("#/%24defs/a")}, "$ref": "#/%24defs/a"}),
        json!({"$defs": {"a": {"$anchor": "n", "anyOf": [node("#n")]}}, "$ref": "#n"}),
        json!({"$dynamicAnchor": "n", "properties": {"child": {"$dynamicRef": "#n"}}}),
        json!({"$id": "urn:a", "properties": {"child": {"$ref": "urn:a"}}}),
        json!({"properties": {"list": {"items": {"$ref": "#"}}}}),
        doubling(24),
        json!({"allOf": vec![json!({"pattern": "[ab]*a[ab]{9000}c"}); 9]}),
    ] {
        let body = json!({"name": "a", "roles": ["issuer"], "limits": {"claims_schema": schema}});
        let answer = server.call("POST", "/v1/clients", Some(&body));
        let shown = answer.json();
        assert_eq!(
            (answer.status, &shown["code"]),
            (400, &json!("invalid-limits")),
            "{schema}"
        );
        let detail = shown["detail"].as_str().unwrap();
        assert!(detail.contains("claims_schema"), "{detail}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(!server.log().contains("panicked"));
}

#[test]
fn a_schema_that_keeps_one_client_busy_makes_no_other_client_wait() {
    let server = start("");
    let client = |schema: Value| limited(&server, &json!({ "claims_schema": schema }));
    let letter = |number: u32| match number.wrapping_mul(2_654_435_761) >> 31 {
        0 => 'a',
        _ => 'b',
    };
    let text: String = (0..2000).map(letter).collect();
    // What is slow is at the edge of what is allowed: both listeners stay as they are.
    let pattern = json!({"properties": {"v": {"pattern": "[ab]*a[ab]{1800}c"}}});
    let lists =
        json!({"properties": {"v": {"items": {"anyOf": vec![json!({"minItems": 2}); 200]}}}});
    let hostile = [
        (client(pattern.clone()), json!({ "v": text })),
        (client(pattern), json!({ "v": format!("{text}{text}") })),
        (client(lists), json!({ "v": vec![json!([1]); 1000] })),
        (client(doubling(8)), nested(28)),
    ];
    let other = limited(&server, &json!({}));
    let mut latencies = Vec::new();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let attacks: Vec<_> = hostile
            .iter()
            .flat_map(|(credential, claims)| {
                let one = json!({ "claims": claims });
                let batch = json!({ "requests": vec![one.clone(); 20] });
                [
                    (credential, "tokens", one),
                    (credential, "tokens/batch", batch),
                ]
            })
            .map(|(credential, path, body)| {
                let server = &server;
                scope.spawn(move || {
                    let answer = signs(server, credential, path, &body);
                    let text = String::from_utf8(answer.body).unwrap();
                    // In a slow build its own request may take longer than it may.
                    let is_late = answer.status == 408;
                    assert!(is_late || text.contains("claims_schema"), "{text}");
                    assert!([200, 403, 408].contains(&answer.status), "{text}");
                })
            })
            .collect();
        while latencies.len() < 50 || attacks.iter().any(|attack| !attack.is_finished()) {
            let began = Instant::now();
            let answer = signs(&server, &other, "tokens", &json!({"claims": {"sub": "a"}}));
            assert_eq!(answer.status, 201, "{}", answer.json());
            assert_eq!(server.fetch("/.well-known/jwks.json").status, 200);
            latencies.push(began.elapsed());
        }
    });
    latencies.sort();
    let (median, worst) = (
        latencies[latencies.len() / 2],
        latencies[latencies.len() - 1],
    );
    let signed = latencies.len();
    report(&format!(
        "busy schemas for {:?}: {signed} signatures of another client, {median:?} in the middle, {worst:?} at worst",
        began.elapsed(),
    ));
    assert!(worst < Duration::from_secs(5), "{worst:?}");
}

#[test]
fn a_name_that_verifiers_could_fold_into_one_with_a_rule_is_refused() {
    let server = start("");
    let schema = json!({"properties": {
        "tenant": {"enum": ["a"]},
        "act": {"properties": {"role": {"const": "reader"}}},
        "strasse": {},
    }});
    let limits = json!({"subjects": ["user-*"], "claims_schema": schema});
    let (limited, free) = (limited(&server, &limits), limited(&server, &json!({})));
    let with = |name: &str, value: Value| {
        let mut claims = json!({"sub": "user-1"});
        claims[name] = value;
        json!({ "claims": claims })
    };
    let everywhere = [
        "ſub",
        "Sub",
        "SUB",
        "sUb",
        "Aud",
        "ISS",
        "ıss",
        "İss",
        "Exp",
        "eXp",
        "NBF",
        "Iat",
        "JTI",
        "Scope",
        "ſcope",
        "ſCOPE",
        "Act",
        "may_Act",
        "CNF",
        "ſid",
        "Sid",
        "ſtatus",
        "Single_use",
        "client_ID",
        "clıent_id",
        "sub\u{200b}",
        "\u{feff}sub",
        "s\u{ad}ub",
        "sub\0",
        "a\u{2028}b",
        "a\u{202e}b",
        "\u{e0073}sub",
    ];
    let folded = |name: &str| with(name, json!("admin"));
    for name in everywhere {
        for credential in [&limited, &free] {
            refused(&server, credential, &folded(name));
        }
    }
    for name in [
        "Tenant",
        "TENANT",
        "ſtrasse",
        "Straſſe",
        "ACT",
        "Role",
        "ten\u{200d}ant",
    ] {
        refused(&server, &limited, &folded(name));
    }
    for nested in [
        with("act", json!({"Role": "admin"})),
        with("act", json!([{"x": {"ROLE": "admin"}}])),
        with("other", json!({"ro\u{200b}le": "admin"})),
        with("other", json!([[{"Tenant": "b"}]])),
    ] {
        refused(&server, &limited, &nested);
    }
    // What is named as its rule names it, and what nothing is said about, is as before.
    for (credential, name) in [
        (&free, "Tenant"),
        (&free, "straße"),
        (&free, "Role"),
        (&free, "naïve"),
        (&free, "日本"),
        (&limited, "subject"),
        (&limited, "tenants"),
        (&limited, "role"),
        (&limited, "Kind"),
    ] {
        let answer = signs(&server, credential, "tokens", &with(name, json!("x")));
        assert_eq!(answer.status, 201, "{name}: {}", answer.json());
    }
}

/// Refused alone and in a batch, in which what is good is signed.
fn refused(server: &Server, credential: &str, request: &Value) {
    let answer = signs(server, credential, "tokens", request);
    let one = answer.json();
    assert_eq!(
        (answer.status, &one["code"]),
        (400, &json!("claim-name")),
        "{request}"
    );
    let (detail, claim) = (
        one["detail"].as_str().unwrap(),
        one["claim"].as_str().unwrap(),
    );
    assert!(detail.is_ascii() && claim.is_ascii(), "{one}");
    assert!(!detail.contains("admin"), "{one}");
    let good = json!({"claims": {"sub": "user-1"}});
    let batch = json!({"requests": [good, request, good]});
    let results = ok(signs(server, credential, "tokens/batch", &batch));
    let results = results["results"].as_array().unwrap();
    assert_eq!(results[1]["code"], "claim-name", "{request}");
    assert!(results[0]["token"].is_string() && results[2]["token"].is_string());
}

#[test]
fn a_limit_cannot_name_what_no_claim_can_be_called() {
    let server = start("");
    for name in [
        "ſub",
        "Sub",
        "SCOPE",
        "clıent_id",
        "ten\u{200b}ant",
        "a\u{2028}",
        "\u{202e}a",
    ] {
        for (body, code) in [
            (
                json!({"limits": {"claims": ["tenant", name]}}),
                "invalid-limits",
            ),
            (
                json!({"workloads": [{"issuer": "ci", "claims": {name: "a"}}]}),
                "invalid-proof",
            ),
        ] {
            let mut client = json!({"name": "a", "roles": ["issuer"]});
            crate::world::merge(&mut client, body);
            let answer = server.call("POST", "/v1/clients", Some(&client));
            let shown = answer.json();
            assert_eq!(
                (answer.status, &shown["code"]),
                (400, &json!(code)),
                "{name:?}: {shown}"
            );
        }
    }
}
