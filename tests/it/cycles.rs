//! No import cycle between files: whoever reads a file after those that it imports jumps back nowhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::repo::{Source, sources};

/// A file's or a name's module_path in the crate: `src/quota/pacer.rs` is `["quota", "pacer"]`.
type ModulePath = Vec<String>;

/// The files of a crate, and where the names that a `mod.rs` hands on come from.
struct Crate {
    files: BTreeMap<ModulePath, String>,
    handed_on: BTreeMap<ModulePath, BTreeMap<String, ModulePath>>,
}

/// The paths of one `use` tree, or of one path in the code: `super::{a, b::{C, D}}` is three.
struct PathTree<'a> {
    rest: &'a str,
    paths: Vec<ModulePath>,
}

// === impl Crate ===

impl Crate {
    fn read(sources: &[Source]) -> Self {
        let mut read = Self { files: BTreeMap::new(), handed_on: BTreeMap::new() };
        for source in sources {
            let code = without_comments_and_tests(&source.text);
            let module_path = module_path(&source.path);
            if source.path.ends_with("mod.rs") {
                read.handed_on.insert(module_path, re_exports(&code));
            } else if !module_path.iter().any(|name| name.contains("test")) && module_path.len() > 1 {
                read.files.insert(module_path, code);
            }
        }
        read
    }

    /// The file that a path names something of, as seen from `file`.
    fn resolve(&self, file: &ModulePath, path: &ModulePath) -> Option<ModulePath> {
        let supers = path.iter().take_while(|name| *name == "super").count();
        let (mut at, names) = match path.first().map(String::as_str) {
            Some("crate") => (Vec::new(), &path[1..]),
            _ => (file[..file.len().checked_sub(supers)?].to_vec(), &path[supers..]),
        };
        for name in names {
            let below = [at.as_slice(), std::slice::from_ref(name)].concat();
            if self.files.contains_key(&below) || self.handed_on.contains_key(&below) {
                at = below;
            } else if let Some(source) = self.handed_on.get(&at).and_then(|names| names.get(name)) {
                at.extend(source.iter().cloned());
            }
            if self.files.contains_key(&at) {
                break;
            }
        }
        (self.files.contains_key(&at) && at != *file).then_some(at)
    }

    fn imports(&self) -> BTreeMap<&ModulePath, BTreeSet<ModulePath>> {
        let of = |file, code: &str| paths(code).iter().filter_map(|path| self.resolve(file, path)).collect();
        self.files.iter().map(|(file, code)| (file, of(file, code))).collect()
    }

    /// Each set of files that import one another, directly or not.
    fn cycles(&self) -> BTreeSet<Vec<String>> {
        let imports = self.imports();
        let reached: BTreeMap<_, _> = imports.keys().map(|file| (*file, reach(file, &imports))).collect();
        let cycle = |file: &&ModulePath| {
            let others = reached[file].iter().filter(|other| reached[*other].contains(*file));
            let mut names: Vec<_> = others.map(|module_path| module_path.join("/")).collect();
            names.sort();
            (!names.is_empty()).then_some(names)
        };
        imports.keys().filter_map(cycle).collect()
    }
}

// === impl PathTree ===

impl<'a> PathTree<'a> {
    fn parse(text: &'a str) -> Vec<ModulePath> {
        let mut tree = Self { rest: text, paths: Vec::new() };
        tree.branch(&Vec::new());
        tree.paths
    }

    fn branch(&mut self, prefix: &ModulePath) {
        let mut path = prefix.clone();
        loop {
            self.rest = self.rest.trim_start();
            if let Some(group) = self.rest.strip_prefix('{') {
                self.rest = group;
                return self.group(&path);
            }
            let end = self.rest.find(|char: char| !(char.is_alphanumeric() || char == '_'));
            let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            path.push(name.to_owned());
            match rest.trim_start().strip_prefix("::") {
                Some(rest) => self.rest = rest,
                None => {
                    self.rest = rest;
                    return self.paths.push(path);
                }
            }
        }
    }

    fn group(&mut self, prefix: &ModulePath) {
        loop {
            self.branch(prefix);
            // A member may end with `as name`.
            let Some(end) = self.rest.find([',', '}']) else { return };
            let last = self.rest[end..].starts_with('}');
            self.rest = self.rest[end + 1..].trim_start();
            if last {
                return;
            }
            if let Some(rest) = self.rest.strip_prefix('}') {
                self.rest = rest;
                return;
            }
        }
    }
}

fn module_path(path: &str) -> ModulePath {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(ToOwned::to_owned).collect()
}

fn without_comments_and_tests(text: &str) -> String {
    let code: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let end = code.find("#[cfg(test)]\nmod tests {").unwrap_or(code.len());
    code[..end].to_owned()
}

/// Where the names that a `mod.rs` hands on come from, as seen from it.
fn re_exports(code: &str) -> BTreeMap<String, ModulePath> {
    let statements = code.split(';').map(str::trim).filter(|statement| statement.starts_with("pub"));
    let trees = statements.filter_map(|statement| statement.split_once(" use ").map(|(_, tree)| tree));
    let paths = trees.flat_map(PathTree::parse);
    paths.filter_map(|path| path.split_last().map(|(name, from)| (name.clone(), from.to_vec()))).collect()
}

/// Every path of a text that begins with `crate` or `super`.
fn paths(code: &str) -> Vec<ModulePath> {
    let begins = |root| code.match_indices(root).map(|(at, _)| at);
    let starts = begins("crate::").chain(begins("super::")).filter(|at| {
        let before = code[..*at].chars().next_back();
        !before.is_some_and(|char| char.is_alphanumeric() || ['_', ':', '$'].contains(&char))
    });
    starts.flat_map(|at| PathTree::parse(&code[at..])).collect()
}

/// All that a file imports, directly or not.
fn reach<'a>(
    file: &'a ModulePath,
    imports: &'a BTreeMap<&ModulePath, BTreeSet<ModulePath>>,
) -> BTreeSet<&'a ModulePath> {
    let (mut reached, mut ahead) = (BTreeSet::new(), vec![file]);
    while let Some(next) = ahead.pop() {
        ahead.extend(imports[next].iter().filter(|other| reached.insert(*other)));
    }
    reached
}

fn cycles_of(files: &[(&str, &str)]) -> Vec<String> {
    let source = |(path, text): &(&str, &str)| Source { path: (*path).to_owned(), text: (*text).to_owned() };
    let sources: Vec<_> = files.iter().map(source).collect();
    Crate::read(&sources).cycles().iter().map(|cycle| cycle.join(" ")).collect()
}

#[test]
fn no_files_import_one_another() {
    let read = Crate::read(&sources());
    let imports: usize = read.imports().values().map(BTreeSet::len).sum();
    assert!(imports > 300, "the reader of imports sees {imports}");
    let cycles = read.cycles();
    assert!(cycles.is_empty(), "{cycles:#?}");
}

#[test]
fn a_cycle_is_found_however_it_is_imported() {
    let door =
        ("a/mod.rs", "mod one;\nmod two;\npub use one::One;\npub(crate) use two::{Two, inner::Three};");
    let straight = ("a/two.rs", "pub struct Two;");
    for import in [
        "use super::two::Two;",
        "use super::{three::Four, two::{self, Two as Other}};",
        "use crate::a::Two;",
        "use crate::{\n    b::Five,\n    a::{\n        Two,\n    },\n};",
        "fn f() -> super::Two {}",
    ] {
        let one = ("a/one.rs", import);
        assert_eq!(cycles_of(&[door, one, straight]), Vec::<String>::new(), "{import}");
        let back = ("a/two.rs", "pub struct Two(super::One);");
        assert_eq!(cycles_of(&[door, one, back]), ["a/one a/two"], "{import}");
    }
    let in_tests = ("a/two.rs", "// super::One\n#[cfg(test)]\nmod tests {\n    use super::super::One;\n}");
    assert_eq!(cycles_of(&[door, ("a/one.rs", "use super::Two;"), in_tests]), Vec::<String>::new());
}
