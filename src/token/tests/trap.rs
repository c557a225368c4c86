//! A store in which a process dies at a named point of a renewal, whose disk is full for a while, whose answer is lost, or that
//! another writes to.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::future::{BoxFuture, FutureExt as _, ready};

use crate::state::{
    Durability, MemoryStore, Stored, Swap, TokenRecord, TokenStore, TokenStoreError, Version,
};

/// Where a process dies, or something else happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    BeforeIntent,
    AfterIntent,
    BeforeAnswer,
    AfterAnswer,
}

#[derive(Debug, Default)]
enum Mode {
    #[default]
    Sound,
    Full,
    Unreadable,
    DeadlyAt(Point),
    Dead,
    /// At `BeforeIntent` or `BeforeAnswer`.
    OvertakenAt(Point, Box<TokenRecord>),
    /// At `AfterIntent` or `AfterAnswer`: it is written, and the writer is told that it is not.
    SilentAt(Point),
}

/// Clones are the same store.
#[derive(Debug, Clone, Default)]
pub(super) struct Trap {
    memory: Arc<MemoryStore>,
    mode: Arc<Mutex<Mode>>,
    reads: Arc<AtomicU32>,
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

    /// Nothing can be read until [`Trap::mend`], but written.
    pub(super) fn hide(&self) {
        *self.mode() = Mode::Unreadable;
    }

    /// How often somebody has tried to read.
    pub(super) fn reads(&self) -> u32 {
        self.reads.load(Ordering::SeqCst)
    }

    /// At this point another process writes this.
    pub(super) fn overtake(&self, point: Point, record: TokenRecord) {
        *self.mode() = Mode::OvertakenAt(point, Box::new(record));
    }

    /// Of what is written before this point one writer does not learn that it was.
    pub(super) fn silence(&self, point: Point) {
        *self.mode() = Mode::SilentAt(point);
    }

    pub(super) fn has_sprung(&self) -> bool {
        matches!(*self.mode(), Mode::Dead)
    }

    pub(super) fn mend(&self) {
        *self.mode() = Mode::Sound;
    }

    fn mode(&self) -> std::sync::MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for Trap {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Stored>, TokenStoreError>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if matches!(*self.mode(), Mode::Unreadable) {
            return ready(Err(TokenStoreError::new(io::Error::from(io::ErrorKind::PermissionDenied))))
                .boxed();
        }
        TokenStore::read(&*self.memory)
    }

    fn compare_and_set<'a>(
        &'a self,
        expected: Option<Version>,
        new: &'a TokenRecord,
    ) -> BoxFuture<'a, Result<Swap, TokenStoreError>> {
        let (here, after) = match new.intent {
            Some(_) => (Point::BeforeIntent, Point::AfterIntent),
            None => (Point::BeforeAnswer, Point::AfterAnswer),
        };
        let full = || TokenStoreError::new(io::Error::from(io::ErrorKind::StorageFull));
        let mut mode = self.mode();
        let (write_first, fails) = match std::mem::take(&mut *mode) {
            Mode::DeadlyAt(point) if point == here => {
                *mode = Mode::Dead;
                (None, true)
            }
            Mode::DeadlyAt(point) if point == after => {
                *mode = Mode::Dead;
                (Some(Box::new(new.clone())), true)
            }
            Mode::OvertakenAt(point, theirs) if point == here => (Some(theirs), false),
            Mode::SilentAt(point) if point == after => (Some(Box::new(new.clone())), true),
            Mode::Sound => (None, false),
            same @ (Mode::DeadlyAt(_) | Mode::OvertakenAt(..) | Mode::SilentAt(_) | Mode::Unreadable) => {
                *mode = same;
                (None, false)
            }
            same @ (Mode::Full | Mode::Dead) => {
                *mode = same;
                (None, true)
            }
        };
        drop(mode);
        async move {
            if let Some(first) = write_first {
                self.memory.compare_and_set(expected, &first).await?;
            }
            if fails { Err(full()) } else { self.memory.compare_and_set(expected, new).await }
        }
        .boxed()
    }

    fn changed(&self, seen: Option<Version>) -> BoxFuture<'_, ()> {
        self.memory.changed(seen)
    }
}
