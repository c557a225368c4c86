//! Settings with a closed set of values, and those that are checked text: a log filter, a host name, a web origin.

use http::{HeaderValue, Uri};
use serde_json::Value as Json;
use tracing_subscriber::filter::Targets;

use super::section::{Scalar, quoted};

/// Declares an enum of settings values: the enum, its `as_str`, and how it is parsed.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$word_doc:meta])* $variant:ident = $word:literal, )+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$word_doc])* $variant, )+ }

        impl $name {
            /// The value in the settings.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl Scalar for $name {
            // The value is not quoted: it may be a token that was set under the wrong key.
            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err(format!("must be one of: {}", [$($word),+].join(", "))),
                }
            }

            fn show(&self) -> Json {
                self.as_str().into()
            }
        }
    };
}

words! {
    /// `token.source`
    TokenSourceKind {
        /// `token.access_token`, for the life of the process.
        Static = "static",
        /// `token.access_token_file`, read again when its content changes.
        File = "file",
        /// Renewed from a refresh token, before it expires.
        Refresh = "refresh",
    }
}

words! {
    /// `cache.refresh`
    RefreshMode {
        /// By the plan of the day: a call is made where it shows the most clicks.
        Planned = "planned",
        /// At the end of a fixed lifetime.
        Fixed = "fixed",
        /// By the plan, and the request that finds a refresh due waits for it.
        Before = "before",
    }
}

words! {
    /// `upstream.change_probe`
    ProbeMode {
        /// Not at all.
        Off = "off",
        /// Probes are made and compared with the reports, and decide nothing.
        Verify = "verify",
        /// They decide which reports are fetched, once enough comparisons have agreed.
        On = "on",
    }
}

words! {
    /// `cache.derive_clicked`
    DerivationMode {
        /// Not at all: each report is fetched.
        Off = "off",
        /// Derived reports are compared with fetched ones, and none is served.
        Verify = "verify",
        /// They are served, once enough comparisons have agreed.
        On = "on",
    }
}

words! {
    /// `cache.client_no_cache`
    ClientNoCache {
        /// A caller's `no-cache` has no effect.
        Ignore = "ignore",
        /// It refreshes a key, at most once in `cache.client_no_cache_interval`.
        Limited = "limited",
    }
}

words! {
    /// `log.format`
    LogFormat {
        /// One JSON object a line.
        Json = "json",
        /// Text for people.
        Text = "text",
    }
}

/// A level, or directives that tracing's `Targets` parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

/// A host's name without a port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

/// A web origin as a browser sends it (RFC 6454 §6.2), like `https://dash.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOrigin(HeaderValue);

// === impl LogFilter ===

impl LogFilter {
    /// The text that `Targets` parses.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Scalar for LogFilter {
    fn parse(text: &str) -> Result<Self, String> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        // Targets reads a misspelt level as the name of a module, and would log nothing else; and so it reads a filter of spans.
        let sane =
            text.split(',').all(|part| LEVELS.contains(&part) || part.contains('=') && !part.contains('['));
        if sane && text.parse::<Targets>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            let levels = LEVELS.join(", ");
            Err(format!("{} must be one of {levels}, or directives like \"info,hyper=debug\"", quoted(text)))
        }
    }

    fn show(&self) -> Json {
        self.as_str().into()
    }
}

// === impl HostName ===

impl HostName {
    /// Compared with a request's `Host`, whose case and port do not count.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Scalar for HostName {
    fn parse(text: &str) -> Result<Self, String> {
        const LONGEST: usize = 253;
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() <= LONGEST && name.split('.').all(label) {
            Ok(Self(name.to_ascii_lowercase()))
        } else {
            Err(format!(
                "{} is not a host name: write it without scheme and port, like reports.internal",
                quoted(text)
            ))
        }
    }

    fn show(&self) -> Json {
        self.as_str().into()
    }
}

// === impl CorsOrigin ===

impl CorsOrigin {
    /// Compared with a request's `Origin`, byte by byte.
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl Scalar for CorsOrigin {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{} is not a valid origin: write it like https://dash.example, one for each",
                quoted(text)
            )
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong());
        };
        // Browsers send it in lower case, without a path and without the scheme's own port (RFC 6454 §6.1): any other form would
        // never match.
        let own_port = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.as_str();
        if text != format!("{scheme}://{authority}").to_ascii_lowercase()
            || authority.contains('@')
            || authority.ends_with(own_port)
            || authority.ends_with(':')
        {
            return Err(wrong());
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| wrong())
    }

    fn show(&self) -> Json {
        String::from_utf8_lossy(self.0.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_has_no_scheme_no_port_and_no_wildcard() {
        for (good, name) in [
            ("reports.internal", "reports.internal"),
            ("Sidecar", "sidecar"),
            ("a-b_c.example.", "a-b_c.example"),
        ] {
            assert_eq!(HostName::parse(good).unwrap().as_str(), name);
        }
        let long = "a".repeat(254);
        for bad in
            ["*", "*.example", "reports.internal:8080", "http://reports.internal", "a..b", ".", "a b", &long]
        {
            assert!(HostName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_what_a_browser_would_send() {
        for good in
            ["https://dash.example", "http://localhost:3000", "http://[::1]:8080", "http://dash.example:443"]
        {
            assert_eq!(CorsOrigin::parse(good).unwrap().header(), good);
        }
        for bad in [
            "*",
            "null",
            "dash.example",
            "https://dash.example/",
            "https://Dash.example",
            "https://u@dash.example",
            "https://dash.example:443",
            "http://[::1]:80",
            "http://dash.example:",
        ] {
            assert!(CorsOrigin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_log_filter_is_a_level_or_directives_and_never_a_misspelt_level() {
        for good in ["off", "info", "info,hyper=debug", "warn,hyper::proto=trace"] {
            assert_eq!(LogFilter::parse(good).unwrap().as_str(), good);
        }
        for bad in ["infoo", "info,debugg", "hyper=loud", "info,", "link_report_proxy[upstream]=trace"] {
            assert!(LogFilter::parse(bad).is_err(), "{bad}");
        }
    }
}
