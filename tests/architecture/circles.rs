//! Circles between the files of a crate: files of which each uses, over some way, every other, cannot be understood one by
//! one. Parent and child may use each other: a module has its parts in files, and they its types.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{add_sources, code_lines, is_test, root};

/// The path of a module within its crate; the root's is empty.
type Module = Vec<String>;

#[test]
fn files_of_a_crate_are_in_no_circles() {
    let crates = std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path().join("src"));
    let mut circles_of = BTreeMap::new();
    let mut count = 0;
    for source in crates.chain([root().join("src")]) {
        let files = files(&source);
        assert!(!files.is_empty(), "no files in {}", source.display());
        count += files.len();
        circles_of.insert(source, circles(&files));
    }
    assert!(count > 200, "only {count} files");
    circles_of.retain(|_, circles| !circles.is_empty());
    assert!(circles_of.is_empty(), "files use each other, which are no parent and child: {circles_of:#?}");
}

/// Crates that have circles of modules still. It may only become less.
const ENTANGLED: [&str; 1] = ["crates/synth/src"];

/// A module is more than its file: of two that use each other by what is below them, neither can be understood alone.
#[test]
fn modules_of_other_crates_are_in_no_circles() {
    let crates = std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path().join("src"));
    for source in crates.chain([root().join("src")]) {
        let circles = circles_of_modules(&files(&source));
        let name = source.strip_prefix(root()).unwrap().to_str().unwrap();
        assert_eq!(!circles.is_empty(), ENTANGLED.contains(&name), "{name}: {circles:#?}");
    }
}

#[test]
fn a_circle_of_modules_is_found_by_what_is_below_them() {
    let of = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(module, text)| {
            (module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect(), (*text).to_owned())
        });
        circles_of_modules(&files.collect())
    };
    let top = [("", "mod a; mod b;"), ("a", "mod x; mod y;"), ("b", "")];
    let circle = BTreeSet::from([vec!["a -> b".to_owned(), "b -> a".to_owned()]]);
    let both = [("a::x", "use crate::b;"), ("b::z", "use crate::a::y;"), ("a::y", "")];
    assert_eq!(of(&[&top[..], &both].concat()), circle);
    assert!(of(&[&top[..], &both[..1]].concat()).is_empty());
}

#[test]
fn a_circle_is_found_through_re_exports_and_not_between_parent_and_child() {
    let of = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(module, text)| {
            let module = module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
            (module, (*text).to_owned())
        });
        circles(&files.collect())
    };
    let lib = ("", "mod a; mod b; pub use a::{A, One as Other}; pub use b::B;");
    let circle = BTreeSet::from([vec!["a -> b".to_owned(), "b -> a".to_owned()]]);
    assert_eq!(of(&[lib, ("a", "use crate::{C, B};"), ("b", "fn f(x: crate::a::One) {}")]), circle);
    assert_eq!(of(&[lib, ("a", "use super::b::B;"), ("b", "use crate::A;")]), circle);
    assert!(of(&[lib, ("a", "use crate::B;"), ("b", "use std::fmt;")]).is_empty());
    assert!(of(&[lib, ("a", "use c::C;"), ("a::c", "use super::D;")]).is_empty());
}

/// The text of each module of a crate.
fn files(source: &Path) -> BTreeMap<Module, String> {
    let mut paths = Vec::new();
    add_sources(source, &mut paths);
    let module = |path: &Path| {
        let within = path.strip_prefix(source).unwrap().with_extension("");
        let mut parts: Module = within.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if ["lib", "main", "mod"].contains(&parts.last().unwrap().as_str()) {
            parts.pop();
        }
        parts
    };
    let shipped = |path: &&std::path::PathBuf| {
        let helper = ["fixture.rs", "fuzzing.rs", "test_memory.rs"].iter().any(|name| path.ends_with(name));
        !is_test(path) && !helper
    };
    let mut files: BTreeMap<Module, String> = BTreeMap::new();
    for path in paths.iter().filter(shipped) {
        // A program and its library have their roots in two files.
        files.entry(module(path)).or_default().push_str(&(code_lines(path).join("\n") + "\n"));
    }
    files
}

/// What each file uses of the others, but for its parents and children.
fn uses(files: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<Module>> {
    let used: BTreeMap<&Module, Vec<UsedPath>> = files.iter().map(|(module, text)| (module, paths(text))).collect();
    let related = |a: &Module, b: &Module| a.starts_with(b) || b.starts_with(a);
    used.iter()
        .map(|(module, paths)| {
            let targets = paths.iter().filter_map(|path| target(files, &used, module, &path.parts, 0));
            (*module, targets.filter(|target| !related(module, target)).collect())
        })
        .collect()
}

/// Circles between the children of one parent, each child taken with all that is below it.
fn circles_of_modules(files: &BTreeMap<Module, String>) -> BTreeSet<Vec<String>> {
    let parents: BTreeSet<&[String]> = files.keys().filter_map(|module| Some(module.split_last()?.1)).collect();
    let uses = uses(files);
    let below = |parent: &[String]| {
        let child = |module: &Module| Some(module.get(..=parent.len())?.to_vec()).filter(|it| it.starts_with(parent));
        let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (from, used) in uses.iter().filter_map(|(from, used)| Some((child(from)?, used))) {
            let others: Vec<_> = used.iter().filter_map(child).filter(|to| *to != from).collect();
            edges.entry(from).or_default().extend(others);
        }
        edges
    };
    let in_circles = |edges: BTreeMap<Module, BTreeSet<Module>>| {
        circles_between(&edges.iter().map(|(module, used)| (module, used.clone())).collect())
    };
    parents.into_iter().map(below).flat_map(in_circles).collect()
}

/// The files of each circle, each with those of the circle that it uses.
fn circles(files: &BTreeMap<Module, String>) -> BTreeSet<Vec<String>> {
    circles_between(&uses(files))
}

fn circles_between(uses: &BTreeMap<&Module, BTreeSet<Module>>) -> BTreeSet<Vec<String>> {
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        uses.keys().map(|module| (*module, reachable(uses, module))).collect();
    let in_circle_with =
        |module: &Module, other: &Module| reach[other].contains(module) && reach[module].contains(other);
    let mut circles = BTreeSet::new();
    for module in uses.keys() {
        let circle: Vec<_> = uses.keys().filter(|other| in_circle_with(module, other)).collect();
        if circle.len() > 1 {
            let within = |from: &Module| {
                let to = uses[from].iter().filter(|to| circle.contains(&to)).map(|to| to.join("::"));
                format!("{} -> {}", from.join("::"), to.collect::<Vec<_>>().join(", "))
            };
            circles.insert(circle.iter().map(|from| within(from)).collect());
        }
    }
    circles
}

fn reachable<'e>(edges: &'e BTreeMap<&'e Module, BTreeSet<Module>>, from: &'e Module) -> BTreeSet<&'e Module> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        open.extend(edges[module].iter().filter(|next| found.insert(*next)));
    }
    found
}

/// The module that a path leads to, through what modules re-export.
fn target(
    files: &BTreeMap<Module, String>,
    used: &BTreeMap<&Module, Vec<UsedPath>>,
    from: &Module,
    path: &[String],
    depth: u32,
) -> Option<Module> {
    let mut rest = path;
    let mut base = match rest.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => from.clone(),
        name if files.contains_key(&[from.as_slice(), &[name.to_owned()]].concat()) => from.clone(),
        _ => return None,
    };
    while let Some((first, more)) =
        rest.split_first().filter(|(first, _)| ["crate", "self", "super"].contains(&first.as_str()))
    {
        if first == "super" {
            base.pop();
        }
        rest = more;
    }
    while let Some((first, more)) = rest.split_first() {
        let child = [base.as_slice(), std::slice::from_ref(first)].concat();
        if !files.contains_key(&child) {
            break;
        }
        (base, rest) = (child, more);
    }
    let exports = rest.first().filter(|_| depth < 5).and_then(|name| {
        let export = used.get(&base)?.iter().find(|export| export.is_use && export.name.as_ref() == Some(name))?;
        if export.parts == path { None } else { target(files, used, &base, &export.parts, depth + 1) }
    });
    exports.or_else(|| files.contains_key(&base).then_some(base))
}

/// A path as it is written, and the name that it has afterwards.
struct UsedPath {
    parts: Vec<String>,
    name: Option<String>,
    is_use: bool,
}

/// All paths of a file that can lead to another one.
fn paths(text: &str) -> Vec<UsedPath> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let is_use = token == "use";
        at += usize::from(is_use);
        let is_path =
            ["crate", "super", "self"].contains(&token.as_str()) && tokens.get(at + 1).is_some_and(|next| next == "::");
        if is_use || is_path {
            at = tree(&tokens, at, Vec::new(), is_use, &mut found);
        }
        at += 1;
    }
    found
}

/// One path, or several that begin alike: `a::{b, c::d}`. Gives the place of the last token.
fn tree(tokens: &[String], mut at: usize, mut parts: Vec<String>, is_use: bool, found: &mut Vec<UsedPath>) -> usize {
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = tree(tokens, at + 1, parts.clone(), is_use, found) + 1;
                }
                return at;
            }
            Some(word) if word.starts_with(|letter: char| letter.is_alphabetic() || letter == '_' || letter == '*') => {
                parts.push(word.to_owned());
            }
            _ => return at.saturating_sub(1),
        }
        match tokens.get(at + 1).map(String::as_str) {
            Some("::") => at += 2,
            Some("as") if is_use => {
                found.push(UsedPath { parts, name: tokens.get(at + 2).cloned(), is_use });
                return at + 2;
            }
            _ => {
                found.push(UsedPath { name: parts.last().cloned(), parts, is_use });
                return at;
            }
        }
    }
}

/// Words, `::`, and single characters.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut in_word = false;
    for letter in text.chars() {
        let is_word = letter.is_alphanumeric() || letter == '_';
        match tokens.last_mut() {
            Some(last) if (is_word && in_word) || (letter == ':' && last == ":") => last.push(letter),
            _ if !letter.is_whitespace() => tokens.push(letter.to_string()),
            _ => {}
        }
        in_word = is_word;
    }
    tokens
}
