//! The body of a 200: a link report of the requested activity, or invalid.

use std::borrow::Cow;

use super::{
    ActivityId, InvalidActivityId, NotDerivable, Representation, clicked_links::ListedLinks,
    json_object::object, link_totals::LinkTotals,
};

/// The most links of a report; an email has some dozens. A body of `upstream.max_body` has room for four million of two bytes
/// each, and a table takes up to 200 bytes for each of them.
const MAX_LINKS: u32 = 100_000;

/// A link report whose bytes have been checked. They are kept exactly as the upstream sent them: key order,
/// spacing, unknown fields and number formats reach the caller unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkReport {
    representation: Representation,
    totals: LinkTotals,
}

/// Why a body is not a link report of the requested activity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReport {
    /// Not JSON, not UTF-8, not an object, or a required field twice or of the wrong type.
    #[error("the body is not a link report")]
    Malformed,
    /// The answer to a call for statistics has another form, or a value that cannot be read.
    #[error("the body has no statistics")]
    NoStatistics,
    /// One of the two required fields is missing.
    #[error("the body has no {0}")]
    Missing(&'static str),
    /// The report of another activity.
    #[error("the body is the report of another activity")]
    OtherActivity,
    /// The connection ended before the body was complete.
    #[error("the body was cut off")]
    Truncated,
    /// More links than an email can have: tables of them would take many times the memory of the body.
    #[error("the body has more than {limit} links")]
    TooManyLinks {
        /// How many are accepted.
        limit: u32,
    },
    /// Longer than `upstream.max_body`, as sent or decoded.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// A `Content-Encoding` that was not requested, or a body that does not decode.
    #[error("the body's encoding cannot be read")]
    Encoding,
}

/// The two required fields; all others are skipped.
#[derive(serde::Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    campaign_activity_id: Option<Cow<'a, str>>,
    link_click_counts: Option<LinkTotals>,
}

// === impl InvalidReport ===

impl InvalidReport {
    /// The error type of RFC 9209 §2.3, if its registry knows one.
    pub(super) const fn proxy_error(&self) -> Option<&'static str> {
        match self {
            Self::Truncated => Some("http_response_incomplete"),
            Self::TooLarge { .. } | Self::TooManyLinks { .. } => Some("http_response_body_size"),
            Self::Encoding => Some("http_response_content_coding"),
            Self::Malformed | Self::NoStatistics | Self::Missing(_) | Self::OtherActivity => None,
        }
    }
}

// === impl LinkReport ===

impl LinkReport {
    /// Checks that `body` is JSON, an object, about the activity `id` (in any case), with an array of links; adds up
    /// the clicks on the way.
    ///
    /// # Errors
    /// [`InvalidReport::Malformed`], [`InvalidReport::Missing`], [`InvalidReport::OtherActivity`] or
    /// [`InvalidReport::TooManyLinks`].
    pub fn parse(id: ActivityId, body: &[u8]) -> Result<Self, InvalidReport> {
        // serde_json skips unknown strings without looking at their encoding, but JSON is UTF-8 (RFC 8259 §8.1).
        let text = std::str::from_utf8(body).map_err(|_| InvalidReport::Malformed)?;
        let Envelope { campaign_activity_id, link_click_counts } =
            object(text).ok_or(InvalidReport::Malformed)?;
        let named = campaign_activity_id.ok_or(InvalidReport::Missing("campaign_activity_id"))?;
        let totals = link_click_counts.ok_or(InvalidReport::Missing("link_click_counts"))?;
        if totals.links > MAX_LINKS {
            return Err(InvalidReport::TooManyLinks { limit: MAX_LINKS });
        }
        match ActivityId::parse(named.as_bytes()) {
            Ok(named) if named == id => Ok(Self { representation: Representation::new(body), totals }),
            Ok(_) | Err(InvalidActivityId) => Err(InvalidReport::OtherActivity),
        }
    }

    /// The report of the clicked links, made from this one, which must be of all links. Its bytes are those of this
    /// report without the links that have no clicks.
    ///
    /// It takes about as long as [`parse`](Self::parse): run it where that runs.
    ///
    /// # Errors
    /// [`NotDerivable`], if it is not certain for each link whether it was clicked.
    pub fn derive_clicked(&self) -> Result<Self, NotDerivable> {
        let all = ListedLinks::find(self.representation.body())?;
        let clicked = all.links().iter().filter(|link| link.clicks > 0).count();
        if clicked == all.links().len() {
            return Ok(self.clone());
        }
        let representation = Representation::new(all.clicked_only().as_bytes());
        // The count was at most `self.totals.links`, and links without clicks add nothing to the sum.
        let totals = LinkTotals { links: u32::try_from(clicked).unwrap_or(u32::MAX), ..self.totals };
        Ok(Self { representation, totals })
    }

    /// The upstream's bytes, unchanged, and their validator.
    pub const fn representation(&self) -> &Representation {
        &self.representation
    }

    /// How many links are listed. 0 means that nobody has clicked yet, or that the campaign has not been sent.
    pub const fn links(&self) -> usize {
        self.totals.links as usize
    }

    /// The sum of `unique_clicks` over all links: what a later report is compared with.
    pub const fn clicks(&self) -> u32 {
        self.totals.clicks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";

    fn parse(body: impl Into<Vec<u8>>) -> Result<LinkReport, InvalidReport> {
        LinkReport::parse(ActivityId::parse(ID.as_bytes()).unwrap(), &body.into())
    }

    #[test]
    fn the_bytes_are_kept_whatever_their_form() {
        for (links, clicks, body) in [
            (0, 0, format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":[]}}"#)),
            (
                1,
                0,
                format!(
                    "{{\n\t\"link_click_counts\" : [ {{}} ],\r\n \"campaign_activity_id\":\"{}\"}}\n",
                    ID.to_uppercase()
                ),
            ),
            (
                2,
                5,
                format!(
                    r#"{{"x":{{"y":[null,1e999]}},"link_click_counts":[1,{{"url_id":123456789012345678901234567890,"unique_clicks":5}}],"campaign_activity_id":"{ID}","é":"\ud83d\ude00 ☃"}}"#
                ),
            ),
        ] {
            let report = parse(body.clone()).unwrap();
            assert_eq!((report.representation().body(), report.links()), (body.as_bytes(), links));
            assert_eq!(report.clicks(), clicks);
        }
    }

    #[test]
    fn a_body_that_is_not_a_link_report_of_this_activity_is_invalid() {
        use InvalidReport::{Malformed, Missing, OtherActivity};
        let other = "1ead98be-dfa0-4e04-81f7-5f1534d42e9c";
        for (expected, body) in [
            (Malformed, String::new()),
            (Malformed, "<html>503</html>".to_owned()),
            (Malformed, "[]".to_owned()),
            (Malformed, "null".to_owned()),
            (Malformed, format!(r#"["{ID}",[]]"#)),
            (Malformed, format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":["#)),
            (Malformed, format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":[]}} trailing"#)),
            (Malformed, format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":{{}}}}"#)),
            (Malformed, r#"{"campaign_activity_id":7,"link_click_counts":[]}"#.to_owned()),
            (
                Malformed,
                format!(
                    r#"{{"campaign_activity_id":"{ID}","campaign_activity_id":"{ID}","link_click_counts":[]}}"#
                ),
            ),
            (Malformed, format!("\u{feff}{{\"campaign_activity_id\":\"{ID}\",\"link_click_counts\":[]}}")),
            (Missing("link_click_counts"), format!(r#"{{"campaign_activity_id":"{ID}"}}"#)),
            (
                Missing("link_click_counts"),
                format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":null}}"#),
            ),
            (Missing("campaign_activity_id"), r#"{"link_click_counts":[]}"#.to_owned()),
            (OtherActivity, format!(r#"{{"campaign_activity_id":"{other}","link_click_counts":[]}}"#)),
            (OtherActivity, format!(r#"{{"campaign_activity_id":"{{{ID}}}","link_click_counts":[]}}"#)),
        ] {
            assert_eq!(parse(body.clone()), Err(expected), "{body}");
        }
        let mut latin1 =
            format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":["x"]}}"#).into_bytes();
        let x = latin1.iter().rposition(|byte| *byte == b'x').unwrap();
        latin1[x] = 0xe9;
        assert_eq!(parse(latin1), Err(Malformed), "JSON is UTF-8");
    }

    #[test]
    fn a_report_has_a_hundred_thousand_links_at_most() {
        let links = |count: usize| {
            format!(
                r#"{{"campaign_activity_id":"{ID}","link_click_counts":[{}]}}"#,
                vec!["0"; count].join(",")
            )
        };
        assert_eq!(parse(links(100_000)).map(|report| report.links()), Ok(100_000));
        assert_eq!(parse(links(100_001)), Err(InvalidReport::TooManyLinks { limit: 100_000 }));
    }

    #[test]
    fn a_derived_report_is_the_one_that_its_bytes_would_be_parsed_to() {
        for (links, clicked) in [
            ("", ""),
            (r#"{"unique_clicks":0}"#, ""),
            (r#"{"unique_clicks":3},{"unique_clicks":2}"#, r#"{"unique_clicks":3},{"unique_clicks":2}"#),
            (r#"{"unique_clicks":0},{"unique_clicks":3}, {"unique_clicks":0}"#, r#"{"unique_clicks":3}"#),
        ] {
            let body =
                |links: &str| format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":[{links}]}}"#);
            let all = parse(body(links)).unwrap();
            let derived = all.derive_clicked().unwrap();
            assert_eq!(derived, parse(body(clicked)).unwrap());
            assert_eq!(derived.representation().body(), body(clicked).as_bytes());
            assert_eq!(derived.clicks(), all.clicks());
        }
        let uncertain = format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":[{{}}]}}"#);
        assert_eq!(parse(uncertain).unwrap().derive_clicked(), Err(NotDerivable::Link));
    }

    #[test]
    fn a_deep_nest_neither_overflows_the_stack_nor_passes_for_an_object() {
        let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        let body = format!(r#"{{"campaign_activity_id":"{ID}","x":{deep},"link_click_counts":[]}}"#);
        assert!(matches!(parse(body), Ok(_) | Err(InvalidReport::Malformed)));
    }
}
