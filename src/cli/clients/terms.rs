//! What the command line says of a client: its roles, its limits, its ways in.

use clap::builder::PossibleValuesParser;
use keywright_api::Role;
use serde_json::{Map, Value, json};

use crate::cli::failure::Failure;
use crate::cli::input;

#[derive(clap::Args)]
pub(super) struct TermsArguments {
    /// What it may do: issuer signs tokens; security rotates, revokes and imports keys; auditor
    /// reads keys, plans and the audit log; admin manages issuers and clients; revoker takes tokens
    /// back; introspector asks whether tokens are valid; exchanger trades tokens in; consumer uses
    /// up tokens that count once; receiver is told whose sessions have ended. Repeatable.
    #[arg(
        long = "role",
        value_name = "ROLE",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Role::ALL.map(Role::as_str))
    )]
    roles: Vec<String>,
    /// An issuer that it may call; all of them when none is named. Repeatable, as the others here.
    #[arg(long = "issuer", value_name = "NAME", value_delimiter = ',', help_heading = LIMITS)]
    issuers: Vec<String>,
    /// An audience that its tokens may have, or what one begins with: https://api.example/*.
    #[arg(long = "audience", value_name = "PATTERN", help_heading = LIMITS)]
    audiences: Vec<String>,
    /// A subject that its tokens may have, or what one begins with: user-*.
    #[arg(
        long = "subject",
        value_name = "PATTERN",
        conflicts_with = "own_subject",
        help_heading = LIMITS
    )]
    subjects: Vec<String>,
    /// Its tokens have its own id as their subject.
    #[arg(long, help_heading = LIMITS)]
    own_subject: bool,
    /// A scope that its tokens may have.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', help_heading = LIMITS)]
    scopes: Vec<String>,
    /// A claim that its tokens may have beside sub, aud, scope and nbf.
    #[arg(long = "claim", value_name = "NAME", value_delimiter = ',', help_heading = LIMITS)]
    claims: Vec<String>,
    /// A JSON Schema that the claims which it sends must satisfy, or - for standard input.
    #[arg(long, value_name = "FILE", help_heading = LIMITS)]
    claims_schema: Option<String>,
    /// The longest lifetime of its tokens, such as 10m.
    #[arg(long, value_name = "DURATION", help_heading = LIMITS)]
    max_ttl: Option<String>,
    /// An algorithm that it may ask for.
    #[arg(long = "algorithm", value_name = "ALGORITHM", value_delimiter = ',', help_heading = LIMITS)]
    algorithms: Vec<String>,
    /// A type that its tokens may have, such as at+jwt.
    #[arg(long = "type", value_name = "TYP", value_delimiter = ',', help_heading = LIMITS)]
    types: Vec<String>,
    /// Signatures a second.
    #[arg(long, value_name = "COUNT", requires = "burst", help_heading = LIMITS)]
    rate: Option<u64>,
    /// Signatures at once after a pause.
    #[arg(long, value_name = "COUNT", requires = "rate", help_heading = LIMITS)]
    burst: Option<u64>,
    /// A TLS certificate that is its own: dns:NAME, uri:URI or sha256:THUMBPRINT.
    #[arg(
        long = "certificate",
        value_name = "KIND:VALUE",
        value_parser = certificate,
        help_heading = WAYS_IN
    )]
    certificates: Vec<Value>,
    /// Tokens of a trusted issuer that are its own: kubernetes:sub=system:serviceaccount:prod:orders.
    #[arg(
        long = "workload",
        value_name = "ISSUER:CLAIM=VALUE[,…]",
        value_parser = workload,
        help_heading = WAYS_IN
    )]
    workloads: Vec<Value>,
    /// The public keys of the assertions that it signs itself (a JWK set), or - for standard input.
    #[arg(long, value_name = "FILE", help_heading = WAYS_IN)]
    jwks: Option<String>,
}

const LIMITS: &str = "Limits: what is not said is not limited";
const WAYS_IN: &str = "Ways in beside a credential";

impl TermsArguments {
    pub(super) fn names_no_role(&self) -> bool {
        self.roles.is_empty()
    }

    /// Replaces the members of a client's terms that are named.
    pub(super) fn apply(&self, terms: &mut Map<String, Value>) -> Result<(), Failure> {
        let mut limits = match terms.remove("limits") {
            Some(Value::Object(limits)) => limits,
            _ => Map::new(),
        };
        for (member, values) in [
            ("issuers", &self.issuers),
            ("audiences", &self.audiences),
            ("subjects", &self.subjects),
            ("scopes", &self.scopes),
            ("claims", &self.claims),
            ("algorithms", &self.algorithms),
            ("types", &self.types),
        ] {
            if !values.is_empty() {
                limits.insert(member.to_owned(), json!(values));
            }
        }
        if self.own_subject {
            limits.insert("subjects".to_owned(), "own-id".into());
        }
        if let Some(file) = &self.claims_schema {
            limits.insert("claims_schema".to_owned(), input::object(file)?.into());
        }
        if let Some(longest) = &self.max_ttl {
            limits.insert("max_ttl".to_owned(), longest.as_str().into());
        }
        if let (Some(rate), Some(burst)) = (self.rate, self.burst) {
            let rate = json!({ "signatures_per_second": rate, "burst": burst });
            limits.insert("rate".to_owned(), rate);
        }
        if !limits.is_empty() {
            terms.insert("limits".to_owned(), limits.into());
        }
        if !self.roles.is_empty() {
            terms.insert("roles".to_owned(), json!(self.roles));
        }
        if !self.certificates.is_empty() {
            terms.insert("certificates".to_owned(), json!(self.certificates));
        }
        if !self.workloads.is_empty() {
            terms.insert("workloads".to_owned(), json!(self.workloads));
        }
        if let Some(file) = &self.jwks {
            terms.insert("jwks".to_owned(), input::object(file)?.into());
        }
        Ok(())
    }
}

fn certificate(text: &str) -> Result<Value, &'static str> {
    match text.split_once(':') {
        Some((kind @ ("dns" | "uri" | "sha256"), value)) => Ok(json!({ kind: value })),
        _ => Err("write dns:NAME, uri:URI or sha256:THUMBPRINT"),
    }
}

fn workload(text: &str) -> Result<Value, &'static str> {
    let wrong = "write ISSUER:CLAIM=VALUE, with more claims after commas";
    let (issuer, claims) = text.split_once(':').ok_or(wrong)?;
    let mut required = Map::new();
    for claim in claims.split(',') {
        let (name, value) = claim.split_once('=').ok_or(wrong)?;
        if required.insert(name.to_owned(), value.into()).is_some() {
            return Err("name each claim once");
        }
    }
    Ok(json!({ "issuer": issuer, "claims": required }))
}
