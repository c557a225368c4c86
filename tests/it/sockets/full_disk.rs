//! The disk of `state.dir` is full while the token has to be renewed.

use link_report_proxy::simulator::{Options, TOKEN_PATH};
use secrecy::ExposeSecret as _;

use crate::support::{Proxy, Run, Upstream, environment, path, synthetic, until};

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_no_refresh_token_is_used_up_and_what_is_held_goes_on() {
    let options = Options { per_second: 0, per_day: 0, token_calls_per_second: 0, ..Options::default() };
    let (upstream, root) = (Upstream::with(options.clone()).await, tempfile::tempdir().unwrap());
    let settings = environment(&[
        ("server.listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("upstream.base_url", &upstream.base_url()),
        ("quota.per_second", "0"),
        ("quota.per_day", "0"),
        ("token.source", "refresh"),
        ("token.token_url", &format!("{}{TOKEN_PATH}", upstream.base_url())),
        ("token.client_id", &options.client_id),
        ("token.client_secret", options.client_secret.expose_secret()),
        ("token.refresh_token", &upstream.sim.refresh_token()),
        ("state.dir", root.path().join("state").to_str().unwrap()),
    ]);
    // So that a write past the limit is an error, as on a full disk, and no signal.
    let proxy = Proxy::listening(Run::serve_after("trap '' XFSZ", &settings)).await;
    let (held, cold) = (path(&synthetic(1, 1)), path(&synthetic(2, 1)));
    assert_eq!(proxy.get(&held).await.status, 200);
    let (living, calls) = (upstream.sim.refresh_token(), upstream.sim.token_calls());

    proxy.limit_file_size(Some(0));
    upstream.sim.revoke_access_tokens();
    assert!(proxy.get(&cold).await.status >= 500, "its token is refused");
    until("the reason to be shown", async || {
        let token = proxy.admin("/token").await.json();
        let error = token["renewal"]["last_error"].as_str()?.to_owned();
        error.starts_with("state.dir: ").then_some(())
    })
    .await;
    assert_eq!(
        (upstream.sim.token_calls(), upstream.sim.refresh_token()),
        (calls, living),
        "none was used up"
    );
    assert_eq!(proxy.metric("link_report_proxy_state_durable").await, 0.0);
    assert_eq!(proxy.get(&held).await.status, 200);
    assert_eq!((proxy.admin("/livez").await.status, proxy.admin("/readyz").await.status), (200, 200));

    proxy.limit_file_size(None);
    // Ids that nobody holds, and no failure of theirs is remembered.
    let mut number = 2;
    until("a renewal", async || {
        number += 1;
        (proxy.get(&path(&synthetic(number, 1))).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(upstream.sim.token_calls(), calls + 1);
}
