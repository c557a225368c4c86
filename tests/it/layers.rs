//! A module imports lower layers only, never a sibling, and a type's name occurs once: read off the source itself.

use crate::repo::{Source, sources};

/// Every module and its layer. `main` and `lib` stand outside: the first may call
/// commands alone, the second only maps.
const LAYERS: [(&str, u8); 23] = [
    ("commands", 6),
    ("fuzz", 6),
    ("app", 5),
    ("inbound", 4),
    ("admin", 4),
    ("plan", 4),
    ("server", 3),
    ("cache", 3),
    ("quota", 3),
    ("resilience", 3),
    ("token", 3),
    ("upstream", 2),
    ("state", 2),
    ("shared", 2),
    ("telemetry", 1),
    ("report", 1),
    ("refresh", 1),
    ("middleware", 1),
    ("settings", 1),
    ("simulator", 1),
    ("backoff", 0),
    ("outage", 0),
    ("main", 7),
];

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// The module a file of `src/` belongs to: its first directory, or its own name.
fn module(source: &Source) -> &str {
    let first = source.path.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Every module that a text imports: each path that begins with `crate::` or the crate's name,
/// groups (`crate::{a, b::c}`) included, comments not.
fn imported(text: &str) -> Vec<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut modules = Vec::new();
    for root in ["crate::", "link_report_proxy::"] {
        for (at, _) in code.match_indices(root) {
            // `$crate::` and `other_crate::` end alike but name other things.
            let before = code[..at].chars().next_back();
            if before.is_some_and(|char| char.is_alphanumeric() || char == '_') {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => modules.extend(members(group)),
                None => modules.push(identifier(rest)),
            }
        }
    }
    modules
}

/// The first names of a group's members, up to its closing brace.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut fresh, mut names) = (0_u32, true, Vec::new());
    for (at, char) in group.char_indices() {
        match char {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if fresh && !char.is_whitespace() => {
                names.push(identifier(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
}

#[test]
fn a_module_imports_lower_layers_only_and_never_a_sibling() {
    let mut faults = Vec::new();
    for source in sources() {
        let own = module(&source);
        if own == "lib" {
            continue;
        }
        let Some(own_layer) = layer(own) else {
            faults.push(format!("{}: the module {own} has no layer", source.path));
            continue;
        };
        for other in imported(&source.text) {
            match layer(&other) {
                _ if other == own => {}
                Some(layer) if layer < own_layer => {}
                Some(layer) => faults.push(format!(
                    "{}: {own} (layer {own_layer}) imports {other} (layer {layer})",
                    source.path
                )),
                None => faults.push(format!("{}: imports {other}, which is no module", source.path)),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_module_is_on_the_map_and_its_mod_rs_has_no_logic() {
    let all = sources();
    let map = all.iter().find(|source| source.path == "lib.rs").expect("a map");
    let mut faults = Vec::new();
    for source in &all {
        let own = module(source);
        if !["lib", "main"].contains(&own) && !map.text.contains(&format!("mod {own};")) {
            faults.push(format!("{}: {own} is not in lib.rs", source.path));
        }
        let is_mod_rs = ["lib.rs".to_owned(), format!("{own}/mod.rs")].contains(&source.path);
        if is_mod_rs {
            if !source.text.starts_with("//!") {
                faults.push(format!("{}: a mod.rs without prose", source.path));
            }
            let logic = source.text.lines().find(|line| {
                let line = line.trim_start();
                let line = line.strip_prefix("pub ").unwrap_or(line);
                let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
                ["fn ", "async fn ", "impl ", "impl<", "struct ", "enum ", "const fn "]
                    .iter()
                    .any(|word| line.starts_with(word))
            });
            if let Some(logic) = logic {
                faults.push(format!("{}: logic in a mod.rs: {logic}", source.path));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let text = "use crate::cache::{A, B};\nuse crate::{report::Key, token::{C, D}, state};\n\
        let x = crate::upstream::go(); // crate::comment\nuse link_report_proxy::admin::E;\n";
    let mut seen = imported(text);
    seen.sort_unstable();
    assert_eq!(seen, ["admin", "cache", "report", "state", "token", "upstream"]);
}

/// The types and traits that a file of the crate defines, but for those of its tests.
fn defined(source: &Source) -> Vec<&str> {
    const KINDS: [&str; 4] = ["struct ", "enum ", "trait ", "type "];
    if source.path.contains("tests") {
        return Vec::new();
    }
    let names = source.text.lines().filter_map(|line| {
        let line = line.strip_prefix("pub").map_or(line, |rest| {
            rest.strip_prefix("(super)").or_else(|| rest.strip_prefix("(crate)")).unwrap_or(rest).trim_start()
        });
        let name = KINDS.iter().find_map(|kind| line.strip_prefix(kind))?;
        name.split(|char: char| !char.is_alphanumeric()).next()
    });
    names.collect()
}

#[test]
fn a_type_s_name_occurs_once_in_the_crate() {
    let all = sources();
    let mut places = std::collections::BTreeMap::<&str, Vec<&str>>::new();
    for source in &all {
        for name in defined(source) {
            places.entry(name).or_default().push(&source.path);
        }
    }
    assert!(places.len() > 100, "the reader of definitions sees {}", places.len());
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}
