//! The `plan` subcommand, run as a process: output, plot, bad options, and access logs.

use crate::support::Run;

/// Options for a day that is quick to replay.
const SMALL: [&str; 9] = ["plan", "--campaigns", "6", "--viewers", "2", "--poll", "5m", "--budget", "200"];
const ID: &str = "6ef3c9a4-1cf5-4a3e-9f5c-0a1b2c3d4e5f";

async fn printed(more: &[&str]) -> String {
    let finished = Run::finish(&[&SMALL, more].concat(), &[]).await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(finished.stderr.is_empty(), "no progress bar but at a terminal: {finished:?}");
    finished.stdout.join("\n")
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_a_row_for_each_way_and_says_that_it_is_a_simulation() {
    let text = printed(&["--replicas", "3", "--hours", "8-18", "--seed", "7"]).await;
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("plan_of_three_replicas", text));
    let again = printed(&["--replicas", "3", "--hours", "8-18", "--seed", "7"]).await;
    assert_eq!(text, again, "the same seed makes the same day");
    assert_ne!(text, printed(&["--replicas", "3", "--hours", "8-18", "--seed", "8"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_is_neither_apart_nor_shared() {
    let text = printed(&[]).await;
    assert!(text.contains("planned with change probe") && !text.contains("apart"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_same_values() {
    let json: serde_json::Value = serde_json::from_str(&printed(&["--json"]).await).expect("JSON");
    assert!(json["note"].as_str().is_some_and(|note| note.contains("simulation")), "{json}");
    assert_eq!((&json["per_day"], &json["replicas"]), (&200.into(), &1.into()));
    let rows = json["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 4);
    for row in rows {
        for figure in
            ["calls", "missed_per_answer", "times_law", "mean_age_s", "worst_answer", "refused", "answers"]
        {
            assert!(row[figure].is_number(), "{figure}: {row}");
        }
        assert!(row["calls"].as_u64().is_some_and(|calls| (1..=200).contains(&calls)), "{row}");
    }
    let missed = |row: usize| rows[row]["missed_per_answer"].as_f64().expect("a number");
    assert_eq!((&rows[0]["refresh"], &rows[1]["refresh"]), (&"planned".into(), &"fixed lifetime".into()));
    assert!(missed(0) < missed(1), "the plan misses less: {json}");
}

/// Is every tag closed by a tag of its own name, in the right order, with balanced quotes?
fn tags_are_balanced(xml: &str) -> bool {
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1) {
        let Some((tag, _text)) = tag.split_once('>') else { return false };
        let name = tag.split_ascii_whitespace().next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        if tag.matches('"').count() % 2 == 1 {
            return false;
        }
    }
    open.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plot_is_well_formed_and_has_axes_with_units() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    printed(&["--replicas", "2", "--svg", path(&file)]).await;
    let svg = std::fs::read_to_string(file.path()).expect("the plot");
    assert!(svg.starts_with("<svg ") && tags_are_balanced(&svg), "{svg:.300}");
    for part in [
        "price of a call (clicks missed)",
        "calls used today (calls)",
        "clicks missed per answer (clicks",
        ">0:00 UTC<",
        ">24:00<",
        "prefers-color-scheme:dark",
        "planned (shared)",
        "fixed lifetime (apart)",
    ] {
        assert!(svg.contains(part), "{part}");
    }
    // Three charts with two lines each, but a fixed lifetime has no price.
    assert_eq!(svg.matches("<path ").count(), 5);
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_option_ends_with_78_and_one_line_that_names_it() {
    for (option, value) in [
        ("--campaigns", "0"),
        ("--campaigns", "many"),
        ("--viewers", "70000"),
        ("--poll", "soon"),
        ("--poll", "0s"),
        ("--replicas", "0"),
        ("--hours", "8"),
        ("--hours", "8-8"),
        ("--hours", "8-25"),
        ("--hours", "NaN-5"),
        ("--budget", "-1"),
        ("--seed", "x"),
        ("--polls", "/nonexistent/access.log"),
        ("--svg", "/nonexistent/day.svg"),
    ] {
        // clap rejects an option that is given twice, so remove the one from SMALL first.
        let mut arguments: Vec<&str> = SMALL.to_vec();
        let joined = format!("{option}={value}");
        if let Some(at) = arguments.iter().position(|argument| *argument == option) {
            arguments.drain(at..at + 2);
        }
        arguments.push(&joined);
        let finished = Run::finish(&arguments, &[]).await;
        assert_eq!(finished.status.code(), Some(78), "{joined}: {finished:?}");
        let [line] = finished.stderr.as_slice() else { panic!("{joined}: want one line: {finished:?}") };
        assert!(line.starts_with(option), "{joined}: {line}");
    }
    let too_many = ["plan", "--campaigns=2000", "--viewers=1000", "--poll=1s"];
    let finished = Run::finish(&too_many, &[]).await;
    assert_eq!(finished.status.code(), Some(78), "{finished:?}");
}

fn log(lines: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), lines).expect("written");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_log_is_replayed_as_it_was_polled() {
    let day: String = (0..288).map(|poll| format!("{} {ID} true\n", 1_790_000_000 + poll * 300)).collect();
    let file = log(&day);
    let json: serde_json::Value =
        serde_json::from_str(&printed(&["--json", "--polls", path(&file)]).await).expect("JSON");
    let answers = &json["rows"][0]["answers"];
    let measured =
        (0..288).filter(|poll| (1_790_000_000 + poll * 300) / 86_400 == 1_790_086_399 / 86_400).count();
    assert_eq!(answers.as_u64(), Some(measured as u64), "those of the last UTC day: {json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_of_an_access_log_is_named() {
    let file = log(&format!("1790000000 {ID} true\n1790000001 {ID} perhaps\n"));
    let finished = Run::finish(&["plan", "--polls", path(&file)], &[]).await;
    assert_eq!(finished.status.code(), Some(78), "{finished:?}");
    let [line] = finished.stderr.as_slice() else { panic!("want one line: {finished:?}") };
    assert!(line.starts_with("--polls: ") && line.contains("line 2: no_clicks"), "{line}");
}
