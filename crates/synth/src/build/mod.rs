//! From a scenario and a kernel generation to a machine's memory, its vmlinux and its notes.

mod grace_period;
mod machine;
mod objects;
mod tasks;

use vmcore_dump::RawNote;
use vmcore_memory::Architecture;

use crate::SynthError;
use crate::arch::Wanted;
use crate::generation::Generation;
use crate::machine::Machine;
use crate::memory::physical::Physical;
use crate::plan;
use crate::random::Random;
use crate::scenario::{Arch, Doing, Life, Policy, Reference, Scenario, State, Task, Under, Word};
use crate::vmlinux::code::{CallGraph, Code};
use crate::vmlinux::elf;
use crate::vmlinux::image::Image;
use machine::Builder;

/// How much memory a machine has that nobody said anything about.
const DEFAULT_MEMORY_GIB: u64 = 512;

/// The most CPUs of a synthetic machine.
pub const MAX_CPUS: u32 = 512;

/// A synthetic machine, ready to be written.
#[derive(Debug)]
pub struct Synthetic {
    /// What it is built of.
    pub architecture: Architecture,
    /// Its memory.
    pub memory: Physical,
    /// The notes of its dump.
    pub notes: Vec<RawNote>,
    /// The file that describes its kernel.
    pub vmlinux: Vec<u8>,
}

/// Builds the machine of `scenario` on a kernel of `generation`. The same seed gives the same bytes.
///
/// # Errors
///
/// [`SynthError`] where the scenario asks for what cannot be.
pub fn build(scenario: &Scenario, generation: &Generation, seed: u64) -> Result<Synthetic, SynthError> {
    scenario.check()?;
    of_the_same_machine(scenario, generation)?;
    let mut random = Random::new(seed);
    let paging = generation.target().paging(Wanted {
        levels: scenario.page_levels,
        page_kib: scenario.page_kib,
        va_bits: scenario.va_bits,
    })?;
    let code = Code::lay_out(generation, calls(scenario, generation)?, &scenario.module);
    let image = Image::link(generation, code, scenario, paging)?;
    let build_id = build_id(&elf::write(generation, &image, &[0; 20])?, seed);
    let vmlinux = elf::write(generation, &image, &build_id)?;
    let memory = scenario.memory_gib.unwrap_or(DEFAULT_MEMORY_GIB) << 30;
    let machine = Machine::boot(generation, image, &mut random, (paging, memory))?;
    let mut builder = Builder::new(scenario, machine)?;
    builder.add_pages()?;
    builder.add_processes()?;
    builder.add_objects()?;
    builder.add_idle_tasks()?;
    builder.add_tasks()?;
    let notes = builder.finish(&build_id)?;
    Ok(Synthetic { architecture: generation.architecture(), memory: builder.machine.space.physical, notes, vmlinux })
}

/// A scenario of one machine has code, registers and a log of that machine.
fn of_the_same_machine(scenario: &Scenario, generation: &Generation) -> Result<(), SynthError> {
    let Some(wanted) = scenario.arch.map(Arch::architecture) else { return Ok(()) };
    if wanted == generation.architecture() {
        return Ok(());
    }
    let kernels: Vec<_> = Generation::names().filter(|name| Generation::architecture_of(name) == wanted).collect();
    Err(SynthError::scenario(format!(
        "it is about {wanted}, and {} is a kernel of {}; hint: leave --kernel out, or name one of {}",
        generation.name(),
        generation.architecture(),
        kernels.join(", ")
    )))
}

/// Every call that is seen on a stack.
fn calls(scenario: &Scenario, generation: &Generation) -> Result<CallGraph, SynthError> {
    let mut graph = CallGraph::of(generation);
    for task in scenario.task.iter().chain([&sleeper(0)]) {
        let planned = plan::plan(generation, task, None)?;
        plan::chains(&planned.layers).iter().for_each(|chain| graph.add_chain(chain));
    }
    scenario.module.iter().flat_map(|module| &module.functions).for_each(|name| graph.add(name));
    for object in &scenario.object {
        if let Some(frame) = &object.on {
            graph.add_frame(&frame.function, generation.size_of(&object.type_name)?);
        }
    }
    let words = scenario.object.iter().flat_map(|object| object.set.values());
    for word in words.chain(scenario.change.iter().map(|change| &change.value)) {
        if let Word::Address(Reference { function: Some(function), .. }) = word {
            graph.add(function);
        }
    }
    let idle = [generation.chain("idle")?, generation.chain("schedule")?].concat();
    graph.add_chain(&idle);
    Ok(graph)
}

/// A build-id of its own for each vmlinux and seed, as a linker makes one of what it has written: no other vmlinux fits.
fn build_id(vmlinux: &[u8], seed: u64) -> [u8; 20] {
    // FNV-1a.
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut random = Random::new(vmlinux.iter().fold(0xcbf2_9ce4_8422_2325, mix) ^ seed);
    [0; 20].map(|_: u8| random.below(256) as u8)
}

/// One of the many that do nothing.
fn sleeper(number: i32) -> Task {
    Task {
        pid: SLEEPERS + number,
        tgid: None,
        comm: format!("sleeper/{number}"),
        process: None,
        cpu: 0,
        state: State::Sleeping,
        seconds: 1.0,
        policy: Policy::Fair,
        doing: Doing::Sleep,
        under: Under::Nothing,
        faults: None,
        life: Life::default(),
        allowed: None,
    }
}

/// The thread id of the first sleeper.
const SLEEPERS: i32 = 100_000;

fn nanoseconds(seconds: f64) -> u64 {
    // Negative and absurd times saturate.
    (seconds * 1e9) as u64
}
