//! `config/reference.md` is made from `config/default.toml`: one heading a key, to link to.

use std::fmt::Write as _;
use std::path::Path;

use super::origins::variable;
use super::tests::DEFAULTS;

/// The page, from the commented defaults.
fn reference() -> String {
    let mut page = "# All settings\n\nMade from [`default.toml`](default.toml) by a test; to make it again: \
        `UPDATE_REFERENCE=1 cargo test --lib reference_page`.\n"
        .to_owned();
    let (mut section, mut comment) = (String::new(), Vec::new());
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
            write!(page, "\n## {section}\n").unwrap();
            if !comment.is_empty() {
                write!(page, "\n{}\n", comment.join("\n")).unwrap();
            }
            comment.clear();
        } else if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else if line == "#" {
            comment.push("");
        } else if let Some((key, value)) = line.split_once(" = ") {
            let (key, default) = match key.strip_prefix('#') {
                Some(key) => (key, format!("not set; for example `{value}`")),
                None => (key, format!("`{value}`")),
            };
            let key = format!("{section}.{key}");
            let (variable, text) = (variable(&key), comment.join("\n"));
            write!(page, "\n### {key}\n\nDefault: {default} · variable: `{variable}`\n").unwrap();
            if !text.is_empty() {
                write!(page, "\n{text}\n").unwrap();
            }
            comment.clear();
        } else if section.is_empty() && line.is_empty() {
            write!(page, "\n{}\n", comment.join("\n")).unwrap();
            comment.clear();
        }
    }
    page
}

#[test]
fn the_reference_page_has_every_key_as_the_defaults_say() {
    let (page, file) = (reference(), Path::new(env!("CARGO_MANIFEST_DIR")).join("config/reference.md"));
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(file).unwrap();
    let differs = written.lines().zip(page.lines()).find(|(written, right)| written != right);
    assert_eq!(differs, None, "see the page's head");
    assert_eq!(written.len(), page.len(), "see the page's head");
    for key in super::tests::load("", &[]).unwrap().keys() {
        assert_eq!(page.matches(&format!("\n### {key}\n")).count(), 1, "{key}");
    }
}
