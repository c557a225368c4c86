//! The link report of one activity at one moment: plausible links, clicks that only grow, and a form (key
//! order, spacing) that differs between activities as the vendor's does.

use std::fmt::Write as _;
use std::time::Duration;

use super::campaigns::{Audience, Plan};
use super::clock::Moment;

/// How often the aggregates are recomputed; the vendor's interval is undocumented.
const RECOMPUTED_EVERY: Duration = Duration::from_secs(60);

/// The pages of a plausible newsletter; longer newsletters continue with numbered products.
const PAGES: [&str; 12] = [
    "https://www.harbourlight.example/?utm_source=newsletter&utm_medium=email&utm_campaign=",
    "https://www.harbourlight.example/collections/table-lamps?utm_source=newsletter&utm_medium=email&utm_content=hero&utm_campaign=",
    "https://www.harbourlight.example/products/brass-reading-lamp?variant=40512&utm_source=newsletter&utm_campaign=",
    "https://www.harbourlight.example/journal/how-we-cast-brass#part-2",
    "https://www.harbourlight.example/über-uns/größen?utm_campaign=",
    "https://booking.harbourlight.example/workshops/2026/wire-and-shade?ref=mail&utm_campaign=",
    "https://maps.example/place/Harbour+Light/@54.32,10.13,17z",
    "https://www.instagram.example/harbourlight/",
    "https://video.example/watch?v=h4Rb0ur&t=42s",
    "http://harbourlight.example/coupon?code=SPRING%2D10&utm_campaign=",
    "https://www.harbourlight.example/account/preferences",
    "https://www.harbourlight.example/legal/imprint",
];

/// The parsed `no_clicks` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkListing {
    /// `no_clicks=false`, the default: links without a click are left out.
    Clicked,
    /// `no_clicks=true`: they are listed, with 0.
    All,
}

// === impl LinkListing ===

impl LinkListing {
    /// Reads the value of `no_clicks`: true or false in any case, 1 or 0.
    pub(super) fn parse(value: &str) -> Option<Self> {
        if value == "1" || value.eq_ignore_ascii_case("true") {
            Some(Self::All)
        } else if value == "0" || value.eq_ignore_ascii_case("false") {
            Some(Self::Clicked)
        } else {
            None
        }
    }
}

/// Renders the report; equal arguments give equal bytes, and so do moments between two recomputations.
pub(super) fn render(plan: &Plan, listing: LinkListing, seed: u64, started: Moment, now: Moment) -> String {
    let (high, low) = plan.id.as_u64_pair();
    let own = mix(seed ^ high ^ low.rotate_left(17));
    let mut links = Vec::new();
    if let Some(since) = plan.sent_at(started).and_then(|sent| age_at_recomputation(sent, now, own)) {
        let share = clicked_share(since);
        for index in 0..plan.links {
            let clicks = clicks(plan, index, mix(own ^ u64::from(index)), share);
            if clicks > 0 || listing == LinkListing::All {
                links.push(link(index, clicks, own));
            }
        }
    }
    let (comma, colon) = if own & 8 == 0 { (",", ":") } else { (", ", ": ") };
    let id = format!("\"campaign_activity_id\"{colon}\"{}\"", plan.id);
    let links = format!("\"link_click_counts\"{colon}[{}]", links.join(comma));
    if own & 16 == 0 { format!("{{{id}{comma}{links}}}") } else { format!("{{{links}{comma}{id}}}") }
}

/// `None` until it is sent.
fn age_at_recomputation(sent: Duration, now: Moment, own: u64) -> Option<Duration> {
    if now.since_epoch < sent {
        return None;
    }
    // Each activity has its own second of the minute: the vendor's jobs don't run all at once.
    let phase = Duration::from_secs(own % RECOMPUTED_EVERY.as_secs());
    let since_job = (now.since_epoch + phase).as_secs() % RECOMPUTED_EVERY.as_secs();
    let last_job = now.since_epoch.as_secs() - since_job;
    Some(Duration::from_secs(last_job).saturating_sub(sent))
}

/// Half of the clicks within 3.7 h, 84 % in a day, 98 % in a week, and a tail: most readers click once and
/// soon.
fn clicked_share(since_sent: Duration) -> f64 {
    let hours = since_sent.as_secs_f64() / 3600.0;
    0.78 * (1.0 - (-hours / 2.6).exp2()) + 0.22 * (1.0 - (-hours / 48.0).exp2())
}

fn clicks(plan: &Plan, index: u32, draw: u64, share: f64) -> u32 {
    let (contacts, at_least) = match plan.audience {
        Audience::Silent => return 0,
        // The last one is the imprint; of the others about every fifth gets no click. The first always has some:
        // a sent campaign has readers.
        Audience::Contacts(_) if index > 0 && (index + 1 == plan.links || draw.is_multiple_of(5)) => {
            return 0;
        }
        Audience::Contacts(contacts) => (contacts, 0),
        Audience::Thorough(contacts) => (contacts, 1),
    };
    let taste = 0.6 + (draw >> 32) as f64 / f64::from(u32::MAX);
    let in_the_end = f64::from(contacts) * 0.06 * taste / f64::from(index + 1).powf(0.8);
    ((in_the_end * share) as u32).max(at_least)
}

fn link(index: u32, clicks: u32, own: u64) -> String {
    let draw = mix(own ^ u64::from(index) ^ 0x00c0_ffee);
    let mut url = match PAGES.get(index as usize) {
        Some(page) => (*page).to_owned(),
        None => {
            format!("https://www.harbourlight.example/products/{index}?utm_source=newsletter&utm_campaign=")
        }
    };
    if url.ends_with('=') {
        let _ = write!(url, "mail-{:x}", own & 0xfff);
    }
    let mut fields = vec![
        ("link_url", format!("\"{url}\"")),
        // Beyond 2^32, like the vendor's.
        ("url_id", format!("\"{}\"", 1_100_000_000_000 + draw % 1_000_000_000)),
        ("unique_clicks", clicks.to_string()),
    ];
    if index % 4 == 2 {
        fields.push(("list_action", "\"add\"".to_owned()));
        fields.push(("list_id", format!("\"{}\"", uuid::Uuid::from_u64_pair(draw, own))));
    }
    match own % 3 {
        0 => {}
        1 => fields.reverse(),
        _ => fields.rotate_left(1),
    }
    let (comma, colon) = if own & 8 == 0 { (",", ":") } else { (", ", ": ") };
    let fields: Vec<_> = fields.into_iter().map(|(key, value)| format!("\"{key}\"{colon}{value}")).collect();
    format!("{{{}}}", fields.join(comma))
}

/// SplitMix64's finalizer: a pseudo-random number from another number.
pub(super) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::campaigns::{find, parse_id, synthetic_id};
    use super::*;
    use serde_json::Value;
    use tokio::time::Instant;

    const FRESH: &str = "d41d8cd9-8f00-4204-a980-0998ecf8427e";

    fn report(id: &str, listing: LinkListing, after: Duration) -> (String, Value) {
        let started = Moment { instant: Instant::now(), since_epoch: Duration::from_secs(1_700_000_000) };
        let now = Moment { since_epoch: started.since_epoch + after, ..started };
        let plan = find(parse_id(id).unwrap()).unwrap();
        let text = render(&plan, listing, 1, started, now);
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    fn counts(id: &str, listing: LinkListing, after: Duration) -> Vec<u64> {
        let (_, report) = report(id, listing, after);
        let links = report["link_click_counts"].as_array().unwrap();
        links.iter().map(|link| link["unique_clicks"].as_u64().unwrap()).collect()
    }

    #[test]
    fn clicks_only_grow_and_half_of_them_come_in_three_to_four_hours() {
        let at = |hours: u64| {
            counts(FRESH, LinkListing::All, Duration::from_secs(hours * 3600 + 60)).iter().sum::<u64>()
        };
        let ages: Vec<u64> = (0..200).map(at).collect();
        assert!(ages.is_sorted());
        let in_the_end = at(24 * 365);
        assert!(at(3) < in_the_end / 2 && in_the_end / 2 < at(4));
    }

    #[test]
    fn the_same_minute_gives_the_same_bytes() {
        let changes = (3600..3720)
            .map(|second| report(FRESH, LinkListing::Clicked, Duration::from_secs(second)).0)
            .collect::<std::collections::BTreeSet<_>>();
        assert!((2..=3).contains(&changes.len()), "{} reports in two minutes", changes.len());
    }

    #[test]
    fn no_clicks_true_adds_the_links_that_nobody_clicked() {
        let day = Duration::from_secs(86_400);
        for id in ["8892baf9-970a-4de6-8400-fa4ec461986d", "1ead98be-dfa0-4e04-81f7-5f1534d42e9c"] {
            let clicked = counts(id, LinkListing::Clicked, day);
            let all = counts(id, LinkListing::All, day);
            assert!(all.len() > clicked.len());
            assert!(all.contains(&0) && !clicked.contains(&0));
        }
        let silent = "3c4fcf09-8815-4ff7-8a2c-6d5e4b3a2910";
        assert!(counts(silent, LinkListing::Clicked, day).is_empty());
        assert_eq!(counts(silent, LinkListing::All, day), [0; 5]);
    }

    #[test]
    fn an_unsent_activity_has_an_empty_list_until_it_is_sent() {
        let scheduled = "2b7e1516-28ae-42a6-abf7-158809cf4f3c";
        assert!(counts(scheduled, LinkListing::All, Duration::from_secs(7199)).is_empty());
        assert_eq!(counts(scheduled, LinkListing::All, Duration::from_secs(7200)), [0; 6]);
        assert!(!counts(scheduled, LinkListing::Clicked, Duration::from_secs(9000)).is_empty());
    }

    #[test]
    fn a_synthetic_report_has_the_links_it_was_asked_for_and_forms_vary() {
        let mut starts = std::collections::BTreeSet::new();
        for key in 0..40 {
            let id = synthetic_id(key, 3).to_string();
            let (text, value) = report(&id, LinkListing::Clicked, Duration::ZERO);
            assert_eq!(value["campaign_activity_id"], id);
            assert_eq!(value["link_click_counts"].as_array().unwrap().len(), 3);
            assert!(
                value["link_click_counts"][0]["url_id"].as_str().unwrap().parse::<u64>().unwrap() > 1 << 32
            );
            let first_link = text.find("[{").map(|at| text[at..at + 8].to_owned()).unwrap();
            starts.insert((text[..8].to_owned(), first_link));
        }
        assert!(starts.len() >= 6, "{starts:?}");
    }
}
