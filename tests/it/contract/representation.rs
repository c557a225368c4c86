//! What a 200 looks like: the upstream's bytes, our headers.

use std::{io::Read as _, time::Duration};

use flate2::read::MultiGzDecoder;
use futures_util::future::join_all;
use link_report_proxy::simulator::{Fault, Scope, synthetic_id};

use crate::support::in_process::{Answer, InProcess, OLD, key, path};

const GZIP: [(&str, &str); 1] = [("accept-encoding", "gzip, deflate, br")];

fn unzipped(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(&answer.body[..]).read_to_end(&mut plain).unwrap();
    plain
}

fn header_names(answer: &Answer) -> Vec<&str> {
    let mut names: Vec<_> = answer.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_200_are_the_upstream_s_whatever_their_form() {
    let id = synthetic_id(1, 2).to_string();
    let upper = id.to_uppercase();
    for body in [
        format!(r#"{{"campaign_activity_id":"{id}","link_click_counts":[]}}"#),
        format!(r#"{{"link_click_counts":[{{"unique_clicks":1}}],"campaign_activity_id":"{upper}"}}"#),
        format!(
            "\r\n{{ \"campaign_activity_id\"\t:\"{id}\",\n\n\"link_click_counts\" : [ {{ }} , 7 ] }}\n\n"
        ),
        format!(
            r#"{{"new":{{"deep":[null,true,[]]}},"campaign_activity_id":"{id}","link_click_counts":[],"_links":0}}"#
        ),
        format!(
            r#"{{"campaign_activity_id":"{id}","name":"Grüße ☃ 日本 \ud83d\ude00 \u00e9","link_click_counts":[]}}"#
        ),
        format!(
            r#"{{"campaign_activity_id":"{id}","link_click_counts":[{{"url_id":123456789012345678901234567890,"x":-0.0,"y":1E400,"z":1.10}}]}}"#
        ),
        format!(r#"{{"campaign_activity_id":"{id}","a":1,"a":2,"link_click_counts":[]}}"#),
    ] {
        for fault in [&[][..], &[Fault::Gzip]] {
            let proxy = InProcess::new();
            proxy.vendor.inject(Fault::Body(body.clone().into()), Scope::All);
            for fault in fault {
                proxy.vendor.inject(fault.clone(), Scope::All);
            }
            for _miss_then_hit in 0..2 {
                let plain = proxy.get(&path(1)).await;
                assert_eq!((plain.status, plain.text()), (200, body.clone()));
                assert_eq!(plain.header("content-length"), body.len().to_string());
                let zipped = proxy.get_with(&path(1), &GZIP).await;
                assert_eq!(unzipped(&zipped), body.as_bytes());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_header_of_the_upstream_s_passes() {
    let proxy = InProcess::new();
    let missed = proxy.get(&path(1)).await;
    let ours =
        ["age", "cache-control", "cache-status", "content-length", "content-type", "date", "etag", "vary"];
    assert_eq!(header_names(&missed), [&ours[..], &["x-request-id"]].concat());
    let hit = proxy.get(&path(1)).await;
    assert_eq!(header_names(&hit), ours);
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "private, no-cache"),
        ("vary", "accept-encoding"),
    ] {
        assert_eq!((hit.header(name), missed.header(name)), (value, value));
    }
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_matches_gets_a_304_which_costs_nothing() {
    let proxy = InProcess::new();
    let full = proxy.get(&path(1)).await;
    let etag = full.header("etag");
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 20, "strong and quoted: {etag}");
    for (validator, status) in [
        (etag.to_owned(), 304),
        (format!("W/{etag}"), 304),
        (format!("\"other\", {etag}"), 304),
        (format!("\"other\",W/{etag} , \"third\""), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
        (etag.trim_matches('"').to_owned(), 200),
        (etag.to_uppercase(), 200),
    ] {
        let answer = proxy.get_with(&path(1), &[("if-none-match", &validator)]).await;
        assert_eq!(answer.status, status, "{validator}");
        assert_eq!(answer.header("etag"), etag, "{validator}");
        if status == 304 {
            assert!(answer.body.is_empty());
            let names = ["age", "cache-control", "cache-status", "date", "etag", "vary"];
            assert_eq!(header_names(&answer), names, "{validator}");
        }
    }
    assert_eq!(proxy.vendor.calls(), 1);
    let missed = InProcess::new().get_with(&path(1), &[("if-none-match", etag)]).await;
    assert_eq!(missed.status, 304, "equal bytes have equal tags in every replica");
}

#[tokio::test(start_paused = true)]
async fn the_tag_stays_while_the_bytes_stay_and_changes_when_they_do() {
    let proxy = InProcess::new();
    let body = |clicks: u32| {
        let id = synthetic_id(1, 2);
        let report = format!(
            r#"{{"campaign_activity_id":"{id}","link_click_counts":[{{"unique_clicks":{clicks}}}]}}"#
        );
        Fault::Body(report.into())
    };
    let mut tags = Vec::new();
    for clicks in [1, 1, 2] {
        proxy.vendor.clear_faults();
        proxy.vendor.inject(body(clicks), Scope::All);
        tags.push(proxy.get(&path(1)).await.header("etag").to_owned());
        tokio::time::sleep(OLD).await;
    }
    assert_eq!((proxy.vendor.calls(), &tags[0]), (3, &tags[1]));
    assert_ne!(tags[1], tags[2]);
}

#[tokio::test(start_paused = true)]
async fn a_gzip_variant_is_made_once_per_entry_with_a_tag_of_its_own() {
    let proxy = InProcess::new();
    let plain = proxy.get(&path(1)).await;
    assert!(proxy.admin.memory.peek(&key(1)).unwrap().gzip().is_none(), "nobody has asked for it");
    let (path, bodies) =
        (path(1), || proxy.admin.memory.peek(&key(1)).unwrap().gzip().unwrap().body().as_ptr());
    let crowd = join_all((0..50).map(|_| proxy.get_with(&path, &GZIP))).await;
    let made = bodies();
    for zipped in &crowd {
        assert_eq!((zipped.status, zipped.header("content-encoding")), (200, "gzip"));
        assert_eq!(zipped.header("vary"), "accept-encoding");
        assert_eq!(unzipped(zipped), plain.body);
    }
    proxy.get_with(&path, &GZIP).await;
    assert_eq!(made, bodies(), "made once");

    let (own, other) = (crowd[0].header("etag"), plain.header("etag"));
    assert_ne!(own, other);
    for (validator, accept, status) in
        [(own, "gzip", 304), (other, "identity", 304), (own, "identity", 200), (other, "gzip", 200)]
    {
        let headers = [("if-none-match", validator), ("accept-encoding", accept)];
        assert_eq!(proxy.get_with(&path, &headers).await.status, status, "{headers:?}");
    }
    for refusing in ["identity", "gzip;q=0", "br", "*;q=0"] {
        let answer = proxy.get_with(&path, &[("accept-encoding", refusing)]).await;
        assert_eq!(
            (answer.header("content-encoding"), answer.header("vary")),
            ("", "accept-encoding"),
            "{refusing}"
        );
    }
    assert_eq!(proxy.vendor.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn cache_status_and_age_tell_how_an_answer_was_come_by() {
    let proxy = InProcess::new();
    proxy.vendor.inject(Fault::Latency(Duration::from_millis(200)), Scope::All);
    let path = path(1);
    let (leader, waiter) = tokio::join!(proxy.get(&path), proxy.get(&path));
    assert_eq!(leader.cache_status(), "fwd=uri-miss; stored");
    assert_eq!(waiter.cache_status(), "fwd=uri-miss; collapsed");
    assert_eq!((leader.header("age"), waiter.header("age")), ("0", "0"));
    // Each line: so long after the one before, this is said, with this age.
    for (seconds, fault, status, age) in [
        (258, None, "hit; ttl=42", "258"),
        (42 + 61, None, "hit; ttl=-61", "361"),
        // Refreshed behind the one before.
        (10, None, "hit; ttl=290", "9"),
        (290 + 60, Some(Fault::Reset), "hit; ttl=-59", "359"),
        (1, None, "hit; ttl=-60; detail=upstream_unreachable", "360"),
    ] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        if let Some(fault) = fault {
            proxy.vendor.inject(fault, Scope::All);
        }
        let answer = proxy.get(&path).await;
        assert_eq!((answer.cache_status(), answer.header("age")), (status, age), "{seconds} s later");
    }
    proxy.vendor.clear_faults();
    tokio::time::sleep(OLD).await;
    let refetching = proxy.get(&path).await;
    assert_eq!(refetching.status, 200);
    assert_eq!(
        refetching.cache_status(),
        "fwd=stale; fwd-status=200; stored",
        "a failure long past says nothing of the vendor"
    );
}

#[tokio::test(start_paused = true)]
async fn stored_is_said_of_what_is_stored_and_of_nothing_else() {
    let proxy = InProcess::new();
    proxy.vendor.inject(Fault::Latency(Duration::from_secs(5)), Scope::All);
    let (kept, purged) = (proxy.get_meanwhile(&path(1)), proxy.get_meanwhile(&path(2)));
    proxy.vendor.called(2).await;
    proxy.admin.memory.purge(key(2).id);
    assert_eq!(kept.await.unwrap().cache_status(), "fwd=uri-miss; stored");
    let purged = purged.await.unwrap();
    assert_eq!((purged.status, purged.cache_status()), (200, "fwd=uri-miss"));

    // Two megabytes.
    let proxy = InProcess::with(&[("CACHE__MAX_BYTES", "1MiB")]);
    let large = format!("/v3/reports/email_reports/{}/links", synthetic_id(1, 9_999));
    let served = proxy.get(&large).await;
    assert_eq!((served.status, served.cache_status()), (200, "fwd=uri-miss"));
    assert!(served.body.len() > 1 << 20, "{}", served.body.len());
    let refused = proxy.get(&large).await;
    assert_eq!((refused.status, refused.cache_status()), (502, "detail=upstream_invalid_response"));
    assert_eq!(proxy.vendor.calls(), 1);
}
