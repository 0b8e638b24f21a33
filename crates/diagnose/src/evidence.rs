//! Evidence about members of kernel structures: the address is that of the member itself, so that reading there with
//! any other tool gives the value shown.

use vmcore_kernel::Source;
use vmcore_memory::VirtAddr;

use crate::{Evidence, Place, Reader, Value};

/// What was read there: name and place come from the look-up that it was read by.
pub(crate) fn read_from(source: &Source, value: u64, meaning: impl Into<String>) -> Evidence {
    Evidence::new(source.to_string(), meaning).at(Place::Kernel(source.address)).value(Value::Hex(value))
}

/// A member whose value was read: its name is `type.path`, its place the member's own address.
pub(crate) fn member(
    reader: &dyn Reader,
    object: VirtAddr,
    (type_name, path): (&str, &str),
    value: Value,
    meaning: impl Into<String>,
) -> Evidence {
    let evidence = Evidence::new(format!("{type_name}.{path}"), meaning).value(value);
    match reader.member(object, type_name, path) {
        Some(address) => evidence.at(Place::Kernel(address)),
        // Renamed in this kernel, or the type is not known: better no place than a wrong one.
        None => evidence,
    }
}

/// A member with an older name: the newest that this kernel has.
pub(crate) fn renamed(
    reader: &dyn Reader,
    object: VirtAddr,
    type_name: &str,
    paths: &[&str],
    value: Value,
    meaning: impl Into<String>,
) -> Evidence {
    member(reader, object, (type_name, path_of(reader, type_name, paths)), value, meaning)
}

/// Of the names that a member has had, the one of this kernel, else the newest.
pub(crate) fn path_of<'p>(reader: &dyn Reader, type_name: &str, paths: &[&'p str]) -> &'p str {
    let known = paths.iter().find(|path| reader.member(VirtAddr::new(0), type_name, path).is_some());
    known.or(paths.first()).copied().unwrap_or_default()
}

/// A count or time as a value.
pub(crate) fn decimal(value: u64) -> Value {
    i64::try_from(value).map_or(Value::Hex(value), Value::Decimal)
}
