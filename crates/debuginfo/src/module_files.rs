//! Where the files of modules are.
//!
//! ```text
//! DEBUGDIR/.build-id/xx/yyyy.debug                     by build-id
//! DEBUGDIR/lib/modules/RELEASE/**/NAME.ko[.debug]      by release and name, as distributions install them
//! DEBUGDIR/usr/lib/modules/RELEASE/**, /lib/modules/RELEASE/**, DEBUGDIR/NAME.ko[.debug]
//! ```
//! Any of them may also end in `.gz`, `.xz` or `.zst`. Names are compared as the kernel does: `-` and `_` are the same.
//! A file is used only if its build-id is that of the loaded module, and it has DWARF.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{LoadedModule, ModuleDebug, build_id_path};

/// Where modules are installed, below which the release comes. That of the crashed kernel, not of this machine's.
const INSTALLED: [&str; 2] = ["/lib/modules", "/usr/lib/modules"];
/// Distributions install some 5000 modules.
const MAX_ENTRIES: usize = 200_000;
const MAX_DEPTH: usize = 16;
/// Files with one name that are tried.
const MAX_CANDIDATES: usize = 16;

/// Finds the files of modules.
#[derive(Debug)]
pub struct ModuleFiles {
    directories: Vec<PathBuf>,
    /// `None` where the dump does not say it, or something that is no directory's name.
    release: Option<String>,
    /// Files by the name of their module; made when it is first needed.
    by_name: OnceLock<HashMap<String, Vec<PathBuf>>>,
}

impl ModuleFiles {
    /// The files in `directories`, which are laid out like `/usr/lib/debug`, and those installed of the kernel `release`.
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(directories: Vec<PathBuf>, release: Option<&str>) -> Self {
        let release = release.filter(|release| !release.contains('/') && !release.starts_with('.'));
        Self { directories, release: release.map(str::to_owned), by_name: OnceLock::new() }
    }

    /// The debug information of `module`; the error says why files that were found are not used, and is empty where
    /// there was none.
    ///
    /// # Errors
    ///
    /// One line for each file.
    pub fn open(&self, module: &LoadedModule<'_>) -> Result<ModuleDebug, Vec<String>> {
        let mut rejected = Vec::new();
        let by_build_id = build_id_path(module.build_id);
        let by_build_id = by_build_id.iter().flat_map(|path| self.directories.iter().map(move |dir| dir.join(path)));
        let by_build_id = by_build_id.filter(|path| path.is_file());
        // The second part is only looked for if the first does not do.
        let by_name = std::iter::once_with(|| self.named(module.name)).flatten().cloned();
        for path in by_build_id.chain(by_name) {
            match ModuleDebug::open(&path, module) {
                Ok(found) => return Ok(found),
                Err(why) => rejected.push(why),
            }
        }
        Err(rejected)
    }

    fn named(&self, name: &str) -> &[PathBuf] {
        let index = self.by_name.get_or_init(|| self.index());
        let found = index.get(&normal(name)).map(Vec::as_slice).unwrap_or_default();
        found.get(..MAX_CANDIDATES).unwrap_or(found)
    }

    fn index(&self) -> HashMap<String, Vec<PathBuf>> {
        let mut index = Index::default();
        for directory in &self.directories {
            if let Some(release) = &self.release {
                for below in ["lib/modules", "usr/lib/modules"] {
                    index.add(&directory.join(below).join(release), MAX_DEPTH);
                }
            }
            // Files that somebody put together, not a whole tree.
            index.add(directory, 0);
        }
        for installed in self.release.iter().flat_map(|release| INSTALLED.map(|path| Path::new(path).join(release))) {
            index.add(&installed, MAX_DEPTH);
        }
        index.files
    }
}

#[derive(Default)]
struct Index {
    files: HashMap<String, Vec<PathBuf>>,
    seen: usize,
}

impl Index {
    /// Adds the modules in `directory` and, up to `depth` levels, below it. Links to directories are not followed.
    fn add(&mut self, directory: &Path, depth: usize) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        let mut entries: Vec<_> = entries.flatten().take(MAX_ENTRIES.saturating_sub(self.seen)).collect();
        self.seen += entries.len();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if let Some(depth) = depth.checked_sub(1) {
                    self.add(&entry.path(), depth);
                }
            } else if let Some(name) = entry.file_name().to_str().and_then(module_name) {
                self.files.entry(name).or_default().push(entry.path());
            }
        }
    }
}

/// The module that a file is of, by the file's name.
fn module_name(file: &str) -> Option<String> {
    let file = [".gz", ".xz", ".zst"].into_iter().find_map(|end| file.strip_suffix(end)).unwrap_or(file);
    let file = file.strip_suffix(".debug").unwrap_or(file);
    file.strip_suffix(".ko").map(normal)
}

fn normal(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_names_of_modules() {
        let name = |file| module_name(file);
        for file in ["snd-hda.ko", "snd_hda.ko.xz", "snd-hda.ko.debug", "snd-hda.ko.debug.zst", "snd_hda.ko.gz"] {
            assert_eq!(name(file).as_deref(), Some("snd_hda"), "{file}");
        }
        assert_eq!(name("modules.dep"), None);
        assert_eq!(name("vmlinux.xz"), None);
    }

    #[test]
    fn directories_are_searched_in_their_layouts() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"").unwrap();
            path
        };
        let flat = put("a-b.ko");
        let deep = put("lib/modules/6.1.0/kernel/drivers/x/a_b.ko.debug");
        let usr = put("usr/lib/modules/6.1.0/kernel/a_b.ko.zst");
        put("lib/modules/6.1.1/kernel/a_b.ko");
        put("elsewhere/a_b.ko");
        std::os::unix::fs::symlink(root.path(), root.path().join("lib/modules/6.1.0/kernel/loop")).unwrap();
        let files = ModuleFiles::new(vec![root.path().into()], Some("6.1.0"));
        assert_eq!(files.named("a_b"), [deep, usr, flat.clone()]);
        assert!(files.named("a").is_empty() && files.named("../a_b").is_empty());
        for release in [None, Some("../6.1.0"), Some("..")] {
            let files = ModuleFiles::new(vec![root.path().into()], release);
            assert_eq!(files.named("a_b"), std::slice::from_ref(&flat), "{release:?}");
        }
    }

    #[test]
    fn files_that_do_not_serve_are_named() {
        let root = tempfile::tempdir().unwrap();
        let build_id = [7; 20];
        let module = LoadedModule { name: "m", build_id: &build_id, sections: &[] };
        let files = || ModuleFiles::new(vec![root.path().into()], None);
        assert_eq!(files().open(&module).unwrap_err(), [""; 0]);
        fs::write(root.path().join("m.ko"), b"not an ELF file").unwrap();
        let rejected = files().open(&module).unwrap_err();
        assert!(rejected.len() == 1 && rejected[0].contains("m.ko is not an ELF file"), "{rejected:?}");
    }
}
