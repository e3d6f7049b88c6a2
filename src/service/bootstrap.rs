//! What a start puts into a store: its first client and its first issuer, and what files declare.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::DEFAULT_ISSUER;
use crate::access::{Limits, Role, Terms, TermsError};
use crate::authority::audit::Actor;
use crate::authority::{Authority, ChangeError, IssuerSet};
use crate::config::{Config, DefaultIssuer};
use crate::data_folder::DataFolder;
use crate::declared::{Declared, DeclaredKind, Difference, Present, Step, members_of};
use crate::lifecycle::{InvalidIssuerName, IssuerName, Policy, PolicyError};

/// How often what is declared is compared anew because another process was faster.
const MAX_ATTEMPTS: usize = 16;

/// Gives a store what it needs and what is declared, and says whether this process wrote a bootstrap
/// credential. A declared admin with a way in of its own takes its place.
pub(super) async fn run(
    authority: &Arc<Authority>,
    config: &Config,
    declared: &Declared,
    folder: &DataFolder,
) -> Result<bool, Box<dyn std::error::Error>> {
    let has_admin = declared.has_admin();
    let is_first_start = !has_admin && first_client(authority, folder).await?;
    if !declared.has_issuers() {
        first_issuer(authority, config).await?;
    }
    let refused = apply(authority, declared).await?;
    match refused.into_iter().next() {
        // No client could call.
        Some(why) if has_admin && !authority.had_clients() => Err(why.into()),
        _ => Ok(is_first_start),
    }
}

/// Makes the issuers and clients what is declared, and deletes none. What is refused is told, and does not
/// keep the service from serving what it has.
async fn apply(
    authority: &Arc<Authority>,
    declared: &Declared,
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut refused = Vec::new();
    let mut attempts = 0..MAX_ATTEMPTS;
    while attempts.next().is_some() {
        refused.clear();
        let mut is_contended = false;
        let differences = declared.differences(&issuers(authority), &clients(authority))?;
        for difference in differences {
            match make(authority, &difference).await {
                Ok(()) => {}
                // Another process was faster: what is left to do is compared anew.
                Err(ApplyError::Change(ChangeError::Contended)) => is_contended = true,
                Err(error) => {
                    let (kind, name) = (difference.kind.as_str(), &difference.name);
                    tracing::error!(kind, name, %error, "not made as declared");
                    refused.push(format!("declared.files: {kind} {name}: {error}"));
                }
            }
        }
        if !is_contended {
            break;
        }
        authority.catch_up().await?;
    }
    Ok(refused)
}

/// Why something is not made as it is declared.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Terms(#[from] TermsError),
    #[error(transparent)]
    Name(#[from] InvalidIssuerName),
    #[error("it waits for a second person")]
    Awaits,
    #[error(transparent)]
    Change(#[from] ChangeError),
}

async fn make(authority: &Arc<Authority>, difference: &Difference) -> Result<(), ApplyError> {
    let Difference {
        kind, name, step, ..
    } = difference;
    let document = Value::Object(difference.document.clone());
    let actor = Actor::Configuration;
    match (kind, step, &difference.id) {
        (_, Step::Delete, _) => {}
        (DeclaredKind::Issuer, ..) => {
            let policy = Policy::from_document(document, &authority.timing())?;
            let name = IssuerName::parse(name)?;
            let set = authority.set_issuer(&name, policy, None, actor).await?;
            if let IssuerSet::Awaits(_) = set {
                return Err(ApplyError::Awaits);
            }
            tracing::info!(issuer = %name, "made the issuer as declared");
        }
        (DeclaredKind::Client, _, Some(id)) => {
            let terms = Terms::from_document(document)?;
            authority.set_terms(id, terms, actor).await?;
            tracing::info!(client = id, name, "made the client as declared");
        }
        (DeclaredKind::Client, _, None) => {
            let client = authority.draft_client(Terms::from_document(document)?)?;
            let id = client.id.clone();
            authority.admit_client(client, actor).await?;
            tracing::info!(client = id, name, "made the client as declared");
        }
    }
    Ok(())
}

fn issuers(authority: &Authority) -> Vec<Present> {
    let snapshots = authority.issuers().into_iter();
    let snapshots = snapshots.map(|issuer| issuer.snapshot());
    let present = snapshots.filter(|snapshot| snapshot.set().deleted_at().is_none());
    let present = present.map(|snapshot| {
        let name = snapshot.set().issuer().to_string();
        Present {
            id: name.clone(),
            name,
            document: members_of(snapshot.set().policy().to_document()),
            is_admin: false,
        }
    });
    present.collect()
}

fn clients(authority: &Authority) -> Vec<Present> {
    let clients = authority.clients().all().into_iter();
    let present = clients.map(|state| {
        let terms = &state.client.terms;
        Present {
            id: state.client.id.clone(),
            name: terms.name.clone(),
            document: terms.to_members(),
            is_admin: terms.roles.contains(&Role::Admin),
        }
    });
    present.collect()
}

/// The identifier of a store's first client. It is always the same, so that of several replicas that
/// find the store empty one makes it.
const BOOTSTRAP: &str = "bootstrap";

/// Gives a store without clients its first one, and says whether this process did. The credential is put away before the client is
/// let in, so that a crash in between leaves no client whose credential is lost.
async fn first_client(
    authority: &Arc<Authority>,
    folder: &DataFolder,
) -> Result<bool, Box<dyn std::error::Error>> {
    if authority.had_clients() {
        return Ok(false);
    }
    let terms = Terms {
        name: "bootstrap".to_owned(),
        roles: BTreeSet::from(Role::ALL),
        limits: Limits::default(),
        certificates: Vec::new(),
        workloads: Vec::new(),
        keys: None,
    };
    let mut client = authority.draft_client(terms)?;
    BOOTSTRAP.clone_into(&mut client.id);
    let issued = authority.draft_credential(&client.id, None)?;
    client.credentials.push(issued.record);
    let file = folder.admin_token_file();
    folder.write(&file, issued.credential.reveal())?;
    match authority.admit_client(client, Actor::Bootstrap).await {
        Err(ChangeError::Contended) => {
            folder.remove(&file)?;
            authority.catch_up().await?;
            tracing::info!("another replica has written the bootstrap credential");
            return Ok(false);
        }
        admitted => admitted?,
    }
    tracing::info!(file = %file.display(), "wrote a bootstrap credential with every role");
    Ok(true)
}

async fn first_issuer(
    authority: &Arc<Authority>,
    config: &Config,
) -> Result<(), Box<dyn std::error::Error>> {
    if authority.has_issuers() {
        warn_if_unused(&config.default_issuer, authority);
        return Ok(());
    }
    let name = IssuerName::parse(DEFAULT_ISSUER)?;
    let policy = Policy::for_url(config.default_issuer_url()?);
    let set = authority.set_issuer(&name, policy, None, Actor::Bootstrap);
    match set.await {
        // Another replica was faster.
        Err(ChangeError::Contended) => authority.catch_up().await?,
        set => drop(set?),
    }
    Ok(())
}

/// The URL of an issuer never changes: an operator who sets another one must not believe that it
/// does.
fn warn_if_unused(default_issuer: &DefaultIssuer, authority: &Authority) {
    let mut urls = authority.issuers().into_iter().map(|issuer| {
        let snapshot = issuer.snapshot();
        snapshot.set().policy().url.as_str().to_owned()
    });
    let is_set = *default_issuer != Config::default().default_issuer;
    if is_set && !urls.any(|url| url == default_issuer.url) {
        tracing::warn!(
            "default_issuer.url = \"{}\" is not used: it is for an empty store, and this one has \
             issuers, none of them with this URL; the URL of an issuer never changes, so make \
             another issuer (`keywright issuers set NAME --set url=…`), or take the setting out",
            default_issuer.url
        );
    }
}
