//! The names of activities, for people who do not know their ids by heart.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use uuid::Uuid;

use crate::{cache::ReportCache, report::ActivityId, settings::NamedActivities};

/// The names of `names.file`.
#[derive(Debug, Default)]
pub struct ActivityNames(RwLock<BTreeMap<ActivityId, Box<str>>>);

// === impl ActivityNames ===

impl ActivityNames {
    /// From now on those of this file.
    pub fn replace(&self, NamedActivities(names): NamedActivities) {
        let names = names.into_iter().map(|(id, name): (Uuid, _)| (id.into(), name)).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// The name of an activity: the file's, or else the subject of its mail, if either is known.
    pub(super) fn of(&self, id: ActivityId, memory: &ReportCache) -> Option<Box<str>> {
        let named = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        named.or_else(|| memory.activity_status(id)?.details.subject.clone())
    }
}
