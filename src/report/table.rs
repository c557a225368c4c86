//! A report as a table, for spreadsheets and BI tools: a row for each link, as CSV (RFC 4180) or as a JSON array.
//!
//! Each row says when the upstream gave the report, since such a tool cannot read that from the header `Age`.

use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{
    ActivityId, KeyError, LinkReport, ReportKey, Representation,
    key::NoClicks,
    link_rows::{LinkRow, link_rows},
};

const BEFORE_ID: &str = "/v1/links/";
/// The columns, in both formats.
const HEADER: &str = "as_of,campaign_activity_id,link_url,url_id,unique_clicks,list_action,list_id\r\n";
/// The last second that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// RFC 4180, UTF-8, with a header line.
    Csv,
    /// An array of flat objects.
    Json,
}

#[derive(Serialize)]
struct ReportTableRow<'a> {
    as_of: &'a str,
    campaign_activity_id: &'a str,
    #[serde(flatten)]
    link: LinkRow<'a>,
}

// === impl TableFormat ===

impl TableFormat {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Csv, Self::Json];

    /// The end of the path and of the file's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Csv => ".csv",
            Self::Json => ".json",
        }
    }

    /// The path of every table, as a URI template.
    pub const fn template(self) -> &'static str {
        match self {
            Self::Csv => "/v1/links/{campaign_activity_id}.csv",
            Self::Json => "/v1/links/{campaign_activity_id}.json",
        }
    }

    /// Parses the raw path and query of a request for a table: `/v1/links/{id}.csv` or `.json`, compared byte by byte as
    /// that of a report, and with the same parameters.
    ///
    /// # Errors
    /// [`KeyError`] for another path, or an invalid id or `no_clicks`.
    pub fn parse(path: &str, query: Option<&str>) -> Result<(ReportKey, Self), KeyError> {
        let file = path.strip_prefix(BEFORE_ID).filter(|file| !file.contains('/'));
        let found =
            Self::ALL.into_iter().find_map(|format| Some((file?.strip_suffix(format.extension())?, format)));
        let (id, format) = found.ok_or(KeyError::NoSuchResource)?;
        let id = ActivityId::parse(id.as_bytes())?;
        let no_clicks = query.map_or(Ok(NoClicks::Omitted), NoClicks::from_query)?;
        Ok((ReportKey { id, no_clicks }, format))
    }
}

// === impl LinkReport ===

impl LinkReport {
    /// This report, which is that of `id` and was given at `as_of`, as a table; `None` only if it could not be read.
    pub fn table(&self, id: ActivityId, as_of: SystemTime, format: TableFormat) -> Option<Representation> {
        let (as_of, id) = (rfc3339(as_of), id.to_string());
        let body = self.representation().body();
        let rows =
            link_rows(body)?.map(|link| ReportTableRow { as_of: &as_of, campaign_activity_id: &id, link });
        let mut table = Vec::with_capacity(body.len());
        match format {
            TableFormat::Csv => {
                table.extend_from_slice(HEADER.as_bytes());
                rows.for_each(|row| row.push_csv(&mut table));
            }
            TableFormat::Json => {
                table.push(b'[');
                for (number, row) in rows.enumerate() {
                    table.extend_from_slice(if number == 0 { b"\n" } else { b",\n" });
                    serde_json::to_writer(&mut table, &row).ok()?;
                }
                table.extend_from_slice(b"\n]\n");
            }
        }
        Some(Representation::new(&table))
    }
}

/// RFC 3339 in UTC, to the second.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().min(LAST_SECOND);
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

// === impl ReportTableRow ===

impl ReportTableRow<'_> {
    fn push_csv(&self, table: &mut Vec<u8>) {
        let LinkRow { link_url, url_id, unique_clicks, list_action, list_id } = &self.link;
        // Neither has a character that would have to be quoted.
        table.extend_from_slice(self.as_of.as_bytes());
        table.push(b',');
        table.extend_from_slice(self.campaign_activity_id.as_bytes());
        for cell in [link_url, url_id] {
            table.push(b',');
            push_cell(table, cell.as_deref().unwrap_or_default());
        }
        table.push(b',');
        if let Some(clicks) = unique_clicks {
            // Writing to memory does not fail.
            let _written = write!(table, "{clicks}");
        }
        for cell in [list_action, list_id] {
            table.push(b',');
            push_cell(table, cell.as_deref().unwrap_or_default());
        }
        table.extend_from_slice(b"\r\n");
    }
}

/// A cell that a spreadsheet does not run: one that looks like a formula gets an apostrophe before it, and one with any of
/// the usual separators is quoted, since a spreadsheet may split at another than the comma.
fn push_cell(table: &mut Vec<u8>, cell: &str) {
    let quoted = cell.contains(['"', ',', ';', '\t', '\r', '\n']);
    if quoted {
        table.push(b'"');
    }
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        table.push(b'\'');
    }
    for part in cell.split_inclusive('"') {
        table.extend_from_slice(part.as_bytes());
        if part.ends_with('"') {
            table.push(b'"');
        }
    }
    if quoted {
        table.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";

    fn id() -> ActivityId {
        ActivityId::parse(ID.as_bytes()).unwrap()
    }

    fn as_of() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_999)
    }

    fn table(links: &str, format: TableFormat) -> String {
        let body =
            format!(r#"{{"campaign_activity_id":"{}","link_click_counts":{links}}}"#, ID.to_uppercase());
        let report = LinkReport::parse(id(), body.as_bytes()).unwrap();
        String::from_utf8(report.table(id(), as_of(), format).unwrap().body().to_vec()).unwrap()
    }

    #[test]
    fn the_templates_are_those_of_each_path() {
        for format in TableFormat::ALL {
            let path = format.template().replace("{campaign_activity_id}", ID);
            let (key, parsed) = TableFormat::parse(&path, None).unwrap();
            assert_eq!((key.id, parsed), (id(), format));
        }
    }

    #[test]
    fn a_report_is_a_row_for_each_link_in_the_vendor_s_order() {
        let links = r#"[{"link_url":"https://a.example/?x=1,2","url_id":"9","unique_clicks":3,"list_action":"add","list_id":"L"},
            {"link_url":"https://b.example","url_id":"8","unique_clicks":0}]"#;
        assert_eq!(
            table(links, TableFormat::Csv),
            format!(
                "as_of,campaign_activity_id,link_url,url_id,unique_clicks,list_action,list_id\r\n\
                 2023-11-14T22:13:20Z,{ID},\"https://a.example/?x=1,2\",9,3,add,L\r\n\
                 2023-11-14T22:13:20Z,{ID},https://b.example,8,0,,\r\n"
            )
        );
        let rows: Value = serde_json::from_str(&table(links, TableFormat::Json)).unwrap();
        let row = json!({
            "as_of": "2023-11-14T22:13:20Z", "campaign_activity_id": ID, "link_url": "https://b.example", "url_id": "8",
            "unique_clicks": 0, "list_action": null, "list_id": null
        });
        assert_eq!((rows.as_array().unwrap().len(), &rows[1]), (2, &row));
    }

    #[test]
    fn an_empty_report_is_a_header_line_or_an_empty_array() {
        assert_eq!(table("[]", TableFormat::Csv), HEADER);
        assert_eq!(table("[]", TableFormat::Json), "[\n]\n");
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(1)", "'@SUM(1)"),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("=\"a\"", "\"'=\"\"a\"\"\""),
            ("a;=1", "\"a;=1\""),
            ("a=1", "a=1"),
            ("\"", "\"\"\"\""),
            ("", ""),
        ] {
            let mut table = Vec::new();
            push_cell(&mut table, cell);
            assert_eq!(String::from_utf8(table).unwrap(), written, "{cell:?}");
        }
    }

    #[test]
    fn a_time_that_rfc_3339_cannot_write_is_the_nearest_one_it_can() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 1);
        assert_eq!(rfc3339(far), "9999-12-31T23:59:59Z");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn the_path_of_a_table_is_compared_byte_by_byte() {
        let parse = |target: &str| match target.split_once('?') {
            Some((path, query)) => TableFormat::parse(path, Some(query)),
            None => TableFormat::parse(target, None),
        };
        let key = |no_clicks| ReportKey { id: id(), no_clicks };
        let upper = ID.to_uppercase();
        for (target, no_clicks, format) in [
            (format!("/v1/links/{ID}.csv"), NoClicks::Omitted, TableFormat::Csv),
            (format!("/v1/links/{upper}.json?no_clicks=1&_=7"), NoClicks::Listed, TableFormat::Json),
        ] {
            assert_eq!(parse(&target), Ok((key(no_clicks), format)), "{target}");
        }
        for target in ["", ".CSV", ".csv/", ".csv;x", ".xlsx", "/.csv", ".%63sv"] {
            assert_eq!(parse(&format!("/v1/links/{ID}{target}")), Err(KeyError::NoSuchResource), "{target}");
        }
        for target in ["/v1/links/.csv", "/v1/links/1.json", "/v1/links/x.csv.csv"] {
            assert!(matches!(parse(target), Err(KeyError::ActivityId(_))), "{target}");
        }
        assert!(matches!(parse(&format!("/v1/links/{ID}.csv?no_clicks=x")), Err(KeyError::NoClicks(_))));
    }

    /// What a link's field may hold, with what is in its cell.
    fn field() -> impl Strategy<Value = (Value, String)> {
        prop_oneof![
            Just((Value::Null, String::new())),
            any::<i64>().prop_map(|number| (number.into(), number.to_string())),
            any::<String>().prop_map(|text| (text.clone().into(), text)),
            "[=+@\t\r\n\",;' a-]{0,6}".prop_map(|text| (text.clone().into(), text)),
        ]
    }

    proptest! {
        #[test]
        fn every_cell_is_read_back_by_a_reader_of_csv(
            links in proptest::collection::vec((field(), field(), 0..=i32::MAX, field(), field()), 0..8),
        ) {
            let body: Vec<_> = links.iter().map(|((url, _), (id, _), clicks, (action, _), (list, _))| json!({
                "link_url": url, "url_id": id, "unique_clicks": clicks, "list_action": action, "list_id": list,
            })).collect();
            let body = serde_json::to_string(&body).unwrap();
            let table = table(&body, TableFormat::Csv);
            let mut reader = csv::Reader::from_reader(table.as_bytes());
            let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), links.len());
            for (record, ((_, url), (_, url_id), clicks, (_, action), (_, list))) in read.iter().zip(&links) {
                prop_assert_eq!((&record[0], &record[1]), ("2023-11-14T22:13:20Z", ID));
                let clicks = clicks.to_string();
                for (cell, meant) in [(2, url), (3, url_id), (4, &clicks), (5, action), (6, list)] {
                    let cell = &record[cell];
                    prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']), "{:?}", cell);
                    prop_assert!(cell == meant || cell.strip_prefix('\'') == Some(meant), "{:?}", cell);
                }
            }
        }

        #[test]
        fn the_rows_in_json_are_the_values_of_the_links(
            links in proptest::collection::vec((any::<String>(), 0..=i32::MAX), 0..8),
        ) {
            let body: Vec<_> =
                links.iter().map(|(url, clicks)| json!({ "link_url": url, "unique_clicks": clicks })).collect();
            let rows: Vec<Value> =
                serde_json::from_str(&table(&serde_json::to_string(&body).unwrap(), TableFormat::Json)).unwrap();
            let read: Vec<_> = rows
                .iter()
                .map(|row| (row["link_url"].as_str().unwrap().to_owned(), row["unique_clicks"].as_i64().unwrap() as i32))
                .collect();
            prop_assert_eq!(read, links);
        }

        #[test]
        fn any_list_that_is_held_can_be_a_table(text in ".*") {
            let body = format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":[{text}]}}"#);
            if let Ok(report) = LinkReport::parse(id(), body.as_bytes()) {
                for format in TableFormat::ALL {
                    prop_assert!(report.table(id(), as_of(), format).is_some());
                }
            }
        }
    }
}
