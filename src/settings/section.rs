//! How a tree of keys becomes nested structs: each key is named once, in the struct itself.
//!
//! Not serde's derive: it stops at the first wrong key and quotes its value, which may be a secret. Here all problems are
//! found in one run, and the syntax of a value depends on the type of its key alone, whether a file or the environment
//! sets it.

use std::fmt::Display;

use config::{Map, Value, ValueKind};
use serde_json::Value as Json;

use super::problem::SettingProblems;

/// A value that a key can have: a whole section, a list, an optional value, or a [`Scalar`].
pub(super) trait Setting: Sized {
    /// Takes the value of `key`; what is wrong with it goes to `problems`.
    fn read(value: Option<Value>, key: &str, problems: &mut SettingProblems) -> Option<Self>;

    /// As an operator would write it; secrets are redacted.
    fn show(&self) -> Json;

    /// Adds to `changed` the keys that have another value in `new`; `key` is this one's.
    fn compare(&self, new: &Self, key: &str, changed: &mut Vec<String>) {
        if self.show() != new.show() {
            changed.push(key.to_owned());
        }
    }
}

/// A value that is written as one number or string.
pub(super) trait Scalar: Sized {
    /// The error says what is wrong and how to write it, without the key.
    fn parse(text: &str) -> Result<Self, String>;

    /// As an operator would write it.
    fn show(&self) -> Json;

    /// Where [`Self::show`] leaves a secret out, the secret counts too.
    fn is_same(&self, other: &Self) -> bool {
        self.show() == other.show()
    }
}

/// Declares a group of keys as a struct with the same field names.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $( $(#[$key_doc:meta])* $key:ident: $type:ty, )+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[$key_doc])* pub $key: $type, )+
        }

        impl $crate::settings::section::Setting for $name {
            fn read(
                value: Option<config::Value>,
                key: &str,
                problems: &mut $crate::settings::problem::SettingProblems,
            ) -> Option<Self> {
                let mut table = $crate::settings::section::table(value, key, problems)?;
                $( let $key = $crate::settings::section::Setting::read(
                    table.remove(stringify!($key)),
                    &$crate::settings::section::join(key, stringify!($key)),
                    problems,
                ); )+
                $crate::settings::section::refuse_unknown(&table, key, &[$(stringify!($key)),+], problems);
                Some(Self { $( $key: $key?, )+ })
            }

            fn show(&self) -> serde_json::Value {
                let mut object = serde_json::Map::new();
                $( object.insert(
                    stringify!($key).to_owned(),
                    $crate::settings::section::Setting::show(&self.$key),
                ); )+
                object.into()
            }

            fn compare(&self, new: &Self, key: &str, changed: &mut Vec<String>) {
                $( $crate::settings::section::Setting::compare(
                    &self.$key,
                    &new.$key,
                    &$crate::settings::section::join(key, stringify!($key)),
                    changed,
                ); )+
            }
        }
    };
}
pub(super) use section;

pub(super) fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

pub(super) fn table(
    value: Option<Value>,
    key: &str,
    problems: &mut SettingProblems,
) -> Option<Map<String, Value>> {
    match value.map(|value| value.kind) {
        None => Some(Map::new()),
        Some(ValueKind::Table(table)) => Some(table),
        Some(_) => {
            problems.add(key, format!("is a group of settings, not one value: set {key}.… instead"));
            None
        }
    }
}

pub(super) fn refuse_unknown(
    rest: &Map<String, Value>,
    key: &str,
    known: &[&str],
    problems: &mut SettingProblems,
) {
    let mut unknown: Vec<_> = rest.keys().collect();
    unknown.sort_unstable();
    for name in unknown {
        let place = if key.is_empty() { "at the top".to_owned() } else { format!("in {key}") };
        let text = format!("unknown key: remove it, or use one that exists {place}: {}", known.join(", "));
        problems.add(&join(key, name), text);
    }
}

/// A value as a problem may show it: quoted, and 60 characters at most.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN_CHARS: usize = 60;
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}

// === impl T ===

impl<T: Scalar> Setting for T {
    fn read(value: Option<Value>, key: &str, problems: &mut SettingProblems) -> Option<Self> {
        let text = match value.map(|value| value.kind) {
            Some(ValueKind::String(text)) => text,
            Some(ValueKind::Boolean(value)) => value.to_string(),
            Some(ValueKind::I64(value)) => value.to_string(),
            Some(ValueKind::Float(value)) => value.to_string(),
            Some(_) => {
                problems.add(key, "must be one value, not a list or a table");
                return None;
            }
            None => {
                problems.add(key, "is missing");
                return None;
            }
        };
        if text.is_empty() {
            problems.add(key, "is empty: leave it out or give it a value");
            return None;
        }
        keep(T::parse(&text), key, problems)
    }

    fn show(&self) -> Json {
        Scalar::show(self)
    }

    fn compare(&self, new: &Self, key: &str, changed: &mut Vec<String>) {
        if !self.is_same(new) {
            changed.push(key.to_owned());
        }
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(value: Option<Value>, key: &str, problems: &mut SettingProblems) -> Option<Self> {
        match value {
            None => Some(None),
            value => T::read(value, key, problems).map(Some),
        }
    }

    fn show(&self) -> Json {
        self.as_ref().map_or(Json::Null, Setting::show)
    }

    fn compare(&self, new: &Self, key: &str, changed: &mut Vec<String>) {
        match (self, new) {
            (Some(value), Some(new)) => value.compare(new, key, changed),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => changed.push(key.to_owned()),
        }
    }
}

/// A TOML array; or, since the environment has none, one string with commas.
impl<T: Scalar> Setting for Vec<T> {
    fn read(value: Option<Value>, key: &str, problems: &mut SettingProblems) -> Option<Self> {
        match value.map(|value| value.kind) {
            Some(ValueKind::Array(items)) => {
                // All are read before the first bad one ends this: each problem has its own line.
                let items: Vec<_> =
                    items.into_iter().map(|item| <T as Setting>::read(Some(item), key, problems)).collect();
                items.into_iter().collect()
            }
            Some(ValueKind::String(text)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                let items: Vec<_> = items.map(|item| keep(T::parse(item), key, problems)).collect();
                items.into_iter().collect()
            }
            Some(_) => {
                problems.add(key, "must be a list of strings");
                None
            }
            None => {
                problems.add(key, "is missing");
                None
            }
        }
    }

    fn show(&self) -> Json {
        self.iter().map(Scalar::show).collect()
    }
}

fn keep<T, E: Display>(result: Result<T, E>, key: &str, problems: &mut SettingProblems) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(text) => {
            problems.add(key, text.to_string());
            None
        }
    }
}
