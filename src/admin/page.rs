//! The status page: HTML for a browser, with its scripts and styles, which are compiled in; a list of routes for others.

use std::{io::Write as _, sync::LazyLock};

use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{
    AdminState,
    conditional::{etag, unless_known},
    overview::Overview,
    reply::{respond, text},
};
use crate::server::{Body, Coding};

const TEMPLATE: &str = include_str!("page/page.html");

/// For who asks for no HTML.
const ROUTES: &str = "\
link-report-proxy, admin port

GET    /status            how it is, in one sentence and the numbers behind it
GET    /status/history    the last day by minutes (?since=UNIX_SECONDS)
GET    /failures          the last failed calls
GET    /cache             what is held (?sort= &order= &q= &trouble=1 &empty=1 &page= &per_page=)
GET    /cache/ID          why a report is as it is, and when it is refreshed
DELETE /cache/ID, /cache  purges one activity, or everything
POST   /try/ID            asks for a report as a caller would (?no_clicks=true)
GET    /quota /token /fleet /config /version
GET    /metrics /livez /readyz
";

/// Nothing but what this port serves; no inline script or style, and no text that becomes HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// A file of the page, as it is served: compressed once, when the first of them is asked for.
struct PageAsset {
    path: &'static str,
    kind: &'static str,
    text: String,
    compressed: Vec<u8>,
}

/// The modules of the script, each after those that it imports.
const MODULES: [&str; 5] = [
    include_str!("page/dom.js"),
    include_str!("page/plots.js"),
    include_str!("page/reports.js"),
    include_str!("page/trial.js"),
    include_str!("page/app.js"),
];

static ASSETS: LazyLock<[PageAsset; 3]> = LazyLock::new(|| {
    [
        PageAsset::of("/ui/app.css", "text/css; charset=utf-8", style(include_str!("page/app.css"))),
        PageAsset::of("/ui/icon.svg", "image/svg+xml", include_str!("page/icon.svg").to_owned()),
        PageAsset::of("/ui/app.js", "text/javascript; charset=utf-8", MODULES.map(script).concat()),
    ]
});

/// The styles without the spaces that mean nothing.
fn style(text: &str) -> String {
    let spaces = [(": ", ":"), ("; ", ";"), (", ", ","), (" {", "{"), ("{ ", "{"), (";}", "}"), (" }", "}")];
    let joined: String = text.lines().map(str::trim_start).collect();
    spaces.into_iter().fold(joined, |text, (spaced, lean)| text.replace(spaced, lean))
}

/// A module as a part of one script: without comments, imports, the word `export`, and line breaks that mean nothing.
fn script(module: &str) -> String {
    let mut script = String::new();
    for line in module.lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with("//") || line.starts_with("import ") {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        if !script.ends_with(['{', ',', ';', '(', '[']) && !line.starts_with(['}', ')', ']', '?', ':']) {
            script.push('\n');
        }
        script.push_str(line);
    }
    // None of these is in a text of the page.
    [(" => ", "=>"), (" === ", "==="), (") {", "){")]
        .into_iter()
        .fold(script, |script, (spaced, lean)| script.replace(spaced, lean))
}

/// `GET /`.
pub(super) fn index(state: &AdminState, headers: &HeaderMap) -> Response<Body> {
    let accepts_html = |value: &HeaderValue| value.to_str().is_ok_and(|accept| accept.contains("text/html"));
    if !headers.get_all(ACCEPT).iter().any(accepts_html) {
        return text(StatusCode::OK, ROUTES);
    }
    let html = render(&Overview::of(state)).into_bytes();
    hardened(negotiated(headers, "text/html; charset=utf-8", gzip, html).1)
}

/// A file of the page; `None`: there is none at this path.
pub(super) fn asset(path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let asset = ASSETS.iter().find(|asset| asset.path == path)?;
    let compressed = |_: &[u8]| asset.compressed.clone();
    let (tag, mut response) = negotiated(headers, asset.kind, compressed, asset.text.clone().into_bytes());
    // Another version has other scripts at the same path.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(hardened(unless_known(headers, &tag, response)))
}

/// The bytes, compressed if the client takes that, and their tag.
fn negotiated(
    headers: &HeaderMap,
    kind: &'static str,
    compress: impl FnOnce(&[u8]) -> Vec<u8>,
    bytes: Vec<u8>,
) -> (String, Response<Body>) {
    let is_compressed = Coding::of(headers) == Coding::Gzip;
    let bytes = if is_compressed { compress(&bytes) } else { bytes };
    let tag = etag(&bytes);
    let mut response = respond(StatusCode::OK, kind, bytes);
    let set = response.headers_mut();
    if is_compressed {
        set.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    set.insert(VARY, HeaderValue::from_static("accept-encoding"));
    (tag, response)
}

/// Whether a file of the page is at this path.
pub(super) fn is_asset(path: &str) -> bool {
    ASSETS.iter().any(|asset| asset.path == path)
}

// === impl PageAsset ===

impl PageAsset {
    fn of(path: &'static str, kind: &'static str, text: String) -> Self {
        let compressed = gzip(text.as_bytes());
        Self { path, kind, text, compressed }
    }
}

fn hardened(mut response: Response<Body>) -> Response<Body> {
    let same_origin = HeaderValue::from_static("same-origin");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), same_origin.clone());
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), same_origin);
    response
}

/// The page with the sentence of now, which is all that a browser without scripts sees.
fn render(overview: &Overview) -> String {
    let [severity, text, advice] = overview.sentence_words();
    let values = [("severity", severity), ("sentence", text), ("advice", advice)];
    values.into_iter().fold(TEMPLATE.to_owned(), |page, (name, value)| {
        page.replace(&format!("{{{{{name}}}}}"), &escaped(value))
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let written = encoder.write_all(bytes);
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_stays_small() {
        let source: usize = ASSETS.iter().map(|asset| asset.text.len()).sum();
        let sent: usize = ASSETS.iter().map(|asset| asset.compressed.len()).sum();
        let (source, sent) = (source + TEMPLATE.len(), sent + gzip(TEMPLATE.as_bytes()).len());
        assert!(source <= 40_000, "{source} bytes");
        assert!(sent <= 14 * 1024, "{sent} bytes with gzip");
    }

    #[test]
    fn no_part_of_the_script_is_longer_than_one_thing_needs_or_makes_html_of_text() {
        for module in MODULES {
            assert!(module.lines().count() <= 350, "{module}");
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", ".style"]
            {
                assert!(!module.contains(word), "{word} in {module}");
            }
        }
    }

    #[test]
    fn the_script_is_one_module_in_which_each_name_occurs_once() {
        let script = MODULES.map(script).concat();
        let mut names = std::collections::BTreeSet::new();
        for line in MODULES.iter().flat_map(|module| module.lines()) {
            let line = line.strip_prefix("export ").unwrap_or(line);
            let line = line.strip_prefix("async ").unwrap_or(line);
            let declared = ["function ", "const ", "let "].iter().find_map(|word| line.strip_prefix(word));
            let name = declared
                .and_then(|rest| rest.split(|char: char| !char.is_alphanumeric() && char != '$').next());
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                assert!(names.insert(name.to_owned()), "{name} is declared twice");
            }
        }
        assert!(names.len() > 40, "{names:?}");
        for word in ["\nimport ", "\nexport ", "import *"] {
            assert!(!script.contains(word), "{word:?}");
        }
    }

    #[test]
    fn what_the_server_puts_into_the_page_is_text() {
        assert_eq!(escaped("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
        for name in ["severity", "sentence", "advice"] {
            assert!(TEMPLATE.contains(&format!("{{{{{name}}}}}")), "{name}");
        }
    }
}
