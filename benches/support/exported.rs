//! A day as a folder of CSV files: `polls.csv` (wall_seconds, viewer, id, no_clicks), `clicks.csv` (wall_seconds, id,
//! clicks so far) and `sends.csv` (id, wave, wall_seconds, clicks_in_the_end), in seconds since a midnight UTC; and the
//! files with which the answers can be scored: `answers.csv` (wall_seconds, id, no_clicks, clicks) and `calls.csv`.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use link_report_proxy::{
    plan::{CampaignWave, ClickTimes, Poll, Workload},
    refresh::ReportForm,
};

use super::played_day::Figures;

const DAY: Duration = Duration::from_hours(24);
const PER_DAY: u32 = 10_000;

/// A workload, and the ids of its campaigns.
pub(crate) struct ExportedDay {
    pub(crate) workload: Workload,
    folder: PathBuf,
    ids: Vec<String>,
}

// === impl ExportedDay ===

impl ExportedDay {
    /// The last UTC day that has polls is measured; the days before it warm up.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut index = HashMap::new();
        let mut workload = Workload { per_day: PER_DAY, ..Workload::default() };
        let mut ids = Vec::new();
        for [id, _wave, sent, clicks] in
            &rows(&folder.join("sends.csv"), ["id", "wave", "wall_seconds", "clicks_in_the_end"])
        {
            let campaign = *index.entry(id.clone()).or_insert_with(|| {
                ids.push(id.clone());
                workload.waves.push(Vec::new());
                ids.len() - 1
            });
            workload.waves[campaign].push(CampaignWave { sent: number(sent), clicks: number(clicks) });
        }
        let mut nanos = vec![Vec::<i64>::new(); ids.len()];
        for [at, id, clicks] in rows(&folder.join("clicks.csv"), ["wall_seconds", "id", "clicks"]) {
            let (at, campaign) = ((number::<f64>(&at) * 1e9) as i64, &mut nanos[index[&id]]);
            campaign.resize(number(&clicks), at);
        }
        workload.campaigns = nanos.into_iter().map(ClickTimes::new).collect();
        let polls = rows(&folder.join("polls.csv"), ["wall_seconds", "viewer", "id", "no_clicks"]);
        workload.polls = polls
            .into_iter()
            .map(|[at, viewer, id, no_clicks]| Poll {
                at: Duration::from_secs_f64(number(&at)),
                campaign: index[&id] as u32,
                form: if no_clicks == "true" { ReportForm::AllLinks } else { ReportForm::Clicked },
                viewer: number(&viewer),
            })
            .collect();
        let last = workload.polls.last().expect("a poll").at;
        let days = (last.as_secs() / DAY.as_secs()) as u32;
        (workload.measured_from, workload.end) = (DAY * days, DAY * (days + 1));
        Self { workload, folder: folder.to_owned(), ids }
    }

    /// Writes the answers and the calls beside what was read.
    pub(crate) fn write(&self, figures: &Figures) {
        let mut answers = "wall_seconds,id,no_clicks,clicks\n".to_owned();
        for (poll, clicks) in &figures.answers {
            let poll = self.workload.polls[*poll];
            let (at, id) = (poll.at.as_secs_f64(), &self.ids[poll.campaign as usize]);
            let no_clicks = poll.form == ReportForm::AllLinks;
            writeln!(answers, "{at:.3},{id},{no_clicks},{clicks}").expect("a string");
        }
        fs::write(self.folder.join("answers.csv"), answers).expect("answers.csv");
        let mut calls = "wall_seconds\n".to_owned();
        figures.calls.iter().for_each(|at| writeln!(calls, "{:.4}", at.as_secs_f64()).expect("a string"));
        fs::write(self.folder.join("calls.csv"), calls).expect("calls.csv");
    }
}

/// The rows of a file, whose columns must be these.
fn rows<const COLUMNS: usize>(file: &Path, columns: [&str; COLUMNS]) -> Vec<[String; COLUMNS]> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(columns.join(",").as_str()), "{}", file.display());
    let cells = |line: &str| {
        let cells: Vec<_> = line.split(',').map(ToOwned::to_owned).collect();
        cells.try_into().unwrap_or_else(|_| panic!("{}: {line}", file.display()))
    };
    lines.map(cells).collect()
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse().unwrap_or_else(|_| panic!("a number: {text}"))
}
