//! A report of all links: what is derived from it is a report, has the same clicks, and lacks only links without clicks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use link_report_proxy::report::{ActivityId, LinkReport};
use serde_json::Value;

const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";

fuzz_target!(|body: &[u8]| {
    let Ok(id) = ActivityId::parse(ID.as_bytes()) else { return };
    let Ok(all) = LinkReport::parse(id, body) else { return };
    let Ok(derived) = all.derive_clicked() else { return };
    let bytes = derived.representation().body();
    assert_eq!(LinkReport::parse(id, bytes).as_ref(), Ok(&derived));
    assert_eq!(derived.clicks(), all.clicks());
    assert_eq!(derived.derive_clicked().as_ref(), Ok(&derived));
    // A number too large for a float, or a nest too deep, is beyond this reader and not beyond a report.
    let (Ok(mut expected), Ok(json)) =
        (serde_json::from_slice::<Value>(body), serde_json::from_slice::<Value>(bytes))
    else {
        return;
    };
    if let Some(links) = expected["link_click_counts"].as_array_mut() {
        links.retain(|link| link["unique_clicks"] != 0);
    }
    assert_eq!(json, expected);
});
