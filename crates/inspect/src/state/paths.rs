//! Paths of dentries, and types of file systems.
//!
//! Source: `fs/d_path.c`, `fs/mount.h`, `include/linux/dcache.h`.

use vmcore_kernel::Kernel;
use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::InspectError;
use crate::object::{Object, if_known};

/// Names of a path.
const MAX_NAMES: usize = 256;

/// The type of a super block, with its subtype (`fuse.sshfs`).
pub(super) fn fs_type(block: Object<'_>) -> Result<String, InspectError> {
    let name = block.text_at("s_type.name")?;
    let subtype = if_known(block.text_at("s_subtype"))?.unwrap_or_default();
    Ok(if subtype.is_empty() { name } else { format!("{name}.{subtype}") })
}

/// The path of the dentry at `dentry` in the mount whose `struct vfsmount` is at `vfsmount`: from the root of its
/// namespace, as far as it can be read.
pub(super) fn path<'k>(kernel: &'k Kernel<'k>, vfsmount: VirtAddr, dentry: VirtAddr) -> Result<String, InspectError> {
    let mut mount = Object::around(kernel, "struct mount", "mnt", vfsmount)?;
    let mut dentry = Object::new(kernel, "struct dentry", dentry)?;
    let mut names = Vec::new();
    let mut in_mount = 0usize;
    while names.len() < MAX_NAMES && in_mount < MAX_NAMES {
        let root = mount.at("mnt.mnt_root")?.pointer()?;
        if dentry.address() == root {
            let parent = mount.at("mnt_parent")?.pointee()?;
            if parent.address() == mount.address() {
                break;
            }
            (dentry, mount) = (mount.at("mnt_mountpoint")?.pointee()?, parent);
            in_mount += 1;
            continue;
        }
        let parent = dentry.at("d_parent")?.pointee()?;
        names.push(name(dentry)?);
        if parent.address() == dentry.address() {
            // Pipes, sockets and the like, which are in no directory.
            break;
        }
        dentry = parent;
    }
    names.reverse();
    Ok(format!("/{}", names.join("/")))
}

/// The name of a dentry.
pub(super) fn name(dentry: Object<'_>) -> Result<String, InspectError> {
    let name = dentry.first(&["d_name.name", "__d_name.name"])?.pointer()?;
    let read = |error| InspectError::read(format!("the name at {name}"), error);
    let bytes = dentry.kernel().memory().read_c_string(name, 256).map_err(read)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
