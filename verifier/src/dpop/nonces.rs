//! Nonces that nothing has to be stored for: an HMAC of the current five minutes.

use std::fmt;
use std::time::SystemTime;

use ring::hmac;

use super::since_epoch;
use crate::base64url;

/// For how long a nonce is issued, in seconds. It is accepted for as long again.
const WINDOW: u64 = 300;

/// What the code is made of, before the window.
const LABEL: &[u8] = b"keywright DPoP nonce 1";

/// Issues nonces and knows them again.
pub(super) struct DpopNonces {
    key: hmac::Key,
}

impl DpopNonces {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    /// The nonce of this time.
    pub(super) fn current(&self, now: SystemTime) -> String {
        let code = hmac::sign(&self.key, &message(window_of(now)));
        base64url::encode(code.as_ref())
    }

    /// Whether a nonce was issued in this window or in the one before. All replicas that share the secret
    /// say the same.
    pub(super) fn accept(&self, nonce: &str, now: SystemTime) -> bool {
        let Some(code) = base64url::decode(nonce) else {
            return false;
        };
        let now = window_of(now);
        // The next one is another replica's, whose clock is ahead.
        let mut windows = [now, now.saturating_sub(1), now.saturating_add(1)].into_iter();
        windows.any(|window| hmac::verify(&self.key, &message(window), &code).is_ok())
    }
}

fn message(window: u64) -> Vec<u8> {
    [LABEL, &window.to_be_bytes()].concat()
}

fn window_of(now: SystemTime) -> u64 {
    since_epoch(now).as_secs() / WINDOW
}

/// Without the key.
impl fmt::Debug for DpopNonces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DpopNonces").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_nonce_is_accepted_for_five_to_ten_minutes_and_by_all_that_share_the_secret() {
        let nonces = DpopNonces::new(&[7; 32]);
        let replica = DpopNonces::new(&[7; 32]);
        let stranger = DpopNonces::new(&[8; 32]);
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(WINDOW * 1000 + seconds);
        let nonce = nonces.current(at(0));
        assert_eq!(nonce, nonces.current(at(WINDOW - 1)));
        assert_ne!(nonce, nonces.current(at(WINDOW)));
        for seconds in [0, WINDOW - 1, WINDOW, 2 * WINDOW - 1] {
            assert!(replica.accept(&nonce, at(seconds)), "{seconds}");
            assert!(!stranger.accept(&nonce, at(seconds)), "{seconds}");
        }
        assert!(!nonces.accept(&nonce, at(2 * WINDOW)));
        assert!(!nonces.accept(&nonces.current(at(2 * WINDOW)), at(WINDOW - 1)));
        assert!(!nonces.accept("", at(0)));
    }
}
