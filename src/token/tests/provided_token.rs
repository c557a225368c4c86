//! A token that is given, in the settings or in a file.

use std::os::unix::fs::symlink;

use tokio::time::sleep;

use super::*;
use crate::settings::WATCH_INTERVAL;

/// A secret mounted as Kubernetes does it: the file is a link into a directory that is a link, and only the
/// latter is swapped.
struct Mount(TempDir);

impl Mount {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        symlink("..data/token", root.path().join("token")).unwrap();
        Self(root)
    }

    fn token(&self) -> PathBuf {
        self.0.path().join("token")
    }

    fn swap(&self, version: &str, content: &str) {
        let root = self.0.path();
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("token"), content).unwrap();
        symlink(version, root.join("..new")).unwrap();
        fs::rename(root.join("..new"), root.join("..data")).unwrap();
    }

    fn tokens(&self, metrics: &Metrics) -> TokenManager {
        TokenManager::new(TokenSource::File(SecretFile::new(self.token())), metrics.token.clone())
    }
}

fn sends(tokens: &TokenManager) -> String {
    tokens.usable().unwrap().bearer().to_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_swapped_file_is_taken_up_within_seconds_and_a_broken_one_is_not() {
    let (mount, metrics) = (Mount::new(), Metrics::new());
    mount.swap("v1", "one\n");
    let tokens = mount.tokens(&metrics);
    let watch = tokio::spawn(tokens.clone().watch());
    for (version, content, expected, generation) in
        [("v2", "two", "Bearer two", 2), ("v3", "", "Bearer two", 2), ("v4", "four\n", "Bearer four", 3)]
    {
        mount.swap(version, content);
        sleep(WATCH_INTERVAL * 2).await;
        assert_eq!((sends(&tokens).as_str(), tokens.generation()), (expected, generation));
    }
    fs::remove_file(mount.token()).unwrap();
    sleep(WATCH_INTERVAL * 2).await;
    assert_eq!(sends(&tokens), "Bearer four");
    assert!(!watch.is_finished());
    watch.abort();
}

#[tokio::test]
async fn after_a_401_the_file_is_read_at_once() {
    let (mount, metrics) = (Mount::new(), Metrics::new());
    mount.swap("v1", "one");
    let tokens = mount.tokens(&metrics);
    tokens.refused(1).await;
    assert_eq!((tokens.generation(), tokens.snapshot().status), (1, TokenStatus::Rejected));
    tokens.observe();
    let shown = metrics.render().unwrap();
    assert!(shown.contains("token_state{state=\"rejected\"} 1\n"));
    let failed = "token_renewals_total{result=\"error\"} 1\n";
    assert!(shown.contains(failed), "there is no newer one");
    mount.swap("v2", "two");
    tokio::join!(tokens.refused(1), tokens.refused(1), tokens.refused(1));
    assert_eq!((tokens.generation(), tokens.snapshot().status), (2, TokenStatus::Valid));
    assert!(metrics.render().unwrap().contains(failed), "there is one");
    tokens.refused(1).await;
    assert_eq!(tokens.snapshot().status, TokenStatus::Valid, "old news of an old token");
}

#[tokio::test]
async fn a_static_token_that_was_refused_stays_in_use() {
    let metrics = Metrics::new();
    let tokens = TokenManager::new(TokenSource::Static("fixed".into()), metrics.token.clone());
    tokens.refused(1).await;
    assert_eq!((sends(&tokens).as_str(), tokens.generation()), ("Bearer fixed", 1));
    assert_eq!(tokens.snapshot().source, "static");
    tokens.accepted(1);
    assert_eq!(tokens.snapshot().status, TokenStatus::Valid);
    tokens.observe();
    assert!(metrics.render().unwrap().contains("token_state{state=\"valid\"} 1\n"));
    assert!(!format!("{tokens:?} {:?}", tokens.snapshot()).contains("fixed"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_comes_late_is_taken_up() {
    let (mount, metrics) = (Mount::new(), Metrics::new());
    let tokens = mount.tokens(&metrics);
    assert_eq!((tokens.generation(), tokens.snapshot().status), (0, TokenStatus::Missing));
    assert_eq!(tokens.snapshot().source, "file");
    let watch = tokio::spawn(tokens.clone().watch());
    mount.swap("v1", "one");
    sleep(WATCH_INTERVAL * 2).await;
    assert_eq!(sends(&tokens), "Bearer one");
    watch.abort();
}
