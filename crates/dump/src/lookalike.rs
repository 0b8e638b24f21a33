//! What a file is that is no dump.

use std::fmt;

/// What a file that is not a dump looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookalike {
    /// A file compressed as a whole, by the named program.
    Compressed(&'static str),
    /// A memory image in a format that is not read here, by name.
    OtherDump(&'static str),
    /// The state of a virtual machine of VMware, whose memory is in another file.
    Vmware,
    /// What `xl dump-core` of Xen writes.
    XenCore,
    /// A dump of a whole Xen host: of the hypervisor and all guests, by addresses that no guest knows.
    XenHost,
    /// What SADUMP, the firmware of some servers, writes.
    Sadump,
    /// A flattened file without a dump in it.
    EmptyFlattened,
    /// A kernel image for a boot loader.
    BootImage,
    /// Readable text.
    Text,
    /// Zero bytes as far as was looked.
    Zeroes,
    /// Nothing known.
    Unknown,
}

impl fmt::Display for Lookalike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compressed(name) => write!(f, "it is compressed with {name}"),
            Self::OtherDump(name) => write!(f, "it is {name}"),
            Self::Vmware => f.write_str("it is the suspend state or snapshot of a VMware machine (.vmss, .vmsn)"),
            Self::XenCore => f.write_str("it is a core of a Xen guest (`xl dump-core`)"),
            Self::XenHost => f.write_str("it is a dump of a whole Xen host, with its hypervisor"),
            Self::Sadump => f.write_str("it is a SADUMP dump, which a server's firmware wrote"),
            Self::EmptyFlattened => f.write_str("it is a flattened file whose records do not start a dump"),
            Self::BootImage => f.write_str("it is a bootable kernel image"),
            Self::Text => f.write_str("it is a text file"),
            Self::Zeroes => f.write_str("it starts with zeroes only"),
            Self::Unknown => f.write_str("it has the signature of no known format"),
        }
    }
}
