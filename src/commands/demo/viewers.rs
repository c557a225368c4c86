//! The viewers of `demo --busy`: each polls the proxy over HTTP when the day says so, and compares each answer with what
//! Constant Contact would have shown.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{
    answers::AnswerLog,
    busy_day::{BusyDay, BusyPoll},
};
use crate::simulator::{LinkListing, Simulator};

/// One viewer, with a connection of its own.
struct Viewer {
    day: Arc<BusyDay>,
    proxy: SocketAddr,
    vendor: Simulator,
    answers: AnswerLog,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// Starts all viewers, each of whom keeps to one of the proxies; they stop when the set is dropped, or at the end of the
/// day's polls.
pub(super) fn start(
    day: &Arc<BusyDay>,
    proxies: &[SocketAddr],
    vendor: &Simulator,
    answers: &AnswerLog,
) -> JoinSet<()> {
    let mut viewers: Vec<_> = day.polls.iter().map(|poll| poll.viewer).collect();
    viewers.sort_unstable();
    viewers.dedup();
    let started = Instant::now();
    let watch = |number: u16| {
        let viewer = Viewer {
            day: Arc::clone(day),
            proxy: proxies[usize::from(number) % proxies.len()],
            vendor: vendor.clone(),
            answers: answers.clone(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        };
        async move {
            for poll in viewer.day.polls.iter().filter(|poll| poll.viewer == number) {
                sleep_until(started + poll.at).await;
                viewer.poll(*poll).await;
            }
        }
    };
    viewers.into_iter().map(watch).collect()
}

// === impl Viewer ===

impl Viewer {
    async fn poll(&self, BusyPoll { campaign, listing, .. }: BusyPoll) {
        let id = self.day.campaigns[campaign].id;
        let truth = self.vendor.clicks_shown(id, listing, self.vendor.now()).unwrap_or_default();
        match self.clicks_answered(id, listing).await {
            Ok(clicks) => self.answers.answered(campaign, truth.saturating_sub(clicks)),
            Err(error) => {
                tracing::debug!(%id, "a viewer got no report: {error:#}");
                self.answers.failed();
            }
        }
    }

    /// The sum of `unique_clicks` of the proxy's answer.
    async fn clicks_answered(&self, id: Uuid, listing: LinkListing) -> anyhow::Result<u32> {
        let query = match listing {
            LinkListing::Clicked => "",
            LinkListing::All => "?no_clicks=true",
        };
        let url = format!("http://{}/v3/reports/email_reports/{id}/links{query}", self.proxy);
        let response = self.client.get(url.parse::<Uri>()?).await?;
        if response.status() != StatusCode::OK {
            bail!("{}", response.status());
        }
        let report: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
        let links = report["link_click_counts"].as_array().context("not a report")?;
        let clicks: u64 = links.iter().filter_map(|link| link["unique_clicks"].as_u64()).sum();
        Ok(u32::try_from(clicks)?)
    }
}
