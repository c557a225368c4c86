//! A reader finds his way by the field's words: who greps for one of these finds it in the first lines of the right file.

use crate::repo::sources;

/// What a newcomer looks for, and where it is.
const WORDS: [(&str, &str); 18] = [
    ("401", "token/unauthorized_backoff.rs"),
    ("back-off", "token/unauthorized_backoff.rs"),
    ("single flight", "cache/flight.rs"),
    ("stale-if-error", "inbound/limits.rs"),
    ("stale-if-error", "cache/lookup.rs"),
    ("daily budget", "quota/budget.rs"),
    ("per-second pacing", "quota/pacer.rs"),
    ("circuit breaker", "resilience/breaker.rs"),
    ("circuit breaker", "resilience/circuit.rs"),
    ("device flow", "token/device.rs"),
    ("refresh-token grant", "token/exchange.rs"),
    ("graceful", "app/run.rs"),
    ("idle timeout", "server/activity.rs"),
    ("etag", "report/representation.rs"),
    ("etag", "inbound/negotiate.rs"),
    ("gzip", "cache/gzip.rs"),
    ("error table", "inbound/problem.rs"),
    ("load shedding", "inbound/limits.rs"),
];

#[test]
fn the_field_s_words_are_in_the_first_lines_of_the_right_files() {
    let all = sources();
    let missing: Vec<_> = WORDS
        .iter()
        .filter(|(word, path)| {
            let source = all.iter().find(|source| source.path == *path).expect("a file of that name");
            let prose: Vec<_> = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
            !prose.join(" ").replace("//! ", "").to_lowercase().contains(word)
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
