//! Objects of a scenario: locks and their waiters, works, calls, and the lists that they are in.

use vmcore_memory::VirtAddr;

use super::machine::Builder;
use crate::SynthError;
use crate::scenario::{Change, Reference, Word};
use crate::stack::Placing;

impl Builder<'_, '_> {
    /// Those that are no local variables. Stacks may have their addresses, as they have those of pages.
    pub(super) fn add_objects(&mut self) -> Result<(), SynthError> {
        for object in self.scenario.object.iter().filter(|object| object.on.is_none()) {
            let at = self.machine.new_object(&object.type_name)?;
            self.objects.insert(object.name.clone(), at);
            self.heads.insert(object.name.clone(), at);
        }
        Ok(())
    }

    /// Those that are to be on the stack of a task.
    pub(super) fn objects_of(&self, pid: i32) -> Placing {
        let on_stack = |object: &crate::scenario::Object| {
            let frame = object.on.as_ref().filter(|frame| frame.task == pid)?;
            Some((object.name.clone(), frame.function.clone()))
        };
        Placing { wanted: self.scenario.object.iter().filter_map(on_stack).collect(), placed: Vec::new() }
    }

    /// Remembers where they are.
    pub(super) fn keep_objects(&mut self, placing: Placing) -> Result<(), SynthError> {
        if let Some((object, function)) = placing.wanted.first() {
            return Err(SynthError::scenario(format!(
                "'{object}' is to be in '{function}', which is not on that stack"
            )));
        }
        self.objects.extend(placing.placed);
        Ok(())
    }

    /// Writes their members and links their lists, once everything has an address.
    pub(super) fn write_objects(&mut self) -> Result<(), SynthError> {
        for object in &self.scenario.object {
            let at = self.object(&object.name)?;
            for (paths, word) in &object.set {
                let value = self.value(word)?;
                let paths: Vec<_> = paths.split('|').collect();
                self.machine.put_first(at, &object.type_name, &paths, value)?;
            }
        }
        for circle in &self.scenario.circle {
            let nodes: Vec<_> = circle.nodes.iter().map(|node| self.node(node)).collect::<Result<_, _>>()?;
            self.machine.link(&nodes)?;
        }
        self.scenario.change.iter().try_for_each(|change| self.change(change))
    }

    fn object(&self, name: &str) -> Result<VirtAddr, SynthError> {
        let found = self.objects.get(name).copied();
        found.ok_or_else(|| SynthError::scenario(format!("there is no object '{name}'")))
    }

    /// `OBJECT.PATH`.
    fn node(&self, text: &str) -> Result<VirtAddr, SynthError> {
        let (name, path) = text.split_once('.').unwrap_or((text, ""));
        let object = self.scenario.object.iter().find(|object| object.name == name);
        let object = object.ok_or_else(|| SynthError::scenario(format!("there is no object '{name}'")))?;
        self.machine.member(self.object(name)?, &object.type_name, path)
    }

    fn value(&self, word: &Word) -> Result<u64, SynthError> {
        let reference = match word {
            Word::Number(number) => return Ok(*number),
            Word::Address(reference) => reference,
        };
        let nothing = || SynthError::scenario(format!("a value is the address of nothing there is: {reference:?}"));
        let Reference { task, object, page, function, plus } = reference;
        let at = match (task, object, page, function) {
            (Some(pid), None, None, None) => self.written.get(pid).copied().ok_or_else(nothing)?,
            (None, Some(name), None, None) => self.object(name)?,
            (None, None, Some(name), None) => self.heads.get(name).copied().ok_or_else(nothing)?,
            (None, None, None, Some(name)) => {
                let offset = self.machine.image.code.function(name)?.offset;
                self.machine.code_at(offset)
            }
            _ => return Err(nothing()),
        };
        Ok(at.get() + plus)
    }

    fn change(&mut self, change: &Change) -> Result<(), SynthError> {
        let nothing = || SynthError::scenario("a change is of no task and no CPU of the scenario");
        let value = self.value(&change.value)?;
        let cpu = |number: u32| self.cpus.get(number as usize).copied().ok_or_else(nothing);
        let (object, kind) = match (change.task, change.cpu, &change.variable) {
            (Some(pid), None, None) => (self.written.get(&pid).copied().ok_or_else(nothing)?, "task_struct"),
            (None, Some(number), None) => (self.machine.percpu_variable("runqueues", cpu(number)?.offset)?, "rq"),
            (None, Some(number), Some(name)) => {
                let at = self.machine.percpu_variable(name, cpu(number)?.offset)?;
                return self.machine.space.write_u64(at, value);
            }
            _ => return Err(nothing()),
        };
        let paths: Vec<&str> = change.member.iter().map(String::as_str).collect();
        self.machine.put_first(object, kind, &paths, value)
    }
}
