//! Evidence about members of kernel structures: the address is that of the member itself, so that reading there with
//! any other tool gives the value shown.

use vmcore_kernel::Source;
use vmcore_memory::VirtAddr;

use crate::{Evidence, Place, Reader, Value};

/// What was read there: name and place come from the look-up that it was read by.
pub(crate) fn read_from(source: &Source, value: u64, meaning: impl Into<String>) -> Evidence {
    read_value(source, Value::Hex(value), meaning)
}

fn read_value(source: &Source, value: Value, meaning: impl Into<String>) -> Evidence {
    Evidence::new(source.to_string(), meaning).at(Place::Kernel(source.address)).value(value)
}

/// A member whose value was read: its name is `type.path`, its place the member's own address.
pub(crate) fn member(
    reader: &dyn Reader,
    object: VirtAddr,
    (type_name, path): (&'static str, &'static str),
    value: Value,
    meaning: impl Into<String>,
) -> Evidence {
    match reader.member(object, type_name, path) {
        Some(source) => read_value(&source, value, meaning),
        // Renamed in this kernel, or the type is not known: better no place than a wrong one.
        None => Evidence::new(format!("{type_name}.{path}"), meaning).value(value),
    }
}

/// A member with an older name: the newest that this kernel has.
pub(crate) fn renamed(
    reader: &dyn Reader,
    object: VirtAddr,
    type_name: &'static str,
    paths: &[&'static str],
    value: Value,
    meaning: impl Into<String>,
) -> Evidence {
    member(reader, object, (type_name, path_of(reader, type_name, paths)), value, meaning)
}

/// Of the names that a member has had, the one of this kernel, else the newest.
pub(crate) fn path_of(reader: &dyn Reader, type_name: &'static str, paths: &[&'static str]) -> &'static str {
    let known = paths.iter().find(|path| reader.member(VirtAddr::new(0), type_name, path).is_some());
    known.or(paths.first()).copied().unwrap_or_default()
}

/// A count or time as a value.
pub(crate) fn decimal(value: u64) -> Value {
    i64::try_from(value).map_or(Value::Hex(value), Value::Decimal)
}
