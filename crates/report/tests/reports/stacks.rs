//! `bt`.

use vmcore_kernel::{Gap, Trust};
use vmcore_report::bt::{Bt, Style};
use vmcore_report::{Report, Theme};

use crate::machine::{faults, snapshot, stacks};
use crate::{json, text, written_json};

/// Everything of each stack.
const FULL: Style = Style { registers: true, fold: false };

/// Four hundred tasks that wait alike are one stack, and registers are for those who ask for them.
#[test]
fn bt_in_short() {
    let mut stacks = stacks();
    let alike: Vec<_> = stacks.iter().take(1).cloned().collect();
    stacks.extend(alike);
    let snapshot = snapshot();
    let faults = faults();
    let report = Bt::new(&snapshot, &stacks, &faults, Style { registers: false, fold: true });
    let shown = text(&report);
    assert!(shown.contains("and 1 task like this: "), "{shown}");
    assert!(!shown.contains("R12:"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn bt_as_text() {
    insta::assert_snapshot!(text(&Bt::new(&snapshot(), &stacks(), &faults(), FULL)));
}

/// What rests on a frame that was found by scanning says so, until the walk crosses registers that an exception saved.
#[test]
fn what_rests_on_a_guess_is_marked() {
    let marked = |scanned: &[usize], flags: Option<u64>| {
        let mut stacks = stacks();
        stacks.truncate(1);
        let stack = &mut stacks[0];
        scanned.iter().for_each(|frame| stack.frames[*frame].trust = Trust::Scan);
        if let (Some(flags), vmcore_memory::Registers::X86_64(saved)) = (flags, &mut stack.interrupts[0].registers) {
            saved.eflags = flags;
        }
        let shown = text(&Bt::new(&snapshot(), &stacks, &faults(), Style { registers: false, fold: false }));
        let mark = |line: &str| match line.split_once("  (") {
            Some((_, "from one found by scanning)")) => 'g',
            Some((_, "found by scanning: may be stale)")) => 's',
            _ => '-',
        };
        shown.lines().filter(|line| line.starts_with(" #")).map(mark).collect::<String>()
    };
    assert_eq!(marked(&[], None), "-------");
    // Of the NMI at the third frame and the page fault at the fifth; flags without the bit that is always set are none.
    assert_eq!(marked(&[1], None), "-s-----");
    assert_eq!(marked(&[1], Some(0x204)), "-sgg---");
    assert_eq!(marked(&[5], None), "-----sg");
    // The interrupted frame itself was found by the shape of these registers.
    assert_eq!(marked(&[4], None), "----s--");
}

#[test]
fn bt_as_json() {
    let mut snapshot = snapshot();
    snapshot.gaps.push(Gap::new("run queue of CPU 2", "not in the dump"));
    insta::assert_snapshot!(json(&Bt::new(&snapshot, &stacks(), &faults(), FULL)));
}

#[test]
fn colour_only_adds_escapes() {
    let (snapshot, stacks) = (snapshot(), stacks());
    let faults = faults();
    let report = Bt::new(&snapshot, &stacks, &faults, FULL);
    let mut out = Vec::new();
    report.write_text(&mut out, &Theme::color()).unwrap();
    let colored = String::from_utf8(out).unwrap();
    assert!(colored.contains("\x1b["));
    let mut plain = String::new();
    let mut escape = false;
    for character in colored.chars() {
        match (escape, character) {
            (_, '\x1b') => escape = true,
            (true, 'm') => escape = false,
            (true, _) => {}
            (false, character) => plain.push(character),
        }
    }
    assert_eq!(plain, text(&report));
}

#[test]
fn what_all_threads_write_is_what_one_would() {
    let mut snapshot = snapshot();
    snapshot.gaps.push(Gap::new("run queue of CPU 2", "not in the dump"));
    let faults = faults();
    for count in [0, 1, 5000] {
        let mut many: Vec<_> = stacks().into_iter().cycle().take(count).collect();
        // The first of a piece, and all of one, may be of no task.
        many.iter_mut().take(300).for_each(|stack| stack.task = 99);
        let report = Bt::new(&snapshot, &many, &faults, Style::default());
        let mut out = Vec::new();
        report.write_json(&mut out).unwrap();
        assert!(String::from_utf8(out).unwrap() == written_json(&report), "{count}");
        let stacks = text(&report).split("\n\n").filter(|stack| !stack.is_empty()).count();
        assert_eq!(stacks, count.saturating_sub(300));
    }
}

#[test]
fn a_stack_of_an_unknown_task_is_left_out() {
    let mut stacks = stacks();
    stacks[0].task = 99;
    assert_eq!(Bt::new(&snapshot(), &stacks, &faults(), FULL).stacks.iter().count(), 1);
}
