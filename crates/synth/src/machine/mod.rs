//! The kernel's objects in memory, as the scenario has them.

mod cpus;
mod log;
mod modules;
mod notes;
mod pages;
mod queues;
mod tasks;
mod vmcoreinfo;

mod arm64;
mod x86_64;

pub(crate) use cpus::Cpu;
pub(crate) use log::Line;
pub(crate) use notes::prstatus_note;
pub(crate) use queues::Queue;
pub(crate) use tasks::{NewTask, TaskList};

use vmcore_memory::VirtAddr;

use crate::SynthError;
use crate::arch::{Paging, Target};
use crate::generation::Generation;
use crate::memory::space::Space;
use crate::random::Random;
use crate::vmlinux::image::Image;

/// A machine that is being built.
pub(crate) struct Machine<'g> {
    pub(crate) generation: &'g Generation,
    pub(crate) image: Image,
    pub(crate) space: Space,
}

impl<'g> Machine<'g> {
    /// A machine with its kernel loaded and nothing else.
    pub(crate) fn boot(
        generation: &'g Generation,
        image: Image,
        random: &mut Random,
        (paging, memory): (Paging, u64),
    ) -> Result<Self, SynthError> {
        let regions = generation.target().regions(random, paging, memory)?;
        let runtime = |link: VirtAddr| link.wrapping_add(regions.kaslr);
        let root = match generation.target() {
            Target::X86_64(_) => image.variable("init_top_pgt")?,
            Target::Arm64(_) => image.variable("swapper_pg_dir")?,
        };
        let data = runtime(image.variable("linux_banner")?);
        let space = Space::new(regions, memory, (runtime(image.start)..runtime(image.end), data), runtime(root));
        let mut machine = Self { generation, image, space };
        machine.load_image()?;
        Ok(machine)
    }

    /// The parts of the image that are the same before and after it ran.
    fn load_image(&mut self) -> Result<(), SynthError> {
        let kaslr = self.space.regions.kaslr;
        let Self { image, space, .. } = self;
        let banner = image.variable("linux_banner")?.wrapping_add(kaslr);
        // Variables are in .data and .bss: all of it exists. The top-level table is among them, and not empty any more.
        for page in (banner.get()..image.data_end.wrapping_add(kaslr).get()).step_by(4096) {
            let word = space.read_u64(VirtAddr::new(page))?;
            space.write_u64(VirtAddr::new(page), word)?;
        }
        space.write(image.text.wrapping_add(kaslr), &image.code.kernel.bytes)?;
        for table in &image.tables {
            space.write(table.at.wrapping_add(kaslr), &table.bytes)?;
        }
        space.write(banner, image.banner.as_bytes())?;
        match self.generation.target() {
            Target::X86_64(_) => self.tell_regions_of_x86_64(),
            Target::Arm64(_) => self.tell_regions_of_arm64(),
        }
    }

    /// The run-time address of code that is so far behind the start of the text.
    pub(crate) const fn code_at(&self, offset: u64) -> VirtAddr {
        self.image.code_at(offset, self.space.regions.kaslr)
    }

    /// `THREAD_SIZE`: at least a page.
    pub(crate) fn thread_size(&self) -> u64 {
        let described = self.generation.types().size_of("thread_union").unwrap_or(16 << 10);
        described.max(self.space.regions.paging.page_size())
    }

    /// The run-time address of a variable of the image.
    pub(crate) fn variable(&self, name: &str) -> Result<VirtAddr, SynthError> {
        Ok(self.image.variable(name)?.wrapping_add(self.space.regions.kaslr))
    }

    /// Sets a variable of the image of 8 bytes.
    pub(crate) fn set_variable(&mut self, name: &str, value: u64) -> Result<(), SynthError> {
        let at = self.variable(name)?;
        self.space.write_u64(at, value)
    }

    /// Sets a variable of the image of 4 bytes.
    pub(crate) fn set_int(&mut self, name: &str, value: i32) -> Result<(), SynthError> {
        let at = self.variable(name)?;
        self.space.write(at, &value.to_le_bytes())
    }

    /// Memory for an object, where the members that readers know are zero.
    pub(crate) fn new_object(&mut self, type_name: &str) -> Result<VirtAddr, SynthError> {
        let object = self.space.allocate_object(self.generation.size_of(type_name)?);
        self.clear(object, type_name)?;
        Ok(object)
    }

    /// Writes zeroes up to the last member that readers know.
    pub(crate) fn clear(&mut self, object: VirtAddr, type_name: &str) -> Result<(), SynthError> {
        let types = self.generation.types();
        let lacks = || self.generation.lacks(format!("struct {type_name}"));
        let structure = types.structure(type_name).ok_or_else(lacks)?;
        // Only the start of the last member counts: it may be long, and is written by whoever uses it.
        let last = structure.members.iter().map(|member| member.offset + 64).max().unwrap_or_default();
        let size = usize::try_from(last.min(structure.size)).unwrap_or_default();
        self.space.write(object, &vec![0; size])
    }

    /// Whether this kernel has the member.
    pub(crate) fn has(&self, type_name: &str, path: &str) -> bool {
        self.generation.types().place(type_name, path).is_some()
    }

    /// The address of a member.
    pub(crate) fn member(&self, object: VirtAddr, type_name: &str, path: &str) -> Result<VirtAddr, SynthError> {
        let place = self.generation.types().place(type_name, path);
        let place = place.ok_or_else(|| self.generation.lacks(format!("{type_name}.{path}")))?;
        Ok(object.wrapping_add(place.offset))
    }

    /// Sets a member.
    pub(crate) fn put(&mut self, object: VirtAddr, type_name: &str, path: &str, value: u64) -> Result<(), SynthError> {
        let place = self.generation.types().place(type_name, path);
        let place = place.ok_or_else(|| self.generation.lacks(format!("{type_name}.{path}")))?;
        let at = object.wrapping_add(place.offset);
        let (value, size) = match place.bits {
            None => (value, place.size),
            Some(bits) => {
                let mask = ((1 << bits.width) - 1) << bits.shift;
                let old = self.space.read_u64(at)? & 0xff;
                (old & !mask | value << bits.shift & mask, 1)
            }
        };
        let bytes = value.to_le_bytes();
        let size = usize::try_from(size).unwrap_or_default();
        self.space.write(at, bytes.get(..size).unwrap_or(&bytes))
    }

    /// Sets the first of several members that this kernel has.
    pub(crate) fn put_first(
        &mut self,
        object: VirtAddr,
        type_name: &str,
        paths: &[&str],
        value: u64,
    ) -> Result<(), SynthError> {
        let path = paths.iter().find(|path| self.has(type_name, path));
        let path = path.ok_or_else(|| self.generation.lacks(format!("{type_name}.{}", paths.join(" or "))))?;
        self.put(object, type_name, path, value)
    }

    /// Sets a member where this kernel has it.
    pub(crate) fn put_if_there(
        &mut self,
        object: VirtAddr,
        type_name: &str,
        path: &str,
        value: u64,
    ) -> Result<(), SynthError> {
        if self.has(type_name, path) { self.put(object, type_name, path, value) } else { Ok(()) }
    }

    /// Makes a circle of the list members at these addresses, the head first.
    pub(crate) fn link(&mut self, nodes: &[VirtAddr]) -> Result<(), SynthError> {
        let next = nodes.iter().cycle().skip(1);
        for (node, next) in nodes.iter().zip(next) {
            self.space.write_u64(*node, next.get())?;
            self.space.write_u64(next.wrapping_add(8), node.get())?;
        }
        Ok(())
    }
}
