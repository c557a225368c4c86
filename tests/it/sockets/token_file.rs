//! A token in a file, changed the way Kubernetes changes a mounted Secret.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{Proxy, Upstream, path, synthetic, until};

/// A mounted Secret: `token` → `..data/token`, and `..data` → the directory of the current version.
pub(super) struct MountedSecret {
    root: TempDir,
}

impl MountedSecret {
    pub(super) fn holding(token: &str) -> Self {
        let mounted = Self { root: TempDir::new().expect("a directory") };
        mounted.swap_in("..1", token);
        symlink(Path::new("..data").join("token"), mounted.file()).expect("a link");
        mounted
    }

    pub(super) fn file(&self) -> PathBuf {
        self.root.path().join("token")
    }

    /// Puts a new version in place by renaming a link over the old one: no file is ever written twice.
    pub(super) fn swap_in(&self, version: &str, token: &str) {
        let directory = self.root.path().join(version);
        std::fs::create_dir(&directory).expect("a directory");
        std::fs::write(directory.join("token"), format!("{token}\n")).expect("a file");
        let fresh = self.root.path().join("..data_tmp");
        symlink(version, &fresh).expect("a link");
        std::fs::rename(fresh, self.root.path().join("..data")).expect("a swap");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_rotated_by_symlink_swap_is_used_without_restart_or_failed_request() {
    let upstream = Upstream::start().await;
    let old = upstream.sim.access_token();
    let mounted = MountedSecret::holding(&old);
    let file = mounted.file();
    let settings = [
        ("token.source", "file"),
        ("token.access_token_file", file.to_str().expect("UTF-8")),
        ("log.level", "trace"),
    ];
    let proxy = Proxy::start(&upstream, &settings).await;
    let mut keys = 0_u32..;
    let mut cold = || path(&synthetic(keys.next().expect("another key"), 1));
    assert_eq!(proxy.get(&cold()).await.status, 200);

    let new = upstream.sim.issue_access_token();
    mounted.swap_in("..2", &new);
    // The hardest moment: the old one is dead before anyone has looked at the file again.
    upstream.sim.revoke_access_token(&old);
    for _ in 0..20 {
        let answer = proxy.get(&cold()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let last = upstream.sim.seen().pop().expect("a call");
    assert_eq!(last.headers["authorization"], format!("Bearer {new}").as_str());

    for token in [&old, &new] {
        assert!(!proxy.log().iter().any(|line| line.contains(token.as_str())), "a token was logged");
        let shown = proxy.admin("/token").await.text() + &proxy.admin("/config").await.text();
        assert!(!shown.contains(token.as_str()), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_is_taken_up_before_the_old_token_is_refused() {
    let upstream = Upstream::start().await;
    let mounted = MountedSecret::holding(&upstream.sim.access_token());
    let file = mounted.file();
    let settings = [("token.source", "file"), ("token.access_token_file", file.to_str().expect("UTF-8"))];
    let proxy = Proxy::start(&upstream, &settings).await;

    let new = upstream.sim.issue_access_token();
    mounted.swap_in("..2", &new);
    let bearer = format!("Bearer {new}");
    let mut keys = 0_u32..;
    until("a call with the new token", async || {
        let answer = proxy.get(&path(&synthetic(keys.next()?, 1))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let last = upstream.sim.seen().pop()?;
        (last.headers["authorization"] == bearer.as_str()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_token_stays_while_the_file_is_empty_or_gone() {
    let upstream = Upstream::start().await;
    let mounted = MountedSecret::holding(&upstream.sim.access_token());
    let file = mounted.file();
    let settings = [("token.source", "file"), ("token.access_token_file", file.to_str().expect("UTF-8"))];
    let proxy = Proxy::start(&upstream, &settings).await;
    mounted.swap_in("..2", "");
    assert_eq!(proxy.get(&path(&synthetic(1, 1))).await.status, 200);
    std::fs::remove_file(&file).expect("a file to remove");
    assert_eq!(proxy.get(&path(&synthetic(2, 1))).await.status, 200);
    assert_eq!(proxy.admin("/readyz").await.status, 200);
}
