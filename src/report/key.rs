//! What names a report: the activity, and whether links nobody clicked are listed.

use std::fmt;

use super::{ActivityId, InvalidActivityId};

const BEFORE_ID: &str = "/v3/reports/email_reports/";
const AFTER_ID: &str = "/links";
const NO_CLICKS: &str = "no_clicks";

/// Are the links that nobody clicked in the report? The vendor's query parameter `no_clicks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoClicks {
    /// Only links with clicks: the vendor's default.
    Omitted,
    /// Links without clicks too, with `unique_clicks` 0.
    Listed,
}

/// The name of one report. Two requests with the same key have the same answer, whatever else they carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReportKey {
    /// The campaign activity.
    pub id: ActivityId,
    /// Whether links without clicks are listed.
    pub no_clicks: NoClicks,
}

/// Why a request names no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The path is not that of the one resource served here.
    #[error("no such resource")]
    NoSuchResource,
    /// The path is right but for the activity id.
    #[error("campaign_activity_id: {0}")]
    ActivityId(#[from] InvalidActivityId),
    /// The query's `no_clicks` cannot be understood.
    #[error("no_clicks: {0}")]
    NoClicks(#[from] InvalidNoClicks),
}

/// Why a `no_clicks` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNoClicks {
    /// It stands more than once: which one the upstream would obey is a guess.
    #[error("given more than once")]
    Repeated,
    /// It is none of `true`, `false`, `1`, `0`.
    #[error("must be true, false, 1 or 0")]
    NotABoolean,
}

// === impl NoClicks ===

impl NoClicks {
    /// The vendor's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Omitted => "false",
            Self::Listed => "true",
        }
    }

    /// Reads a raw query string (without `?`). Other parameters are none of our business, and are dropped.
    ///
    /// Nothing is percent-decoded: a name spelt with escapes is another parameter to us, and as it is never
    /// forwarded, nobody downstream can read it differently. Array spellings (`no_clicks[]=…`) are refused,
    /// since their author did mean this parameter.
    fn from_query(query: &str) -> Result<Self, InvalidNoClicks> {
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

    /// `true`/`false` in any case, or PHP's `1`/`0`.
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

// === impl ReportKey ===

impl ReportKey {
    /// Reads the key from a request's raw path and query. The path is compared byte by byte: no decoding, no
    /// normalising, no trailing slash, so that what is answered here is exactly what the upstream would have been asked.
    pub fn parse(path: &str, query: Option<&str>) -> Result<Self, KeyError> {
        let id = path
            .strip_prefix(BEFORE_ID)
            .and_then(|rest| rest.strip_suffix(AFTER_ID))
            .filter(|id| !id.as_bytes().contains(&b'/'))
            .ok_or(KeyError::NoSuchResource)?;
        let id = ActivityId::parse(id.as_bytes())?;
        let no_clicks = query.map_or(Ok(NoClicks::Omitted), NoClicks::from_query)?;
        Ok(Self { id, no_clicks })
    }

    /// The canonical path and query, rendered from the parsed key alone: no byte of a client's request travels.
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

    #[test]
    fn every_spelling_of_a_boolean_is_one_key() {
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
    fn a_no_clicks_that_is_repeated_or_odd_is_refused() {
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
        fn nothing_that_parses_travels_as_it_came(path in ".*", query in ".*") {
            if let Ok(key) = ReportKey::parse(&path, Some(&query)) {
                proptest::prop_assert!(key.path_and_query().bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
