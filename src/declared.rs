//! What files declare: issuers with their policies, and clients with what they may do. No secret stands in
//! one: a declared client has a way in of its own, or an operator makes it a credential.
//!
//! Pure: what differs between the files and a deployment is found by comparing whole documents, with every
//! default written out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::access::{Terms, TermsError};
use crate::lifecycle::{InvalidIssuerName, IssuerName, Policy, PolicyError};
use crate::spelling::nearest;

/// The issuers and clients of all files.
#[derive(Debug, Default)]
pub struct Declared {
    /// The policies, with all their members, by issuer; `None` where no file declares issuers.
    issuers: Option<BTreeMap<IssuerName, Map<String, Value>>>,
    /// The terms, by the name of the client; `None` where no file declares clients.
    clients: Option<BTreeMap<String, Terms>>,
}

/// What a deployment has of one kind.
#[derive(Debug, Clone)]
pub struct Present {
    /// Of an issuer its name, of a client its identifier.
    pub id: String,
    /// Of an issuer its name, of a client what people call it.
    pub name: String,
    /// The policy or the terms.
    pub document: Map<String, Value>,
    /// Whether it is a client with the role `admin`: none of them is ever deleted, so that who applies files
    /// locks out neither itself nor another one.
    pub is_admin: bool,
}

/// One member that differs.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct MemberChange {
    /// The member.
    pub member: String,
    /// What it is, if it is there.
    pub from: Option<Value>,
    /// What the files say, if they say anything.
    pub to: Option<Value>,
}

/// Something that is not as the files say.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Difference {
    /// An issuer or a client.
    pub kind: DeclaredKind,
    /// Its name.
    pub name: String,
    /// What is to be done.
    pub step: Step,
    /// What changes; of what is to be deleted nothing.
    pub members: Vec<MemberChange>,
    /// The identifier, unless it is to be created.
    #[serde(skip)]
    pub id: Option<String>,
    /// The document that the files declare; empty for what is to be deleted.
    #[serde(skip)]
    pub document: Map<String, Value>,
}

/// What can be declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeclaredKind {
    /// An issuer.
    Issuer,
    /// A client.
    Client,
}

impl DeclaredKind {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Client => "client",
        }
    }
}

/// What is to be done with something that is not as the files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It is not there.
    Create,
    /// It is different.
    Change,
    /// It is not declared.
    Delete,
}

/// Why files declare nothing.
#[derive(Debug, thiserror::Error)]
pub enum DeclaredError {
    /// A file is no TOML.
    #[error("{file}: {0}", file = .1)]
    Form(String, String),
    /// A table that nothing declares.
    #[error("{file}: unknown table {table:?}{}", meant(table))]
    Table {
        /// The file.
        file: String,
        /// The table.
        table: String,
    },
    /// A value is no table.
    #[error("{file}: {table} must be a table")]
    NoTable {
        /// The file.
        file: String,
        /// Where it stands.
        table: String,
    },
    /// The same is declared twice.
    #[error("{file}: {kind} {name} is declared before", kind = .kind.as_str())]
    Twice {
        /// The file.
        file: String,
        /// What it is.
        kind: DeclaredKind,
        /// Its name.
        name: String,
    },
    /// A name that no issuer has.
    #[error("{file}: issuers.{name}: {source}")]
    IssuerName {
        /// The file.
        file: String,
        /// The name.
        name: String,
        /// The rule that it breaks.
        source: InvalidIssuerName,
    },
    /// A policy breaks a rule.
    #[error("{file}: issuers.{name}: {source}")]
    Policy {
        /// The file.
        file: String,
        /// The issuer.
        name: String,
        /// The rule that it breaks.
        source: PolicyError,
    },
    /// A client's terms break a rule.
    #[error("{file}: clients.{name}: {source}")]
    Terms {
        /// The file.
        file: String,
        /// The client.
        name: String,
        /// The rule that they break.
        source: TermsError,
    },
    /// A client's name is its table's.
    #[error(
        "{file}: clients.{name}: the name of a client is that of its table: leave \"name\" out"
    )]
    Name {
        /// The file.
        file: String,
        /// The client.
        name: String,
    },
    /// A declared client is several.
    #[error("clients.{name}: several clients have this name: {}", ids.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// The identifiers of those that have it.
        ids: Vec<String>,
    },
}

fn meant(table: &str) -> String {
    let known = nearest(table, ["issuers", "clients"].into_iter());
    known.map_or_else(String::new, |known| format!(": did you mean {known:?}?"))
}

impl Declared {
    /// Reads one more file (TOML), whose tables are `issuers.NAME` and `clients.NAME`.
    ///
    /// # Errors
    /// [`DeclaredError`], which names the file and the place.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), DeclaredError> {
        let form = |error: toml::de::Error| {
            DeclaredError::Form(error.to_string().trim_end().to_owned(), file.to_owned())
        };
        let document: Map<String, Value> = toml::from_str(text).map_err(form)?;
        for (table, value) in document {
            let kind = match table.as_str() {
                "issuers" => DeclaredKind::Issuer,
                "clients" => DeclaredKind::Client,
                _ => {
                    let file = file.to_owned();
                    return Err(DeclaredError::Table { file, table });
                }
            };
            for (name, value) in of_table(file, &table, value)? {
                let path = format!("{table}.{name}");
                let value = of_table(file, &path, value)?;
                self.declare(file, kind, name, value)?;
            }
        }
        Ok(())
    }

    fn declare(
        &mut self,
        file: &str,
        kind: DeclaredKind,
        name: String,
        document: Map<String, Value>,
    ) -> Result<(), DeclaredError> {
        let file = file.to_owned();
        let is_new = match kind {
            DeclaredKind::Issuer => {
                let policy = Policy::from_record(Value::Object(document));
                let policy = match policy {
                    Ok(policy) => members_of(policy.to_document()),
                    Err(source) => return Err(DeclaredError::Policy { file, name, source }),
                };
                let issuer = match IssuerName::parse(&name) {
                    Ok(issuer) => issuer,
                    Err(source) => return Err(DeclaredError::IssuerName { file, name, source }),
                };
                let issuers = self.issuers.get_or_insert_default();
                issuers.insert(issuer, policy).is_none()
            }
            DeclaredKind::Client => {
                let mut document = document;
                if document
                    .insert("name".to_owned(), name.clone().into())
                    .is_some()
                {
                    return Err(DeclaredError::Name { file, name });
                }
                let terms = match Terms::from_document(Value::Object(document)) {
                    Ok(terms) => terms,
                    Err(source) => return Err(DeclaredError::Terms { file, name, source }),
                };
                let clients = self.clients.get_or_insert_default();
                clients.insert(name.clone(), terms).is_none()
            }
        };
        match is_new {
            true => Ok(()),
            false => Err(DeclaredError::Twice { file, kind, name }),
        }
    }

    /// Whether any issuer is declared.
    pub fn has_issuers(&self) -> bool {
        self.issuers.iter().flatten().next().is_some()
    }

    /// Whether a client is declared that may manage access and has a way in of its own.
    pub fn has_admin(&self) -> bool {
        let mut clients = self.clients.iter().flatten();
        clients.any(|(_, terms)| terms.manages_access())
    }

    /// What is not as the files say, in the order in which it can be done: issuers before the clients that
    /// are limited to them, and deletions last. What is of a kind that no file declares is left alone.
    ///
    /// # Errors
    /// [`DeclaredError::Ambiguous`].
    pub fn differences(
        &self,
        issuers: &[Present],
        clients: &[Present],
    ) -> Result<Vec<Difference>, DeclaredError> {
        let declared_issuers = self.issuers.iter().flatten();
        let declared_issuers =
            declared_issuers.map(|(name, policy)| (name.as_str().to_owned(), policy.clone()));
        let declared_clients = self.clients.iter().flatten();
        let declared_clients =
            declared_clients.map(|(name, terms)| (name.clone(), terms.to_members()));
        let (mut differences, mut deletions) = (Vec::new(), Vec::new());
        let kinds: [(_, _, _, Vec<_>); 2] = [
            (
                DeclaredKind::Issuer,
                self.issuers.is_some(),
                issuers,
                declared_issuers.collect(),
            ),
            (
                DeclaredKind::Client,
                self.clients.is_some(),
                clients,
                declared_clients.collect(),
            ),
        ];
        for (kind, is_declared, present, declared) in kinds {
            for (name, document) in &declared {
                let found = found(name, present)?;
                let before = found.map(|found| &found.document);
                let members = changes(before, document);
                if found.is_some() && members.is_empty() {
                    continue;
                }
                differences.push(Difference {
                    kind,
                    name: name.clone(),
                    step: match found {
                        Some(_) => Step::Change,
                        None => Step::Create,
                    },
                    members,
                    id: found.map(|found| found.id.clone()),
                    document: document.clone(),
                });
            }
            let is_left = |one: &&Present| {
                !one.is_admin && declared.iter().all(|(name, _)| *name != one.name)
            };
            let left = present.iter().filter(|_| is_declared).filter(is_left);
            deletions.extend(left.map(|one| Difference {
                kind,
                name: one.name.clone(),
                step: Step::Delete,
                members: Vec::new(),
                id: Some(one.id.clone()),
                document: Map::new(),
            }));
        }
        // Clients lose what they may call before it goes.
        deletions.reverse();
        differences.append(&mut deletions);
        Ok(differences)
    }
}

fn of_table(file: &str, table: &str, value: Value) -> Result<Map<String, Value>, DeclaredError> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(DeclaredError::NoTable {
            file: file.to_owned(),
            table: table.to_owned(),
        }),
    }
}

/// The members of a document that is an object.
pub fn members_of(document: Value) -> Map<String, Value> {
    match document {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn found<'p>(name: &str, present: &'p [Present]) -> Result<Option<&'p Present>, DeclaredError> {
    let named: Vec<_> = present.iter().filter(|one| one.name == name).collect();
    match named.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => Err(DeclaredError::Ambiguous {
            name: name.to_owned(),
            ids: several.iter().map(|one| one.id.clone()).collect(),
        }),
    }
}

/// The members that differ between what is there and what is declared.
fn changes(before: Option<&Map<String, Value>>, after: &Map<String, Value>) -> Vec<MemberChange> {
    let gone = before.into_iter().flatten();
    let gone = gone.filter(|(member, _)| !after.contains_key(*member));
    let gone = gone.map(|(member, from)| MemberChange {
        member: member.clone(),
        from: Some(from.clone()),
        to: None,
    });
    let other = after.iter().filter_map(|(member, to)| {
        let from = before.and_then(|before| before.get(member));
        (from != Some(to)).then(|| MemberChange {
            member: member.clone(),
            from: from.cloned(),
            to: Some(to.clone()),
        })
    });
    gone.chain(other).collect()
}
