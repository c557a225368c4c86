//! A client's end of a connection in memory, as hyper-util's connection pool requires it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// One end of a `tokio::io::duplex`, whose other end is [served](super::Simulator::serve_connection).
#[derive(Debug)]
pub struct Pipe<I>(TokioIo<I>);

// === impl Pipe ===

impl<I> Pipe<I> {
    /// Makes one of our end.
    pub fn new(io: I) -> Self {
        Self(TokioIo::new(io))
    }
}

impl<I> Connection for Pipe<I> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl<I: AsyncRead + Unpin> Read for Pipe<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> Write for Pipe<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
