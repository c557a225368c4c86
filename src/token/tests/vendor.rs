//! A pipe to the simulated vendor for each connection.

use std::{convert::Infallible, future::ready};

use http::Uri;
use hyper_util::client::legacy::connect::Connect;

use crate::simulator::{Pipe, Simulator};

pub(super) fn connector(vendor: &Simulator) -> impl Connect + Clone + Send + Sync + use<> {
    let vendor = vendor.clone();
    tower::service_fn(move |_origin: Uri| {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(vendor.clone().serve_connection(theirs));
        ready(Ok::<_, Infallible>(Pipe::new(ours)))
    })
}
