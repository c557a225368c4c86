//! The vendor's own example, with nothing changed but the host.

use tokio::process::Command;

use crate::support::{Proxy, Upstream, path, soon, synthetic};

/// Runs the real curl; status line and headers first, then the body.
async fn curl(arguments: &[&str]) -> String {
    let run = Command::new("curl").args(["--silent", "--show-error", "--include"]).args(arguments).output();
    let output = soon("curl", run).await.expect("curl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendors_curl_example_gets_a_report_then_a_hit_for_one_call_with_our_token() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    let id = synthetic(0x1ead_98be, 2);
    let url = format!("http://{}{}", proxy.data, path(&id));
    let example = [
        "-X",
        "GET",
        &url,
        "-H",
        "Authorization: Bearer {access_token}",
        "-H",
        "Postman-Token: c02900ca-261a-4831-bfac-1064078da502",
        "-H",
        "cache-control: no-cache",
    ];

    let first = curl(&example).await;
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
    assert!(first.contains("fwd=uri-miss; stored"), "{first}");
    let second = curl(&example).await.to_ascii_lowercase();
    assert!(second.starts_with("http/1.1 200 ok\r\n"), "{second}");
    assert!(second.contains("\r\nage: "), "{second}");
    assert!(second.contains("\r\ncache-status: link-report-proxy; hit"), "{second}");
    // The simulator sends what a gateway sends; none of it passes.
    for header in ["set-cookie", "x-amzn", "no-store"] {
        assert!(!second.contains(header), "{header}: {second}");
    }

    assert_eq!(upstream.saw(&id).len(), 1);
    upstream.assert_saw_only_canonical_requests(&upstream.sim.access_token());
}
