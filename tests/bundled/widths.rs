//! Lists on screens of 60 to 200 columns: no line is wider where it has a gap, and nothing is cut off.

use super::{Command, file_of};

#[allow(clippy::expect_used)] // A helper of tests.
fn on_screen(columns: usize, command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
        .args(command)
        .arg("--quiet")
        .arg(file_of(super::KERNEL, "thp-livelock.vmcore"))
        .arg(file_of(super::KERNEL, "vmlinux.profile"))
        .env("COLUMNS", columns.to_string())
        .output()
        .expect("the program starts");
    // Where the files lie is another place on each machine.
    let text = String::from_utf8(output.stdout).expect("output is UTF-8");
    text.replace(env!("CARGO_MANIFEST_DIR"), "")
}

const LISTS: [&[&str]; 13] = [
    &["runq"],
    &["mod"],
    &["info"],
    &["locks"],
    &["bt", "--all"],
    &["ps"],
    &["files"],
    &["irq"],
    &["timer"],
    &["waitq"],
    &["rcu"],
    &["kmem"],
    &["workqueue"],
];

#[test]
fn no_line_is_wider_than_the_screen_where_that_can_be_helped() {
    for command in LISTS {
        for columns in [60, 80] {
            let text = on_screen(columns, command);
            let wide = text.lines().filter(|line| line.trim_end().chars().count() > columns);
            // One word alone may be.
            let wide: Vec<_> = wide.filter(|line| line.split_whitespace().count() > 1).collect();
            assert!(wide.is_empty(), "{command:?} at {columns}: {wide:#?}");
        }
    }
}

#[test]
fn a_narrow_screen_shows_the_same_words() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    // `ps` has fewer columns there.
    for command in LISTS.iter().filter(|command| **command != ["ps"]) {
        assert_eq!(words(&on_screen(60, command)), words(&on_screen(200, command)), "{command:?}");
    }
}

#[test]
fn lists_at_80_and_120_columns() {
    for columns in [80, 120] {
        for command in [&["runq"][..], &["mod"], &["locks"], &["bt", "--pid", "151"], &["ps"]] {
            let name = format!("{}_at_{columns}", command.first().unwrap_or(&""));
            insta::assert_snapshot!(name, on_screen(columns, command));
        }
    }
}
