//! A pipe to the simulated vendor, as the pool wants it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connect, Connected, Connection},
    rt::TokioIo,
};
use tokio::io::DuplexStream;

use crate::simulator::Simulator;

struct Pipe(TokioIo<DuplexStream>);

pub(super) fn connector(vendor: &Simulator) -> impl Connect + Clone + Send + Sync + use<> {
    let vendor = vendor.clone();
    tower::service_fn(move |_origin: Uri| {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(vendor.clone().serve_connection(theirs));
        std::future::ready(Ok::<_, io::Error>(Pipe(TokioIo::new(ours))))
    })
}

// === impl Pipe ===

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Pipe {
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
