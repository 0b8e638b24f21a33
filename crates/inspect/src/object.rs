//! One object of the kernel with its type, and the members, pointers and lists that lead on from it.
//!
//! What the lists of kernel state are read with. A path of members (`queue.tag_set->nr_hw_queues`, `vm_stat[3]`) follows
//! pointers wherever one stands before a point, as `p` does. Where members were renamed, [`Object::first`] takes the
//! first of several paths that this kernel has.

use vmcore_debuginfo::{Shape, Type};
use vmcore_kernel::{Kernel, list};
use vmcore_memory::{PAGE_SIZE, ReadVirtual, VirtAddr, le_uint};

use crate::value::{self, Content};
use crate::{InspectError, find_type};

/// Bytes of a text.
const MAX_TEXT: usize = 256;
/// Elements of a list of the kernel's state.
const MAX_LISTED: usize = 1 << 16;

/// An object in memory.
#[derive(Clone, Copy)]
pub(crate) struct Object<'k> {
    kernel: &'k Kernel<'k>,
    ty: Type<'k>,
    address: VirtAddr,
    /// The place of a bit-field behind `address`, and its width.
    bits: Option<(u64, u32)>,
}

type Answer<T> = Result<T, InspectError>;

impl<'k> Object<'k> {
    /// The object of type `type_name` at `address`.
    pub(crate) fn new(kernel: &'k Kernel<'k>, type_name: &str, address: VirtAddr) -> Answer<Self> {
        Ok(Self { kernel, ty: find_type(kernel, type_name)?, address, bits: None })
    }

    /// The variable `name`, which C declares as `type_name`: BTF has the types of per-CPU variables only.
    pub(crate) fn variable(kernel: &'k Kernel<'k>, name: &str, type_name: &str) -> Answer<Self> {
        let address = kernel.symbol(name).ok_or_else(|| InspectError::NoSymbol(name.to_owned()))?;
        Self::new(kernel, type_name, address)
    }

    /// The variable `name`, a pointer to a `type_name`, followed.
    pub(crate) fn behind_variable(kernel: &'k Kernel<'k>, name: &str, type_name: &str) -> Answer<Self> {
        let address = kernel.symbol(name).ok_or_else(|| InspectError::NoSymbol(name.to_owned()))?;
        let read = |error| InspectError::read(format!("{name} at {address}"), error);
        let target = kernel.memory().read_pointer(address).map_err(read)?;
        Self::new(kernel, type_name, followed(target, type_name)?)
    }

    /// The per-CPU variable `name` on `cpu`, of type `type_name` where the debug information does not say.
    pub(crate) fn per_cpu(kernel: &'k Kernel<'k>, name: &str, type_name: &str, cpu: u32) -> Answer<Self> {
        if kernel.vmlinux().symbols().address(name).is_none() {
            return Err(InspectError::NoSymbol(name.to_owned()));
        }
        let address = kernel.percpu_symbol(name, cpu).ok_or_else(|| InspectError::NoCpu(cpu.into()))?;
        let known = kernel.vmlinux().types().variable_type(name);
        let ty = known.map_or_else(|| find_type(kernel, type_name), Ok)?;
        Ok(Self { kernel, ty, address, bits: None })
    }

    pub(crate) const fn address(self) -> VirtAddr {
        self.address
    }

    pub(crate) const fn kernel(self) -> &'k Kernel<'k> {
        self.kernel
    }

    /// The object of type `type_name` whose member `path` is at `address`.
    pub(crate) fn around(kernel: &'k Kernel<'k>, type_name: &str, path: &str, address: VirtAddr) -> Answer<Self> {
        let object = Self::new(kernel, type_name, VirtAddr::new(0))?;
        let offset = object.at_offset(path)?;
        Ok(Self { address: address.wrapping_sub(offset), ..object })
    }

    /// The member at the end of a path; pointers on the way are followed.
    pub(crate) fn at(self, path: &str) -> Answer<Self> {
        let mut object = self;
        for step in path.split('.') {
            let (name, indexes) = step.find('[').and_then(|at| step.split_at_checked(at)).unwrap_or((step, ""));
            object = object.pointee()?.member(name)?;
            for index in indexes.split('[').skip(1) {
                let index = index.trim_end_matches(']');
                let index = index.parse().map_err(|_| InspectError::Syntax(format!("'{index}' is not an index")))?;
                object = object.element(index)?;
            }
        }
        Ok(object)
    }

    /// The first of several paths that this kernel has: the newest first.
    pub(crate) fn first(self, paths: &[&str]) -> Answer<Self> {
        let mut missing = None;
        for path in paths {
            match self.at(path) {
                Err(error @ InspectError::NoMember { .. }) => missing = missing.or(Some(error)),
                answer => return answer,
            }
        }
        Err(missing.unwrap_or_else(|| InspectError::Syntax("the name of a member is missing".to_owned())))
    }

    /// Whether this kernel has the member at the end of a path without pointers.
    pub(crate) fn has(self, path: &str) -> bool {
        self.at_offset(path).is_ok()
    }

    /// The element `index` of an array, or of what a pointer leads to.
    pub(crate) fn element(self, index: u64) -> Answer<Self> {
        let (element, address) = match self.ty.shape() {
            Some(Shape::Array { element, .. }) => (element, self.address),
            Some(Shape::Pointer(element)) => (element, self.pointer()?),
            _ => return Err(InspectError::NotAnArray(self.ty.declare(""))),
        };
        let size = element.size().ok_or_else(|| InspectError::NotAPointer(element.declare("*")))?;
        Ok(Self { ty: element, address: address.wrapping_add(index.wrapping_mul(size)), ..self })
    }

    /// The object that many objects of its size behind this one: of an array whose type is not known.
    pub(crate) fn behind(self, count: u64) -> Self {
        Self { address: self.address.wrapping_add(count.wrapping_mul(self.size())), ..self }
    }

    /// How many elements an array has.
    pub(crate) fn len(self) -> u64 {
        match self.ty.shape() {
            Some(Shape::Array { len, .. }) => len,
            _ => 0,
        }
    }

    pub(crate) fn is_pointer(self) -> bool {
        matches!(self.ty.shape(), Some(Shape::Pointer(_)))
    }

    pub(crate) fn size(self) -> u64 {
        self.ty.size().unwrap_or_default()
    }

    /// What this pointer leads to; an object that is no pointer is itself.
    pub(crate) fn pointee(self) -> Answer<Self> {
        let Some(Shape::Pointer(ty)) = self.ty.shape() else { return Ok(self) };
        Ok(Self { ty, address: followed(self.pointer()?, &self.ty.declare(""))?, ..self })
    }

    /// What this pointer leads to on `cpu`, where it is one to per-CPU data.
    pub(crate) fn pointee_on(self, cpu: u32) -> Answer<Self> {
        let Some(Shape::Pointer(ty)) = self.ty.shape() else {
            return Err(InspectError::NotAPointer(self.ty.declare("")));
        };
        let address = self.kernel.percpu().dereference(self.pointer()?, cpu);
        Ok(Self { ty, address: address.ok_or_else(|| InspectError::NoCpu(cpu.into()))?, ..self })
    }

    /// The value of this pointer, or of the word at this place.
    pub(crate) fn pointer(self) -> Answer<VirtAddr> {
        let read = |error| InspectError::read(format!("the {} at {}", self.ty.declare(""), self.address), error);
        self.kernel.memory().read_pointer(self.address).map_err(read)
    }

    /// The pointer at the end of a path; `None` where it is null.
    pub(crate) fn pointer_at(self, path: &str) -> Answer<Option<VirtAddr>> {
        Ok(Some(self.at(path)?.pointer()?).filter(|pointer| !pointer.is_null()))
    }

    /// The number that this is, extended to 64 bits by its sign; of a struct its first member (`atomic_t`).
    pub(crate) fn value(self) -> Answer<i64> {
        if let Some((offset, width)) = self.bits {
            return match value::read_bits(self.kernel, self.ty, self.address, offset, width).content {
                Content::Integer { value, .. } => Ok(i64::try_from(value).unwrap_or(i64::MAX)),
                Content::Truth(value) => Ok(value.into()),
                Content::Enumerator { value, .. } => Ok(value),
                _ => Err(InspectError::NotANumber(self.ty.declare(""))),
            };
        }
        let mut object = self;
        while let Some(Shape::Struct { .. }) = object.ty.shape() {
            let first = object.ty.members().into_iter().next();
            let first = first.ok_or_else(|| InspectError::NotANumber(self.ty.declare("")))?;
            object = Self { ty: first.ty, ..object };
        }
        let size = object.size();
        if !matches!(size, 1 | 2 | 4 | 8) {
            return Err(InspectError::NotANumber(self.ty.declare("")));
        }
        let read = |error| InspectError::read(format!("the {} at {}", self.ty.declare(""), self.address), error);
        let bytes = self.kernel.memory().read_bytes(self.address, size).map_err(read)?;
        let raw = le_uint(&bytes, 0, bytes.len()).unwrap_or_default();
        let signed = matches!(object.ty.shape(), Some(Shape::Integer { signed: true, .. }));
        let bits = u32::try_from(size * 8).unwrap_or(64);
        Ok(if signed { value::sign_extended(raw, bits) } else { raw }.cast_signed())
    }

    /// As [`Object::value`], without a sign.
    pub(crate) fn number(self) -> Answer<u64> {
        self.value().map(i64::cast_unsigned)
    }

    pub(crate) fn number_at(self, path: &str) -> Answer<u64> {
        self.at(path)?.number()
    }

    /// The text in this array of characters, or behind this pointer to some; empty where the pointer is null. From the
    /// dump: untrusted.
    pub(crate) fn text(self) -> Answer<String> {
        let (at, max) = match self.ty.shape() {
            Some(Shape::Array { len, .. }) => (self.address, usize::try_from(len).unwrap_or(MAX_TEXT).min(MAX_TEXT)),
            _ => (self.pointer()?, MAX_TEXT),
        };
        if at.is_null() {
            return Ok(String::new());
        }
        let read = |error| InspectError::read(format!("the text at {at}"), error);
        let bytes = self.kernel.memory().read_c_string(at, max).map_err(read)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn text_at(self, path: &str) -> Answer<String> {
        self.at(path)?.text()
    }

    /// The objects of type `type_name` whose member `link` is on the list with this head, and why there are no more.
    pub(crate) fn list(self, type_name: &str, link: &str) -> Answer<(Vec<Self>, Option<String>)> {
        let object = Self::new(self.kernel, type_name, VirtAddr::new(0))?;
        let offset = object.at_offset(link)?;
        let listed = list(self.kernel.memory(), self.address, MAX_LISTED, type_name);
        let objects = listed.nodes.into_iter().map(|node| Self { address: node.wrapping_sub(offset), ..object });
        Ok((objects.collect(), listed.gap.map(|gap| gap.why)))
    }

    /// Bytes from the start of this object to the member at the end of a path without pointers.
    fn at_offset(self, path: &str) -> Answer<u64> {
        offset_in(self.ty, path)
    }

    fn member(self, name: &str) -> Answer<Self> {
        let member = self.ty.member(name).ok_or_else(|| InspectError::no_member(self.ty, name))?;
        Ok(match member.bit_size {
            Some(width) => Self { ty: member.ty, bits: Some((member.bit_offset, width)), ..self },
            None => {
                Self { ty: member.ty, address: self.address.wrapping_add(member.bit_offset / 8), bits: None, ..self }
            }
        })
    }
}

/// Bytes from the start of a `type_name` to the member at the end of a path without pointers.
///
/// # Errors
///
/// [`InspectError`] where there is no such type or member.
pub fn member_offset(kernel: &Kernel<'_>, type_name: &str, path: &str) -> Result<u64, InspectError> {
    offset_in(find_type(kernel, type_name)?, path)
}

fn offset_in(mut ty: Type<'_>, path: &str) -> Answer<u64> {
    let mut bits = 0u64;
    for step in path.split('.') {
        let member = ty.member(step).ok_or_else(|| InspectError::no_member(ty, step))?;
        bits = bits.wrapping_add(member.bit_offset);
        ty = member.ty;
    }
    Ok(bits / 8)
}

/// The answer, or `None` where this kernel has no such member: one that cannot be read is an error still.
pub(crate) fn if_known<T>(answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        Err(error) if error.is_unknown() => Ok(None),
        answer => answer.map(Some),
    }
}

/// Nothing is in the first page.
fn followed(target: VirtAddr, type_name: &str) -> Answer<VirtAddr> {
    match target.get() {
        value @ 0..PAGE_SIZE => Err(InspectError::Null { type_name: type_name.to_owned(), value }),
        _ => Ok(target),
    }
}
