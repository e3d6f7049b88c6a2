//! Clients: who may call.

use serde_json::json;

use super::area::Area;
use super::json::Json;
use super::operation::{Answer, Operation, example};
use super::schema::{
    Member, accepted, answered, instant, list, one_of, pattern, reference, required, text,
};
use crate::authority::clients::Role;
use crate::http::code::Code;
use crate::http::response::Outcome;

const ID: &str = "dee6523778cdf245";

/// `GET /v1/clients`.
pub(in crate::http) fn list_clients() -> Operation {
    let clients = json!({"clients": [
        {"id": ID, "name": "orders", "roles": ["issuer"], "created_at": 1_795_294_675},
    ]});
    Operation::new(Area::Clients, "listClients", "Read all clients")
        .text("Without their credentials: nobody can read those again.")
        .role(Role::Admin)
        .answers(Answer::json(
            Outcome::Ok,
            "The clients.",
            "Clients",
            clients,
        ))
}

/// `POST /v1/clients`.
pub(in crate::http) fn create() -> Operation {
    let client = json!({
        "id": ID, "name": "orders", "roles": ["issuer"], "created_at": 1_795_294_675,
        "credential": "kw_dee6523778cdf245_…",
    });
    Operation::new(Area::Clients, "createClient", "Create a client")
        .text(
            "An admin can create a client with any role. A client's roles cannot be changed. A \
             credential that is lost is replaced by creating another client and deleting this one.",
        )
        .role(Role::Admin)
        .body(
            "ClientRequest",
            [example(
                "signer",
                json!({"name": "orders", "roles": ["issuer"]}),
            )],
        )
        .answers(
            Answer::json(
                Outcome::Created,
                "The client, and its credential this once.",
                "NewClient",
                client,
            )
            .headers(&["Location"]),
        )
        .refuses(&[Code::InvalidClientName, Code::InvalidRoles])
        .changes()
}

/// `DELETE /v1/clients/{id}`.
pub(in crate::http) fn remove() -> Operation {
    Operation::new(Area::Clients, "deleteClient", "Delete a client")
        .text(
            "The credential stops to work at once; calls in progress end as they began. Nothing \
             keeps an admin from deleting the last admin.",
        )
        .role(Role::Admin)
        .path("id", text("A client's identifier."), "The client.", ID)
        .answers(Answer::empty(Outcome::NoContent, "It is gone."))
        .refuses(&[Code::UnknownClient])
        .changes()
}

fn roles() -> Json {
    let role = one_of(Role::ALL.map(Role::as_str), "A role.");
    list(role, "What the client may do. No role includes another.").with("minItems", 1)
}

fn members() -> Vec<Member> {
    vec![
        required("id", text("Its public identifier.")),
        required("name", text("What people call it.")),
        required("roles", roles()),
        required(
            "created_at",
            instant("When it was created, in Unix seconds."),
        ),
    ]
}

/// The components.
pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let request = accepted([
        required(
            "name",
            pattern(
                "^[ -~]{1,64}$",
                "What people call it. It need not be unique.",
            ),
        ),
        required("roles", roles()),
    ]);
    let mut created = members();
    created.push(required(
        "credential",
        text("What the client sends as `Authorization: Bearer`. It is shown this once."),
    ));
    let listed = list(reference("Client"), "The clients.");
    vec![
        ("Clients", answered([required("clients", listed)])),
        ("Client", answered(members())),
        ("ClientRequest", request),
        ("NewClient", answered(created)),
    ]
}
