//! The body of a response, which knows how it ended: a connection whose bodies stall is replaced as one whose heads do.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connections::InUse;

/// A body. Dropped before its end, it has the connections replaced, unless its status has settled that.
pub(crate) struct TrackedBody<C> {
    body: Incoming,
    /// `None`: it is settled.
    in_use: Option<InUse<C>>,
}

// === impl TrackedBody ===

impl<C> TrackedBody<C> {
    /// A body that has to come whole.
    pub(super) const fn tracked(body: Incoming, in_use: InUse<C>) -> Self {
        Self { body, in_use: Some(in_use) }
    }

    /// One that may be left unread.
    pub(super) const fn settled(body: Incoming) -> Self {
        Self { body, in_use: None }
    }

    fn came_whole(&mut self) {
        if let Some(mut in_use) = self.in_use.take() {
            in_use.works();
        }
    }
}

impl<C> Body for TrackedBody<C> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) {
            self.came_whole();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<C> fmt::Debug for TrackedBody<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedBody").finish_non_exhaustive()
    }
}

impl<C> Drop for TrackedBody<C> {
    fn drop(&mut self) {
        // Who knows the length need not read the end.
        if self.body.is_end_stream() {
            self.came_whole();
        }
    }
}
