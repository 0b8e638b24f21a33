//! What the cache gives out, and what it does not.

use std::thread;

use super::*;
use crate::VmlinuxKind;
use crate::fixture::{BUILD_ID, Fixture};

fn cache(directory: &Path) -> ProfileCache {
    ProfileCache::new(directory.join("new"), 1 << 20, "1.0")
}

fn vmlinux() -> Vmlinux {
    Fixture::with_dwarf(5, true).open()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("lock-"));
    names.sort();
    names
}

#[test]
fn one_entry_is_made_and_then_found() {
    let directory = tempfile::tempdir().unwrap();
    let cache = cache(directory.path());
    assert!(cache.get(&BUILD_ID).is_none());
    let vmlinux = vmlinux();
    let (made, path) = cache.get_or_make(&vmlinux).unwrap().unwrap();
    let (found, found_at) = cache.get(&BUILD_ID).unwrap();
    assert_eq!((path, made.kind()), (found_at, VmlinuxKind::Profile));
    assert_eq!(found.symbols().address("schedule"), vmlinux.symbols().address("schedule"));
    assert!(cache.get(&BUILD_ID[1..]).is_none() && cache.get(&[]).is_none() && cache.get(&[1; 65]).is_none());
    assert_eq!(names(&cache.directory).len(), 1);
}

#[test]
fn damage_and_other_versions_are_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let cache = cache(directory.path());
    let (_, path) = cache.get_or_make(&vmlinux()).unwrap().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut damages = vec![Vec::new(), whole[..whole.len() - 1].to_vec(), whole[1..].to_vec(), b"seal".to_vec()];
    for at in [0, whole.len() / 2, whole.len() - 1, whole.len() - 9, whole.len() - 13, whole.len() - 17] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        damages.push(damaged);
    }
    for damaged in damages {
        fs::write(&path, damaged).unwrap();
        assert!(cache.get(&BUILD_ID).is_none());
        cache.get_or_make(&vmlinux()).unwrap().unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    for version in ["1.1", "1.0.0", ""] {
        let other = ProfileCache { version: version.to_owned(), ..cache.clone() };
        assert!(other.get(&BUILD_ID).is_none(), "{version}");
    }
    // An entry with the name of another.
    let other = cache.path(&[7; 20]).unwrap();
    fs::copy(&path, &other).unwrap();
    assert!(cache.get(&[7; 20]).is_none());
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let mut cache = cache(directory.path());
    let (_, path) = cache.get_or_make(&vmlinux()).unwrap().unwrap();
    let size = fs::metadata(&path).unwrap().len();
    let others: Vec<_> = (1..4_u64).map(|number| cache.path(&[number as u8; 20]).unwrap()).collect();
    for (path, minutes) in others.iter().zip([30, 20, 40]) {
        fs::write(path, vec![0; usize::try_from(size).unwrap()]).unwrap();
        let used = SystemTime::now() - Duration::from_secs(60 * minutes);
        File::open(path).unwrap().set_modified(used).unwrap();
    }
    fs::write(cache.directory.join("of somebody else"), [0; 100]).unwrap();
    cache.limit = size * 2;
    fs::remove_file(&path).unwrap();
    cache.get_or_make(&vmlinux()).unwrap().unwrap();
    assert!(path.exists() && others[1].exists());
    assert!(!others[0].exists() && !others[2].exists());
    cache.limit = 0;
    fs::remove_file(&path).unwrap();
    assert!(cache.get_or_make(&vmlinux()).unwrap().is_some(), "one is kept");
    assert_eq!(names(&cache.directory).len(), 2);
}

#[test]
fn a_use_is_noted() {
    let directory = tempfile::tempdir().unwrap();
    let cache = cache(directory.path());
    let (_, path) = cache.get_or_make(&vmlinux()).unwrap().unwrap();
    File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    cache.get(&BUILD_ID).unwrap();
    assert!(fs::metadata(&path).unwrap().modified().unwrap().elapsed().unwrap() < Duration::from_secs(60));
}

#[test]
fn many_at_a_time_see_whole_entries() {
    let directory = tempfile::tempdir().unwrap();
    let cache = cache(directory.path());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    // Another one may remove it right after it was made.
                    let made = cache.get_or_make(&vmlinux());
                    assert!(matches!(made, Ok(Some(_)) | Err(CacheError::Lost(_))), "{:?}", made.err());
                    let _ = fs::remove_file(cache.path(&BUILD_ID).unwrap());
                }
            });
        }
    });
    assert!(names(&cache.directory).len() <= 1);
}

#[test]
fn a_cache_that_cannot_be_written_says_so() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("new"), []).unwrap();
    let failed = cache(directory.path()).get_or_make(&vmlinux());
    assert!(matches!(failed, Err(CacheError::Io { .. })));
    let none = ProfileCache::new(directory.path().join("other"), 0, "").get_or_make(&Fixture::new().open());
    assert!(matches!(none, Err(CacheError::Profile(ProfileError::NoTypes))));
}

#[test]
fn the_indexes_of_an_entry_answer_like_those_that_are_made() {
    let directory = tempfile::tempdir().unwrap();
    let cache = cache(directory.path());
    let (kept, path) = cache.get_or_make(&vmlinux()).unwrap().unwrap();
    let entry = Bytes::from(fs::read(&path).unwrap());
    let (profile, indexes) = unsealed(&entry, "1.0").unwrap();
    let made = crate::fixture::open(&profile).unwrap();
    assert_eq!(made.indexes(), kept.indexes());
    assert_eq!(made.indexes(), &*indexes);
    for name in ["schedule", "handler", "runqueues", "nothing"] {
        assert_eq!(
            kept.symbols().addresses(name).collect::<Vec<_>>(),
            made.symbols().addresses(name).collect::<Vec<_>>()
        );
    }
    for symbol in made.symbols().all() {
        for address in [symbol.address, symbol.address.wrapping_add(symbol.size / 2)] {
            assert_eq!(kept.symbols().lookup(address), made.symbols().lookup(address), "{address}");
        }
    }
    for name in ["task_struct", "list_head", "unsigned int"] {
        assert_eq!(kept.types().size_of(name), made.types().size_of(name), "{name}");
    }
    // With what was kept cut short anywhere, what is missing is made.
    for len in (0..indexes.len()).step_by(8) {
        let cut = crate::fixture::open(&profile).unwrap().with_indexes(&indexes.slice(0, len as u64).unwrap());
        assert_eq!(cut.symbols().address("schedule"), made.symbols().address("schedule"), "{len}");
        assert_eq!(cut.types().size_of("task_struct"), made.types().size_of("task_struct"), "{len}");
    }
}
