//! The guide: what the tutorial shows is what is printed, every page is in the book, and every link leads somewhere.

use std::path::Path;
use std::process::Command;

use crate::Scratch;

const PAGE: &str = include_str!("../../docs/tutorial.md");
/// Between what two commands print.
const END: char = '\u{1}';
/// Where a link shows one of this project's files.
const OWN: [&str; 2] =
    ["https://github.com/vmcore-thp/vmcore-thp/blob/main/", "https://github.com/vmcore-thp/vmcore-thp/tree/main/"];
/// Stands for lines that are left out.
const LEFT_OUT: &str = "...";

/// A command, and the lines that are shown below it.
struct Shown<'a> {
    command: &'a str,
    lines: Vec<&'a str>,
}

#[test]
fn the_tutorial_shows_what_is_printed() {
    let scratch = Scratch::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/6.1-cloud-amd64");
    for file in std::fs::read_dir(data).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), scratch.path(file.file_name().to_str().unwrap())).unwrap();
    }
    let blocks: Vec<_> = PAGE.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 8, "only {} blocks", blocks.len());
    for block in blocks {
        let shown = commands(block);
        let printed = run(&scratch.path("."), &shown);
        for (shown, printed) in shown.iter().zip(&printed) {
            let printed: Vec<_> = printed.lines().collect();
            assert!(matches(&shown.lines, &printed), "$ {}\nprints\n{}", shown.command, printed.join("\n"));
        }
    }
}

/// What other pages show of the bundled dumps and logs, by the program's own words at the beginning of a block.
const OUTPUTS: [&str; 6] = ["Verdict: ", "PID: ", "CPU ", "  CPU ", "VIRTUAL ", "  NEED "];
/// What they are of: commands that are run where `$DUMP` and `$LOG` are.
const COMMANDS: [&str; 5] =
    ["analyze $DUMP", "bt --cpu 0 $DUMP", "runq $DUMP", "vtop --pid 151 $DUMP 0x7fb738c03140", "log $LOG"];

#[test]
fn other_pages_show_what_is_printed() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = "testdata/6.1-cloud-amd64";
    let dump = format!("{data}/thp-livelock.vmcore {data}/vmlinux.profile");
    let log = "crates/console/tests/logs/alibaba-4.19.91-19.1.al7.log";
    let of = |command: &&str| format!("vmcore-thp {}", command.replace("$DUMP", &dump).replace("$LOG", log));
    let lines: Vec<String> = COMMANDS.iter().map(of).collect();
    let shown: Vec<_> = lines.iter().map(|command| Shown { command, lines: Vec::new() }).collect();
    let printed = run(top, &shown);
    let printed: Vec<Vec<&str>> = printed.iter().map(|text| text.lines().collect()).collect();
    let mut pages = vec![top.join("README.md")];
    pages.extend(std::fs::read_dir(top.join("docs")).unwrap().map(|page| page.unwrap().path()));
    let mut found = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in indented(&text).iter().filter(|block| OUTPUTS.iter().any(|begin| block[0].starts_with(begin))) {
            let anywhere: Vec<_> = [LEFT_OUT].into_iter().chain(block.iter().copied()).chain([LEFT_OUT]).collect();
            let is_shown = printed.iter().any(|printed| matches(&anywhere, printed));
            assert!(is_shown, "{}: nothing prints\n{}", page.display(), block.join("\n"));
            found += 1;
        }
    }
    assert!(found >= 7, "only {found} blocks");
}

/// Blocks that are indented by four spaces, without these.
fn indented(text: &str) -> Vec<Vec<&str>> {
    let mut blocks = vec![Vec::new()];
    for line in text.lines() {
        let open = blocks.last_mut().unwrap();
        match line.strip_prefix("    ") {
            Some(line) => open.push(line),
            None if line.is_empty() && !open.is_empty() => open.push(line),
            None if open.is_empty() => {}
            None => blocks.push(Vec::new()),
        }
    }
    for block in &mut blocks {
        while block.last().is_some_and(|line| line.is_empty()) {
            block.pop();
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

fn commands(block: &str) -> Vec<Shown<'_>> {
    let mut commands: Vec<Shown<'_>> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push(Shown { command, lines: Vec::new() }),
            (None, Some(last)) => last.lines.push(line),
            (None, None) => panic!("output without a command: {line}"),
        }
    }
    commands
}

/// What each command prints, in one shell.
fn run(directory: &Path, shown: &[Shown<'_>]) -> Vec<String> {
    // One that was installed (`scripts/walk-through`), or that which was built.
    let program = std::env::var("VMCORE_THP_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_vmcore-thp").to_owned());
    let program = Path::new(&program).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let end = format!("\nstatus=$?; printf '{END}'; (exit $status)\n");
    let script: String = shown.iter().map(|shown| shown.command.to_owned() + &end).collect();
    let mut shell = Command::new("sh");
    let shell = shell.arg("-c").arg(script).current_dir(directory).env("PATH", path).env("COLUMNS", "100");
    // No servers, and no vmlinux of somebody else.
    let output = shell.env_remove("DEBUGINFOD_URLS").env("HOME", directory).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.matches(END).count(), shown.len(), "{}", String::from_utf8_lossy(&output.stderr));
    printed.split(END).map(str::to_owned).collect()
}

fn matches(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line.trim() == LEFT_OUT => {
            (0..=printed.len()).any(|skipped| matches(rest, printed.split_at(skipped).1))
        }
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, others)| first == line && matches(rest, others))
        }
    }
}

#[test]
fn lines_that_are_left_out() {
    let matches = |shown: &str, printed: &str| {
        super::guide::matches(&shown.lines().collect::<Vec<_>>(), &printed.lines().collect::<Vec<_>>())
    };
    assert!(matches("a\n...\nd", "a\nb\nc\nd") && matches("a\n...", "a") && matches("", ""));
    assert!(!matches("a\n...\nd", "a\nb") && !matches("a", "a\nb") && !matches("", "a"));
}

#[test]
fn the_book_has_every_page_and_no_dead_link() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let summary = std::fs::read_to_string(top.join("docs/SUMMARY.md")).unwrap();
    let mut pages = vec![top.join("README.md"), top.join("CONTRIBUTING.md"), top.join("ARCHITECTURE.md")];
    for page in std::fs::read_dir(top.join("docs")).unwrap() {
        let page = page.unwrap();
        let name = page.file_name().into_string().unwrap();
        if name == "SUMMARY.md" {
            continue;
        }
        assert!(summary.contains(&format!("]({name})")), "{name} is not in docs/SUMMARY.md");
        pages.push(page.path());
    }
    let mut links = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let file = link.split('#').next().unwrap();
            let elsewhere = link.contains("://") || link.contains(char::is_whitespace);
            // From the book, which has the pages below docs/ alone.
            let found = match OWN.iter().find_map(|own| file.strip_prefix(own)) {
                Some(own) => top.join(own).exists(),
                None => elsewhere || file.is_empty() || page.parent().unwrap().join(file).exists(),
            };
            let leaves = page.starts_with(top.join("docs")) && link.starts_with("..");
            assert!(!leaves, "{}: {link} is not in the book", page.display());
            assert!(found, "{}: there is no {link}", page.display());
            links += 1;
        }
    }
    assert!(links > 40, "only {links} links");
}
