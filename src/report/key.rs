//! The cache key of a report: the campaign activity's id and the query parameter `no_clicks`.

use std::fmt;

use super::{ActivityId, InvalidActivityId};

const BEFORE_ID: &str = "/v3/reports/email_reports/";
const AFTER_ID: &str = "/links";
const NO_CLICKS: &str = "no_clicks";

/// Does the report list links without clicks? The vendor's query parameter `no_clicks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoClicks {
    /// Only links with clicks: the vendor's default.
    Omitted,
    /// Links without clicks too, with `unique_clicks` 0.
    Listed,
}

/// The cache key. Requests with the same key get the same report; their other parameters and headers do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReportKey {
    /// The id of the campaign activity.
    pub id: ActivityId,
    /// Whether links without clicks are listed.
    pub no_clicks: NoClicks,
}

/// Why a request has no valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The path is not that of a link report, the only resource served.
    #[error("no such resource")]
    NoSuchResource,
    /// The activity id in the path is invalid.
    #[error("campaign_activity_id: {0}")]
    ActivityId(#[from] InvalidActivityId),
    /// The `no_clicks` in the query is invalid.
    #[error("no_clicks: {0}")]
    NoClicks(#[from] InvalidNoClicks),
}

/// Why a `no_clicks` is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNoClicks {
    /// It is given more than once: it is not known which one the upstream would use.
    #[error("given more than once")]
    Repeated,
    /// It is not one of `true`, `false`, `1`, `0`.
    #[error("must be true, false, 1 or 0")]
    NotABoolean,
}

// === impl NoClicks ===

impl NoClicks {
    /// The value of the query parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Omitted => "false",
            Self::Listed => "true",
        }
    }

    /// Reads a raw query string (without `?`). Other parameters are ignored and not forwarded.
    ///
    /// Nothing is percent-decoded. A name with escapes is another parameter, so it is ignored too, and since it is not
    /// forwarded, the upstream cannot read it differently. Array forms (`no_clicks[]=…`) are an error, since the client
    /// did mean this parameter.
    pub(super) fn from_query(query: &str) -> Result<Self, InvalidNoClicks> {
        let mut found = None;
        for pair in query.split('&') {
            let Some(rest) = pair.strip_prefix(NO_CLICKS) else { continue };
            let value = match rest.as_bytes().first() {
                Some(b'=') => &rest[1..],
                None => "",
                Some(b'[' | b'%') => return Err(InvalidNoClicks::NotABoolean),
                Some(_) => continue,
            };
            if found.replace(Self::parse(value)?).is_some() {
                return Err(InvalidNoClicks::Repeated);
            }
        }
        Ok(found.unwrap_or(Self::Omitted))
    }

    /// Parses `true` or `false` in any case, or `1` or `0`, which PHP clients send.
    fn parse(value: &str) -> Result<Self, InvalidNoClicks> {
        if value == "1" || value.eq_ignore_ascii_case("true") {
            Ok(Self::Listed)
        } else if value == "0" || value.eq_ignore_ascii_case("false") {
            Ok(Self::Omitted)
        } else {
            Err(InvalidNoClicks::NotABoolean)
        }
    }
}

/// Why this is no id in a report's path: with a slash in it, the path is that of something else.
#[cold]
fn not_an_id(id: &str, invalid: InvalidActivityId) -> KeyError {
    if id.contains('/') { KeyError::NoSuchResource } else { invalid.into() }
}

// === impl ReportKey ===

impl ReportKey {
    /// The path of every report, as a URI template.
    pub const TEMPLATE: &'static str = "/v3/reports/email_reports/{campaign_activity_id}/links";

    /// The key of the activity's other report.
    #[must_use]
    pub const fn other_form(self) -> Self {
        let no_clicks = match self.no_clicks {
            NoClicks::Omitted => NoClicks::Listed,
            NoClicks::Listed => NoClicks::Omitted,
        };
        Self { no_clicks, ..self }
    }

    /// Parses the raw path and query of a request. The path is compared byte by byte, without decoding or normalising
    /// and without a trailing slash, so that the proxy and the upstream cannot read one path differently.
    ///
    /// # Errors
    /// [`KeyError`] for another path, or an invalid id or `no_clicks`.
    pub fn parse(path: &str, query: Option<&str>) -> Result<Self, KeyError> {
        let id = path
            .strip_prefix(BEFORE_ID)
            .and_then(|rest| rest.strip_suffix(AFTER_ID))
            .ok_or(KeyError::NoSuchResource)?;
        let id = ActivityId::parse(id.as_bytes()).map_err(|invalid| not_an_id(id, invalid))?;
        let no_clicks = query.map_or(Ok(NoClicks::Omitted), NoClicks::from_query)?;
        Ok(Self { id, no_clicks })
    }

    /// The canonical path and query of the upstream request, built from the parsed key only.
    pub fn path_and_query(&self) -> String {
        let Self { id, no_clicks } = self;
        match no_clicks {
            NoClicks::Omitted => format!("{BEFORE_ID}{id}{AFTER_ID}"),
            NoClicks::Listed => format!("{BEFORE_ID}{id}{AFTER_ID}?{NO_CLICKS}=true"),
        }
    }
}

impl fmt::Display for ReportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} no_clicks={}", self.id, self.no_clicks.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";

    fn parse(target: &str) -> Result<ReportKey, KeyError> {
        match target.split_once('?') {
            Some((path, query)) => ReportKey::parse(path, Some(query)),
            None => ReportKey::parse(target, None),
        }
    }

    fn no_clicks(query: &str) -> Result<NoClicks, KeyError> {
        ReportKey::parse(&format!("{BEFORE_ID}{ID}{AFTER_ID}"), Some(query)).map(|key| key.no_clicks)
    }

    fn path_of(query: &str) -> String {
        ReportKey::TEMPLATE.replace("{campaign_activity_id}", ID) + query
    }

    #[test]
    fn the_template_is_that_of_each_path() {
        let path = path_of("");
        assert_eq!(parse(&path).unwrap().path_and_query(), path);
    }

    #[test]
    fn an_activity_has_two_reports() {
        let (links, all) = (parse(&path_of("")).unwrap(), parse(&path_of("?no_clicks=true")).unwrap());
        assert_eq!((links.other_form(), all.other_form()), (all, links));
        assert_eq!(links.to_string(), format!("{ID} no_clicks=false"));
        assert_eq!(all.to_string(), format!("{ID} no_clicks=true"));
    }

    #[test]
    fn every_form_of_a_boolean_is_one_key() {
        for query in ["", "no_clicks=false", "no_clicks=FALSE", "no_clicks=0", "_=17", "utm_source=x&&"] {
            assert_eq!(no_clicks(query), Ok(NoClicks::Omitted), "{query}");
        }
        for query in
            ["no_clicks=true", "no_clicks=TRUE", "no_clicks=tRuE", "no_clicks=1", "a=b&no_clicks=1&_=2"]
        {
            assert_eq!(no_clicks(query), Ok(NoClicks::Listed), "{query}");
        }
    }

    #[test]
    fn a_repeated_or_invalid_no_clicks_is_an_error() {
        for query in ["no_clicks=true&no_clicks=true", "no_clicks=0&x=1&no_clicks=1"] {
            assert_eq!(no_clicks(query), Err(InvalidNoClicks::Repeated.into()), "{query}");
        }
        for query in [
            "no_clicks",
            "no_clicks=",
            "no_clicks=yes",
            "no_clicks=2",
            "no_clicks=%74rue",
            "no_clicks[]=true",
            "no_clicks%5B%5D=1",
        ] {
            assert_eq!(no_clicks(query), Err(InvalidNoClicks::NotABoolean.into()), "{query}");
        }
        assert_eq!(no_clicks("no_clicks_x=maybe"), Ok(NoClicks::Omitted), "another parameter's name");
    }

    #[test]
    fn the_path_is_compared_byte_by_byte() {
        for path in [
            "/",
            "/v3/reports/email_reports",
            "//v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/links",
            "/v3/reports/./email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/links",
            "/v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/links/",
            "/v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d//links",
            "/v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/%6cinks",
            "/v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/links;x",
            "/v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/LINKS",
            "/v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d/opens",
            "/v3/reports/email_reports/a/b/links",
        ] {
            assert_eq!(parse(path), Err(KeyError::NoSuchResource), "{path}");
        }
        for path in [
            "/v3/reports/email_reports//links",
            "/v3/reports/email_reports/1/links",
            "/v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986%64/links",
            "/v3/reports/email_reports/8892baf9-970a-4de6-8400-fa4ec461986d;x/links",
        ] {
            assert_eq!(parse(path), Err(InvalidActivityId.into()), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_canonical_request_names_the_same_key(bytes: [u8; 16], listed: bool) {
            let no_clicks = if listed { NoClicks::Listed } else { NoClicks::Omitted };
            let key = ReportKey { id: uuid::Uuid::from_bytes(bytes).into(), no_clicks };
            proptest::prop_assert_eq!(parse(&key.path_and_query()), Ok(key));
        }

        #[test]
        fn the_canonical_request_is_printable_ascii(path in ".*", query in ".*") {
            if let Ok(key) = ReportKey::parse(&path, Some(&query)) {
                proptest::prop_assert!(key.path_and_query().bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
