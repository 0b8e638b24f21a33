//! The fixed part of a BTF type, and how long the rest of it is.

use vmcore_memory::le_u32;

/// Bytes that every type starts with.
pub(super) const HEAD_SIZE: usize = 12;
/// `sizeof(struct btf_layout)`.
const LAYOUT_SIZE: usize = 4;
/// `BTF_INT_SIGNED`, in the top byte of an integer's encoding.
pub(super) const INT_SIGNED: u32 = 1;

/// `BTF_KIND_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    DataSec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::DataSec,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            _ => return None,
        })
    }

    /// Whether somebody may ask for a type of this kind by its name.
    pub(super) const fn is_looked_up_by_name(self) -> bool {
        matches!(
            self,
            Self::Int
                | Self::Struct
                | Self::Union
                | Self::Enum
                | Self::Typedef
                | Self::Var
                | Self::Float
                | Self::Enum64
        )
    }
}

/// `struct btf_type`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) name: u32,
    info: u32,
    pub(super) size_or_type: u32,
}

impl Head {
    pub(super) fn parse(bytes: &[u8], at: usize) -> Option<Self> {
        let fixed = bytes.get(at..)?.get(..HEAD_SIZE)?;
        Some(Self { name: le_u32(fixed, 0)?, info: le_u32(fixed, 4)?, size_or_type: le_u32(fixed, 8)? })
    }

    pub(super) const fn kind_number(self) -> u32 {
        (self.info >> 24) & 0x7f
    }

    pub(super) const fn kind(self) -> Option<Kind> {
        Kind::from_number(self.kind_number())
    }

    /// Number of members, enumerators, parameters or variables.
    pub(super) const fn vlen(self) -> u32 {
        self.info & 0xff_ffff
    }

    /// For structs and unions: offsets hold bit-field widths. For enumerations: the values are signed.
    pub(super) const fn kind_flag(self) -> bool {
        self.info >> 31 == 1
    }

    /// Bytes of the whole type. Where its kind is not known, the blob's own `layouts` may tell.
    pub(super) fn len(self, layouts: &[u8]) -> Option<usize> {
        let vlen = usize::try_from(self.vlen()).ok()?;
        let Some(kind) = self.kind() else { return self.len_by_layout(layouts, vlen) };
        let rest = match kind {
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => vlen.checked_mul(12)?,
            Kind::Enum | Kind::FuncProto => vlen.checked_mul(8)?,
            Kind::Ptr
            | Kind::Fwd
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::Float
            | Kind::TypeTag => 0,
        };
        HEAD_SIZE.checked_add(rest)
    }

    /// By `struct btf_layout` of the kind: `u8` bytes behind the head | `u8` bytes of each of `vlen` elements | `u16` flags.
    fn len_by_layout(self, layouts: &[u8], vlen: usize) -> Option<usize> {
        let at = usize::try_from(self.kind_number()).ok()?.checked_mul(LAYOUT_SIZE)?;
        let layout = layouts.get(at..at.checked_add(LAYOUT_SIZE)?)?;
        let (rest, element) = (usize::from(*layout.first()?), usize::from(*layout.get(1)?));
        // Types start at multiples of 4.
        let is_whole = rest % 4 == 0 && element % 4 == 0;
        HEAD_SIZE.checked_add(rest)?.checked_add(element.checked_mul(vlen)?).filter(|_| is_whole)
    }
}
