//! What the repository promises of itself.

use std::path::{Path, PathBuf};

/// Longer files do two things.
const MOST_LINES: usize = 350;

/// What stands at the top; each has a reason to.
const TOP: [&str; 25] = [
    ".cargo",
    ".ci",
    ".dockerignore",
    ".git",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "SECURITY.md",
    "UPGRADING.md",
    "build.rs",
    "README.md",
    "benches",
    "clippy.toml",
    "config",
    "deny.toml",
    "deploy",
    "docs",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "src",
    "target",
    "tests",
];

/// A file of `src/`, its path relative to that.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every Rust file under `src/`.
pub(crate) fn sources() -> Vec<Source> {
    let root = crate_root().join("src");
    let files = walk(&root).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let read = |path: PathBuf| Source {
        path: path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned(),
        text: std::fs::read_to_string(&path).expect("UTF-8"),
    };
    files.map(read).collect()
}

fn crate_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Everything that is, or could be, committed.
fn committed() -> Vec<PathBuf> {
    let root = crate_root();
    let skipped = [".git", "target", "node_modules", "corpus", "artifacts"];
    let kept = |path: &PathBuf| {
        let below = path.strip_prefix(&root).expect("below the root");
        !below.iter().any(|part| skipped.iter().any(|skip| part == *skip))
    };
    walk(&root).into_iter().filter(kept).collect()
}

#[test]
fn no_source_file_is_longer_than_one_thing_needs() {
    let counted = |source: Source| (source.text.lines().count(), source.path);
    let mut files: Vec<_> = sources().into_iter().map(counted).collect();
    files.sort_unstable();
    let long: Vec<_> = files.iter().filter(|(lines, _)| *lines > MOST_LINES).collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines: {long:?}");
    let (median, _) = &files[files.len() / 2];
    assert!((90..=150).contains(median), "the median file has {median} lines");
}

#[test]
fn no_file_names_a_place_of_one_machine_or_a_registrys_host() {
    // In pieces, so that this file does not name them either.
    let words = [
        ["/ro", "ot/"].concat(),
        ["/ho", "me/"].concat(),
        ["/wo", "rk/"].concat(),
        ["/tmp", "/wt"].concat(),
        ["registry.", "npmjs"].concat(),
        ["files.", "pythonhosted"].concat(),
        ["static.", "crates.io"].concat(),
        ["deb.", "debian.org"].concat(),
    ];
    let mut found = Vec::new();
    for path in committed() {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_changelog_has_a_place_for_what_is_not_released() {
    let text = std::fs::read_to_string(crate_root().join("CHANGELOG.md")).expect("a CHANGELOG.md");
    assert!(text.lines().any(|line| line.trim() == "## [Unreleased]" || line.trim() == "## Unreleased"));
}

#[test]
fn the_top_level_holds_only_what_belongs_there() {
    let entries = std::fs::read_dir(crate_root()).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let strays: Vec<_> = names.filter(|name| !TOP.contains(&name.as_str())).collect();
    assert!(strays.is_empty(), "{strays:?}");
}
