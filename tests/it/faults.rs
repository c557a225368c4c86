//! The table of faults in `tests/README.md` names a test for each, and each is there.

use std::{fs, path::Path};

/// As many as trusted proxies are measured by.
const FAULTS: usize = 54;

/// A row of the table.
struct Fault {
    number: String,
    cells: Vec<String>,
}

/// The rows of the table: those that begin with a number.
fn table() -> Vec<Fault> {
    let text = read("tests/README.md").expect("a table of faults");
    let rows = text.lines().filter_map(|line| {
        let cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::to_owned);
        let mut cells: Vec<_> = cells.collect();
        let number = cells.remove(0);
        number.parse::<usize>().is_ok().then_some(Fault { number, cells })
    });
    rows.collect()
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).ok()
}

/// Is there such a test in such a file: a function with the attribute of a test, or a scenario of an incident?
fn exists(file: &str, name: &str) -> bool {
    let Some(text) = read(file) else { return false };
    if file.ends_with(".py") {
        return text.contains(&format!("    Scenario(\n        \"{name}\",\n"));
    }
    let declarations = [format!("fn {name}()"), format!("fn {name}(\n")];
    let Some(at) = declarations.iter().find_map(|declaration| text.find(declaration)) else { return false };
    let above = text[..at].trim_end_matches("async ").trim_end().lines().rev();
    above.take_while(|line| line.trim_start().starts_with("#[")).any(|line| {
        let line = line.trim_start();
        line.starts_with("#[test]") || line.starts_with("#[tokio::test")
    })
}

#[test]
fn each_fault_has_a_promise_and_tests_that_are_there() {
    let (table, mut missing) = (table(), Vec::new());
    let numbers: Vec<_> = table.iter().map(|row| row.number.clone()).collect();
    assert_eq!(numbers, (1..=FAULTS).map(|number| number.to_string()).collect::<Vec<_>>());
    for Fault { number, cells } in &table {
        let [fault, promise, tests] = &cells[..] else { panic!("row {number} has other columns: {cells:?}") };
        assert!(!fault.trim().is_empty() && !promise.trim().is_empty() && !tests.is_empty(), "row {number}");
        for test in tests.split("<br>") {
            let named = test.trim_matches('`').split_once("::");
            if !named.is_some_and(|(file, name)| exists(file, name)) {
                missing.push(format!("row {number}: {test}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_test_that_is_not_there_is_found() {
    let here = "tests/it/faults.rs";
    assert!(exists(here, "a_test_that_is_not_there_is_found"));
    // A function that is no test, a part of a name, another file.
    for (file, name) in [(here, "table"), (here, "a_test_that"), ("tests/it/none.rs", "table")] {
        assert!(!exists(file, name), "{name}");
    }
    assert!(exists("tests/deploy/incidents_pod.py", "disk-full"));
    assert!(!exists("tests/deploy/incidents_pod.py", "disk"));
}
