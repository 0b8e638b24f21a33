//! The machines that Linux runs on, as ELF headers number them and `uname -m` names them.
//!
//! Sources: `include/uapi/linux/elf-em.h`; `UTS_MACHINE` in `arch/*/Makefile`.

use std::fmt;

use super::Architecture;
use crate::le_u16;

/// One kind of machine.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    /// `EM_*`.
    numbers: &'static [u16],
    /// What `uname -m` prints.
    unames: &'static [&'static str],
    /// The name in a sentence, with its article.
    name: &'static str,
    /// The architecture, where dumps of it are read.
    read: Option<Architecture>,
}

const X86_64: u16 = 62;
const AARCH64: u16 = 183;

const KINDS: &[Kind] = &[
    Kind { numbers: &[X86_64], unames: &["x86_64"], name: "an x86-64", read: Some(Architecture::X86_64) },
    Kind { numbers: &[AARCH64], unames: &["aarch64"], name: "an arm64", read: Some(Architecture::Arm64) },
    Kind { numbers: &[], unames: &["aarch64_be"], name: "a big-endian arm64", read: None },
    Kind { numbers: &[3], unames: &["i386", "i486", "i586", "i686"], name: "a 32-bit x86", read: None },
    Kind { numbers: &[40], unames: &["armv6l", "armv7l", "armv8l"], name: "a 32-bit ARM", read: None },
    Kind { numbers: &[50], unames: &["ia64"], name: "an Itanium", read: None },
    Kind { numbers: &[20, 21], unames: &["ppc", "ppc64", "ppc64le"], name: "a PowerPC", read: None },
    Kind { numbers: &[22], unames: &["s390", "s390x"], name: "an s390", read: None },
    Kind { numbers: &[8], unames: &["mips", "mips64"], name: "a MIPS", read: None },
    Kind { numbers: &[2, 43], unames: &["sparc", "sparc64"], name: "a SPARC", read: None },
    Kind { numbers: &[0x9026], unames: &["alpha"], name: "an Alpha", read: None },
    Kind { numbers: &[243], unames: &["riscv32", "riscv64"], name: "a RISC-V", read: None },
    Kind { numbers: &[258], unames: &["loongarch32", "loongarch64"], name: "a LoongArch", read: None },
];

/// The machine that a file is of. Displays as words for a sentence, such as "a RISC-V machine".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    named: Named,
    layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Known(&'static Kind),
    Number(u16),
    Nothing,
}

/// How a file lays out what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// 64-bit and little-endian, as is read.
    Read,
    /// 32-bit, little-endian.
    Narrow,
    BigEndian,
}

impl Machine {
    /// A machine of which nothing is known but the order of its bytes.
    pub const BIG_ENDIAN: Self = Self { named: Named::Nothing, layout: Layout::BigEndian };

    /// The machine that an ELF header names; `None` where the header ends before that.
    ///
    /// Class, byte order and machine stand at the same place in every ELF file.
    #[must_use]
    pub fn of_elf(header: &[u8]) -> Option<Self> {
        let [class, encoding] = *header.get(4..6)? else { return None };
        let number = le_u16(header, 18)?;
        let (number, layout) = match (class, encoding) {
            (_, 2) => (number.swap_bytes(), Layout::BigEndian),
            (2, 1) => (number, Layout::Read),
            _ => (number, Layout::Narrow),
        };
        let known = KINDS.iter().find(|kind| kind.numbers.contains(&number));
        Some(Self { named: known.map_or(Named::Number(number), Named::Known), layout })
    }

    /// The machine that `utsname.machine` names, where it is one that is known.
    #[must_use]
    pub fn of_utsname(name: &[u8]) -> Option<Self> {
        let known = KINDS.iter().find(|kind| kind.unames.iter().any(|uname| uname.as_bytes() == name))?;
        Some(Self { named: Named::Known(known), layout: Layout::Read })
    }

    /// The architecture, where dumps and debug files of this machine are read.
    #[must_use]
    pub fn architecture(&self) -> Option<Architecture> {
        match (self.named, self.layout) {
            (Named::Known(kind), Layout::Read) => kind.read,
            _ => None,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.named, self.layout) {
            (Named::Known(&Kind { name, read: Some(_), .. }), Layout::Narrow) => {
                write!(f, "{name} machine in a 32-bit file")
            }
            (Named::Known(&Kind { name, read: Some(_), .. }), Layout::BigEndian) => {
                write!(f, "{name} machine in a big-endian file")
            }
            (Named::Known(&Kind { name, .. }), _) => write!(f, "{name} machine"),
            (Named::Number(number), _) => write!(f, "a machine with ELF number {number}"),
            (Named::Nothing, Layout::BigEndian) => f.write_str("a big-endian machine"),
            (Named::Nothing, _) => f.write_str("an unnamed machine"),
        }
    }
}

impl Architecture {
    /// `e_machine` of an ELF file of this architecture.
    #[must_use]
    pub const fn elf_machine(self) -> u16 {
        match self {
            Self::X86_64 => X86_64,
            Self::Arm64 => AARCH64,
        }
    }

    /// What `uname -m` prints: `x86_64` or `aarch64`.
    #[must_use]
    pub const fn utsname_machine(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(class: u8, encoding: u8, machine: u16) -> Machine {
        let mut header = vec![0; 20];
        header[4..6].copy_from_slice(&[class, encoding]);
        let machine = if encoding == 2 { machine.to_be_bytes() } else { machine.to_le_bytes() };
        header[18..20].copy_from_slice(&machine);
        Machine::of_elf(&header).unwrap()
    }

    #[test]
    fn an_architecture_has_one_number_and_one_name() {
        for architecture in Architecture::ALL {
            assert_eq!(elf(2, 1, architecture.elf_machine()).architecture(), Some(architecture));
            assert_eq!(
                Machine::of_utsname(architecture.utsname_machine().as_bytes()).unwrap().architecture(),
                Some(architecture)
            );
            assert!(Architecture::LIST.contains(architecture.name()));
        }
    }

    #[test]
    fn no_two_machines_share_a_number_or_a_name() {
        for (at, kind) in KINDS.iter().enumerate() {
            for other in &KINDS[at + 1..] {
                assert!(kind.numbers.iter().all(|number| !other.numbers.contains(number)), "{kind:?} {other:?}");
                assert!(kind.unames.iter().all(|name| !other.unames.contains(name)), "{kind:?} {other:?}");
            }
        }
    }

    #[test]
    fn machines_that_are_not_read_have_names() {
        let named = |machine: Machine| (machine.architecture(), machine.to_string());
        assert_eq!(named(elf(2, 1, 243)), (None, "a RISC-V machine".to_owned()));
        assert_eq!(named(elf(1, 1, 40)), (None, "a 32-bit ARM machine".to_owned()));
        assert_eq!(named(elf(2, 2, 21)), (None, "a PowerPC machine".to_owned()));
        assert_eq!(named(elf(2, 2, 183)), (None, "an arm64 machine in a big-endian file".to_owned()));
        assert_eq!(named(elf(1, 1, 62)), (None, "an x86-64 machine in a 32-bit file".to_owned()));
        assert_eq!(named(elf(2, 1, 9999)), (None, "a machine with ELF number 9999".to_owned()));
        assert_eq!(named(Machine::of_utsname(b"s390x").unwrap()), (None, "an s390 machine".to_owned()));
        assert_eq!(Machine::of_utsname(b"64"), None);
        assert_eq!(Machine::of_elf(b"\x7fELF\x02\x01"), None);
    }
}
