//! Clients as stored documents, and back. What is read is parsed, not trusted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_verifier::json::{DEFAULT_MAX_DEPTH, Object};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::{Client, Terms};
use super::credential::CredentialRecord;
use crate::lifecycle::Timestamp;

/// The format before clients had limits: one credential without an end.
const FIRST_FORMAT: u32 = 1;
const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientDocument {
    format: u32,
    created_at: u64,
    credentials: Vec<CredentialDocument>,
    terms: Map<String, Value>,
}

/// Instants in milliseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialDocument {
    id: String,
    created_at: u64,
    /// Always written, so that a record that has lost it is corrupt and not everlasting.
    #[serde(deserialize_with = "Option::deserialize")]
    expires_at: Option<u64>,
    hash: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstDocument {
    format: u32,
    name: String,
    roles: Vec<String>,
    created_at: u64,
    credential_hash: String,
}

/// The client's document, which leaves out the id and the version that its row has.
pub fn to_document(client: &Client) -> String {
    let credentials = client.credentials.iter().map(|record| CredentialDocument {
        id: record.id.clone(),
        created_at: record.created_at.millis(),
        expires_at: record.expires_at.map(Timestamp::millis),
        hash: URL_SAFE_NO_PAD.encode(record.hash),
    });
    let document = ClientDocument {
        format: FORMAT,
        created_at: client.created_at.millis(),
        credentials: credentials.collect(),
        terms: client.terms.to_members(),
    };
    // Text, numbers and lists always serialise.
    serde_json::to_string(&document).unwrap_or_default()
}

/// Reads a client's document; `None` when this program could not have written it.
pub fn client(id: &str, version: u64, document: &str) -> Option<Client> {
    let document = modern(document).or_else(|| first(document))?;
    let terms = Terms::from_record(document.terms.into()).ok()?;
    let credentials = document.credentials.into_iter().map(|record| {
        let hash = URL_SAFE_NO_PAD.decode(record.hash).ok()?;
        Some(CredentialRecord {
            id: record.id,
            created_at: Timestamp::from_millis(record.created_at),
            expires_at: record.expires_at.map(Timestamp::from_millis),
            hash: hash.try_into().ok()?,
        })
    });
    Some(Client {
        id: id.to_owned(),
        version,
        created_at: Timestamp::from_millis(document.created_at),
        terms,
        credentials: credentials.collect::<Option<_>>()?,
    })
}

fn modern(text: &str) -> Option<ClientDocument> {
    // As strict as for a request: a record with a member twice has been tampered with.
    Object::parse(text.as_bytes(), DEFAULT_MAX_DEPTH, "a client").ok()?;
    let document: ClientDocument = serde_json::from_str(text).ok()?;
    (document.format == FORMAT).then_some(document)
}

fn first(text: &str) -> Option<ClientDocument> {
    let document: FirstDocument = serde_json::from_str(text).ok()?;
    if document.format != FIRST_FORMAT {
        return None;
    }
    let mut terms = Map::new();
    terms.insert("name".to_owned(), document.name.into());
    terms.insert("roles".to_owned(), document.roles.into());
    let credential = CredentialDocument {
        id: "first".to_owned(),
        created_at: document.created_at,
        expires_at: None,
        hash: document.credential_hash,
    };
    Some(ClientDocument {
        format: FORMAT,
        created_at: document.created_at,
        credentials: vec![credential],
        terms,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::access::credential::Credential;

    fn terms(document: Value) -> Terms {
        Terms::from_document(document).unwrap()
    }

    #[test]
    fn a_client_reads_as_it_is_written_and_its_row_has_no_credential() {
        let terms = terms(json!({
            "name": "orders", "roles": ["issuer", "auditor"],
            "limits": {"audiences": ["orders"], "rate": {"signatures_per_second": 5, "burst": 9}},
            "certificates": [{"dns": "orders.internal"}],
            "workloads": [{"issuer": "kubernetes", "claims": {"sub": "a"}}],
        }));
        let now = Timestamp::from_seconds(1);
        let credential = Credential::new("0123456789abcdef", &[7; 32]);
        let record = CredentialRecord::of(&credential, "one".to_owned(), now, Some(now));
        let client = Client {
            version: 7,
            credentials: vec![record],
            ..Client::new("0123456789abcdef".to_owned(), terms, now)
        };
        let document = to_document(&client);
        let read = super::client("0123456789abcdef", 7, &document);
        assert_eq!(read, Some(client));
        let secret = credential.reveal().rsplit_once('_').unwrap().1;
        assert!(!document.contains(secret));
    }

    #[test]
    fn a_client_of_the_first_format_keeps_its_credential() {
        let credential = Credential::new("0123456789abcdef", &[7; 32]);
        let now = Timestamp::from_seconds(1);
        let record = CredentialRecord::of(&credential, "first".to_owned(), now, None);
        let document = json!({
            "format": 1, "name": "a", "roles": ["issuer"], "created_at": 1000,
            "credential_hash": URL_SAFE_NO_PAD.encode(record.hash),
        });
        let client = client("0123456789abcdef", 1, &document.to_string()).unwrap();
        assert_eq!(client.credentials, [record]);
    }

    #[test]
    fn a_row_that_this_program_could_not_have_written_is_no_client() {
        let good = json!({
            "format": 2, "created_at": 1, "credentials": [],
            "terms": {"name": "a", "roles": ["issuer"]},
        });
        let read = |document: String| client("a", 1, &document);
        assert!(read(good.to_string()).is_some());
        let credential = json!([{"id": "a", "created_at": 1, "hash": "AAAA"}]);
        for (member, value) in [
            ("format", json!(3)),
            ("created_at", json!("1")),
            ("credentials", credential),
            ("terms", json!({"name": "a", "roles": []})),
            (
                "terms",
                json!({"name": "a", "roles": ["issuer"], "more": 1}),
            ),
            ("more", json!(1)),
        ] {
            let mut bad = good.clone();
            bad[member] = value;
            assert!(read(bad.to_string()).is_none(), "{bad}");
        }
    }
}
