//! Pages that stay locked.

use vmcore_kernel::Source;

use crate::*;

fn page_wait(flags: u64, waited: u64) -> Diagnosis {
    let mut machine = Machine::new();
    machine.sleeper(10, waited);
    machine.memory.pages.insert(page_address(0x77), page(0x77, flags, None));
    machine.state.page_waits.push(PageWait {
        task: task_address(10),
        page: page_address(0x77),
        bit: 0,
        flag: Some("PG_locked"),
        names_page: Source {
            type_name: Some("wait_page_queue"),
            path: "folio",
            address: VirtAddr::new(0xffff_c900_0000_2000),
        },
        function: "folio_wait_bit_common".to_owned(),
    });
    machine.judge()
}

#[test]
fn a_page_that_stays_locked_has_waiters_and_an_unknown_holder() {
    let diagnosis = page_wait(LOCKED, 130 * SECOND);
    assert_eq!(verdict(&diagnosis), (Some(Issue::PageLocked), Confidence::Confirmed));
    assert!(diagnosis.verdict.summary.contains("recorded nowhere"), "{}", diagnosis.verdict.summary);
    assert!(diagnosis.graph.nodes().iter().any(vmcore_diagnose::graph::Node::is_unknown));
}

#[test]
fn a_page_that_is_unlocked_or_waited_for_shortly_is_no_finding() {
    assert_eq!(ids(&page_wait(0, 130 * SECOND)), [Issue::HungTask]);
    assert_eq!(ids(&page_wait(LOCKED, SECOND)), []);
}

#[test]
fn the_holder_of_the_livelocks_page_is_the_splitter_and_not_unknown() {
    let mut machine = Machine::livelock();
    machine.sleeper(10, 9 * SECOND);
    machine.state.page_waits.push(PageWait {
        task: task_address(10),
        page: page_address(0x4200),
        bit: 0,
        flag: Some("PG_locked"),
        names_page: Source {
            type_name: Some("wait_page_queue"),
            path: "folio",
            address: VirtAddr::new(0xffff_c900_0000_2000),
        },
        function: "folio_wait_bit_common".to_owned(),
    });
    let diagnosis = machine.judge();
    assert_eq!(verdict(&diagnosis), (Some(Issue::ThpLivelock), Confidence::Confirmed));
    assert!(diagnosis.graph.edges().iter().any(|edge| edge.from.to_string() == "task 10 \"comm10\""));
    assert!(!diagnosis.graph.nodes().iter().any(vmcore_diagnose::graph::Node::is_unknown));
}
