//! What a faulting CPU waits for: the page-table entry at its address, the page behind it, the head of that page.

use vmcore_kernel::Page;
use vmcore_kernel::paging::{Meaning, Outcome, SwapMeaning, Walk};
use vmcore_memory::{ReadError, VirtAddr};

use crate::{Evidence, Place, Reader, Value, evidence};

/// What the page tables say at a faulting address.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A migration entry or one in the middle of a split: whoever faults here waits for its page.
    Waits,
    /// Anything else that could be read.
    Other(String),
    /// The walk broke off.
    Unknown(String),
}

/// The page that a fault at an address waits for.
#[derive(Clone, Debug)]
pub(crate) struct WaitedPage {
    pub(crate) entry: Entry,
    /// The raw entry that decided, where one was read.
    pub(crate) raw: Option<u64>,
    pub(crate) page: Option<Page>,
    pub(crate) head: Option<Page>,
    /// Whether it can be told if a page is locked.
    knows_locked: bool,
    /// Why `page` or `head` could not be read.
    pub(crate) unreadable: Option<String>,
    /// The page-table entries on the way.
    pub(crate) walk_evidence: Vec<Evidence>,
    /// The page and, last, its head.
    pub(crate) page_evidence: Vec<Evidence>,
}

impl WaitedPage {
    /// Looks `address` of the process `mm` up.
    pub(crate) fn look_up(reader: &dyn Reader, mm: VirtAddr, address: VirtAddr) -> Self {
        let walk = match reader.walk_user(mm, address) {
            Ok(walk) => walk,
            Err(error) => return Self::unknown(format!("the page tables of mm {mm} cannot be found: {error}")),
        };
        let mut waited = Self::unknown(String::new());
        waited.entry = classify(&walk);
        waited.knows_locked = reader.knows_page_flag("PG_locked");
        waited.raw = walk.steps.last().map(|step| step.entry.raw());
        waited.walk_evidence = walk_evidence(&walk);
        if let (Entry::Waits, Some(last)) = (&waited.entry, walk.steps.last()) {
            waited.read_pages(reader, &last.meaning);
        }
        waited
    }

    fn unknown(why: String) -> Self {
        Self {
            entry: Entry::Unknown(why),
            raw: None,
            page: None,
            head: None,
            knows_locked: true,
            unreadable: None,
            walk_evidence: Vec::new(),
            page_evidence: Vec::new(),
        }
    }

    /// Whether the head is locked, where it could be read.
    pub(crate) fn is_locked(&self) -> Option<bool> {
        self.head.as_ref().filter(|_| self.knows_locked).map(|head| head.has("PG_locked"))
    }

    fn read_pages(&mut self, reader: &dyn Reader, meaning: &Meaning) {
        let Some(first) = meaning.pfn(reader.page_shift()).and_then(|pfn| reader.page_address(pfn)) else {
            self.unreadable = Some("the entry's page frame has no struct page".to_owned());
            return;
        };
        let page = match reader.page(first) {
            Ok(page) => page,
            Err(error) => return self.page_unreadable(first, &error),
        };
        self.page_evidence.push(page_evidence(reader, "page", &page));
        let head = match page.head {
            None => page.clone(),
            Some(head) => match reader.page(head) {
                Ok(page) => page,
                Err(error) => {
                    self.page = Some(page);
                    return self.page_unreadable(head, &error);
                }
            },
        };
        if page.is_tail() {
            self.page_evidence.push(page_evidence(reader, "compound head", &head));
        }
        self.page = Some(page);
        self.head = Some(head);
    }

    fn page_unreadable(&mut self, address: VirtAddr, error: &ReadError) {
        self.unreadable = Some(format!("struct page at {address}: {error}"));
    }
}

fn classify(walk: &Walk) -> Entry {
    match (&walk.outcome, walk.steps.last().map(|step| (step.level, step.meaning))) {
        (Outcome::Unreadable(level, error), _) => Entry::Unknown(format!("the {level} entry cannot be read: {error}")),
        (_, Some((_, Meaning::Invalidated { .. }))) => Entry::Waits,
        (_, Some((_, Meaning::Swap(swap)))) if swap.is_migration() => Entry::Waits,
        // It may be one that waits: nothing follows from it, neither way.
        (_, Some((level, Meaning::Swap(swap)))) if swap.meaning == SwapMeaning::Unknown => {
            Entry::Unknown(format!("what its {level} entry stands for is not known: {swap}"))
        }
        (_, Some((level, meaning))) => Entry::Other(format!("its {level} entry says: {meaning}")),
        (_, None) => Entry::Other("it is not an address that this machine can map".to_owned()),
    }
}

fn walk_evidence(walk: &Walk) -> Vec<Evidence> {
    let step = |step: &vmcore_kernel::paging::Step| {
        Evidence::new(format!("{} entry", step.level), step.meaning.to_string())
            .at(Place::Physical(step.entry_address))
            .value(Value::Hex(step.entry.raw()))
    };
    walk.steps.iter().map(step).collect()
}

fn page_evidence(reader: &dyn Reader, what: &str, page: &Page) -> Evidence {
    let kind = match (page.head, page.has("PG_head")) {
        (Some(head), _) => format!("tail of the compound page with head {head}"),
        (None, true) => "head of a compound page".to_owned(),
        (None, false) => "not part of a compound page".to_owned(),
    };
    let locked = match (page.has("PG_locked"), reader.knows_page_flag("PG_locked")) {
        (true, _) => "locked",
        (false, true) => "not locked",
        (false, false) => "not known whether locked",
    };
    let pfn = page.pfn.map(|pfn| format!("pfn {pfn}, ")).unwrap_or_default();
    let names = if page.flag_names.is_empty() { String::new() } else { format!(", {}", page.flag_names.join("|")) };
    let meaning = format!("the {what}: {pfn}{kind}, {locked}, reference count {}{names}", page.refcount);
    // Wrapped in a structure of its own since 6.18.
    evidence::renamed(reader, page.address, "page", &["flags.f", "flags"], Value::Hex(page.flags), meaning)
}
