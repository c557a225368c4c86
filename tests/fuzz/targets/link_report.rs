//! A body that came with 200: what is taken for a report is one, to any reader of JSON, and keeps its bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use link_report_proxy::report::{ActivityId, LinkReport};

const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";

fuzz_target!(|body: &[u8]| {
    let Ok(id) = ActivityId::parse(ID.as_bytes()) else { return };
    let Ok(report) = LinkReport::parse(id, body) else { return };
    assert_eq!(report.representation().body(), body);
    // A number too large for a float, or a nest too deep, is beyond this reader and not beyond a report.
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) {
        assert!(json["campaign_activity_id"].as_str().is_some_and(|named| named.eq_ignore_ascii_case(ID)));
        assert_eq!(json["link_click_counts"].as_array().map(Vec::len), Some(report.links()));
    }
});
