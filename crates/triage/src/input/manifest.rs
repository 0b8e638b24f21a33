//! A manifest: a file that lists dumps, one a line, each perhaps with its vmlinux.
//!
//! ```text
//! # dumps of the web tier
//! /crash/web1/vmcore                 /debug/6.1.0-56/vmlinux
//! {"vmcore": "/crash/web 2/vmcore", "vmlinux": "/debug/6.1.0-56/vmlinux"}
//! ```
//!
//! Paths are relative to the manifest's directory; a dump may be an object (`s3://`). A tab separates the two where a path has spaces; else spaces do.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vmcore_dump::{Glance, glance};

use super::Item;
use crate::TriageError;

pub(super) fn read(manifest: &Path) -> Result<Vec<Item>, TriageError> {
    let text = fs::read_to_string(manifest).map_err(|cause| TriageError::Input { path: manifest.to_owned(), cause })?;
    let directory = manifest.parent().unwrap_or(Path::new(""));
    let mut items = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
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

fn parse(line: &str, directory: &Path) -> Result<Item, String> {
    let (vmcore, vmlinux) = if line.trim_start().starts_with('{') { object(line)? } else { words(line) };
    if vmcore.is_empty() {
        return Err("it names no dump".to_owned());
    }
    if vmcore.starts_with("s3://") {
        return Ok(Item {
            vmlinux: vmlinux.map(|vmlinux| directory.join(PathBuf::from(vmlinux))),
            ..Item::dump(vmcore.into())
        });
    }
    if vmcore.contains("://") {
        return Err(
            "of addresses only s3:// may be listed: what opens another would be seen in rows and reports".to_owned()
        );
    }
    let path = directory.join(&vmcore);
    // What cannot be read, or is not there, has a row that says so: one of a thousand lines must not cost the others.
    let item = match glance(&path) {
        Ok(Glance::Text | Glance::CompressedText) => Item::log(path),
        _ => Item::dump(path),
    };
    Ok(Item { vmlinux: vmlinux.map(|vmlinux| directory.join(PathBuf::from(vmlinux))), ..item })
}

fn words(line: &str) -> (String, Option<String>) {
    let split = line.split_once('\t').or_else(|| line.trim().split_once(char::is_whitespace));
    match split {
        Some((vmcore, vmlinux)) => {
            (vmcore.trim().to_owned(), Some(vmlinux.trim().to_owned()).filter(|text| !text.is_empty()))
        }
        None => (line.trim().to_owned(), None),
    }
}

fn object(line: &str) -> Result<(String, Option<String>), String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = |name: &str| match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("\"{name}\" is not text")),
    };
    Ok((text("vmcore")?.ok_or("it has no \"vmcore\"")?, text("vmlinux")?))
}
