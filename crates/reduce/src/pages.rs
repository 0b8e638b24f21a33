//! Huge pages, the processes that have them, and their page tables.

use std::collections::BTreeMap;

use vmcore_diagnose::Spinner;
use vmcore_kernel::paging::{Meaning, Outcome};
use vmcore_memory::VirtAddr;
use vmcore_synth::scenario::{Entry, Huge, Mapping, Object, Process, Reference, Scenario, Word};

use crate::Source;
use crate::cast::Cast;
use crate::objects::{Objects, frame_of};

/// The names of pages, by the `struct page` of their heads, and of processes.
pub(crate) struct PageNames {
    pages: BTreeMap<VirtAddr, String>,
    processes: BTreeMap<VirtAddr, String>,
}

impl PageNames {
    pub(crate) fn page(&self, head: VirtAddr) -> Option<&String> {
        self.pages.get(&head)
    }

    pub(crate) fn process_name(&self, source: &Source<'_, '_>, mm: VirtAddr) -> String {
        let known = self.processes.get(&mm).cloned();
        known.unwrap_or_else(|| name_of_process(source, mm))
    }

    /// The page that a task splits, as far as something ties it to that page.
    pub(crate) fn of_splitter(&self, source: &Source<'_, '_>, task: VirtAddr) -> Option<String> {
        let splitter = source.diagnosis.splitters.iter().find(|splitter| splitter.task == task)?;
        splitter.head_page.filter(|_| splitter.is_tied).and_then(|head| self.page(head)).cloned()
    }
}

/// By the thread id of its first task: two processes may have tasks of one name.
fn name_of_process(source: &Source<'_, '_>, mm: VirtAddr) -> String {
    let tasks = source.facts.snapshot.tasks.iter().filter(|task| task.mm == Some(mm));
    let first = tasks.min_by_key(|task| (task.tgid, task.pid));
    first.map_or_else(|| "process".to_owned(), |task| format!("process-{}", task.tgid))
}

/// Adds the pages of spinners and splitters, and maps them.
pub(crate) fn add(source: &Source<'_, '_>, cast: &Cast, scenario: &mut Scenario) -> PageNames {
    let diagnosis = source.diagnosis;
    let heads = diagnosis.spinners.iter().filter_map(|spinner| spinner.head_page);
    let heads = heads.chain(diagnosis.splitters.iter().filter_map(|splitter| splitter.head_page));
    let waits = source.facts.state.page_waits.iter().filter(|wait| cast.pid(source, wait.task).is_some());
    let heads = heads.chain(waits.map(|wait| wait.page));
    let mut names = PageNames { pages: BTreeMap::new(), processes: BTreeMap::new() };
    for head in heads {
        let next = format!("page-{}", names.pages.len() + 1);
        names.pages.entry(head).or_insert(next);
    }
    for (head, name) in &names.pages {
        let page = source.reader.page(*head).ok();
        let waited = source.facts.state.page_waits.iter().any(|wait| wait.page == *head);
        let locked = page.as_ref().map_or(waited, |page| page.has("PG_locked"));
        scenario.page.push(Huge { name: name.clone(), locked, described: page.is_some() });
    }
    for spinner in &diagnosis.spinners {
        map(source, spinner, &mut names, scenario);
    }
    names
}

/// Maps what a spinner faults on.
fn map(source: &Source<'_, '_>, spinner: &Spinner, names: &mut PageNames, scenario: &mut Scenario) {
    let Some(mm) = source.facts.snapshot.task(spinner.task).and_then(|task| task.mm) else { return };
    let name = names.processes.entry(mm).or_insert_with(|| name_of_process(source, mm)).clone();
    if scenario.process.iter().all(|process| process.name != name) {
        scenario.process.push(Process { name: name.clone(), map: Vec::new() });
    }
    let Some(address) = spinner.address else { return };
    let at = address.get() & !(source.reader.huge_page_size() - 1);
    let page = spinner.head_page.and_then(|head| names.page(head)).cloned();
    let entry = entry(source, mm, address, page.is_some());
    // An entry of a page that could not be found is there, and its page is not described.
    let page = page.unwrap_or_else(|| {
        let name = "unread".to_owned();
        if scenario.page.iter().all(|page| page.name != name) {
            scenario.page.push(Huge { name: name.clone(), locked: true, described: false });
        }
        name
    });
    if let Some(process) = scenario.process.iter_mut().find(|process| process.name == name)
        && process.map.iter().all(|mapping| mapping.at != at)
    {
        process.map.push(Mapping { at, page, entry });
    }
}

/// What the page tables have there.
fn entry(source: &Source<'_, '_>, mm: VirtAddr, address: VirtAddr, has_page: bool) -> Entry {
    let Ok(walk) = source.reader.walk_user(mm, address) else { return Entry::TableMissing };
    if matches!(walk.outcome, Outcome::Unreadable(..)) {
        return Entry::TableMissing;
    }
    let is_pmd = |level: &str| level.eq_ignore_ascii_case("pmd");
    match walk.steps.last().map(|step| (step.level.to_string(), step.meaning)) {
        Some((_, Meaning::Invalidated { .. })) => Entry::Invalidated,
        Some((level, Meaning::Swap(swap))) if swap.is_migration() && is_pmd(&level) => Entry::PmdMigration,
        Some((_, Meaning::Swap(swap))) if swap.is_migration() => Entry::PteMigration,
        Some((_, Meaning::Swap(_))) => Entry::SwappedOut,
        Some((level, _)) if is_pmd(&level) && has_page => Entry::Huge,
        Some(_) if has_page => Entry::Pages,
        Some(_) | None => Entry::Unread,
    }
}

/// Tasks that sleep until a page is unlocked or written back.
pub(crate) fn add_waits(source: &Source<'_, '_>, cast: &Cast, names: &PageNames, objects: &mut Objects) {
    for wait in &source.facts.state.page_waits {
        let (Some(pid), Some(page)) = (cast.pid(source, wait.task), names.page(wait.page)) else { continue };
        let Some(on) = frame_of(source, wait.task, pid, Some(wait.function.as_str())) else { continue };
        let number = objects.objects.len();
        let (waiter, bucket) = (format!("page-wait-{number}"), format!("bucket-{number}"));
        let address = |reference: Reference| Word::Address(reference);
        let set = [
            ("folio|page", address(Reference { page: Some(page.clone()), ..Reference::default() })),
            ("bit_nr", Word::Number(wait.bit)),
            ("wait.private", address(Reference { task: Some(pid), ..Reference::default() })),
            (
                "wait.func",
                address(Reference { function: Some("wake_page_function".to_owned()), ..Reference::default() }),
            ),
        ];
        let set = set.into_iter().map(|(path, word)| (path.to_owned(), word)).collect();
        let on = Some(on);
        objects.objects.push(Object { name: waiter.clone(), type_name: "wait_page_queue".to_owned(), on, set });
        objects.add(&bucket, "list_head", None, []);
        objects.link([format!("{bucket}.next"), format!("{waiter}.wait.entry")]);
    }
}
