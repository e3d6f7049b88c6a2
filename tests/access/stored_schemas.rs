//! Schemas that an earlier version took and this one does not: their clients stay, and get nothing
//! signed until the schema is replaced.

use keywright::access::Terms;
use keywright::access::limits::ClaimsSchema;
use keywright::authority::audit::Actor;
use serde_json::{Value, json};

use crate::world::{Api, World, terms};

/// Terms that only a store can have.
fn stored(schema: Value) -> Terms {
    let mut terms = terms(json!({"limits": {"subjects": ["user-*"]}}));
    terms.limits.claims_schema = Some(ClaimsSchema::stored(schema));
    terms
}

#[tokio::test]
async fn a_client_with_a_schema_that_is_not_taken_any_more_loads_and_gets_nothing_signed() {
    let world = World::new().await;
    world.issuer("a", json!({})).await;
    let (_, admin) = world.client(json!({"roles": ["admin"]})).await;
    let (_, other) = world.client(json!({})).await;
    let recursive = json!({"oneOf": [
        {"properties": {"child": {"$ref": "#"}}}, {"properties": {"child": {"$ref": "#"}}},
    ]});
    let mut clients = Vec::new();
    for schema in [
        recursive,
        json!({"$ref": "#/%24defs/a", "$defs": {"a": {"type": "object"}}}),
        json!({"$defs": {"a": {"$id": "urn:a"}}}),
        json!({"allOf": vec![json!({"pattern": "^a.{1,400}b$"}); 9]}),
    ] {
        let client = world.authority.draft_client(stored(schema.clone()));
        let mut client = client.unwrap();
        let issued = world.authority.draft_credential(&client.id, None).unwrap();
        client.credentials.push(issued.record);
        let id = client.id.clone();
        let admitted = world.authority.admit_client(client, Actor::Bootstrap).await;
        admitted.unwrap();
        clients.push((id, issued.credential.reveal().to_owned(), schema));
    }
    let world = world.restarted().await;
    let api = Api::of(&world);
    let request = json!({"claims": {"sub": "user-1"}});
    let sign = "POST /issuers/a/tokens";
    assert_eq!(api.call(&other, sign, &request).await.0, 201);
    for (id, credential, schema) in clients {
        let (status, problem) = api.call(&credential, sign, &request).await;
        assert_eq!(
            (status, &problem["code"]),
            (403, &json!("client-limit")),
            "{problem}"
        );
        assert_eq!(problem["rule"], "claims_schema");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("until an admin has replaced the schema"),
            "{detail}"
        );
        // An admin sees it, cannot set it again, and can replace it.
        let path = format!("/clients/{id}");
        let (_, shown) = api.call(&admin, &format!("GET {path}"), &Value::Null).await;
        assert_eq!(shown["limits"]["claims_schema"], schema);
        let put = format!("PUT {path}");
        let mut client = json!({
            "name": "a client", "roles": ["issuer"], "limits": {"claims_schema": schema},
        });
        let (status, problem) = api.call(&admin, &put, &client).await;
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("invalid-limits")),
            "{problem}"
        );
        client["limits"]["claims_schema"] = json!({"required": ["sub"]});
        assert_eq!(api.call(&admin, &put, &client).await.0, 200);
        assert_eq!(api.call(&credential, sign, &request).await.0, 201);
    }
}
