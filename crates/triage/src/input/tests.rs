use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// A directory with these files; `*` stands for a dump and `log` for a log.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = match *content {
            "*" => b"KDUMP   \x06".to_vec(),
            "log" => b"[    0.000000] Linux version 6.1.0\n".to_vec(),
            "elf" => b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec(),
            split if split.starts_with("part") => {
                let mut bytes = vec![0; 8192];
                bytes[..9].copy_from_slice(b"KDUMP   \x06");
                bytes[300..300 + split.len()].copy_from_slice(split.as_bytes());
                bytes[4096 + 12] = 1;
                bytes
            }
            text => text.as_bytes().to_vec(),
        };
        fs::write(path, bytes).unwrap();
    }
    directory
}

fn list(directory: &Path) -> Vec<String> {
    let items =
        find(&Inputs { paths: vec![directory.to_owned()], manifests: Vec::new(), ..Inputs::default() }).unwrap().items;
    let name = |path: &Path| path.strip_prefix(directory).unwrap().display().to_string();
    let text = |item: &Item| {
        let parts: Vec<_> = item.parts.iter().map(|part| format!("+{}", name(part))).collect();
        let log = item.log.as_deref().map(|log| format!(" ({})", name(log))).unwrap_or_default();
        format!("{} {}{}{log}", item.kind.name(), name(&item.path), parts.concat())
    };
    items.iter().map(text).collect()
}

#[test]
fn directories_of_all_distributions() {
    let pile = tree(&[
        ("rhel/10.0.0.7-2026-11-28-03:12:45/vmcore", "*"),
        ("rhel/10.0.0.7-2026-11-28-03:12:45/vmcore-dmesg.txt", "log"),
        ("rhel/10.0.0.7-2026-11-28-03:12:45/kexec-dmesg.log", "log"),
        ("rhel/10.0.0.8-2026-11-28-03:12:45/vmcore-dmesg.txt", "log"),
        ("rhel/10.0.0.8-2026-11-28-03:12:45/kexec-dmesg.log", "log"),
        ("rhel/10.0.0.9-2026-11-28-03:12:45/vmcore-incomplete", "*"),
        ("rhel/10.0.1.1-2026-11-28-03:12:45/kexec-dmesg.log", "log"),
        ("debian/202611280312/dump.202611280312", "*"),
        ("debian/202611280312/dmesg.202611280312", "log"),
        ("debian/kexec_cmd", "/sbin/kexec -p --command-line=\"quiet\"\n"),
        ("suse/2026-11-28-03:12/vmcore1", "part of a"),
        ("suse/2026-11-28-03:12/vmcore2", "part of a"),
        ("suse/2026-11-28-03:12/README.txt", "Kernel crashdump\n"),
        ("suse/2026-11-28-03:12/dmesg.txt", "log"),
        ("suse/2026-11-28-03:12/vmlinux-6.4.0-default", "elf"),
    ]);
    assert_eq!(
        list(pile.path()),
        [
            "dump debian/202611280312/dump.202611280312 (debian/202611280312/dmesg.202611280312)",
            "dump rhel/10.0.0.7-2026-11-28-03:12:45/vmcore (rhel/10.0.0.7-2026-11-28-03:12:45/vmcore-dmesg.txt)",
            "log rhel/10.0.0.8-2026-11-28-03:12:45/vmcore-dmesg.txt",
            "dump rhel/10.0.0.9-2026-11-28-03:12:45/vmcore-incomplete",
            // Neither a dump nor the log of the kernel that crashed is left.
            "log rhel/10.0.1.1-2026-11-28-03:12:45/kexec-dmesg.log",
            "dump suse/2026-11-28-03:12/vmcore1+suse/2026-11-28-03:12/vmcore2 (suse/2026-11-28-03:12/dmesg.txt)",
        ]
    );
}

/// In a directory they are not meant; named, they are no dumps either.
#[test]
fn a_named_program_is_no_item() {
    let pile = tree(&[("vmcore", "*"), ("vmlinux", "elf"), ("web1.vmcore", "elf")]);
    let at = |name: &str| pile.path().join(name);
    let listing = |paths: Vec<PathBuf>| find(&Inputs { paths, ..Inputs::default() }).unwrap();
    let named = listing(vec![at("vmlinux"), at("vmcore"), at("vmlinux"), at("[vw]*")]);
    assert_eq!(named.items, [Item::dump(at("vmcore"))]);
    assert_eq!(named.programs, [at("vmlinux"), at("web1.vmcore")]);
    assert!(listing(vec![pile.path().to_owned()]).programs.is_empty());
}

#[test]
fn parts_of_two_dumps_stay_apart() {
    let pile = tree(&[("a1", "part of a"), ("a2", "part of a"), ("b1", "part of b"), ("log.txt", "log")]);
    assert_eq!(list(pile.path()), ["dump a1+a2", "dump b1", "log log.txt"]);
}

/// A healthy dump must not hide what happened to other machines.
#[test]
fn logs_of_other_machines_are_judged() {
    let late = format!("{}[    1.000000] Oops\n", "web2 sshd: hello\n".repeat(10_000));
    let pile = tree(&[
        ("a/web1.vmcore", "*"),
        ("a/web1.log", "log"),
        ("a/web2.log", "log"),
        ("b/vmcore", "*"),
        ("b/console.log", "log"),
        ("b/messages", &late),
        ("b/notes.txt", "nothing of a kernel\n"),
    ]);
    let expected =
        ["dump a/web1.vmcore (a/web1.log)", "log a/web2.log", "dump b/vmcore", "log b/console.log", "log b/messages"];
    assert_eq!(list(pile.path()), expected);
}

#[test]
fn links_are_not_followed() {
    let pile = tree(&[("in/vmcore", "*")]);
    let other = tree(&[("vmcore", "*")]);
    symlink(other.path(), pile.path().join("out")).unwrap();
    symlink(other.path().join("vmcore"), pile.path().join("in/link")).unwrap();
    assert_eq!(list(pile.path()), ["dump in/vmcore"]);
}

#[test]
fn patterns_and_manifests() {
    let pile = tree(&[("a/vmcore", "*"), ("b/vmcore", "*"), ("c d/vmcore", "*"), ("e.txt", "log")]);
    let at = |name: &str| pile.path().join(name);
    let manifest = "# a comment\n\na/vmcore vmlinux\r\nc d/vmcore\tvm linux\n{\"vmcore\": \"b/vmcore\", \"vmlinux\": null}\ne.txt\nf.log.gz\n";
    fs::write(at("f.log.gz"), b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x8bV\x00\x02C=\x030\x88U(-NR0\xd45\xb4R\xc8H\xcd\xc9\xc9\xe7\x02\x00p\x85\x9b\xf8\x1e\x00\x00\x00").unwrap();
    fs::write(at("list"), manifest).unwrap();
    let inputs = Inputs { paths: vec![], manifests: vec![at("list")], ..Inputs::default() };
    let items = find(&inputs).unwrap().items;
    let vmlinux: Vec<_> = items.iter().map(|item| item.vmlinux.clone()).collect();
    assert_eq!(vmlinux, [Some(at("vmlinux")), Some(at("vm linux")), None, None, None]);
    assert_eq!([items[3].kind, items[4].kind], [ItemKind::Log; 2]);

    let globbed = find(&Inputs { paths: vec![at("[ab]/vmcore"), at("a")], manifests: vec![], ..Inputs::default() })
        .unwrap()
        .items;
    assert_eq!(globbed.len(), 2, "{globbed:?}");
    assert!(find(&Inputs { paths: vec![at("x*")], manifests: vec![], ..Inputs::default() }).is_err());
    assert!(find(&Inputs { paths: vec![at("x")], manifests: vec![], ..Inputs::default() }).is_err());
    for wrong in ["{\"vmcore\": 1}", "{", "{\"vmlinux\": \"x\"}"] {
        fs::write(at("list"), format!("a/vmcore\n{wrong}\n")).unwrap();
        let error = find(&inputs).unwrap_err().to_string();
        assert!(error.contains("list, line 2: "), "{error}");
    }
}

#[test]
fn a_file_that_should_have_been_a_dump_is_taken_for_one() {
    let pile = tree(&[
        ("a/vmcore", "\0\0\0\0"),
        ("b/vmcore-incomplete", ""),
        ("c/vmcore-dmesg.txt", ""),
        ("notes.txt", "no log\n"),
    ]);
    assert_eq!(list(pile.path()), ["dump a/vmcore", "dump b/vmcore-incomplete"]);
}

/// One of a hundred that a shell has named costs no other, and nothing waits for a pipe.
#[test]
fn what_is_no_file_is_an_item_that_says_so() {
    let pile = tree(&[("a/vmcore", "*"), ("b/vmcore", "*")]);
    let pipe = pile.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let paths = vec![pile.path().join("a/vmcore"), pipe.clone(), pile.path().join("b/vmcore")];
    let items = find(&Inputs { paths, ..Inputs::default() }).unwrap().items;
    assert_eq!(items.len(), 3);
    let error = crate::fingerprint::of_files([&pipe], &Servers::default()).unwrap_err();
    assert_eq!(error.to_string(), "it is not a file");
}

#[test]
fn what_nobody_looked_into_is_told_apart() {
    let deep = format!("{}vmcore", "d/".repeat(20));
    let pile = tree(&[("a/vmcore", "*"), (&deep, "*")]);
    symlink(pile.path(), pile.path().join("link")).unwrap();
    let Listing { items, skipped, .. } =
        find(&Inputs { paths: vec![pile.path().to_owned()], ..Inputs::default() }).unwrap();
    assert_eq!(items.len(), 1);
    let lost: Vec<_> = skipped.iter().map(|skipped| (skipped.reason.as_str(), skipped.lost)).collect();
    assert_eq!(lost, [("it is a link", false), ("it is too deep", true)]);
}

/// A file's name may be any bytes, and one such name costs no other line.
#[test]
fn names_in_manifests_may_be_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let pile = tree(&[("a/vmcore", "*")]);
    let odd = |name: &[u8]| pile.path().join(std::ffi::OsStr::from_bytes(name));
    fs::copy(pile.path().join("a/vmcore"), odd(b"b\xff.vmcore")).unwrap();
    fs::copy(pile.path().join("a/vmcore"), odd(b"c\xfe d")).unwrap();
    let manifest =
        b"a/vmcore\nb\xff.vmcore\tvm\xfelinux\n{\"vmcore\": \"c\xfe d\", \"vmlinux\": \"e\xff\"}\n# \xff\nd\xff\n";
    let list = pile.path().join("list");
    fs::write(&list, manifest).unwrap();
    let items = find(&Inputs { paths: vec![], manifests: vec![list], ..Inputs::default() }).unwrap().items;
    let named: Vec<_> = items.into_iter().map(|item| (item.path, item.vmlinux)).collect();
    let expected = [
        (odd(b"a/vmcore"), None),
        (odd(b"b\xff.vmcore"), Some(odd(b"vm\xfelinux"))),
        (odd(b"c\xfe d"), Some(odd(b"e\xff"))),
        (odd(b"d\xff"), None),
    ];
    assert_eq!(named, expected);
}
