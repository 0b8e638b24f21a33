//! A manifest: a file that lists dumps, one a line, each perhaps with its vmlinux.
//!
//! ```text
//! # dumps of the web tier
//! /crash/web1/vmcore                 /debug/6.1.0-56/vmlinux
//! {"vmcore": "/crash/web 2/vmcore", "vmlinux": "/debug/6.1.0-56/vmlinux"}
//! ```
//!
//! Paths are relative to the manifest's directory; a dump may be an object (`s3://`). A tab separates the two where a path has spaces; else spaces do.

use std::ffi::OsStr;
use std::fmt::{self, Formatter};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use vmcore_dump::{Glance, glance};
use vmcore_os::open_input;

use super::Item;
use crate::TriageError;

pub(super) fn read(manifest: &Path) -> Result<Vec<Item>, TriageError> {
    let mut bytes = Vec::new();
    open_input(manifest)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|cause| TriageError::Input { path: manifest.to_owned(), cause })?;
    let directory = manifest.parent().unwrap_or(Path::new(""));
    let mut items = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() || line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let item = parse(line, directory);
        items.push(item.map_err(|reason| TriageError::Manifest {
            path: manifest.to_owned(),
            line: index + 1,
            reason,
        })?);
    }
    Ok(items)
}

/// What a line names: any bytes but those that end a line.
#[derive(Deserialize)]
struct Line {
    vmcore: Option<Name>,
    vmlinux: Option<Name>,
}

fn parse(line: &[u8], directory: &Path) -> Result<Item, String> {
    let is_object = line.trim_ascii_start().starts_with(b"{");
    let Line { vmcore, vmlinux } =
        if is_object { serde_json::from_slice(line).map_err(|error| error.to_string())? } else { words(line) };
    let Name(vmcore) = vmcore.ok_or("it has no \"vmcore\"")?;
    if vmcore.is_empty() {
        return Err("it names no dump".to_owned());
    }
    let vmlinux = vmlinux.map(|Name(name)| directory.join(path(&name)));
    if vmcore.starts_with(b"s3://") {
        return Ok(Item { vmlinux, ..Item::dump(path(&vmcore).to_owned()) });
    }
    if vmcore.windows(3).any(|part| part == b"://") {
        return Err(
            "of addresses only s3:// may be listed: what opens another would be seen in rows and reports".to_owned()
        );
    }
    let path = directory.join(path(&vmcore));
    // What cannot be read, or is not there, has a row that says so: one of a thousand lines must not cost the others.
    let item = match glance(&path) {
        Ok(Glance::Text | Glance::CompressedText) => Item::log(path),
        _ => Item::dump(path),
    };
    Ok(Item { vmlinux, ..item })
}

fn path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

fn words(line: &[u8]) -> Line {
    let split = |line: &'_ [u8], is_between: fn(&u8) -> bool| {
        let at = line.iter().position(is_between)?;
        Some((line.get(..at)?.to_vec(), line.get(at + 1..)?.to_vec()))
    };
    let apart = split(line, |&byte| byte == b'\t').or_else(|| split(line.trim_ascii(), u8::is_ascii_whitespace));
    let (vmcore, vmlinux) = apart.unwrap_or_else(|| (line.to_vec(), Vec::new()));
    let name = |text: Vec<u8>| Name(text.trim_ascii().to_vec());
    Line { vmcore: Some(name(vmcore)), vmlinux: Some(name(vmlinux)).filter(|Name(text)| !text.is_empty()) }
}

/// A name in JSON, which may have bytes that JSON has no word for.
struct Name(Vec<u8>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
                out.write_str("a name")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Name, E> {
                Ok(Name(bytes.to_owned()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
                self.visit_bytes(text.as_bytes())
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}
