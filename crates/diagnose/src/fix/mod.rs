//! Is the fix of the known bug in this kernel? Its own code answers.
//!
//! Since mainline commit ffc90cbb2970 (5.13) `__migration_entry_wait` takes the reference of the *head* of the page that a
//! migration entry names. Since 5.16 (kernel commit ffa65753c431) `migration_entry_wait_on_locked` waits on the head, the
//! folio, without a reference; 7.0 calls it `softleaf_entry_wait_on_locked`.
//!
//! What of it is of one machine is in `x86_64` and `arm64`: decoding, what an instruction does to the registers, which accesses are
//! atomic, what hooks a function. The function is read from the dump, where ftrace, live patches and alternatives have done to it what they did, and
//! from the vmlinux where the dump has not got it. What hooks it at its entry is said: then other code may have run.

mod arm64;
mod flow;
mod hook;
mod state;
#[cfg(test)]
mod tests;
mod value;
mod x86_64;

use vmcore_memory::{Architecture, Pfn, VirtAddr, le_u64};

use crate::access::MAX_INSTRUCTION;
use crate::known_issues::CodeSays;
use crate::{Evidence, Place, Reader, Value};
use flow::{Decision, Found, Machine, PageOffsets, Text};
use hook::Hook;

/// Functions that wait for the page of a migration entry, newest first, and the one that they may be inlined into.
const WAIT: [&str; 8] = [
    "softleaf_entry_wait_on_locked",
    "migration_entry_wait_on_locked",
    "__migration_entry_wait",
    "__migration_entry_wait.isra.0",
    "__migration_entry_wait.constprop.0",
    "__migration_entry_wait.part.0",
    "migration_entry_wait",
    "do_swap_page",
];

/// Functions on the way there: whoever hooks one of them can have other code run instead.
const ON_THE_WAY: [&str; 4] = [
    "migration_entry_wait",
    "__migration_entry_wait",
    "migration_entry_wait_on_locked",
    "softleaf_entry_wait_on_locked",
];

/// Whether this kernel's code waits on the head page.
pub(crate) fn examine(reader: &dyn Reader) -> CodeSays {
    let unknown = |why: &str| CodeSays { has_fix: None, why: why.to_owned(), hooked: None, evidence: Vec::new() };
    let Some(offsets) = offsets(reader) else {
        return unknown("the members of struct page are not known, so its code cannot be followed");
    };
    let mut incomplete = None;
    for name in WAIT {
        let Some(start) = reader.function(name) else { continue };
        // It takes other pages, too, so that it only tells where it has the wait in it.
        if name == "do_swap_page" && incomplete.is_some() {
            break;
        }
        let found = flow::follow(&Code { reader, name }, machine(reader.architecture()), start.get(), offsets);
        if !found.decisions.is_empty() {
            return answer(reader, name, &found);
        }
        if found.incomplete {
            incomplete = incomplete.or(Some(name));
        }
    }
    match incomplete {
        Some(name) => unknown(&format!("the code of {name} could not be followed to where it takes the page")),
        None => unknown("no function that waits for a migration entry was found in its code"),
    }
}

fn offsets(reader: &dyn Reader) -> Option<PageOffsets> {
    let offset = |paths: &[&'static str]| {
        let member = paths.iter().find_map(|path| reader.member(VirtAddr::new(0), "page", path))?;
        i64::try_from(member.address.get()).ok()
    };
    let [first, second] = [0, 1].map(|pfn| reader.page_address(Pfn::new(pfn)));
    Some(PageOffsets {
        size: i64::try_from(second?.get().checked_sub(first?.get())?).ok()?,
        // Renamed in 7.1.
        link: offset(&["compound_head", "compound_info"])?,
        refcount: offset(&["_refcount.counter", "_refcount"])?,
    })
}

/// One way on which a page itself is taken, whatever it is, is the bug.
fn answer(reader: &dyn Reader, name: &str, found: &Found) -> CodeSays {
    let page = found.decisions.iter().find(|decision| matches!(decision, Decision::Page(_)));
    let mut evidence: Vec<_> = found.decisions.iter().filter_map(|decision| fact(reader, name, *decision)).collect();
    let hooks: Vec<_> = ON_THE_WAY.iter().filter_map(|name| hook(reader, name)).collect();
    evidence.extend(hooks.iter().map(Hook::evidence));
    let hooked = match hooks.as_slice() {
        [] => String::new(),
        [hook, ..] => format!("; {} is hooked, so that a live patch or tracer may run other code instead", hook.name),
    };
    let (has_fix, why) = match page {
        Some(_) if hooks.is_empty() => {
            (Some(false), format!("{name} takes the page that the entry names, not its head"))
        }
        // The hook may well be the fix.
        Some(_) => (None, format!("the code of {name} takes the page that the entry names, not its head{hooked}")),
        None if found.incomplete => (None, format!("not every way through {name} could be followed")),
        None => (Some(true), format!("{name} takes the head of the page that the entry names{hooked}")),
    };
    CodeSays { has_fix, why, hooked: hooks.first().map(|hook| hook.name.clone()), evidence }
}

/// The instruction that decided, with its first bytes as they lie in memory.
fn fact(reader: &dyn Reader, name: &str, decision: Decision) -> Option<Evidence> {
    let (at, meaning) = match decision {
        Decision::Page(at) => (at, "at the page that the entry names: a tail has no count of its own"),
        Decision::Head(at) => (at, "at the head of the page that the entry names"),
    };
    let code = Code { reader, name }.code(at);
    let text = match reader.architecture() {
        Architecture::X86_64 => x86_64::disassemble(&code, at),
        Architecture::Arm64 => arm64::disassemble(&code)?,
    };
    let fact = Evidence::new("code", format!("`{text}` in {name}: {meaning}")).at(Place::Kernel(VirtAddr::new(at)));
    Some(fact.value(Value::Hex(le_u64(&code, 0)?)))
}

const fn machine(architecture: Architecture) -> &'static Machine {
    match architecture {
        Architecture::X86_64 => &x86_64::MACHINE,
        Architecture::Arm64 => &arm64::MACHINE,
    }
}

/// What hooks a function at its entry in the dump; the code of the vmlinux says nothing about that.
fn hook(reader: &dyn Reader, name: &str) -> Option<Hook> {
    match reader.architecture() {
        Architecture::X86_64 => x86_64::hook(reader, name),
        Architecture::Arm64 => arm64::hook(reader, name),
    }
}

/// The kernel's code as one function sees it.
struct Code<'r> {
    reader: &'r dyn Reader,
    name: &'r str,
}

impl Text for Code<'_> {
    fn code(&self, address: u64) -> Vec<u8> {
        let address = VirtAddr::new(address);
        let to_page_end = usize::try_from(4096 - address.page_offset()).unwrap_or(MAX_INSTRUCTION);
        for length in [MAX_INSTRUCTION, to_page_end.min(MAX_INSTRUCTION)] {
            let mut code = vec![0; length];
            if self.reader.code(address, &mut code) {
                return code;
            }
        }
        Vec::new()
    }

    /// A jump to the beginning of another function is a call without return; parts that the compiler put elsewhere
    /// (`.cold`) and alternatives belong to this one.
    fn leaves(&self, target: u64) -> bool {
        use crate::names::base_name;
        match self.reader.function_at(VirtAddr::new(target)) {
            Some((name, 0)) => base_name(&name) != base_name(self.name),
            _ => false,
        }
    }
}
