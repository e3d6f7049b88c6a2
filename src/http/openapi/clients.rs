//! Clients: who may call, and what they may have signed.

use keywright_api as api;
use serde_json::{Value, json};

use super::area::Area;
use super::conditional;
use super::operation::{Operation, ResponseDescription, example};
use crate::access::Role;
use crate::http::code::Code;
use crate::http::internal::SigningCheckQuery;
use crate::http::response::ResponseStatus;

const ID: &str = "dee6523778cdf245";
const CREDENTIAL: &str = "5f0c2b9e";

const TERMS: [Code; 6] = [
    Code::InvalidClientName,
    Code::InvalidRoles,
    Code::InvalidLimits,
    Code::InvalidProof,
    Code::CertificateTaken,
    Code::UntrustedIssuer,
];

fn client() -> Value {
    json!({
        "id": ID, "name": "orders", "roles": ["issuer"], "limits": {"audiences": ["orders"]},
        "version": 1, "created_at": 1_795_294_675,
        "credentials": [{
            "id": CREDENTIAL, "created_at": 1_795_294_675, "expires_at": null,
            "last_used_at": 1_795_294_690,
        }],
    })
}

fn new_client() -> Value {
    let mut client = client();
    if let Some(members) = client.as_object_mut() {
        let credential = "kw_dee6523778cdf245_…";
        members.insert("credential".to_owned(), credential.into());
    }
    client
}

fn terms() -> Value {
    json!({
        "name": "orders", "roles": ["issuer"],
        "limits": {
            "issuers": ["default"], "audiences": ["orders", "https://api.example.com/*"],
            "subjects": ["user-*"], "scopes": ["orders:read", "orders:write"],
            "claims": ["client_id", "tenant"],
            "claims_schema": {"properties": {"tenant": {"enum": ["a", "b"]}}},
            "max_ttl": "10m", "algorithms": ["ES256"], "types": ["at+jwt"],
            "rate": {"signatures_per_second": 100, "burst": 200},
        },
        "certificates": [{"dns": "orders.internal"}],
    })
}

/// `GET /v1/clients`.
pub(in crate::http) fn list_clients() -> Operation {
    let clients = json!({"clients": [client()]});
    Operation::new(Area::Clients, "listClients", "Read all clients")
        .text("Without their credentials: those cannot be read again.")
        .role(Role::Admin)
        .answers(ResponseDescription::json::<api::Clients>(
            ResponseStatus::Ok,
            "The clients.",
            clients,
        ))
        .refuses(&[Code::ClientLimit])
}

/// `POST /v1/clients`.
pub(in crate::http) fn create() -> Operation {
    let mut ending = terms();
    if let Some(members) = ending.as_object_mut() {
        members.insert("name".to_owned(), "orders-2".into());
        members.insert("certificates".to_owned(), json!([]));
        members.insert("credential".to_owned(), json!({"expires_in": "90d"}));
    }
    Operation::new(Area::Clients, "createClient", "Create a client")
        .text(
            "An admin can create a client with any role and any limits. What a limit does not say \
             is not limited. Without `credential` it gets one without an end, with `null` it gets \
             none and comes in another way.",
        )
        .role(Role::Admin)
        .body::<api::ClientRequest>([
            example("signer", json!({"name": "orders", "roles": ["issuer"]})),
            example("limited", ending),
        ])
        .answers(
            ResponseDescription::json::<api::CreatedClient>(
                ResponseStatus::Created,
                "The client, and its credential this once.",
                new_client(),
            )
            .headers(&["Location"]),
        )
        .refuses(&TERMS)
        .refuses(&[Code::InvalidDuration, Code::ClientLimit])
        .changes()
}

/// `GET /v1/clients/{id}`.
pub(in crate::http) fn show() -> Operation {
    of_client(Operation::new(Area::Clients, "readClient", "Read a client")).answers(
        ResponseDescription::json::<api::RegisteredClient>(
            ResponseStatus::Ok,
            "The client.",
            client(),
        )
        .headers(&["ETag"]),
    )
}

/// `PUT /v1/clients/{id}`.
pub(in crate::http) fn set() -> Operation {
    let operation = Operation::new(Area::Clients, "setClient", "Replace what a client may do");
    conditional(of_client(operation))
    .text(
        "All of it: a member that is left out is taken away. Credentials stay. It is in force for \
         the next request of the client.",
    )
    .body::<api::Terms>([example("terms", terms())])
    .answers(
        ResponseDescription::json::<api::RegisteredClient>(ResponseStatus::Ok, "The client.", client())
            .headers(&["ETag"]),
    )
    .refuses(&TERMS)
    .refuses(&[Code::LastAdmin])
    .changes()
}

/// `DELETE /v1/clients/{id}`.
pub(in crate::http) fn remove() -> Operation {
    of_client(Operation::new(
        Area::Clients,
        "deleteClient",
        "Delete a client",
    ))
    .text("Its access ends at once; calls in progress end as they began.")
    .answers(ResponseDescription::empty(
        ResponseStatus::NoContent,
        "It is gone.",
    ))
    .refuses(&[Code::LastAdmin])
    .changes()
}

/// `POST /v1/clients/{id}/check`.
pub(in crate::http) fn check_signing() -> Operation {
    let operation = Operation::new(
        Area::Clients,
        "checkSigning",
        "Would a client get this token?",
    );
    let request = json!({
        "claims": {"sub": "user-1", "aud": "orders"}, "expires_in": 300,
    });
    let check = json!({
        "signed": false,
        "problem": {
            "type": "urn:keywright:problem:client-limit", "title": "Forbidden", "status": 403,
            "code": "client-limit", "claim": "aud", "rule": "audiences",
            "detail": "aud: the client may not have this audience",
        },
    });
    of_client(operation)
        .text(
            "The body is that of `signToken`, and so is the judgment; but nothing is signed, nothing is taken \
             from the client's rate, and the issuance log gets no entry. The answer is 200 also where a request \
             of this form would be refused. It does not say whether the client can prove who it is, nor whether \
             its rate would allow another token now.",
        )
        .query::<SigningCheckQuery>()
        .body::<api::SignRequest>([example("access-token", request)])
        .answers(ResponseDescription::json::<api::SigningCheck>(
            ResponseStatus::Ok,
            "Whether it would be signed, and as what; or the problem.",
            check,
        ))
        .refuses(&[Code::UnknownAlgorithm])
}

/// `POST /v1/clients/{id}/credentials`.
pub(in crate::http) fn rotate_credential() -> Operation {
    of_client(Operation::new(
        Area::Clients,
        "rotateCredential",
        "Make a client a new credential",
    ))
    .text(
        "The newest of the others stays valid for the overlap, or until its own end if that comes \
         first; older ones end at once, so that at most two are valid.",
    )
    .optional_body::<api::CredentialRequest>([example(
        "overlap",
        json!({"expires_in": "90d", "overlap": "1h"}),
    )])
    .answers(
        ResponseDescription::json::<api::CreatedClient>(
            ResponseStatus::Created,
            "The client, and its new credential this once.",
            new_client(),
        )
        .headers(&["Location"]),
    )
    .refuses(&[Code::InvalidDuration])
    .changes()
}

/// `DELETE /v1/clients/{id}/credentials/{credential}`.
pub(in crate::http) fn revoke_credential() -> Operation {
    of_client(Operation::new(
        Area::Clients,
        "revokeCredential",
        "Take one credential of a client away",
    ))
    .path::<String>("credential", "The credential.", CREDENTIAL)
    .answers(ResponseDescription::empty(
        ResponseStatus::NoContent,
        "It is gone.",
    ))
    .refuses(&[Code::UnknownCredential])
    .changes()
}

fn of_client(operation: Operation) -> Operation {
    operation
        .role(Role::Admin)
        .path::<String>("id", "The client.", ID)
        .refuses(&[Code::UnknownClient, Code::ClientLimit])
}
