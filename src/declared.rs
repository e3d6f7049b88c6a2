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
    /// Whether it is a client with the role `admin`: none of them is ever deleted, so that an operator who
    /// applies files locks out neither itself nor another one.
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
#[error("{place}: {fault}")]
pub struct DeclaredError {
    /// The file, and the table in it.
    pub place: String,
    /// What is wrong there.
    pub fault: DeclaredFault,
}

/// What is wrong with a declaration.
#[derive(Debug, thiserror::Error)]
pub enum DeclaredFault {
    /// A file is no TOML.
    #[error("{0}")]
    Form(String),
    /// A table that nothing declares.
    #[error("unknown table{}", meant(.0))]
    Table(String),
    /// A value is no table.
    #[error("it must be a table")]
    NoTable,
    /// The same is declared twice.
    #[error("it is declared before")]
    Twice,
    /// A name that no issuer has.
    #[error(transparent)]
    IssuerName(#[from] InvalidIssuerName),
    /// A policy breaks a rule.
    #[error(transparent)]
    Policy(#[from] Box<PolicyError>),
    /// A client's terms break a rule.
    #[error(transparent)]
    Terms(#[from] Box<TermsError>),
    /// A client's name is its table's.
    #[error("the name of a client is that of its table: leave \"name\" out")]
    Name,
    /// A declared client is several.
    #[error("several clients have this name: {}", .0.join(", "))]
    Ambiguous(Vec<String>),
}

impl DeclaredFault {
    fn at(self, place: impl Into<String>) -> DeclaredError {
        DeclaredError {
            place: place.into(),
            fault: self,
        }
    }
}

fn meant(table: &str) -> String {
    let known = nearest(table, ["issuers", "clients"]);
    known.map_or_else(String::new, |known| format!(": did you mean {known:?}?"))
}

impl Declared {
    /// Reads one more file (TOML), whose tables are `issuers.NAME` and `clients.NAME`.
    ///
    /// # Errors
    /// [`DeclaredError`], which names the file and the place.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), DeclaredError> {
        let document: Result<Map<String, Value>, _> = toml::from_str(text);
        let document = document.map_err(|error| {
            let told = error.to_string();
            DeclaredFault::Form(told.trim_end().to_owned()).at(file)
        })?;
        for (table, value) in document {
            let place = format!("{file}: {table}");
            let kind = match table.as_str() {
                "issuers" => DeclaredKind::Issuer,
                "clients" => DeclaredKind::Client,
                _ => return Err(DeclaredFault::Table(table).at(place)),
            };
            let Value::Object(members) = value else {
                return Err(DeclaredFault::NoTable.at(place));
            };
            for (name, value) in members {
                let place = format!("{place}.{name}");
                let declared = self.declare(kind, name, value);
                declared.map_err(|fault| fault.at(place))?;
            }
        }
        Ok(())
    }

    fn declare(
        &mut self,
        kind: DeclaredKind,
        name: String,
        value: Value,
    ) -> Result<(), DeclaredFault> {
        let Value::Object(mut document) = value else {
            return Err(DeclaredFault::NoTable);
        };
        let is_new = match kind {
            DeclaredKind::Issuer => {
                let issuer = IssuerName::parse(&name)?;
                let policy = Policy::from_record(Value::Object(document)).map_err(Box::new)?;
                let issuers = self.issuers.get_or_insert_default();
                let policy = members_of(policy.to_document());
                issuers.insert(issuer, policy).is_none()
            }
            DeclaredKind::Client => {
                let own_name = document.insert("name".to_owned(), name.clone().into());
                if own_name.is_some() {
                    return Err(DeclaredFault::Name);
                }
                let terms = Terms::from_document(Value::Object(document)).map_err(Box::new)?;
                let clients = self.clients.get_or_insert_default();
                clients.insert(name, terms).is_none()
            }
        };
        match is_new {
            true => Ok(()),
            false => Err(DeclaredFault::Twice),
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
    /// [`DeclaredFault::Ambiguous`].
    pub fn differences(
        &self,
        issuers: &[Present],
        clients: &[Present],
    ) -> Result<Vec<Difference>, DeclaredError> {
        let mut differences = Differences::default();
        if let Some(declared) = &self.issuers {
            let policies = declared.iter();
            let policies = policies.map(|(name, policy)| (name.as_str(), policy.clone()));
            differences.compare(DeclaredKind::Issuer, &policies.collect(), issuers)?;
        }
        if let Some(declared) = &self.clients {
            let terms = declared.iter();
            let terms = terms.map(|(name, terms)| (name.as_str(), terms.to_members()));
            differences.compare(DeclaredKind::Client, &terms.collect(), clients)?;
        }
        Ok(differences.in_order())
    }
}

/// What has been found to differ.
#[derive(Default)]
struct Differences {
    /// What is to be created or changed.
    written: Vec<Difference>,
    /// What is to be deleted.
    deleted: Vec<Difference>,
}

impl Differences {
    /// Compares all that is declared of a kind, by name, with what there is.
    fn compare(
        &mut self,
        kind: DeclaredKind,
        declared: &BTreeMap<&str, Map<String, Value>>,
        present: &[Present],
    ) -> Result<(), DeclaredError> {
        for (&name, document) in declared {
            let found = found(name, present)?;
            let members = changes(found.map(|found| &found.document), document);
            let step = match found {
                Some(_) if members.is_empty() => continue,
                Some(_) => Step::Change,
                None => Step::Create,
            };
            self.written.push(Difference {
                kind,
                name: name.to_owned(),
                step,
                members,
                id: found.map(|found| found.id.clone()),
                document: document.clone(),
            });
        }
        let left = present.iter();
        let left = left.filter(|one| !one.is_admin && !declared.contains_key(one.name.as_str()));
        self.deleted.extend(left.map(|one| Difference {
            kind,
            name: one.name.clone(),
            step: Step::Delete,
            members: Vec::new(),
            id: Some(one.id.clone()),
            document: Map::new(),
        }));
        Ok(())
    }

    /// Deletions come last, those of clients first: they lose what they may call before it goes.
    fn in_order(self) -> Vec<Difference> {
        let deleted = self.deleted.into_iter().rev();
        self.written.into_iter().chain(deleted).collect()
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
        several => {
            let ids = several.iter().map(|one| one.id.clone());
            Err(DeclaredFault::Ambiguous(ids.collect()).at(format!("clients.{name}")))
        }
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
