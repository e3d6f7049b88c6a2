//! Which issuers there are, by name and by the path under which they are published.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::ChangeError;
use super::issuer::Issuer;
use crate::lifecycle::IssuerName;
use crate::store::StoredSet;

/// The issuers as of now, read without a lock.
#[derive(Default)]
pub(super) struct IssuerDirectory {
    issuers: ArcSwap<Issuers>,
    writer: Mutex<()>,
}

/// Issuers by name and by path.
#[derive(Default, Clone)]
pub(super) struct Issuers {
    by_name: HashMap<IssuerName, Arc<Issuer>>,
    by_path: HashMap<String, Arc<Issuer>>,
    /// Issuers that the store has and that cannot be used, with the path of each.
    unusable: BTreeMap<IssuerName, String>,
}

impl Issuers {
    /// An issuer that is deleted keeps its name, so that its history can be asked for, and is
    /// published nowhere.
    pub(super) fn add(&mut self, issuer: Arc<Issuer>) {
        let snapshot = issuer.snapshot();
        let path = snapshot.set().policy().url.path();
        if snapshot.set().deleted_at().is_none() {
            self.by_path.insert(path.to_owned(), Arc::clone(&issuer));
        } else {
            self.by_path.remove(path);
        }
        self.unusable.remove(issuer.name());
        self.by_name.insert(issuer.name().clone(), issuer);
    }

    /// Adds an issuer unless it is there, and answers with the one that is: replication may have
    /// come before the task that has created it.
    pub(super) fn add_new(&mut self, issuer: Arc<Issuer>) -> Arc<Issuer> {
        match self.by_name.get(issuer.name()) {
            Some(known) => Arc::clone(known),
            None => {
                self.add(Arc::clone(&issuer));
                issuer
            }
        }
    }

    /// The names of all.
    pub(super) fn names(&self) -> impl Iterator<Item = &IssuerName> {
        self.by_name.keys()
    }

    /// Forgets an issuer that the store does not have any more.
    pub(super) fn forget(&mut self, name: &IssuerName) {
        if let Some(issuer) = self.by_name.remove(name) {
            self.by_path
                .remove(issuer.snapshot().set().policy().url.path());
        }
    }

    /// Puts an issuer out of service whose records cannot be used. Its documents are then not gone,
    /// and copies of them may go on being used.
    pub(super) fn refuse(&mut self, stored: &StoredSet, error: &dyn std::error::Error) {
        let name = &stored.issuer.key.id;
        tracing::error!(issuer = %name.escape_debug(), %error, "issuer refused");
        let Ok(name) = IssuerName::parse(name) else {
            return;
        };
        let path = stored.issuer.unique.clone().unwrap_or_default();
        if self.by_name.remove(&name).is_some() {
            self.by_path.remove(&path);
        }
        self.unusable.insert(name, path);
    }
}

impl IssuerDirectory {
    /// Whether there is no issuer at all, usable or not.
    pub(super) fn is_empty(&self) -> bool {
        let issuers = self.issuers.load();
        issuers.by_name.is_empty() && issuers.unusable.is_empty()
    }

    /// All issuers that are not deleted, in the order of their names.
    pub(super) fn all(&self) -> Vec<Arc<Issuer>> {
        let mut all = self.with_deleted();
        all.retain(|issuer| issuer.snapshot().set().deleted_at().is_none());
        all
    }

    /// All issuers, those that are deleted among them, in the order of their names.
    pub(super) fn with_deleted(&self) -> Vec<Arc<Issuer>> {
        let issuers = self.issuers.load();
        let mut all: Vec<_> = issuers.by_name.values().cloned().collect();
        all.sort_by(|one, other| one.name().cmp(other.name()));
        all
    }

    /// The issuer that is published under a path (empty for the root).
    pub(super) fn published_under(&self, path: &str) -> Option<Arc<Issuer>> {
        self.issuers.load().by_path.get(path).cloned()
    }

    /// Whether an issuer that cannot be used was published under a path. Its documents are then
    /// not gone but out of service, and copies of them may go on being used.
    pub(super) fn is_out_of_service(&self, path: &str) -> bool {
        let issuers = self.issuers.load();
        issuers.unusable.values().any(|unusable| unusable == path)
    }

    /// The issuer with this name.
    ///
    /// # Errors
    /// [`ChangeError::UnknownIssuer`], or [`ChangeError::UnusableIssuer`] when the store has it and
    /// it cannot be used.
    pub(super) fn find(&self, name: &str) -> Result<Arc<Issuer>, ChangeError> {
        let issuers = self.issuers.load();
        if let Some(issuer) = issuers.by_name.get(name) {
            return Ok(Arc::clone(issuer));
        }
        match issuers.unusable.get_key_value(name) {
            Some((name, _)) => Err(ChangeError::UnusableIssuer(name.clone())),
            None => Err(ChangeError::UnknownIssuer(name.chars().take(63).collect())),
        }
    }

    /// The names of those that cannot be used.
    pub(super) fn unusable(&self) -> Vec<IssuerName> {
        self.issuers.load().unusable.keys().cloned().collect()
    }

    /// Changes the directory, one caller at a time.
    pub(super) fn edit<T>(&self, edit: impl FnOnce(&mut Issuers) -> T) -> T {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut issuers = Issuers::clone(&self.issuers.load());
        let answer = edit(&mut issuers);
        self.issuers.store(Arc::new(issuers));
        answer
    }
}
