//! The refresh-token grant (RFC 6749 §6): one renewal, from writing the intent to installing the new access token.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use super::{
    current::{Arrival, Expiry, Validity},
    failed::Failed,
    fleet::{AccessLeft, Claim, Denied, NotYet, PATIENCE, WaitReason},
    outcome::{renewed, same},
    renewal_state::RenewalPhase,
    renewer::{RefreshTokenUse, Renewal, Renewer},
    seed::restored,
    token_response::{Client, TokenError, TokenResponse},
};
use crate::{
    backoff::Jitter,
    outage::Outage,
    state::{Durability, Rotation, Stored, Swap, TokenRecord, Version},
};

/// Between attempts to store the new tokens, which are not used until they are stored.
const REWRITE_EVERY: Duration = Duration::from_secs(1);
/// How often storing is attempted once the process is shutting down.
const LAST_WRITES: u32 = 3;

/// Whose record is in the store after the write.
#[derive(Debug)]
enum Written {
    Ours,
    /// Another process's, with a different refresh token.
    Theirs(Option<Box<Stored>>),
}

impl Renewer {
    /// One renewal: write the intent, call the endpoint, write the result, use it; in this order, so that a crash at
    /// any point is noticed at the next start.
    pub(super) async fn exchange(&mut self) -> Result<Renewal, Failed> {
        let stored = self.records.read().await?.ok_or(Failed::NoRefreshToken)?;
        // Another replica has renewed since: its token may be all that is needed.
        if self.records.fleet().is_some()
            && let Ok(adopted) = self.adopt(Some(&stored))
        {
            return Ok(adopted);
        }
        if self.records.is_refused(&stored.record) {
            return Err(Failed::Endpoint(TokenError::InvalidGrant));
        }
        let client = self.client().await?;
        let claim = match self.records.claim(&stored, self.access_left(Instant::now())).await {
            Ok(claim) => claim,
            Err(Denied::Theirs(newer)) => return self.adopt(newer.as_deref()),
            Err(Denied::NotYet(not_yet)) => return Err(Failed::NotYet(not_yet)),
            Err(Denied::Failed(error)) => return Err(error.into()),
        };
        let asked_at = Instant::now();
        if !claim.is_fresh(asked_at, SystemTime::now()) {
            self.records.withdraw().await;
            return Err(Failed::Paused);
        }
        let Claim { version, record: ref begun, .. } = claim;
        if self.is_of_other_consent(begun) {
            // Whatever is known of the one before.
            self.enter(RenewalPhase::Renewing);
        }
        self.schedule.called(asked_at);
        let form = client.refresh(&self.renewing.url, &begun.refresh_token);
        let answered = self.renewing.form_client.post(form).await.map_err(TokenError::from)?;
        let grant = match TokenResponse::read(&answered, Some(&begun.refresh_token), SystemTime::now()) {
            Err(TokenError::InvalidGrant) => return self.judged_invalid(&claim).await,
            read => read?,
        };
        let lifetime = grant.access.as_ref().map(|access| access.lifetime);
        let (record, access) = renewed(begun, grant);
        match self.write_down(version, begun, &record).await? {
            Written::Ours => {}
            Written::Theirs(newer) => return self.adopt(newer.as_deref()),
        }
        self.note_rotation(record.rotation);
        // A rotated refresh token is stored even if the rest of the response is unusable.
        let (access, lifetime) = access.zip(lifetime).ok_or(TokenError::Malformed)?;
        self.renewal_state.update_info(|info| info.renewed_at = Some(access.renewed_at));
        let now = Instant::now();
        let arrival = match std::mem::replace(&mut self.refresh_token, RefreshTokenUse::Used) {
            RefreshTokenUse::Unused | RefreshTokenUse::Restored => Arrival::ProvidedToken,
            RefreshTokenUse::Used => Arrival::Renewed(now),
        };
        self.install(&access, Expiry::Until(asked_at + lifetime), arrival);
        let remaining = lifetime.saturating_sub(now - asked_at);
        self.schedule.holding(now, lifetime, remaining, Jitter::draw());
        self.show_when_due();
        Ok(Renewal::Granted)
    }

    fn access_left(&self, now: Instant) -> AccessLeft {
        let remaining = self.current.remaining(now).unwrap_or_default();
        match self.current.standing(now) {
            Validity::Valid => AccessLeft::accepted(remaining),
            Validity::Rejected => AccessLeft::refused(remaining),
            Validity::Expired | Validity::Missing => AccessLeft::NONE,
        }
    }

    async fn client(&self) -> Result<Client, Failed> {
        let secret = match &self.renewing.client_secret {
            Some(source) => Some(source.read().await?),
            None => None,
        };
        Ok(Client { id: self.renewing.client_id.clone(), secret })
    }

    /// Handles `invalid_grant` for the token that was sent. If another process has replaced it meanwhile, the newer record
    /// counts; if it has never worked, the refresh token that it replaced is restored.
    async fn judged_invalid(&mut self, claim: &Claim) -> Result<Renewal, Failed> {
        let sent = &claim.record.refresh_token;
        let Stored { version, record } = match self.records.read().await? {
            Some(stored) if same(&stored.record.refresh_token, sent) => stored,
            Some(newer) => return self.adopt(Some(&newer)),
            None => return Err(Failed::Endpoint(TokenError::InvalidGrant)),
        };
        let Some(restored) = restored(&record) else {
            if let Some(rest) = claim.taken_over.and_then(|known| PATIENCE.checked_sub(known)) {
                tracing::warn!(
                    "the refresh token was refused; waiting for the replica that has used it before"
                );
                return Err(Failed::NotYet(NotYet { reason: WaitReason::OwnerMayAnswer, wait: rest }));
            }
            self.records.give_up().await;
            return Err(Failed::Endpoint(TokenError::InvalidGrant));
        };
        match self.records.replace(Some(version), &restored).await? {
            Swap::Done(_) => {
                self.hold(&restored);
                self.refresh_token = RefreshTokenUse::Restored;
                Err(Failed::RestoredPrevious)
            }
            Swap::Conflict(newer) => self.adopt(newer.as_deref()),
        }
    }

    /// Stores the new tokens, however long that takes: the refresh token that was sent may no longer be valid.
    async fn write_down(
        &mut self,
        mut version: Version,
        asked: &TokenRecord,
        record: &TokenRecord,
    ) -> Result<Written, Failed> {
        let (mut outage, mut last_writes) = (Outage::default(), 0);
        loop {
            match self.records.keep(version, asked, record).await {
                Ok(Swap::Done(_)) => return Ok(Written::Ours),
                // An earlier write was reported as failed but did succeed.
                Ok(Swap::Conflict(Some(stored)))
                    if same(&stored.record.refresh_token, &record.refresh_token)
                        && stored.record.intent.is_none() =>
                {
                    return Ok(Written::Ours);
                }
                Ok(Swap::Conflict(Some(stored)))
                    if same(&stored.record.refresh_token, &asked.refresh_token) =>
                {
                    version = stored.version;
                }
                Ok(Swap::Conflict(newer)) => return Ok(Written::Theirs(newer)),
                Err(error) => {
                    if outage.begins() {
                        self.metrics.renewal_failed();
                        tracing::error!(
                            "cannot write the renewed token, not using it until that works; retrying each second: {error}"
                        );
                    }
                    self.renewal_state.update_info(|info| info.last_error = Some(error.to_string()));
                    self.enter(RenewalPhase::Retrying);
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
        let before = self.renewal_state.update_info(|info| std::mem::replace(&mut info.rotation, rotation));
        if before != Rotation::Rotating && rotation == Rotation::Rotating {
            match self.records.durability() {
                Durability::Durable => {
                    tracing::info!("the refresh token rotates; each new one is stored in state.dir");
                }
                Durability::Volatile => tracing::error!(
                    "the refresh token rotates and is kept in memory only: it is lost when this process ends, and \
                     someone must then run `login` again; set state.dir"
                ),
            }
        }
    }
}
