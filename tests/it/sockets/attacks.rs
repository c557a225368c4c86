//! The hostile bytes, each with what must come of it.

/// Placed wherever an attack would like to be heard; nobody must ever see it again.
pub(super) const MARK: &str = "evil-7f3a91";
/// In every row, a second request hides where only a confused server finds it. It asks for this.
pub(super) const SMUGGLED: u32 = 0x0000_dead;

/// What is sent. `{clean}` is the path of a warm report, `{cold}` of one that only this row asks for,
/// `{id}` its id, `{smuggled}` the path that must never be fetched, `{mark}` the marker.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) bytes: String,
    pub(super) expect: Expect,
}

#[derive(Clone, Copy)]
pub(super) enum Expect {
    /// One 200 with the report; the connection lives on.
    Served,
    /// One answer with this status and key; the connection may live on.
    Declined(u16, &'static str),
    /// One answer with this status, and the connection is closed with it.
    Refused(u16),
    /// Not a word, and the connection is closed.
    Cut,
    /// The RFCs let a server choose, and either is safe.
    ServedOrRefused,
}

use Expect::{Cut, Declined, Refused, Served, ServedOrRefused};

const INVALID_ID: Expect = Declined(400, "invalid_activity_id");
const INVALID_NO_CLICKS: Expect = Declined(400, "invalid_no_clicks");
const NO_SUCH_PATH: Expect = Declined(404, "not_found");
const NOT_THIS_HOST: Expect = Declined(403, "host_not_allowed");
const NOT_ALLOWED: Expect = Declined(405, "method_not_allowed");

fn attack(name: &'static str, bytes: impl Into<String>, expect: Expect) -> Attack {
    Attack { name, bytes: bytes.into(), expect }
}

/// A GET of `target` with nothing unusual about it but the target.
fn target(name: &'static str, target: &str, expect: Expect) -> Attack {
    attack(name, format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"), expect)
}

/// A GET of a cold report with header lines of the attacker's.
fn headers(name: &'static str, lines: &str, expect: Expect) -> Attack {
    attack(name, format!("GET {{cold}} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"), expect)
}

/// A request whose body, or what a confused server takes for the rest, is a second request.
fn smuggle(name: &'static str, first_line: &str, framing: &str, before: &str, expect: Expect) -> Attack {
    let second = "GET {smuggled} HTTP/1.1\r\nHost: localhost\r\nX-Mark: {mark}\r\n\r\n";
    attack(name, format!("{first_line} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n{before}{second}"), expect)
}

/// The same behind a GET of a cold report, to be refused.
fn hide(name: &'static str, framing: &str, before: &str) -> Attack {
    smuggle(name, "GET {cold}", framing, before, Refused(400))
}

fn framing() -> Vec<Attack> {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let twice = format!("{chunked}{chunked}");
    vec![
        hide("CL.TE", &format!("Content-Length: 5\r\n{chunked}"), "0\r\n\r\n"),
        hide("TE.CL", &format!("{chunked}Content-Length: 3\r\n"), "1\r\nz\r\n0\r\n\r\n"),
        hide("TE.TE", &format!("{chunked}Transfer-Encoding: x\r\n"), "0\r\n\r\n"),
        hide("TE twice", &twice, "1\r\nz\r\n0\r\n\r\n"),
        hide("TE unknown", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        hide("TE identity", "Transfer-Encoding: identity\r\n", ""),
        hide("TE with a vertical tab", "Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"),
        hide("TE after a space before the colon", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        smuggle(
            "TE on HTTP/1.0",
            "GET {cold} HTTP/1.0\r\nX-Rest:",
            chunked,
            "1\r\nz\r\n0\r\n\r\n",
            Refused(400),
        ),
        hide("two lengths", "Content-Length: 0\r\nContent-Length: 60\r\n", ""),
        hide("the same length twice", "Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
        hide("a list of lengths", "Content-Length: 0, 60\r\n", ""),
        hide("a signed length", "Content-Length: +60\r\n", ""),
        hide("a negative length", "Content-Length: -1\r\n", ""),
        hide("a hexadecimal length", "Content-Length: 0x3c\r\n", ""),
        hide("a length past 64 bits", "Content-Length: 18446744073709551617\r\n", ""),
        hide("a length in unicode digits", "Content-Length: \u{0663}\r\n", ""),
        hide("a chunk size that lies", chunked, "ffffffffffffffffff\r\n"),
        hide("a body on a miss", "Content-Length: 5\r\n", "hello"),
        smuggle("a body on a hit", "GET {clean}", "Content-Length: 5\r\n", "hello", Refused(400)),
        smuggle("a chunked body on a hit", "GET {clean}", chunked, "5\r\nhello\r\n0\r\n\r\n", Refused(400)),
        smuggle("a request as the body of a hit", "GET {clean}", "Content-Length: 123\r\n", "", Refused(400)),
        smuggle("a body on HEAD", "HEAD {clean}", "Content-Length: 0000000000005\r\n", "hello", Refused(400)),
        headers("a body of no bytes", "Content-Length: 0\r\n", Served),
    ]
}

fn syntax() -> Vec<Attack> {
    vec![
        headers("a bare CR in a value", "X-A: b\rX-Mark: {mark}\r\n", Refused(400)),
        headers("a bare CR as a line end", "X-A: b\rTransfer-Encoding: chunked\r\n", Refused(400)),
        headers("a NUL in a value", "X-A: b\0{mark}\r\n", Refused(400)),
        headers("a NUL in a name", "X-A\0: {mark}\r\n", Refused(400)),
        headers("obs-fold", "X-A: b\r\n {mark}\r\n", Refused(400)),
        headers("obs-fold with a tab", "X-A: b\r\n\tTransfer-Encoding: chunked\r\n", Refused(400)),
        headers("a space before the colon", "X-A : {mark}\r\n", Refused(400)),
        headers("a line without a colon", "{mark}\r\n", Refused(400)),
        headers("an empty name", ": {mark}\r\n", Refused(400)),
        headers("a name in unicode", "X-\u{00c4}: {mark}\r\n", Refused(400)),
        // RFC 9112 §2.2 lets a recipient take a bare LF for a line end.
        attack("bare LFs", "GET {clean} HTTP/1.1\nHost: localhost\nX-Mark: {mark}\n\n", ServedOrRefused),
        attack(
            "a bare CR in the request line",
            "GET {clean}\r HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Refused(400),
        ),
        attack("a NUL in the target", "GET {clean}\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
        attack(
            "a tab in the request line",
            "GET\t{clean}\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
            Refused(400),
        ),
        attack(
            "two spaces in the request line",
            "GET  {clean} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Refused(400),
        ),
        attack("HTTP/0.9", "GET {clean}\r\n\r\n", Refused(400)),
        attack("HTTP/3.0", "GET {clean} HTTP/3.0\r\nHost: localhost\r\n\r\n", Refused(400)),
        attack("the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{mark}", Cut),
        attack("a TLS hello", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03{mark}\r\n\r\n", Refused(400)),
        attack("garbage", "{mark}\r\n\r\n", Refused(400)),
        headers("a header of 70 kB", &format!("X-Big: {}\r\n", MARK.repeat(6_500)), Refused(431)),
        headers("a header of 34 kB", &format!("X-Big: {}\r\n", MARK.repeat(3_100)), Refused(431)),
        headers("a header of 60 kB", &format!("X-Big: {}\r\n", MARK.repeat(5_500)), Refused(431)),
        headers("a head of 32 kB", &format!("X-Big: {}\r\n", MARK.repeat(2_650)), Served),
        headers("99 headers and Host", &"X-Many: {mark}\r\n".repeat(99), Served),
        headers("100 headers and Host", &"X-Many: {mark}\r\n".repeat(100), Refused(431)),
        headers("200 headers", &"X-Many: {mark}\r\n".repeat(200), Refused(431)),
        attack(
            "a target of 40 kB",
            format!("GET {{clean}}?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", MARK.repeat(3_600)),
            Refused(431),
        ),
        attack(
            "a target of 70 kB",
            format!("GET {{clean}}?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", MARK.repeat(6_500)),
            Refused(431),
        ),
    ]
}

fn targets() -> Vec<Attack> {
    vec![
        // RFC 9112 §3.2.2: a server must take the absolute form; whom it names counts as Host does.
        target("the absolute form", "http://localhost{cold}", Served),
        target("the absolute form of another host", "http://{mark}.test{cold}", NOT_THIS_HOST),
        target("the absolute form of another host, on a hit", "http://{mark}.test{clean}", NOT_THIS_HOST),
        target("the absolute form with a user", "http://{mark}@localhost{cold}", ServedOrRefused),
        target("another scheme", "file://{cold}", Refused(400)),
        target("the authority form", "{mark}.test:443", NOT_THIS_HOST),
        attack("CONNECT", "CONNECT {mark}.test:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", NOT_THIS_HOST),
        attack("the asterisk form", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", NO_SUCH_PATH),
        target("a double slash in front", "/{cold}", NO_SUCH_PATH),
        target("a double slash inside", "/v3/reports//email_reports/{id}/links", NO_SUCH_PATH),
        target("a slash at the end", "{cold}/", NO_SUCH_PATH),
        target("a dot segment", "/v3/./reports/email_reports/{id}/links", NO_SUCH_PATH),
        target("a dot segment after the id", "/v3/reports/email_reports/{id}/./links", NO_SUCH_PATH),
        target("a parent segment", "/v3/x/../reports/email_reports/{id}/links", NO_SUCH_PATH),
        target("a parent segment as the id", "/v3/reports/email_reports/../links", INVALID_ID),
        target("an encoded dot segment", "/v3/%2e/reports/email_reports/{id}/links", NO_SUCH_PATH),
        target("an encoded slash", "/v3/reports/email_reports%2f{id}/links", NO_SUCH_PATH),
        target("an encoded slash in the id", "/v3/reports/email_reports/{id}%2flinks", NO_SUCH_PATH),
        target("an encoded letter", "/v3/reports/email_reports/{id}/link%73", NO_SUCH_PATH),
        target("another case", "/V3/reports/email_reports/{id}/links", NO_SUCH_PATH),
        target("a backslash", "/v3/reports/email_reports\\{id}\\links", NO_SUCH_PATH),
        target("a path parameter", "{cold};x={mark}", NO_SUCH_PATH),
        target("a path parameter on the id", "/v3/reports/email_reports/{id};x/links", INVALID_ID),
        target("another report", "/v3/reports/email_reports/{id}/clicks", NO_SUCH_PATH),
        target("another resource", "/v3/contacts?email={mark}", NO_SUCH_PATH),
        target("an id in braces", "/v3/reports/email_reports/{{id}}/links", INVALID_ID),
        target("an id as a urn", "/v3/reports/email_reports/urn:uuid:{id}/links", INVALID_ID),
        target(
            "an id without hyphens",
            "/v3/reports/email_reports/000000ab000040008000000000000003/links",
            INVALID_ID,
        ),
        target("an id with a digit too many", "/v3/reports/email_reports/{id}0/links", INVALID_ID),
        target(
            "an id that is no hexadecimal",
            "/v3/reports/email_reports/g0000000-0000-4000-8000-000000000003/links",
            INVALID_ID,
        ),
        target(
            "encoded unicode digits",
            "/v3/reports/email_reports/%D9%A10000000-0000-4000-8000-000000000003/links",
            INVALID_ID,
        ),
        target("an encoded NUL", "/v3/reports/email_reports/{id}%00/links", INVALID_ID),
        target(
            "a line break to be echoed",
            "/v3/reports/email_reports/%0d%0aX-Mark:{mark}/links",
            INVALID_ID,
        ),
        target("markup to be echoed", "/v3/reports/email_reports/<b>{mark}/links", Refused(400)),
    ]
}

fn queries() -> Vec<Attack> {
    vec![
        target("no_clicks twice", "{cold}?no_clicks=true&no_clicks=false", INVALID_NO_CLICKS),
        target("no_clicks twice the same", "{cold}?no_clicks=true&no_clicks=true", INVALID_NO_CLICKS),
        target("no_clicks of no value", "{cold}?no_clicks", INVALID_NO_CLICKS),
        target("no_clicks of an empty value", "{cold}?no_clicks=", INVALID_NO_CLICKS),
        target("no_clicks of another value", "{cold}?no_clicks={mark}", INVALID_NO_CLICKS),
        target("no_clicks with an encoded value", "{cold}?no_clicks=%74rue", INVALID_NO_CLICKS),
        target(
            "no_clicks with a second value behind a semicolon",
            "{cold}?no_clicks=true;no_clicks=false",
            INVALID_NO_CLICKS,
        ),
        target("an array of no_clicks", "{cold}?no_clicks[]=true&no_clicks[]={mark}", INVALID_NO_CLICKS),
        target("a hash of no_clicks", "{cold}?no_clicks[a]={mark}", INVALID_NO_CLICKS),
        target("parameters of others", "{cold}?_=17&utm_source={mark}&&=&", Served),
        target("a line break in a parameter", "{cold}?x=%0d%0aX-Mark:%20{mark}", Served),
        target("a URL in a parameter", "{cold}?url=http://{mark}.test/", Served),
        target("a fragment", "{cold}#{mark}", ServedOrRefused),
    ]
}

fn headers_of_others() -> Vec<Attack> {
    vec![
        headers("a client's Authorization", "Authorization: Bearer {mark}\r\n", Served),
        headers("a Cookie", "Cookie: session={mark}\r\n", Served),
        headers(
            "Connection: authorization",
            "Connection: authorization, x-mark\r\nX-Mark: {mark}\r\n",
            Served,
        ),
        headers("Connection: host", "Connection: host\r\n", Served),
        headers(
            "X-Forwarded",
            "X-Forwarded-For: {mark}\r\nX-Forwarded-Host: {mark}\r\nForwarded: for={mark}\r\n",
            Served,
        ),
        headers("an overridden method", "X-HTTP-Method-Override: DELETE\r\nX-Mark: {mark}\r\n", Served),
        headers("an overridden path", "X-Original-URL: /{mark}\r\nX-Rewrite-URL: /{mark}\r\n", Served),
        headers(
            "an Upgrade to websocket",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {mark}\r\n",
            Served,
        ),
        headers(
            "an Upgrade to h2c",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            Served,
        ),
        headers("Expect on a GET", "Expect: 100-continue\r\n", Served),
        headers("an unknown Expect", "Expect: {mark}\r\n", ServedOrRefused),
        headers("Expect with a body", "Expect: 100-continue\r\nContent-Length: 5\r\n", Refused(400)),
        headers("a Range", "Range: bytes=0-3\r\nIf-Range: \"{mark}\"\r\n", Served),
        headers("a TE", "TE: trailers, gzip\r\nTrailer: X-Mark\r\n", Served),
        headers("an Origin", "Origin: https://{mark}.test\r\n", Served),
        headers("a request id that is no id", "X-Request-Id: <b>{mark}</b>\r\n", Served),
        headers(
            "a trace of others",
            "traceparent: 00-00000000000000000000000000000001-0000000000000001-01\r\ntracestate: x={mark}\r\n",
            Served,
        ),
        headers("an If-None-Match of others", "If-None-Match: \"{mark}\"\r\n", Served),
        headers("an Accept of others", "Accept: text/{mark}\r\nAccept-Language: {mark}\r\n", Served),
        attack("another Host", "GET {cold} HTTP/1.1\r\nHost: {mark}.test:8080\r\n\r\n", NOT_THIS_HOST),
        attack("another Host on a hit", "GET {clean} HTTP/1.1\r\nHost: {mark}.test\r\n\r\n", NOT_THIS_HOST),
        attack("an empty Host", "GET {clean} HTTP/1.1\r\nHost:\r\nX-Mark: {mark}\r\n\r\n", NOT_THIS_HOST),
        headers(
            "another site's page",
            "Origin: https://{mark}.test\r\nSec-Fetch-Site: cross-site\r\n",
            Declined(403, "cross_site"),
        ),
        headers("a second Host", "Host: {mark}\r\n", Refused(400)),
        headers("the same Host twice", "Host: localhost\r\n", Refused(400)),
        attack("no Host", "GET {cold} HTTP/1.1\r\n\r\n", Refused(400)),
        attack("no Host on a hit", "GET {clean} HTTP/1.1\r\nX-Mark: {mark}\r\n\r\n", Refused(400)),
        attack("no Host, and none needed", "GET {cold} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Served),
    ]
}

fn methods() -> Vec<Attack> {
    vec![
        attack("POST", "POST {cold} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", NOT_ALLOWED),
        attack("DELETE", "DELETE {clean} HTTP/1.1\r\nHost: localhost\r\n\r\n", NOT_ALLOWED),
        attack("TRACE", "TRACE {clean} HTTP/1.1\r\nHost: localhost\r\nX-Mark: {mark}\r\n\r\n", NOT_ALLOWED),
        attack(
            "OPTIONS",
            "OPTIONS {clean} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://{mark}.test\r\n\r\n",
            NOT_ALLOWED,
        ),
        attack("a method in lower case", "get {clean} HTTP/1.1\r\nHost: localhost\r\n\r\n", NOT_ALLOWED),
        attack("a method of no one", "GETX {clean} HTTP/1.1\r\nHost: localhost\r\n\r\n", NOT_ALLOWED),
        smuggle(
            "a request as the body of a POST",
            "POST {clean}",
            "Content-Length: 123\r\n",
            "",
            NOT_ALLOWED,
        ),
    ]
}

/// The whole table.
pub(super) fn attacks() -> Vec<Attack> {
    let groups = [framing(), syntax(), targets(), queries(), headers_of_others(), methods()];
    groups.into_iter().flatten().collect()
}
