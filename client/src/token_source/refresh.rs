//! A grant that is renewed by its refresh token, which is another one each time (RFC 6749 §6).
//!
//! The issuer ends the grant if a token that was used before is used again, unless its answer was lost a
//! moment ago. So a new token is saved before anything is done with its answer, and a renewal whose answer is
//! lost is repeated at once.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::request::{Failed, TokenEndpoint, TokenRequest};
use crate::error::{BoxError, Error};

/// For how long one attempt may last. keywright repeats a lost answer for 30 s (`oauth.refresh_grace`) and
/// at most five times: all attempts together are shorter and fewer.
const ATTEMPT: Duration = Duration::from_secs(6);

/// How often a renewal is attempted.
const ATTEMPTS: u32 = 3;

/// The pause between two attempts, unless the issuer names another one.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that keeps all attempts together.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A refresh token: anyone who has it can renew its grant. Wiped when dropped; its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(Arc<Zeroizing<String>>);

impl RefreshToken {
    /// The token that was saved last, or that the grant was opened with.
    pub fn new(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.trim().to_owned())))
    }

    /// The token, to be saved where no other process reads it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(…)")
    }
}

type Saved = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// What saves a refresh token.
#[derive(Clone)]
pub(super) struct Save(Arc<dyn Fn(RefreshToken) -> Saved + Send + Sync>);

impl Save {
    pub(super) fn new<F, S, E>(save: F) -> Self
    where
        F: Fn(RefreshToken) -> S + Send + Sync + 'static,
        S: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Arc::new(move |token| {
            let saved = save(token);
            Box::pin(async move { saved.await.map_err(Into::into) })
        }))
    }
}

impl fmt::Debug for Save {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Save(…)")
    }
}

/// The refresh tokens of a grant.
pub(super) struct Line {
    /// The one that was saved last.
    token: RefreshToken,
    /// Its successor, if it could not be saved yet.
    unsaved: Option<RefreshToken>,
    save: Save,
}

impl Line {
    pub(super) fn begin(token: RefreshToken, save: Save) -> Self {
        Self {
            token,
            unsaved: None,
            save,
        }
    }

    /// Saves a successor that is not saved yet.
    async fn catch_up(&mut self) -> Result<(), Failed> {
        let Some(next) = self.unsaved.clone() else {
            return Ok(());
        };
        // In a task of its own: a panic of the hook is a failure like others.
        let saved = tokio::spawn((self.save.0)(next.clone())).await;
        let saved = saved.unwrap_or_else(|error| Err(error.into()));
        saved.map_err(|source| (Error::NotSaved { source }, None))?;
        self.token = next;
        self.unsaved = None;
        Ok(())
    }
}

impl TokenRequest {
    /// Renews the grant. The successor of the refresh token is saved when this returns.
    pub(super) async fn renew(
        &self,
        endpoint: &mut Option<TokenEndpoint>,
        line: &mut Line,
        now: Duration,
    ) -> Result<keywright_api::AccessToken, Failed> {
        line.catch_up().await?;
        let token = line.token.clone();
        let form = self.form(&[("refresh_token", token.as_str())]);
        let endpoint = self.endpoint(endpoint, now).await?;
        let mut attempt = 1;
        let answer = loop {
            let asked = timeout(ATTEMPT, self.post(endpoint, Bytes::clone(&form))).await;
            let failed = match asked {
                Ok(Ok(answer)) => break answer,
                Ok(Err(failed)) => failed,
                Err(_) => self.timed_out(),
            };
            let pause = failed.1.unwrap_or(PAUSE);
            if attempt == ATTEMPTS || pause > LONGEST_PAUSE || !failed.0.may_have_been_done() {
                return Err(failed);
            }
            attempt += 1;
            sleep(pause).await;
        };
        if let Some(next) = &answer.refresh_token {
            let next = RefreshToken::new(next);
            // An issuer may let a client keep its token.
            if next != line.token {
                line.unsaved = Some(next);
                line.catch_up().await?;
            }
        }
        Ok(answer)
    }
}
