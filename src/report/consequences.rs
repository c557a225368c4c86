//! Properties of a failed fetch: how far the call got, which party caused it, whether to retry, whether to back off.

/// How far the call got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureStage {
    /// Denied by this proxy, or stopped by a bug in it: nothing was sent.
    Refused,
    /// There was no connection: nothing of the request reached the upstream.
    Connecting,
    /// It was sent, so the upstream may have counted it against the quota, also without a response.
    Sent,
}

/// The party that caused the failure. It decides which mechanism delays the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responsible {
    /// The limit of the API key: the quota waits until it is reset.
    Quota,
    /// The access token: it is renewed or backed off.
    Token,
    /// The upstream or the network: counts as a failure for the circuit breaker.
    Upstream,
    /// This proxy.
    Proxy,
}

/// When a failed call is worth a retry, which uses a second call of the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryWhen {
    /// Never: it would fail again, or the client has waited long enough.
    Never,
    /// If the first call used no quota, or calls are not scarce.
    Affordable,
    /// If there is a newer token than the one that was sent.
    TokenRenewed,
}

/// What a failed fetch means for its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Nothing: the call was deferred to save quota.
    Rationed,
    /// Nothing: the proxy denied the call, for another reason.
    Denied,
    /// The call failed: the error is remembered, and the key is backed off.
    Failed,
}
