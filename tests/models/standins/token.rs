//! What the renewer imports of its siblings: nothing comes from files, and the endpoint is a counter.

pub(super) mod failed {
    use real_std::{fmt, time::Duration};

    use super::token_response::TokenError;

    #[derive(Debug)]
    pub(in crate::token) struct NotYet {
        pub(in crate::token) wait: Duration,
    }

    #[derive(Debug)]
    pub(in crate::token) enum Failed {
        NoRefreshToken,
        Endpoint(TokenError),
        Record(()),
        Inbox(()),
        ClientSecret(()),
        Conflict,
        Paused,
        RestoredPrevious,
        NotYet(NotYet),
    }

    impl Failed {
        pub(in crate::token) fn retry_after(&self) -> Duration {
            Duration::ZERO
        }
    }

    impl fmt::Display for Failed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{self:?}")
        }
    }
}

pub(super) mod token_response {
    #[derive(Debug)]
    pub(in crate::token) enum TokenError {
        InvalidGrant,
        Unanswered,
    }
}

pub(super) mod source {
    #[derive(Debug)]
    pub struct TokenSource;
}

pub(super) mod outcome {
    use real_std::time::{Duration, SystemTime};

    use crate::state::StoredAccess;

    pub(in crate::token) fn by_the_wall_clock(
        _access: &StoredAccess,
        _now: SystemTime,
    ) -> Option<(Duration, Duration)> {
        None
    }
}

pub(super) mod inputs {
    use real_std::{future::pending, time::Duration};

    use tokio::time::Instant;

    use super::failed::Failed;
    use crate::state::TokenRecord;

    #[derive(Debug)]
    pub(in crate::token) struct RefreshTokenInputs;

    #[derive(Debug, Clone)]
    pub(in crate::token) struct NewRefreshToken;

    impl RefreshTokenInputs {
        pub(in crate::token) async fn next(&mut self) -> NewRefreshToken {
            pending().await
        }

        pub(in crate::token) fn choose(
            &self,
            _held: Option<&TokenRecord>,
            _new: NewRefreshToken,
        ) -> Option<TokenRecord> {
            None
        }

        pub(in crate::token) async fn written(&mut self, _new: NewRefreshToken) -> Result<(), Failed> {
            Ok(())
        }

        pub(in crate::token) fn again(&mut self, _new: NewRefreshToken) {}

        pub(in crate::token) fn put_back_for(&self, _now: Instant) -> Option<Duration> {
            None
        }
    }
}

pub(super) mod records {
    use real_std::{
        collections::VecDeque,
        future::pending,
        sync::{Arc, Mutex},
    };

    use super::failed::Failed;
    use crate::state::{Stored, Swap, TokenRecord, Version};

    /// How the endpoint answers.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::token) enum Answer {
        Granted,
        /// The token that is held already.
        Same,
        Unanswered,
    }

    /// The token endpoint, in the place of the records: its answers, `Granted` after the last one, and how often it was
    /// called.
    #[derive(Debug, Clone)]
    pub(in crate::token) struct TokenRecords(pub(in crate::token) Arc<Mutex<(VecDeque<Answer>, u32)>>);

    #[derive(Debug)]
    pub(in crate::token) struct FleetRecords;

    impl TokenRecords {
        pub(in crate::token) fn called(&self) -> u32 {
            self.0.lock().unwrap().1
        }

        pub(in crate::token) async fn read(&mut self) -> Result<Option<Stored>, Failed> {
            Ok(None)
        }

        pub(in crate::token) async fn replace(
            &mut self,
            _expected: Option<Version>,
            _record: &TokenRecord,
        ) -> Result<Swap, Failed> {
            Ok(Swap::Done(Version))
        }

        pub(in crate::token) async fn changed(&self) {
            pending().await
        }

        pub(in crate::token) const fn fleet(&self) -> Option<&Arc<FleetRecords>> {
            None
        }
    }

    impl FleetRecords {
        pub(in crate::token) fn is_begun_by_another(&self, _record: &TokenRecord) -> bool {
            false
        }
    }
}
