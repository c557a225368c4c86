//! Output of the comparison: a table and JSON.

use serde_json::{Value, json};

use super::comparison::{ComparedWay, PlanComparison};

const NOTE: &str = "A simulation with the proxy's own refresh rule and made-up clicks, not a measurement.";

const HEAD: [&str; 8] =
    ["refresh", "replicas", "calls", "missed/answer", "× law", "mean age", "worst", "refused"];

pub(super) fn as_table(comparison: &PlanComparison) -> String {
    let mut lines = vec![HEAD.map(ToOwned::to_owned)];
    lines.extend(comparison.rows.iter().map(|row| cells(row, comparison.law)));
    let widths: [usize; 8] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    });
    let mut text = format!("{NOTE}\n\n");
    for line in &lines {
        let padded = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    let answers = comparison.rows.first().map_or(0, |row| row.outcome.answers + row.outcome.refused);
    text.push_str(&format!(
        "\n{} polls, {} calls a day. missed/answer: clicks that an answer lacks, on average; worst: the most that one \
         lacks;\n× law: times what the square-root law could reach with all calls; fixed lifetime: cache.ttl = {}, \
         longer when calls are scarce;\nmean age: since a report was fetched; a change probe that finds nothing new leaves it as old.\n",
        grouped(answers),
        grouped(comparison.per_day.into()),
        humantime::format_duration(comparison.ttl),
    ));
    text
}

fn cells(row: &ComparedWay, law: Option<f64>) -> [String; 8] {
    let outcome = &row.outcome;
    let missed = outcome.missed_per_answer();
    [
        row.refresh.as_str().to_owned(),
        row.sharing.as_str().to_owned(),
        grouped(outcome.calls),
        format!("{missed:.4}"),
        law.map_or_else(|| "-".to_owned(), |law| format!("{:.2}", missed / law)),
        humantime::format_duration(std::time::Duration::from_secs(outcome.mean_age().as_secs())).to_string(),
        grouped(outcome.worst().into()),
        grouped(outcome.refused),
    ]
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn as_json(comparison: &PlanComparison) -> Value {
    let rows = comparison.rows.iter().map(|row| {
        let outcome = &row.outcome;
        json!({
            "refresh": row.refresh.as_str(),
            "replicas": row.sharing.as_str(),
            "calls": outcome.calls,
            "missed_per_answer": outcome.missed_per_answer(),
            "times_law": comparison.law.map(|law| outcome.missed_per_answer() / law),
            "mean_age_s": outcome.mean_age().as_secs_f64(),
            "worst_answer": outcome.worst(),
            "refused": outcome.refused,
            "answers": outcome.answers,
        })
    });
    json!({
        "note": NOTE,
        "per_day": comparison.per_day,
        "replicas": comparison.replicas,
        "law_missed_per_answer": comparison.law,
        "rows": rows.collect::<Vec<_>>(),
    })
}
