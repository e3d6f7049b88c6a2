//! Clients: who may call, and what they may have signed.

use serde_json::{Value, json};

use super::area::Area;
use super::json::Json;
use super::operation::{Operation, ResponseDescription, example};
use super::schema::{
    Member, accepted, answered, duration, instant, integer, list, one_of, optional, or_null,
    pattern, reference, required, text,
};
use super::{algorithm, conditional, issuer_name};
use crate::access::Role;
use crate::http::code::Code;
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
        .text("Without their credentials: nobody can read those again.")
        .role(Role::Admin)
        .answers(ResponseDescription::json(
            ResponseStatus::Ok,
            "The clients.",
            "Clients",
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
        .body(
            "ClientRequest",
            [
                example("signer", json!({"name": "orders", "roles": ["issuer"]})),
                example("limited", ending),
            ],
        )
        .answers(
            ResponseDescription::json(
                ResponseStatus::Created,
                "The client, and its credential this once.",
                "NewClient",
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
        ResponseDescription::json(ResponseStatus::Ok, "The client.", "Client", client())
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
    .body("Terms", [example("terms", terms())])
    .answers(
        ResponseDescription::json(ResponseStatus::Ok, "The client.", "Client", client())
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
    .optional_body(
        "CredentialRequest",
        [example(
            "overlap",
            json!({"expires_in": "90d", "overlap": "1h"}),
        )],
    )
    .answers(
        ResponseDescription::json(
            ResponseStatus::Created,
            "The client, and its new credential this once.",
            "NewClient",
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
    .path(
        "credential",
        text("A credential's name."),
        "The credential.",
        CREDENTIAL,
    )
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
        .path("id", text("A client's identifier."), "The client.", ID)
        .refuses(&[Code::UnknownClient, Code::ClientLimit])
}

fn roles() -> Json {
    let role = one_of(Role::ALL.map(Role::as_str), "A role.");
    list(role, "What the client may do. No role includes another.").with("minItems", 1)
}

/// What an admin lays down, without and with the rules that a request must keep.
fn terms_members() -> Vec<Member> {
    let anything = |schema: Json| schema.with("maxItems", 100);
    vec![
        required(
            "name",
            pattern(
                "^[ -~]{1,64}$",
                "What people call it. It need not be unique.",
            ),
        ),
        required("roles", roles()),
        optional("limits", reference("Limits")),
        optional(
            "certificates",
            anything(list(
                reference("CertificateRule"),
                "TLS certificates that are its own. A rule names one client only.",
            )),
        ),
        optional(
            "workloads",
            anything(list(
                reference("WorkloadRule"),
                "Tokens of trusted issuers that are its own.",
            )),
        ),
        optional("jwks", reference("ClientKeys")),
    ]
}

fn shown() -> Vec<Member> {
    let mut members = vec![required("id", text("Its public identifier."))];
    members.extend(terms_members());
    members.push(required(
        "version",
        integer(1, u64::MAX, "Grows with every change."),
    ));
    members.push(required(
        "created_at",
        instant("When it was created, in Unix seconds."),
    ));
    members.push(required(
        "credentials",
        list(reference("Credential"), "Its credentials, the newest last."),
    ));
    members
}

/// The components.
pub(super) fn schemas() -> Vec<(&'static str, Json)> {
    let mut request = terms_members();
    request.push(optional(
        "credential",
        or_null(
            reference("CredentialLifetime"),
            "Its first credential; `null` for none. Default: one without an end.",
        ),
    ));
    let mut created = shown();
    created.push(optional(
        "credential",
        text("What the client sends as `Authorization: Bearer`. It is shown this once."),
    ));
    let lifetime = || {
        optional(
            "expires_in",
            duration("When it ends, counted from now; at least `1s`. Default: never."),
        )
    };
    let overlap = duration("How long the one before it stays valid. Default: `24h`.");
    let listed = list(reference("Client"), "The clients.");
    vec![
        ("Clients", answered([required("clients", listed)])),
        ("Client", answered(shown())),
        ("Terms", accepted(terms_members())),
        ("ClientRequest", accepted(request)),
        ("NewClient", answered(created)),
        ("CredentialLifetime", accepted([lifetime()])),
        (
            "CredentialRequest",
            accepted([lifetime(), optional("overlap", overlap)]),
        ),
        ("Credential", credential()),
        ("Limits", accepted(limits())),
        ("Rate", rate()),
        ("CertificateRule", certificate_rule()),
        ("WorkloadRule", workload_rule()),
        ("ClientKeys", client_keys()),
    ]
}

fn credential() -> Json {
    let time = |text: &str| or_null(instant("In Unix seconds."), text);
    answered([
        required("id", text("Its name; it stands in no credential.")),
        required("created_at", instant("When it was made, in Unix seconds.")),
        required("expires_at", time("When it ends; `null` for never.")),
        required(
            "last_used_at",
            time(
                "When it was last used; `null` for never. After a crash up to a minute is missing.",
            ),
        ),
    ])
}

/// What a client may assert. A member that is absent does not limit.
fn limits() -> Vec<Member> {
    let patterns = |text: &str| {
        let one = pattern(
            "^[^*\\u0000-\\u001f\\u007f-\\u009f]{0,255}[^\\u0000-\\u001f\\u007f-\\u009f]$",
            "A text; or what one begins with, and a `*`.",
        );
        named(one, text)
    };
    let own = one_of(["own-id"], "The client's own id.");
    let subjects = Json::from("What `sub` must match; it is required then.");
    vec![
        optional(
            "issuers",
            named(
                issuer_name(),
                "The issuers that it may call at all, with any role.",
            ),
        ),
        optional(
            "audiences",
            patterns("What each `aud` must match; it is required then."),
        ),
        optional(
            "subjects",
            super::json::object([
                ("description", subjects),
                ("anyOf", super::json::array([patterns("Subjects."), own])),
            ]),
        ),
        optional(
            "scopes",
            list(
                pattern("^[!#-\\[\\]-~]{1,256}$", "A scope."),
                "The scopes of which `scope` may name any subset.",
            )
            .with("maxItems", 1000),
        ),
        optional(
            "claims",
            list(
                pattern(
                    "^[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]{1,256}$",
                    "A claim. Format characters are refused, and names that read like `sub` or \
                     another registered claim without regard to case.",
                ),
                "The claims that it may set beside `sub`, `aud`, `scope` and `nbf`.",
            )
            .with("maxItems", 1000),
        ),
        optional(
            "claims_schema",
            super::json::object([(
                "description",
                "A JSON Schema (2020-12) that `claims` must satisfy as a whole; at most 16 KiB. \
                 A `$ref` is `#` and a JSON pointer, and leads neither elsewhere nor back to itself."
                    .into(),
            )]),
        ),
        optional("max_ttl", duration("The longest lifetime, at least `1s`.")),
        optional(
            "algorithms",
            list(algorithm("An algorithm."), "The algorithms.").with("minItems", 1),
        ),
        optional(
            "types",
            named(
                pattern("^[A-Za-z0-9.+/-]{1,64}$", "A type."),
                "The types; case and `application/` do not matter.",
            ),
        ),
        optional("rate", reference("Rate")),
    ]
}

fn named(entry: Json, description: &str) -> Json {
    list(entry, description)
        .with("minItems", 1)
        .with("maxItems", 1000)
}

fn rate() -> Json {
    let count = |text: &str| integer(1, 1_000_000, text);
    accepted([
        required("signatures_per_second", count("In the long run.")),
        required("burst", count("At once, after a pause.")),
    ])
}

fn certificate_rule() -> Json {
    accepted([
        optional(
            "dns",
            pattern(
                "^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$",
                "A DNS name among the certificate's alternative names.",
            ),
        ),
        optional(
            "uri",
            pattern(
                "^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$",
                "A URI among them, such as a SPIFFE id.",
            ),
        ),
        optional(
            "sha256",
            pattern(
                "^([A-Za-z0-9_-]{43}|[0-9A-Fa-f]{64})$",
                "The thumbprint of one certificate (`x5t#S256`).",
            ),
        ),
    ])
    .with("minProperties", 1)
    .with("maxProperties", 1)
}

fn workload_rule() -> Json {
    let value = super::json::object([
        (
            "description",
            "What the claim must be; or, as a text, what it begins with and a `*`. Of an array, one \
             entry must be it. A text also stands for the number or the boolean that it spells."
                .into(),
        ),
        ("type", super::json::array(["string", "number", "boolean"])),
        ("pattern", "^[^*]".into()),
    ]);
    accepted([
        required(
            "issuer",
            text("The trusted issuer's name in the configuration."),
        ),
        required(
            "claims",
            super::json::object([
                (
                    "description",
                    "The claims that the token must have, all of them. A name that begins with `/` \
                     is a JSON pointer."
                        .into(),
                ),
                ("type", "object".into()),
                ("additionalProperties", value),
                ("minProperties", 1.into()),
                ("maxProperties", 16.into()),
            ]),
        ),
    ])
}

fn client_keys() -> Json {
    super::json::object([
        ("type", "object".into()),
        (
            "description",
            "The public keys (JWK set, ES256 or RS256, 1 to 10) of the assertions that it signs \
             itself."
                .into(),
        ),
        ("required", super::json::array(["keys"])),
    ])
}
