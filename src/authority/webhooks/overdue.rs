//! Rotations that are late, in the audit log: once for each time at which one was due.

use keywright_verifier::Algorithm;

use crate::authority::audit::{self, Actor, Attribution, RotationEvent};
use crate::authority::{Authority, ChangeError};
use crate::lifecycle::{IssuerName, Timestamp};
use crate::store::{CommitError, Content, Kind, RecordKey, Write};

impl Authority {
    /// Writes down that a rotation is late, unless this process or another one has done so.
    pub(in crate::authority) async fn note_overdue(
        &self,
        issuer: &IssuerName,
        algorithm: Algorithm,
        due_at: Timestamp,
    ) -> Result<(), ChangeError> {
        let services = &self.services;
        let key = RecordKey::unowned(Kind::Setting, format!("overdue/{issuer}/{algorithm}"));
        let due = due_at.millis().to_string().into_bytes();
        let record = services.store.get(&key).await?;
        if record.as_ref().and_then(|record| record.sealed.as_deref()) == Some(due.as_slice()) {
            return Ok(());
        }
        let event = RotationEvent::RotationOverdue {
            algorithm,
            due_at: due_at.floor_seconds(),
        };
        let mut batch = services.new_batch()?;
        let attribution = Attribution::from(Actor::Scheduler);
        let row = audit::row(&event, self.now(), Some(issuer), &attribution, None);
        batch.events.push(row);
        let content = Content::sealed(due);
        batch.writes.push(match record {
            Some(record) => Write::Replace(key, record.token, content),
            None => Write::Create(key, content),
        });
        match services.commit(batch).await {
            // Another process was faster.
            Ok(_) | Err(CommitError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
