//! Where a task says that it sleeps though it is still in a run queue.

use crate::layout::{Field, Resolver};

/// The members that say so: any that is not 0.
pub(crate) fn members(types: Resolver<'_>) -> [Option<Field>; 2] {
    sleeps_queued(|path| types.optional("task_struct", path), has_proxies(types))
}

/// The members that say that a queued task sleeps: 6.12 (kernel commit 152e11f6df29), and the scheduler's own flag for a task that it has
/// blocked, queued or not (`try_to_block_task()` in `kernel/sched/core.c`), which 7.2 has. From 6.17 (kernel commit a4f0b6fef4b0) until
/// then, with proxy execution alone, it is the mutex that a task is about to wait for.
fn sleeps_queued(optional: impl Fn(&'static str) -> Option<Field>, has_proxies: bool) -> [Option<Field>; 2] {
    let mutex = || optional("blocked_on").filter(|_| has_proxies);
    [optional("se.sched_delayed"), optional("is_blocked").or_else(mutex)]
}

/// Whether a task may lend its rank to who has the mutex that it waits for: without `CONFIG_SCHED_PROXY_EXEC` `rq.donor` and `rq.curr`
/// are one.
fn has_proxies(types: Resolver<'_>) -> bool {
    let (donor, current) = (types.optional("rq", "donor"), types.optional("rq", "curr"));
    donor.zip(current).is_some_and(|(donor, current)| donor.offset != current.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_blocked_where_the_scheduler_says_so() {
        let members = |known: &'static [&'static str], has_proxies: bool| {
            let offset = |path: &str| known.iter().position(|name| *name == path);
            let optional = |path: &'static str| offset(path).map(|offset| Field { offset: offset as u64, size: 1 });
            sleeps_queued(optional, has_proxies).map(|field| field.and_then(|field| known.get(field.offset as usize)))
        };
        let newest = &["se.sched_delayed", "blocked_on", "is_blocked"];
        for has_proxies in [false, true] {
            assert_eq!(members(newest, has_proxies), [Some(&"se.sched_delayed"), Some(&"is_blocked")]);
        }
        let of_6_17 = &["se.sched_delayed", "blocked_on"];
        assert_eq!(members(of_6_17, true), [Some(&"se.sched_delayed"), Some(&"blocked_on")]);
        assert_eq!(
            members(of_6_17, false),
            [Some(&"se.sched_delayed"), None],
            "it waits for a mutex and is not queued"
        );
        assert_eq!(members(&["blocked_on"], false), [None, None]);
    }
}
