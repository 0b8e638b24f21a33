//! What `uname` printed: `init_uts_ns.name`, a `struct new_utsname`.

use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::Kernel;
use crate::layout::{Field, Resolver};

/// The names of the machine in its initial namespace. From the dump: untrusted. Empty where one cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utsname {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`: the number and time of the build, and words such as `SMP PREEMPT_DYNAMIC`.
    pub version: String,
    /// `uname -m`.
    pub machine: String,
    /// `uname -n`.
    pub nodename: String,
}

impl Kernel<'_> {
    /// The names of the machine; `None` where the vmlinux or the dump does not have them.
    #[must_use]
    pub fn utsname(&self) -> Option<Utsname> {
        let types = Resolver::new(self.vmlinux().types());
        let namespace = self.vmcoreinfo().and_then(|info| info.symbol("init_uts_ns"));
        let namespace = namespace.or_else(|| self.symbol("init_uts_ns"))?;
        let name = |member: &str| {
            let field = types.optional("uts_namespace", &format!("name.{member}"))?;
            read_name(self.memory(), field, namespace)
        };
        Some(Utsname {
            release: name("release")?,
            version: name("version").unwrap_or_default(),
            machine: name("machine").unwrap_or_default(),
            nodename: name("nodename").unwrap_or_default(),
        })
    }
}

fn read_name<M: ReadVirtual + ?Sized>(memory: &M, field: Field, object: VirtAddr) -> Option<String> {
    let max = usize::try_from(field.size).ok()?;
    let bytes = memory.read_c_string(field.address(object), max).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
