//! What a bucket holds below a prefix: the same as a directory with the same names would.
//!
//! What an object is, its first bytes tell; they are fetched for many at a time. Below `debug/`, right under the prefix or
//! anywhere, are files that describe kernels, and below `rows/` those of a pile's own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use vmcore_dump::{Glance, glance_at, glance_len};
use vmcore_remote::{Address, Client, Listed, RemoteError};

use super::directory::{Contents, is_unwanted, looks_meant};
use super::log_text::Text;
use super::{Item, Known, Skipped};
use crate::clock;

/// Bytes that tell what a file is, and of one that is compressed, and whether a text is a log.
const HEAD: u64 = 8 << 10;
const LONGER_HEAD: u64 = 64 << 10;
/// Requests at a time.
const TOGETHER: usize = 16;
/// Names of directories that hold something else.
const OTHERS: [&str; 2] = ["debug", "rows"];

/// The dumps and logs below a prefix, in the order in which a directory would have them.
pub(super) fn items(prefix: &Address, client: &Client) -> Result<(Vec<Item>, Vec<Skipped>), RemoteError> {
    let Address::S3 { bucket, key: root } = prefix else {
        return Err(RemoteError::Address { shown: prefix.to_string(), reason: "only s3:// has lists of objects" });
    };
    let mut objects = client.list(prefix)?;
    objects.retain(|object| is_below(root, &object.key) && is_wanted(root, &object.key));
    let heads = heads(bucket, &objects, client)?;
    let mut directories: BTreeMap<Vec<String>, Contents> = BTreeMap::new();
    let mut skipped = Vec::new();
    let mut known = BTreeMap::new();
    for (object, head) in objects.iter().zip(&heads) {
        let path = PathBuf::from(format!("s3://{bucket}/{}", object.key));
        let mut names: Vec<String> = object.key.split('/').map(str::to_owned).collect();
        let name = names.pop().unwrap_or_default();
        let contents = directories.entry(names).or_default();
        match glance_at(head) {
            Ok(Glance::Dump) => contents.dumps.push(path.clone()),
            Ok(Glance::Part(identity)) => contents.parts.entry(identity).or_default().push(path.clone()),
            Ok(Glance::Text | Glance::CompressedText) => match Text::of_head(head, object.size <= head.len() as u64) {
                Text::KernelLog => contents.logs.push(path.clone()),
                _ if looks_meant(&name) => contents.dumps.push(path.clone()),
                Text::Other => {}
                Text::Unknown => {
                    skipped.push(Skipped { path: path.clone(), reason: Text::UNKNOWN.to_owned(), lost: true });
                }
            },
            Ok(_) if looks_meant(&name) => contents.dumps.push(path.clone()),
            Ok(_) => {}
            Err(error) => skipped.push(Skipped { path: path.clone(), reason: error.to_string(), lost: true }),
        }
        known.insert(
            path,
            Known { size: object.size, changed: clock::from_rfc3339(&object.modified), etag: object.etag.clone() },
        );
    }
    let mut items: Vec<Item> = directories.into_values().flat_map(Contents::items).collect();
    for item in &mut items {
        let size = item.files().filter_map(|path| known.get(path)).map(|known| known.size).fold(0, u64::saturating_add);
        item.known = known.get(&item.path).map(|known| Known { size, ..known.clone() });
    }
    Ok((items, skipped))
}

/// Whether a key is the prefix itself or in it: `pile` is no part of `pile2/vmcore`.
fn is_below(root: &str, key: &str) -> bool {
    root.is_empty()
        || root.ends_with('/')
        || key == root
        || key.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
}

fn is_wanted(root: &str, key: &str) -> bool {
    let below: Vec<&str> = key.strip_prefix(root).unwrap_or(key).split('/').filter(|name| !name.is_empty()).collect();
    // An object that was named is meant.
    let Some((name, directories)) = below.split_last() else { return !key.ends_with('/') };
    !key.ends_with('/')
        && !is_unwanted(name)
        && !directories.iter().any(|directory| directory.starts_with('.') || OTHERS.contains(directory))
}

/// The first bytes of each object.
fn heads(bucket: &str, objects: &[Listed], client: &Client) -> Result<Vec<Vec<u8>>, RemoteError> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(vec![Ok(Vec::new()); objects.len()]);
    thread::scope(|scope| {
        for _ in 0..TOGETHER.min(objects.len()) {
            scope.spawn(|| {
                while let Some((at, object)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    objects.get(at).map(|object| (at, object))
                } {
                    let head = head(bucket, object, client);
                    let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    if let Some(place) = found.get_mut(at) {
                        *place = head;
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_iter().collect()
}

fn head(bucket: &str, object: &Listed, client: &Client) -> Result<Vec<u8>, RemoteError> {
    let address = Address::S3 { bucket: bucket.to_owned(), key: object.key.clone() };
    if object.size == 0 {
        return Ok(Vec::new());
    }
    let (head, _) = client.get_range(&address, 0..HEAD, None)?;
    let needed = glance_len(&head);
    if needed > HEAD && object.size > HEAD {
        return client.get_range(&address, 0..needed, None).map(|(head, _)| head);
    }
    // Of what is unpacked, and of a text, more must be seen.
    let is_short = matches!(glance_at(&head), Ok(Glance::Text | Glance::CompressedText | Glance::Dump) | Err(_))
        && object.size > HEAD;
    if is_short && !vmcore_dump::starts_like_a_dump(&head) {
        return client.get_range(&address, 0..LONGER_HEAD, None).map(|(head, _)| head);
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_prefix() {
        assert!(is_below("pile", "pile/a/vmcore") && is_below("", "vmcore") && is_below("pile/", "pile/x"));
        assert!(is_below("pile/vmcore", "pile/vmcore") && !is_below("pile", "pile2/vmcore"));
        for unwanted in [
            "pile/debug/.build-id/ab/c.debug",
            "pile/a/debug/vmlinux",
            "pile/rows/ab/x.json",
            "pile/.x/vmcore",
            "pile/a/",
        ] {
            assert!(!is_wanted("pile", unwanted), "{unwanted}");
        }
        assert!(is_wanted("pile", "pile/debugged/vmcore") && is_wanted("pile/a/vmcore", "pile/a/vmcore"));
    }
}
