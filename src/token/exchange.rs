//! One renewal (RFC 6749 §6), from the intent to the token in use.

use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use tokio::time::{Instant, sleep};

use super::{
    current::{Arrival, Expiry},
    outcome::{renewed, same},
    renewer::{Failed, RefreshTokenUse, Renewer},
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

impl Renewer {
    /// One renewal (RFC 6749 §6): intent written, asked, answer written, used, in this order.
    pub(super) async fn exchange(&mut self) -> Result<(), Failed> {
        let Stored { version, record } = self.vault.read().await?.ok_or(Failed::NoRefreshToken)?;
        let client = self.client().await?;
        let begun = TokenRecord { intent: Some(SystemTime::now()), ..record };
        // Proves too that the answer can be written.
        let Swap::Done(version) = self.vault.write(Some(version), &begun).await? else {
            return Err(Failed::Conflict);
        };
        let asked_at = Instant::now();
        self.schedule.called(asked_at);
        let form = client.refresh(&self.renewing.url, &begun.refresh_token);
        let answered = self.renewing.form_client.post(form).await.map_err(TokenError::from)?;
        let grant = match TokenResponse::read(&answered, Some(&begun.refresh_token), SystemTime::now()) {
            Err(TokenError::InvalidGrant) => return Err(self.judged_invalid(&begun.refresh_token).await),
            read => read?,
        };
        let lifetime = grant.access.as_ref().map(|access| access.lifetime);
        let (record, access) = renewed(&begun, grant);
        self.write_down(version, &begun.refresh_token, &record).await?;
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
        Ok(())
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
    async fn judged_invalid(&mut self, sent: &SecretString) -> Failed {
        let (version, record) = match self.vault.read().await {
            Ok(Some(Stored { version, record })) if same(&record.refresh_token, sent) => (version, record),
            Ok(Some(_)) => return Failed::Conflict,
            Ok(None) => return Failed::Endpoint(TokenError::InvalidGrant),
            Err(error) => return Failed::State(error),
        };
        let Some(restored) = restored(&record) else { return Failed::Endpoint(TokenError::InvalidGrant) };
        match self.vault.write(Some(version), &restored).await {
            Ok(Swap::Done(_)) => {
                self.hold(&restored);
                self.refresh_token = RefreshTokenUse::Restored;
                Failed::GaveWay
            }
            Ok(Swap::Conflict) => Failed::Conflict,
            Err(error) => Failed::State(error),
        }
    }

    /// Writes what came, however long that takes: the refresh token that was sent may be worth nothing any more.
    async fn write_down(
        &self,
        mut version: Version,
        sent: &SecretString,
        record: &TokenRecord,
    ) -> Result<(), Failed> {
        let mut last_writes = 0;
        loop {
            let written = match self.vault.write(Some(version), record).await {
                Ok(Swap::Done(_)) => return Ok(()),
                Ok(Swap::Conflict) => self.vault.read().await,
                Err(error) => Err(error),
            };
            match written {
                // A write that was reported as failed, and was none.
                Ok(Some(stored))
                    if same(&stored.record.refresh_token, &record.refresh_token)
                        && stored.record.intent.is_none() =>
                {
                    return Ok(());
                }
                Ok(Some(stored)) if same(&stored.record.refresh_token, sent) => version = stored.version,
                Ok(_) => return Err(Failed::Conflict),
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
            match self.vault.durability() {
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
