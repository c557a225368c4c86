//! The link report of one activity: plausible links with the clicks that they have, and a form (key order, spacing)
//! that differs between activities as the vendor's does.

use std::fmt::Write as _;

use uuid::Uuid;

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
pub enum LinkListing {
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

/// Renders the report from the clicks of each link, which is empty until the campaign is sent; equal arguments give equal
/// bytes.
pub(super) fn render(id: Uuid, clicks: &[u32], listing: LinkListing, seed: u64) -> String {
    let own = own_number(seed, id);
    let listed = |clicks: u32| clicks > 0 || listing == LinkListing::All;
    let links = clicks.iter().enumerate().filter(|(_, clicks)| listed(**clicks));
    let links: Vec<_> = links.map(|(index, clicks)| link(index as u32, *clicks, own)).collect();
    let (comma, colon) = if own & 8 == 0 { (",", ":") } else { (", ", ": ") };
    let id = format!("\"campaign_activity_id\"{colon}\"{id}\"");
    let links = format!("\"link_click_counts\"{colon}[{}]", links.join(comma));
    if own & 16 == 0 { format!("{{{id}{comma}{links}}}") } else { format!("{{{links}{comma}{id}}}") }
}

/// The pseudo-random number from which all that is particular to an activity is drawn.
pub(super) fn own_number(seed: u64, id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    mix(seed ^ high ^ low.rotate_left(17))
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
    use super::super::campaigns::synthetic_id;
    use super::*;
    use serde_json::Value;

    fn report(key: u32, clicks: &[u32], listing: LinkListing) -> (String, Value) {
        let text = render(synthetic_id(key, 3), clicks, listing, 1);
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn a_report_has_its_links_and_forms_vary() {
        let mut starts = std::collections::BTreeSet::new();
        for key in 0..40 {
            let (text, value) = report(key, &[5, 1, 2], LinkListing::Clicked);
            assert_eq!(value["campaign_activity_id"], synthetic_id(key, 3).to_string());
            assert_eq!(value["link_click_counts"].as_array().unwrap().len(), 3);
            assert!(
                value["link_click_counts"][0]["url_id"].as_str().unwrap().parse::<u64>().unwrap() > 1 << 32
            );
            let first_link = text.find("[{").map(|at| text[at..at + 8].to_owned()).unwrap();
            starts.insert((text[..8].to_owned(), first_link));
        }
        assert!(starts.len() >= 6, "{starts:?}");
    }

    #[test]
    fn a_link_without_a_click_is_listed_where_all_are_asked_for() {
        let counts = |listing| {
            let (_, value) = report(1, &[5, 0, 2], listing);
            let links = value["link_click_counts"].as_array().unwrap().clone();
            links.iter().map(|link| link["unique_clicks"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!((counts(LinkListing::Clicked), counts(LinkListing::All)), (vec![5, 2], vec![5, 0, 2]));
    }
}
