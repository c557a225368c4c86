//! Runs models: each in every order of its steps, or in many.

#![expect(clippy::disallowed_types, reason = "shows how long a model really takes")]

use real_std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use crate::{
    task::{Fate, destine},
    time,
};

/// A model, and how it is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Model {
    /// What it promises.
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
    /// By loom, every order with at most so many preemptions, and every value that a relaxed load may see; `None`: it is too
    /// large.
    pub(crate) preemptions: Option<usize>,
    /// By shuttle, so many random orders, and as many of its PCT scheduler's; 0: loom's are all there are.
    pub(crate) schedules: usize,
}

/// Runs the models of this checker, or those whose names contain the argument.
pub(crate) fn all(models: &[Model]) {
    let wanted = real_std::env::args().nth(1).unwrap_or_default();
    let mut passed = 0;
    for model in models.iter().filter(|model| model.name.contains(&wanted)) {
        let (started, runs): (_, &AtomicU64) = (Instant::now(), Box::leak(Box::default()));
        let run = model.run;
        let counted = move || {
            runs.fetch_add(1, Relaxed);
            time::begin();
            destine(Fate::Run);
            fastrand::seed(1);
            run();
        };
        if let Some(how) = check(model, counted) {
            let (runs, seconds) = (runs.load(Relaxed), started.elapsed().as_secs_f64());
            println!("ok  {:>9} runs  {seconds:6.1} s  {how:<18}  {}", runs, model.name);
            passed += 1;
        }
    }
    assert!(models.iter().any(|model| model.name.contains(&wanted)), "no model of that name");
    println!("{passed} passed, 0 failed");
}

/// Panics if an order breaks the model; `None` if the model is not for this checker.
#[cfg(not(feature = "shuttle"))]
fn check(model: &Model, run: impl Fn() + Send + Sync + 'static) -> Option<String> {
    let preemptions = model.preemptions?;
    println!("    {}", model.name);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(run);
    Some(format!("{preemptions} preemptions"))
}

/// Panics if an order breaks the model; `None` if the model is not for this checker.
#[cfg(feature = "shuttle")]
fn check(model: &Model, run: impl Fn() + Send + Sync + 'static) -> Option<String> {
    use shuttle::{
        Config, Runner,
        scheduler::{PctScheduler, RandomScheduler},
    };

    if model.schedules == 0 {
        return None;
    }
    println!("    {}", model.name);
    let run = real_std::sync::Arc::new(run);
    let (random, pct) = (real_std::sync::Arc::clone(&run), run);
    Runner::new(RandomScheduler::new(model.schedules), Config::new()).run(move || random());
    Runner::new(PctScheduler::new(3, model.schedules), Config::new()).run(move || pct());
    Some("random and PCT".to_owned())
}
