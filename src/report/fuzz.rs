//! Fuzz targets of the domain: a request's path and query, and the bodies of the upstream.

use std::time::SystemTime;

use serde_json::Value;

use super::{
    ActivityId, LinkReport, NegativeAnswer, NegativeStatus, ReportKey, StatisticsCall, TableFormat,
    parse_statistics,
};

/// The one in the corpora.
pub(crate) fn activity() -> ActivityId {
    ActivityId::parse(b"8892baf9-970a-4de6-8400-fa4ec461986d").expect("an id")
}

fn parse_target(target: &str) -> Option<ReportKey> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    ReportKey::parse(path, query).ok()
}

/// A path with its query names at most one report, and this report's own path names it too.
pub(crate) fn report_key(data: &[u8]) {
    let Ok(target) = std::str::from_utf8(data) else { return };
    if let Some(key) = parse_target(target) {
        let canonical = key.path_and_query();
        assert_eq!(parse_target(&canonical), Some(key));
        assert_eq!(canonical, canonical.to_ascii_lowercase());
    }
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    if TableFormat::parse(path, query).is_ok() {
        assert_eq!(parse_target(target), None, "a table's path is no report's");
    }
}

/// A report is kept as it is, counts as another parser counts, and what is made of it can be read.
pub(crate) fn link_report(data: &[u8]) {
    let Ok(report) = LinkReport::parse(activity(), data) else { return };
    assert_eq!(report.representation().body(), data);
    // A number too large for a float, or a nest too deep, is beyond this reader and not beyond a report.
    if let Ok(body) = serde_json::from_slice::<Value>(data) {
        assert_eq!(body["link_click_counts"].as_array().map(Vec::len), Some(report.links()));
        let named = body["campaign_activity_id"].as_str().expect("a name");
        assert!(named.eq_ignore_ascii_case(&activity().to_string()));
    }
    let table = |format| report.table(activity(), SystemTime::UNIX_EPOCH, format);
    if let Some(rows) = table(TableFormat::Json) {
        let rows: Vec<Value> = serde_json::from_slice(rows.body()).expect("JSON");
        assert_eq!(rows.len(), report.links());
    }
    if let Some(rows) = table(TableFormat::Csv) {
        assert!(std::str::from_utf8(rows.body()).is_ok());
    }
}

/// What is derived from a report of all links is a report, has the same clicks, and lacks only links without clicks.
pub(crate) fn derived_report(data: &[u8]) {
    let Ok(all) = LinkReport::parse(activity(), data) else { return };
    let Ok(derived) = all.derive_clicked() else { return };
    let bytes = derived.representation().body();
    assert_eq!(LinkReport::parse(activity(), bytes).as_ref(), Ok(&derived));
    assert_eq!(derived.clicks(), all.clicks());
    assert_eq!(derived.derive_clicked().as_ref(), Ok(&derived));
    if let (Ok(mut expected), Ok(json)) =
        (serde_json::from_slice::<Value>(data), serde_json::from_slice::<Value>(bytes))
    {
        if let Some(links) = expected["link_click_counts"].as_array_mut() {
            links.retain(|link| link["unique_clicks"] != 0);
        }
        assert_eq!(json, expected);
    }
}

/// Whatever the body of a refusal is, what is kept of it can be shown.
pub(crate) fn negative_answer(data: &[u8]) {
    for status in [NegativeStatus::BadRequest, NegativeStatus::NotFound] {
        let NegativeAnswer { error_key, error_message, .. } = NegativeAnswer::parse(status, data);
        for words in [error_key, error_message] {
            assert!((1..=300).contains(&words.chars().count()));
            assert!(!words.chars().any(char::is_control));
        }
    }
    drop(NegativeAnswer::error_key_of(data));
}

/// Statistics are of what was asked for, each activity once.
pub(crate) fn statistics(data: &[u8]) {
    let call = StatisticsCall::new(vec![activity()]).expect("one");
    if let Ok(found) = parse_statistics(&call, data) {
        assert!(found.len() <= 1 && found.iter().all(|found| found.id == activity()));
    }
}
