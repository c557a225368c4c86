//! The questions that a cause answers: did the call leave, whose fault is it, what next?

/// Did the call leave?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureStage {
    /// It was refused here, or kept back by a bug of ours.
    Refused,
    /// There was no connection to send it on: nothing of it reached the upstream.
    Connecting,
    /// It was sent. Whatever came back, the upstream may have counted it.
    Sent,
}

/// Whose fault is it, and so: who waits before the next call?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responsible {
    /// Nobody's: the API key has a limit. The quota waits.
    Quota,
    /// The token's. It is renewed or backed off.
    Token,
    /// The upstream's, or that of the way there. It counts for the circuit.
    Upstream,
    /// Ours.
    Proxy,
}

/// When is a second call worth its price?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryWhen {
    /// It would end as the first did.
    Never,
    /// If the first one cost nothing, or calls are not scarce.
    Affordable,
    /// If there is a newer token than the one that was sent: without a second call the renewal was for nothing.
    TokenRenewed,
}

/// What an error says of the key that was to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Nothing: calls are rationed, and this one was put off.
    Rationed,
    /// Nothing: the call was denied here, for another reason.
    Denied,
    /// A call was spent on it and brought no answer: it is remembered, and the key is left alone for a while.
    Failed,
}
