//! A list as far as it could be read, and what could not be read of it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use vmcore_kernel::{Gap, Kernel, Snapshot};
use vmcore_memory::VirtAddr;

use super::{Missing, Who, symbol};
use crate::InspectError;

/// More of these are counted.
const MAX_MISSING: usize = 64;

/// A list of which some, or all, may not have been read.
///
/// It cannot be asked whether it is empty: that nothing was found says that there is nothing only of a list that was read.
/// In JSON it is null where nothing of it was found and something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    found: Vec<T>,
    unread: Option<Unread>,
}

/// What could not be read of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The first of it.
    pub first: Missing,
    /// How many others there are.
    pub others: usize,
}

impl<T> Listing<T> {
    /// What was found.
    #[must_use]
    pub fn found(&self) -> &[T] {
        &self.found
    }

    /// What was not read; `None` for a list that is complete.
    #[must_use]
    pub const fn unread(&self) -> Option<&Unread> {
        self.unread.as_ref()
    }

    /// Whether there is nothing, for certain.
    #[must_use]
    pub fn has_none(&self) -> bool {
        self.found.is_empty() && self.unread.is_none()
    }

    /// A list of which nothing was read.
    pub(crate) fn not_read(missing: Missing) -> Self {
        Self { found: Vec::new(), unread: Some(Unread { first: missing, others: 0 }) }
    }

    /// Those of it that are meant; what was not read may be among them.
    pub(super) fn filtered(&self, is_meant: impl Fn(&T) -> bool) -> Self
    where
        T: Clone,
    {
        Self { found: self.found.iter().filter(|one| is_meant(one)).cloned().collect(), unread: self.unread.clone() }
    }

    pub(super) fn sort_by(mut self, order: impl FnMut(&T, &T) -> std::cmp::Ordering) -> Self {
        self.found.sort_by(order);
        self
    }
}

impl<T> From<Vec<T>> for Listing<T> {
    /// A list that is complete.
    fn from(found: Vec<T>) -> Self {
        Self { found, unread: None }
    }
}

impl<T: Serialize> Serialize for Listing<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.found.as_slice(), &self.unread) {
            ([], Some(_)) => serializer.serialize_none(),
            (found, _) => found.serialize(serializer),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Listing<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<Vec<T>>::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        Option::<Vec<T>>::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<Vec<T>>::json_schema(generator)
    }
}

/// What could not be read, collected while the rest is.
#[derive(Default)]
pub(super) struct Collector {
    all: Vec<Missing>,
    /// Those beyond the limit.
    others: usize,
    /// Of the list that is being read.
    of_list: Option<Unread>,
}

impl Collector {
    /// Reads a list. What is noted on the way, and is not of a list within this one, is missing from it.
    pub(super) fn list<T>(
        &mut self,
        what: impl Into<String>,
        read: impl FnOnce(&mut Self) -> Result<Vec<T>, InspectError>,
    ) -> Listing<T> {
        let outer = self.of_list.take();
        let answer = read(self);
        let found = self.take(what, answer).unwrap_or_default();
        let unread = std::mem::replace(&mut self.of_list, outer);
        Listing { found, unread }
    }

    /// The answer, or `None` once it is noted why there is none.
    pub(super) fn take<T>(&mut self, what: impl Into<String>, answer: Result<T, InspectError>) -> Option<T> {
        answer.map_err(|error| self.note(what, error.to_string())).ok()
    }

    /// As [`Collector::take`], of what `kernel` reads.
    pub(super) fn take_read<T>(&mut self, answer: Result<T, Gap>) -> Option<T> {
        answer.map_err(|gap| self.note(gap.what, gap.why)).ok()
    }

    /// As [`Collector::take`], of what this kernel may not have.
    pub(super) fn take_known<T>(&mut self, what: impl Into<String>, answer: Result<T, InspectError>) -> Option<T> {
        match answer {
            Err(error) if error.is_unknown() => None,
            answer => self.take(what, answer),
        }
    }

    /// The task at `address`, which is one of the kernel's.
    pub(super) fn who(&mut self, snapshot: &Snapshot, address: VirtAddr) -> Option<Who> {
        let who = Who::at(snapshot, address);
        if who.is_none() && !address.is_null() {
            self.note(format!("the task at {address}"), "it is in no list of tasks");
        }
        who
    }

    /// The name of the function at `address`; `None` where that is null, or has none.
    pub(super) fn function(&mut self, kernel: &Kernel<'_>, address: VirtAddr) -> Option<String> {
        let name = symbol(kernel, address);
        if name.is_none() && !address.is_null() {
            self.note(format!("the name of the function at {address}"), "no symbol that can be read is there");
        }
        name
    }

    pub(super) fn note(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let missing = Missing { what: what.into(), why: why.into() };
        match &mut self.of_list {
            Some(unread) => unread.others = unread.others.saturating_add(1),
            none => *none = Some(Unread { first: missing.clone(), others: 0 }),
        }
        if self.all.contains(&missing) {
            return;
        }
        if self.all.len() < MAX_MISSING {
            self.all.push(missing);
        } else {
            self.others = self.others.saturating_add(1);
        }
    }

    pub(super) fn note_some(&mut self, what: &str, why: Option<String>) {
        if let Some(why) = why {
            self.note(what, why);
        }
    }

    /// Notes what was not read of another list, which this one is made from.
    pub(super) fn note_unread<T>(&mut self, other: &Listing<T>) {
        if let Some(Unread { first, .. }) = &other.unread {
            self.note(&first.what, &first.why);
        }
    }

    /// Notes what was not read of the tasks that the list is made from.
    pub(super) fn note_gaps(&mut self, gaps: &[Gap]) {
        gaps.iter().for_each(|gap| self.note(&gap.what, &gap.why));
    }

    pub(super) fn into_gaps(mut self) -> Vec<Missing> {
        if self.others > 0 {
            let why = format!("only the first {MAX_MISSING} are named");
            self.all.push(Missing { what: format!("{} more", self.others), why });
        }
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreadable() -> InspectError {
        InspectError::Syntax("it is not in the dump".to_owned())
    }

    fn json<T: Serialize>(list: &Listing<T>) -> String {
        serde_json::to_string(list).unwrap()
    }

    #[test]
    fn an_empty_list_is_not_one_that_was_not_read() {
        let mut missing = Collector::default();
        let none = missing.list::<u64>("none", |_| Ok(Vec::new()));
        let unread = missing.list::<u64>("unread", |_| Err(unreadable()));
        assert_eq!((json(&none), none.has_none()), ("[]".to_owned(), true));
        assert_eq!((json(&unread), unread.has_none()), ("null".to_owned(), false));
        assert_eq!(unread.unread().unwrap().first.what, "unread");
    }

    #[test]
    fn what_is_found_of_a_list_stays_and_what_is_missing_is_counted() {
        let mut missing = Collector::default();
        let list = missing.list("all", |missing| {
            missing.note("the second", "damage");
            missing.note("the third", "damage");
            Ok(vec![1])
        });
        assert_eq!(json(&list), "[1]");
        assert_eq!((&*list.unread().unwrap().first.what, list.unread().unwrap().others), ("the second", 1));
        // Noted once in the whole, and in each list that it is missing from.
        let other = missing.list("all", |missing| {
            missing.note("the second", "damage");
            Ok(vec![2])
        });
        assert!(other.unread().is_some());
        assert_eq!(missing.into_gaps().len(), 2);
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted() {
        let mut missing = Collector::default();
        (0..MAX_MISSING + 7).for_each(|number| missing.note(number.to_string(), "damage"));
        let gaps = missing.into_gaps();
        assert_eq!((gaps.len(), &*gaps.last().unwrap().what), (MAX_MISSING + 1, "7 more"));
    }

    #[test]
    fn a_list_within_another_has_its_own_gaps() {
        let mut missing = Collector::default();
        let outer = missing.list("outer", |missing| Ok(vec![missing.list::<u64>("inner", |_| Err(unreadable()))]));
        assert!(outer.unread().is_none());
        assert_eq!(json(&outer), "[null]");
        assert_eq!(missing.into_gaps().len(), 1);
    }
}
