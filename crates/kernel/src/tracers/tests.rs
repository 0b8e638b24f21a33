//! Records of tracers in hand-built memory.

use proptest::prelude::*;

use super::graph::Form;
use super::probes::Kept;
use super::*;
use crate::layout::Field;
use crate::test_memory::{TestMemory, damaged_memory};

const TASK: u64 = 0x1000;
const TABLE: u64 = 0x8000;
const PROBE: u64 = 0xff00;
const GRAPH: u64 = 0xfe00;

const fn field(offset: u64, size: u64) -> Field {
    Field { offset, size }
}

/// A list of the task at 0x20 of it, with the node at 8 of a record, what was replaced at 16 and its place at 24.
const fn listed() -> Probes {
    Probes { kept: Kept::ByTask(field(0x20, 8)), node: field(8, 8), original: field(16, 8), place: Some(field(24, 8)) }
}

/// As [`listed`], with the task at 32.
const fn in_table(place: Option<Field>) -> Probes {
    Probes { kept: Kept::InTable { heads: VirtAddr::new(TABLE), task: field(32, 8) }, place, ..listed() }
}

/// `ret_stack` and `curr_ret_stack` at 0x40 and 0x48 of a task, and 4 words in an entry: `ret`, two others and `retp`.
const fn graph(form: Form) -> Graph {
    Graph { stack: field(0x40, 8), top: field(0x48, 4), form, original: field(0, 8), place: Some(field(24, 8)) }
}

fn tracers(probes: Option<Probes>, graph: Option<Graph>) -> Tracers {
    let graph_code = Some(VirtAddr::new(GRAPH));
    let layouts = OnceLock::from(Layouts { probes, graph });
    Tracers { probe_code: vec![VirtAddr::new(PROBE)], graph_code, layouts, table: OnceLock::new() }
}

/// A record of a probe.
fn record(memory: &mut TestMemory, at: u64, next: u64, original: u64, place: u64, task: u64) {
    memory.put_u64(at + 8, if next == 0 { 0 } else { next + 8 });
    memory.put_u64(at + 16, original);
    memory.put_u64(at + 24, place);
    memory.put_u64(at + 32, task);
}

fn ask(tracers: &Tracers, memory: &TestMemory, pc: u64, place: u64, before: Option<usize>) -> ReturnAddress {
    let saved = SavedReturn { pc: VirtAddr::new(pc), places: [Some(VirtAddr::new(place)), None], before };
    let is_code = |pc: VirtAddr| (0x100..0x1000).contains(&pc.get());
    let traced = Traced { memory, task: VirtAddr::new(TASK), records: &TaskRecords::default() };
    tracers.return_address(traced, saved, || Layouts { probes: None, graph: None }, is_code)
}

fn original(address: u64) -> ReturnAddress {
    ReturnAddress::Replaced(VirtAddr::new(address))
}

#[test]
fn probes_are_found_in_the_tasks_list_by_their_place() {
    let mut memory = TestMemory::default();
    memory.put_u64(TASK + 0x20, 0x2008);
    record(&mut memory, 0x2000, 0x2100, 0x110, 0x7000, 0);
    // A function that was jumped to at the end of another: both have the same place.
    record(&mut memory, 0x2100, 0x2200, PROBE, 0x7100, 0);
    record(&mut memory, 0x2200, 0x2300, 0x310, 0x7100, 0);
    record(&mut memory, 0x2300, 0, 0x5000, 0x7200, 0);
    let tracers = tracers(Some(listed()), None);
    assert_eq!(ask(&tracers, &memory, 0x110, 0x7000, Some(0)), ReturnAddress::OfCall);
    assert_eq!(ask(&tracers, &memory, PROBE, 0x7000, Some(0)), original(0x110));
    assert_eq!(ask(&tracers, &memory, PROBE, 0x7100, Some(0)), original(0x310));
    assert_eq!(ask(&tracers, &memory, PROBE, 0x7200, Some(0)), ReturnAddress::Lost, "that is no code");
    assert_eq!(ask(&tracers, &memory, PROBE, 0x7300, Some(0)), ReturnAddress::Lost);
    assert_eq!(ask(&tracers, &memory, GRAPH, 0x7000, Some(0)), ReturnAddress::Lost);
}

#[test]
fn probes_are_found_in_the_table_by_their_task() {
    let mut memory = TestMemory::default();
    memory.put_u64(TABLE + 63 * 8, 0x2008);
    record(&mut memory, 0x2000, 0x2100, 0x110, 0x7000, TASK + 0x800);
    record(&mut memory, 0x2100, 0x2200, PROBE, 0x7100, TASK);
    record(&mut memory, 0x2200, 0x2300, 0x310, 0x7100, TASK);
    record(&mut memory, 0x2300, 0, 0x410, 0x7200, TASK);
    let by_place = tracers(Some(in_table(Some(field(24, 8)))), None);
    assert_eq!(ask(&by_place, &memory, PROBE, 0x7100, None), original(0x310));
    assert_eq!(ask(&by_place, &memory, PROBE, 0x7000, Some(0)), ReturnAddress::Lost, "it is another task's");
    // Kernels that do not keep the place: innermost first.
    let by_order = tracers(Some(in_table(None)), None);
    assert_eq!(ask(&by_order, &memory, PROBE, 0x7777, Some(0)), original(0x310));
    assert_eq!(ask(&by_order, &memory, PROBE, 0x7777, Some(1)), original(0x410));
    assert_eq!(ask(&by_order, &memory, PROBE, 0x7777, Some(2)), ReturnAddress::Lost);
    assert_eq!(ask(&by_order, &memory, PROBE, 0x7777, None), ReturnAddress::Lost);
}

/// Entries of the function graph tracer: `ret` and `retp`.
fn entry(memory: &mut TestMemory, at: u64, ret: u64, retp: u64) {
    memory.put_u64(at, ret);
    memory.put_u64(at + 24, retp);
}

#[test]
fn the_graph_tracers_array_is_in_use_up_to_its_index() {
    let mut memory = TestMemory::default();
    memory.put_u64(TASK + 0x40, 0x3000);
    memory.put_u32(TASK + 0x48, 1);
    entry(&mut memory, 0x3000, 0x210, 0x7100);
    entry(&mut memory, 0x3020, 0x110, 0x7000);
    entry(&mut memory, 0x3040, 0x310, 0x7200);
    let tracers = tracers(None, Some(graph(Form::Array { size: 32 })));
    let found = |memory: &TestMemory| [0x7000, 0x7100, 0x7200].map(|place| ask(&tracers, memory, GRAPH, place, None));
    assert_eq!(found(&memory), [original(0x110), original(0x210), ReturnAddress::Lost]);
    // Empty, and out of bounds.
    for top in [u32::MAX, 1 << 20] {
        memory.put_u32(TASK + 0x48, top);
        assert_eq!(found(&memory), [ReturnAddress::Lost; 3]);
    }
    memory.put_u64(TASK + 0x40, 0);
    assert_eq!(found(&memory), [ReturnAddress::Lost; 3]);
}

#[test]
fn the_graph_tracers_words_lead_from_entry_to_entry() {
    let mut memory = TestMemory::default();
    memory.put_u64(TASK + 0x40, 0x3000);
    // An entry and its bitmap; another, its bitmap, two words of data and what says so.
    memory.put_u32(TASK + 0x48, 13);
    entry(&mut memory, 0x3000, 0x210, 0x7100);
    memory.put_u64(0x3000 + 4 * 8, 1 << 12 | 1 << 10 | 4);
    entry(&mut memory, 0x3000 + 5 * 8, 0x110, 0x7000);
    memory.put_u64(0x3000 + 9 * 8, 9 << 12 | 1 << 10 | 4);
    memory.put_u64(0x3000 + 12 * 8, 3 << 17 | 1 << 12 | 2 << 10 | 7);
    let tracers = tracers(None, Some(graph(Form::Words)));
    let found = |memory: &TestMemory| [0x7000, 0x7100].map(|place| ask(&tracers, memory, GRAPH, place, None));
    assert_eq!(found(&memory), [original(0x110), original(0x210)]);
    // What leads nowhere, or before the beginning, ends it.
    for (word, inner) in [(0, ReturnAddress::Lost), (13, ReturnAddress::Lost)] {
        memory.put_u64(0x3000 + 12 * 8, word);
        assert_eq!(found(&memory), [inner, ReturnAddress::Lost]);
    }
}

#[test]
fn a_function_that_both_trace_is_found_through_both() {
    let mut memory = TestMemory::default();
    memory.put_u64(TASK + 0x20, 0x2008);
    record(&mut memory, 0x2000, 0, 0x110, 0x7000, 0);
    memory.put_u64(TASK + 0x40, 0x3000);
    memory.put_u32(TASK + 0x48, 0);
    entry(&mut memory, 0x3000, PROBE, 0x7000);
    let both = tracers(Some(listed()), Some(graph(Form::Array { size: 32 })));
    assert_eq!(ask(&both, &memory, GRAPH, 0x7000, None), original(0x110));
    // Each says that it is the other's: that ends, too.
    record(&mut memory, 0x2000, 0, GRAPH, 0x7000, 0);
    assert_eq!(ask(&both, &memory, GRAPH, 0x7000, None), ReturnAddress::Lost);
    // The order of the one says nothing where the other may hide its places.
    let mut probes = listed();
    probes.place = None;
    record(&mut memory, 0x2000, 0, 0x110, 0x7000, 0);
    assert_eq!(ask(&tracers(Some(probes), None), &memory, PROBE, 0, Some(0)), original(0x110));
    let both = tracers(Some(Probes { place: None, ..listed() }), Some(graph(Form::Array { size: 32 })));
    assert_eq!(ask(&both, &memory, PROBE, 0, Some(0)), ReturnAddress::Lost);
}

proptest! {
    #[test]
    fn any_records_end(memory in damaged_memory(0x1000..0x9000), pc in prop_oneof![Just(PROBE), Just(GRAPH)]) {
        for (probes, form) in [(listed(), Form::Words), (in_table(None), Form::Array { size: 32 })] {
            let tracers = tracers(Some(probes), Some(graph(form)));
            let found = ask(&tracers, &memory, pc, 0x7000, Some(3));
            prop_assert!(!matches!(found, ReturnAddress::Replaced(pc) if !(0x100..0x1000).contains(&pc.get())));
        }
    }
}
