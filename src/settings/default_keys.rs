//! `config/default.toml` and the model of the settings have the same keys.

use std::collections::BTreeSet;

use super::tests::{DEFAULTS, load};

#[test]
fn the_defaults_name_every_key_and_no_other() {
    // A line that begins with "#" and no space is a key without a default.
    let all: String = DEFAULTS
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n"
        })
        .collect();
    let parsed =
        config::Config::builder().add_source(config::File::from_str(&all, config::FileFormat::Toml)).build();
    let parsed: serde_json::Value = parsed.unwrap().try_deserialize().unwrap();
    let model = load("", &[]).unwrap().effective();
    assert_eq!(keys(&parsed), keys(&model));
}

fn keys(tree: &serde_json::Value) -> BTreeSet<String> {
    let sections = tree.as_object().unwrap().iter();
    sections
        .flat_map(|(section, keys)| {
            keys.as_object().unwrap().keys().map(move |key| format!("{section}.{key}"))
        })
        .collect()
}
