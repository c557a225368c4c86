//! A store in which a process dies at a named point of a renewal, whose disk is full for a while, or that another writes to.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::state::{
    DayRecord, DayStatus, Durability, LedgerRecord, MemoryStore, StateError, StateStore, Stored, Swap,
    TokenRecord, Version,
};

/// Where a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    BeforeIntent,
    AfterIntent,
    BeforeAnswer,
    AfterAnswer,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    #[default]
    Sound,
    Full,
    DeadlyAt(Point),
    Dead,
    Overtaken,
}

/// Clones are the same store.
#[derive(Debug, Clone, Default)]
pub(super) struct Trap {
    memory: Arc<MemoryStore>,
    mode: Arc<Mutex<Mode>>,
}

// === impl Trap ===

impl Trap {
    pub(super) fn set(&self, point: Point) {
        *self.mode() = Mode::DeadlyAt(point);
    }

    /// Nothing can be written until [`Trap::mend`].
    pub(super) fn fill(&self) {
        *self.mode() = Mode::Full;
    }

    /// Before the next writer another one writes.
    pub(super) fn overtake(&self) {
        *self.mode() = Mode::Overtaken;
    }

    pub(super) fn has_sprung(&self) -> bool {
        *self.mode() == Mode::Dead
    }

    pub(super) fn mend(&self) {
        *self.mode() = Mode::Sound;
    }

    fn mode(&self) -> std::sync::MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Trap {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn token(&self) -> Result<Option<Stored>, StateError> {
        self.memory.token()
    }

    fn compare_and_set(&self, expected: Option<Version>, new: &TokenRecord) -> Result<Swap, StateError> {
        let mut mode = self.mode();
        let (here, after) = match new.intent {
            Some(_) => (Point::BeforeIntent, Point::AfterIntent),
            None => (Point::BeforeAnswer, Point::AfterAnswer),
        };
        match *mode {
            Mode::DeadlyAt(point) if point == here => *mode = Mode::Dead,
            Mode::DeadlyAt(point) if point == after => {
                self.memory.compare_and_set(expected, new)?;
                *mode = Mode::Dead;
            }
            Mode::Overtaken => {
                *mode = Mode::Sound;
                self.memory.compare_and_set(expected, &TokenRecord::new("theirs".into()))?;
                return self.memory.compare_and_set(expected, new);
            }
            Mode::Sound | Mode::DeadlyAt(_) => return self.memory.compare_and_set(expected, new),
            Mode::Full | Mode::Dead => {}
        }
        Err(StateError::Io { path: "state".into(), source: io::ErrorKind::StorageFull.into() })
    }

    fn ledger(&self) -> Result<Option<LedgerRecord>, StateError> {
        self.memory.ledger()
    }

    fn add_calls(&self, day: u64, calls: u32) -> Result<DayRecord, StateError> {
        self.memory.add_calls(day, calls)
    }

    fn mark_day(&self, day: u64, status: DayStatus) -> Result<(), StateError> {
        self.memory.mark_day(day, status)
    }
}
