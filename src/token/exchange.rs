//! One renewal (RFC 6749 §6), from the intent to the token in use.

use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use tokio::time::{Instant, sleep};

use super::{
    current::{Arrival, Expiry},
    outcome::{renewed, same},
    renewer::{Failed, RefreshTokenUse, Renewal, Renewer},
    seed::restored,
    token_response::{Client, TokenError, TokenResponse},
};
use crate::{
    backoff::Jitter,
    state::{Durability, Rotation, Stored, Swap, TokenRecord, Version},
};

/// Between attempts to write down what came. Until then nobody uses it.
const REWRITE_EVERY: Duration = Duration::from_secs(1);
/// So often, once the process is ending.
const LAST_WRITES: u32 = 3;

/// Whose record is in the store.
#[derive(Debug)]
enum Written {
    Ours,
    /// Another's, who has begun with another refresh token.
    Theirs(Option<Box<Stored>>),
}

impl Renewer {
    /// One renewal (RFC 6749 §6): intent written, asked, answer written, used, in this order.
    pub(super) async fn exchange(&mut self) -> Result<Renewal, Failed> {
        let Stored { version, record } = self.read().await?.ok_or(Failed::NoRefreshToken)?;
        let client = self.client().await?;
        let begun = TokenRecord { intent: Some(SystemTime::now()), ..record };
        // Proves too that the answer can be written.
        let version = match self.write(Some(version), &begun).await? {
            Swap::Done(version) => version,
            Swap::Conflict(newer) => return self.adopt(newer.as_deref()),
        };
        let asked_at = Instant::now();
        self.schedule.called(asked_at);
        let form = client.refresh(&self.renewing.url, &begun.refresh_token);
        let answered = self.renewing.form_client.post(form).await.map_err(TokenError::from)?;
        let grant = match TokenResponse::read(&answered, Some(&begun.refresh_token), SystemTime::now()) {
            Err(TokenError::InvalidGrant) => return self.judged_invalid(&begun.refresh_token).await,
            read => read?,
        };
        let lifetime = grant.access.as_ref().map(|access| access.lifetime);
        let (record, access) = renewed(&begun, grant);
        match self.write_down(version, &begun.refresh_token, &record).await? {
            Written::Ours => {}
            Written::Theirs(newer) => return self.adopt(newer.as_deref()),
        }
        self.note_rotation(record.rotation);
        // A rotated refresh token is safe before the rest of its answer is judged.
        let (access, lifetime) = access.zip(lifetime).ok_or(TokenError::Malformed)?;
        self.renewal_state.with_told(|info| info.renewed_at = Some(access.renewed_at));
        let now = Instant::now();
        let arrival = match std::mem::replace(&mut self.refresh_token, RefreshTokenUse::Used) {
            RefreshTokenUse::Unused | RefreshTokenUse::Restored => Arrival::ProvidedToken,
            RefreshTokenUse::Used => Arrival::Renewed(now),
        };
        self.install(&access, Expiry::Until(asked_at + lifetime), arrival);
        let remaining = lifetime.saturating_sub(now - asked_at);
        self.schedule.holding(now, lifetime, remaining, Jitter::draw());
        Ok(Renewal::Granted)
    }

    async fn client(&self) -> Result<Client, Failed> {
        let secret = match &self.renewing.client_secret {
            Some(source) => Some(source.read().await?),
            None => None,
        };
        Ok(Client { id: self.renewing.client_id.clone(), secret })
    }

    /// What `invalid_grant` means for the token that was sent. One that was replaced meanwhile is no dead one; one that
    /// never worked gives way to the one that it has replaced.
    async fn judged_invalid(&mut self, sent: &SecretString) -> Result<Renewal, Failed> {
        let Stored { version, record } = match self.read().await? {
            Some(stored) if same(&stored.record.refresh_token, sent) => stored,
            Some(newer) => return self.adopt(Some(&newer)),
            None => return Err(Failed::Endpoint(TokenError::InvalidGrant)),
        };
        let Some(restored) = restored(&record) else {
            return Err(Failed::Endpoint(TokenError::InvalidGrant));
        };
        match self.write(Some(version), &restored).await? {
            Swap::Done(_) => {
                self.hold(&restored);
                self.refresh_token = RefreshTokenUse::Restored;
                Err(Failed::GaveWay)
            }
            Swap::Conflict(newer) => self.adopt(newer.as_deref()),
        }
    }

    /// Writes what came, however long that takes: the refresh token that was sent may be worth nothing any more.
    async fn write_down(
        &mut self,
        mut version: Version,
        sent: &SecretString,
        record: &TokenRecord,
    ) -> Result<Written, Failed> {
        let mut last_writes = 0;
        loop {
            match self.write(Some(version), record).await {
                Ok(Swap::Done(_)) => return Ok(Written::Ours),
                // A write that was reported as failed, and was none.
                Ok(Swap::Conflict(Some(stored)))
                    if same(&stored.record.refresh_token, &record.refresh_token)
                        && stored.record.intent.is_none() =>
                {
                    return Ok(Written::Ours);
                }
                Ok(Swap::Conflict(Some(stored))) if same(&stored.record.refresh_token, sent) => {
                    version = stored.version;
                }
                Ok(Swap::Conflict(newer)) => return Ok(Written::Theirs(newer)),
                Err(error) => {
                    tracing::error!(
                        "the renewed token cannot be written, and is not used before it is: {error}"
                    );
                    if self.renewal_state.ending.is_cancelled() {
                        last_writes += 1;
                    }
                    if last_writes == LAST_WRITES {
                        return Err(error.into());
                    }
                    sleep(REWRITE_EVERY).await;
                }
            }
        }
    }

    fn note_rotation(&self, rotation: Rotation) {
        let before = self.renewal_state.with_told(|info| std::mem::replace(&mut info.rotation, rotation));
        if before != Rotation::Rotating && rotation == Rotation::Rotating {
            match self.store.durability() {
                Durability::Durable => {
                    tracing::info!("the refresh token rotates; each new one is kept in state.dir");
                }
                Durability::Volatile => tracing::error!(
                    "the refresh token rotates and is kept in memory only: when this process ends it is lost, and a \
                     person must consent again; set state.dir"
                ),
            }
        }
    }
}
