//! What an expression means for one kernel.

use vmcore_debuginfo::{Shape, Type};
use vmcore_kernel::Kernel;
use vmcore_memory::{PAGE_SIZE, ReadVirtual, VirtAddr, le_uint};

use super::Expression;
use super::lexer::bare_address;
use super::syntax::{Node, Operator, TypeName};
use super::types::{find_type, variable_type};
use crate::InspectError;
use crate::names;
use crate::value::{self, Content, Value};

pub(super) struct Evaluator<'k, 'a> {
    kernel: &'k Kernel<'a>,
}

/// What part of an expression comes to.
#[derive(Clone)]
enum Operand<'t> {
    /// An object in memory.
    Object { ty: Type<'t>, address: VirtAddr },
    /// A bit-field: bits from `address` on.
    Bits { ty: Type<'t>, address: VirtAddr, bit_offset: u64, width: u32 },
    /// A symbol without a type.
    Untyped { name: String, address: VirtAddr, code: bool },
    /// A number.
    Number { value: u64, ty: NumberType<'t> },
}

/// The type of a number that was calculated.
#[derive(Clone, Copy)]
enum NumberType<'t> {
    Plain,
    Typed(Type<'t>),
    /// A pointer to that type, with further pointers before it.
    PointerTo(Type<'t>, usize),
    /// A pointer to nothing in particular.
    Address,
}

type Answer<'t> = Result<Operand<'t>, InspectError>;

impl<'k, 'a> Evaluator<'k, 'a> {
    pub(super) const fn new(kernel: &'k Kernel<'a>) -> Self {
        Self { kernel }
    }

    /// The value of `expression`, with per-CPU variables on `cpu`.
    pub(super) fn value(&self, expression: &Expression, cpu: Option<u32>) -> Result<Value, InspectError> {
        Ok(match self.evaluate(&expression.root, cpu)? {
            Operand::Object { ty, address } => value::read_value(self.kernel, ty, address),
            Operand::Bits { ty, address, bit_offset, width } => {
                value::read_bits(self.kernel, ty, address, bit_offset, width)
            }
            Operand::Untyped { name, code: false, .. } => return Err(InspectError::Untyped(name)),
            Operand::Untyped { address, .. } => self.pointer(address, "function".to_owned()),
            Operand::Number { value, ty } => self.number_value(value, ty),
        })
    }

    /// The address that `expression` names, with per-CPU variables on `cpu`.
    pub(super) fn address(&self, expression: &Expression, cpu: Option<u32>) -> Result<VirtAddr, InspectError> {
        Ok(match self.evaluate(&expression.root, cpu)? {
            Operand::Object { ty, address } => match ty.shape() {
                // `task->stack` names the stack, not the member that points to it.
                Some(Shape::Pointer(_)) => VirtAddr::new(self.load(ty, address)?),
                _ => address,
            },
            Operand::Untyped { address, .. } => address,
            operand => VirtAddr::new(self.number(operand)?.0),
        })
    }

    fn number_value(&self, value: u64, ty: NumberType<'_>) -> Value {
        let content = Content::Integer { value: i128::from(value.cast_signed()), size: 8 };
        match ty {
            NumberType::Plain => Value { type_name: "long".to_owned(), address: None, content },
            NumberType::Address => self.pointer(VirtAddr::new(value), "void *".to_owned()),
            NumberType::PointerTo(ty, more) => {
                self.pointer(VirtAddr::new(value), ty.declare(&"*".repeat(more.saturating_add(1))))
            }
            NumberType::Typed(ty) => {
                let size = ty.size().unwrap_or(8);
                let shape = ty.shape();
                let content = shape.map(|shape| value::scalar(self.kernel, ty, shape, value, size));
                let content = content.unwrap_or(Content::Integer { value: value.into(), size });
                Value { type_name: ty.declare(""), address: None, content }
            }
        }
    }

    fn pointer(&self, target: VirtAddr, type_name: String) -> Value {
        let symbol = names::name_address(self.kernel, target).map(|name| name.to_string());
        Value { type_name, address: None, content: Content::Pointer { target, symbol, text: None } }
    }

    fn evaluate(&self, node: &Node, cpu: Option<u32>) -> Answer<'k> {
        let on = |node: &Node| self.evaluate(node, cpu);
        let plain = |value| Ok(Operand::Number { value, ty: NumberType::Plain });
        match node {
            Node::Number(value) => plain(*value),
            Node::Name(name, wanted) => self.name(name, *wanted, cpu),
            Node::Member(of, name) => self.member(on(of)?, name),
            Node::Index(of, index) => {
                let index = self.number(on(index)?)?.0;
                self.element(on(of)?, index)
            }
            Node::Dereference(of) => self.element(on(of)?, 0),
            Node::AddressOf(of) => match on(of)? {
                Operand::Object { ty, address } => {
                    Ok(Operand::Number { value: address.get(), ty: NumberType::PointerTo(ty, 0) })
                }
                Operand::Untyped { address, .. } => {
                    Ok(Operand::Number { value: address.get(), ty: NumberType::Address })
                }
                _ => Err(InspectError::NoAddress),
            },
            Node::Negate(of) => plain(self.number(on(of)?)?.0.wrapping_neg()),
            Node::Complement(of) => plain(!self.number(on(of)?)?.0),
            Node::Not(of) => plain(u64::from(self.number(on(of)?)?.0 == 0)),
            Node::Cast(ty, of) => self.cast(ty, on(of)?),
            Node::SizeOfType(ty) => {
                let size = if ty.pointers > 0 { Some(8) } else { self.find_type(&ty.name)?.size() };
                plain(size.ok_or_else(|| InspectError::NoType(ty.name.clone()))?)
            }
            Node::SizeOf(of) => match on(of)? {
                Operand::Object { ty, .. } | Operand::Number { ty: NumberType::Typed(ty), .. } => {
                    plain(ty.size().ok_or_else(|| InspectError::NotANumber(ty.declare("")))?)
                }
                Operand::Untyped { name, .. } => Err(InspectError::Untyped(name)),
                _ => plain(8),
            },
            Node::OffsetOf(ty, path) => plain(self.offset(self.find_type(&ty.name)?, path)?),
            Node::ContainerOf(pointer, ty, path) => {
                let ty = self.find_type(&ty.name)?;
                let value = self.number(on(pointer)?)?.0.wrapping_sub(self.offset(ty, path)?);
                Ok(Operand::Number { value, ty: NumberType::PointerTo(ty, 0) })
            }
            Node::PerCpuPointer(pointer, number) => {
                let number = self.number(on(number)?)?.0;
                if let Some(variable) = self.per_cpu_variable(pointer) {
                    return self
                        .evaluate(&Node::AddressOf(Box::new(Node::Name(variable.to_owned(), Some(number)))), cpu);
                }
                let (value, ty) = self.number(on(pointer)?)?;
                let known = u32::try_from(number).ok();
                let address = known.and_then(|cpu| self.kernel.percpu().dereference(VirtAddr::new(value), cpu));
                Ok(Operand::Number { value: address.ok_or(InspectError::NoCpu(number))?.get(), ty })
            }
            Node::Task(pid) => self.task(self.number(on(pid)?)?.0),
            Node::Binary(operator, left, right) => self.binary(*operator, on(left)?, on(right)?),
        }
    }

    /// The per-CPU variable whose address a node is: to C, that is a pointer for `per_cpu_ptr`.
    fn per_cpu_variable<'n>(&self, node: &'n Node) -> Option<&'n str> {
        let Node::AddressOf(of) = node else { return None };
        let Node::Name(name, None) = of.as_ref() else { return None };
        let link = self.kernel.vmlinux().symbols().address(name)?;
        self.kernel.is_percpu_symbol(link).then_some(name)
    }

    /// A variable, function or enumerator, or an address without `0x`.
    fn name(&self, name: &str, wanted: Option<u64>, cpu: Option<u32>) -> Answer<'k> {
        let vmlinux = self.kernel.vmlinux();
        let Some(link) = vmlinux.symbols().address(name) else {
            let value = vmlinux.types().enumerator(name).map(i64::cast_unsigned).or_else(|| bare_address(name));
            let value = value.ok_or_else(|| InspectError::no_symbol(self.kernel, name))?;
            return Ok(Operand::Number { value, ty: NumberType::Plain });
        };
        let address = if self.kernel.is_percpu_symbol(link) {
            let number = wanted.or(cpu.map(u64::from)).ok_or_else(|| InspectError::PerCpu(name.to_owned()))?;
            let on = u32::try_from(number).ok().and_then(|cpu| self.kernel.percpu().address(link, cpu));
            on.ok_or(InspectError::NoCpu(number))?
        } else {
            link.wrapping_add(self.kernel.kaslr_offset())
        };
        Ok(match variable_type(self.kernel, name) {
            Some(ty) => Operand::Object { ty, address },
            None => {
                let code = self.kernel.is_image_text(address);
                Operand::Untyped { name: name.to_owned(), address, code }
            }
        })
    }

    /// The member `name` of an object, or of what a pointer leads to.
    fn member(&self, of: Operand<'k>, name: &str) -> Answer<'k> {
        let (ty, address) = match of {
            Operand::Object { ty, address } => match ty.shape() {
                Some(Shape::Pointer(target)) => (target, followed(ty, self.load(ty, address)?)?),
                _ => (ty, address),
            },
            Operand::Number { value, ty: NumberType::PointerTo(ty, 0) } => (ty, followed(ty, value)?),
            Operand::Untyped { name, .. } => return Err(InspectError::Untyped(name)),
            other => {
                let (type_name, member) = (describe(&other), name.to_owned());
                return Err(InspectError::NoMember { type_name, member, similar: None });
            }
        };
        let member = ty.member(name).ok_or_else(|| InspectError::no_member(ty, name))?;
        Ok(match member.bit_size {
            Some(width) => Operand::Bits { ty: member.ty, address, bit_offset: member.bit_offset, width },
            None => Operand::Object { ty: member.ty, address: address.wrapping_add(member.bit_offset / 8) },
        })
    }

    /// The element `index` of an array, or of what a pointer leads to.
    fn element(&self, of: Operand<'k>, index: u64) -> Answer<'k> {
        let (element, address) = match of {
            Operand::Object { ty, address } => match ty.shape() {
                Some(Shape::Pointer(target)) => (target, followed(ty, self.load(ty, address)?)?),
                Some(Shape::Array { element, .. }) => (element, address),
                _ => return Err(InspectError::NotAPointer(ty.declare(""))),
            },
            Operand::Number { value, ty: NumberType::PointerTo(ty, 0) } => (ty, VirtAddr::new(value)),
            Operand::Number { value, ty: NumberType::PointerTo(ty, more) } => {
                let address = VirtAddr::new(value.wrapping_add(index.wrapping_mul(8)));
                let what = |error| InspectError::read(format!("the pointer at {address}"), error);
                let value = self.kernel.memory().read_u64(address).map_err(what)?;
                return Ok(Operand::Number { value, ty: NumberType::PointerTo(ty, more.saturating_sub(1)) });
            }
            Operand::Untyped { name, .. } => return Err(InspectError::Untyped(name)),
            other => return Err(InspectError::NotAPointer(describe(&other))),
        };
        let size = element.size().ok_or_else(|| InspectError::NotAPointer(element.declare("*")))?;
        Ok(Operand::Object { ty: element, address: address.wrapping_add(index.wrapping_mul(size)) })
    }

    fn cast(&self, to: &TypeName, of: Operand<'k>) -> Answer<'k> {
        let ty = match (to.name.as_str(), to.pointers) {
            ("void", 1..) => None,
            _ => Some(self.find_type(&to.name)?),
        };
        // An array or struct that is cast to a pointer is meant by its address.
        let value = match &of {
            Operand::Object { ty, address } if matches!(ty.shape(), Some(Shape::Array { .. })) => address.get(),
            _ => self.number(of)?.0,
        };
        Ok(match (ty, to.pointers.checked_sub(1)) {
            (Some(ty), Some(more)) => Operand::Number { value, ty: NumberType::PointerTo(ty, more) },
            (None, _) => Operand::Number { value, ty: NumberType::Address },
            (Some(ty), None) => match ty.shape() {
                Some(Shape::Struct { .. } | Shape::Array { .. }) => {
                    Operand::Object { ty, address: VirtAddr::new(value) }
                }
                Some(Shape::Pointer(target)) => Operand::Number { value, ty: NumberType::PointerTo(target, 0) },
                shape => {
                    let bits = u32::try_from(ty.size().unwrap_or(8).saturating_mul(8)).unwrap_or(64);
                    let cut = value & u64::MAX.checked_shr(64u32.saturating_sub(bits)).unwrap_or_default();
                    let signed = matches!(shape, Some(Shape::Integer { signed: true, .. }));
                    let value = if signed { value::sign_extended(cut, bits) } else { cut };
                    Operand::Number { value, ty: NumberType::Typed(ty) }
                }
            },
        })
    }

    fn binary(&self, operator: Operator, left: Operand<'k>, right: Operand<'k>) -> Answer<'k> {
        let ((a, left), (b, right)) = (self.number(left)?, self.number(right)?);
        // A pointer moves by elements.
        let step = |ty: NumberType<'k>| match ty {
            NumberType::PointerTo(ty, 0) => ty.size().unwrap_or(1),
            NumberType::PointerTo(..) => 8,
            _ => 1,
        };
        let ty = match (left, right) {
            (NumberType::PointerTo(..) | NumberType::Address, NumberType::Plain | NumberType::Typed(_)) => left,
            _ => NumberType::Plain,
        };
        let b = match operator {
            Operator::Add | Operator::Subtract => b.wrapping_mul(step(ty)),
            _ => b,
        };
        let shift = u32::try_from(b).unwrap_or(u32::MAX);
        let (value, ty) = match operator {
            Operator::Add => (a.wrapping_add(b), ty),
            Operator::Subtract => (a.wrapping_sub(b), ty),
            Operator::Multiply => (a.wrapping_mul(b), NumberType::Plain),
            Operator::Divide => (a.checked_div(b).ok_or(InspectError::DivisionByZero)?, NumberType::Plain),
            Operator::Remainder => (a.checked_rem(b).ok_or(InspectError::DivisionByZero)?, NumberType::Plain),
            Operator::ShiftLeft => (a.checked_shl(shift).unwrap_or_default(), NumberType::Plain),
            Operator::ShiftRight => (a.checked_shr(shift).unwrap_or_default(), NumberType::Plain),
            Operator::Less => (u64::from(a < b), NumberType::Plain),
            Operator::LessOrEqual => (u64::from(a <= b), NumberType::Plain),
            Operator::Greater => (u64::from(a > b), NumberType::Plain),
            Operator::GreaterOrEqual => (u64::from(a >= b), NumberType::Plain),
            Operator::Equal => (u64::from(a == b), NumberType::Plain),
            Operator::NotEqual => (u64::from(a != b), NumberType::Plain),
            Operator::And => (a & b, NumberType::Plain),
            Operator::Xor => (a ^ b, NumberType::Plain),
            Operator::Or => (a | b, NumberType::Plain),
        };
        Ok(Operand::Number { value, ty })
    }

    /// The number that an operand is, sign-extended to 64 bits.
    fn number(&self, operand: Operand<'k>) -> Result<(u64, NumberType<'k>), InspectError> {
        Ok(match operand {
            Operand::Number { value, ty } => (value, ty),
            Operand::Untyped { address, code: true, .. } => (address.get(), NumberType::Address),
            Operand::Untyped { name, .. } => return Err(InspectError::Untyped(name)),
            Operand::Bits { ty, address, bit_offset, width } => {
                let value = value::read_bits(self.kernel, ty, address, bit_offset, width);
                match value.content {
                    Content::Integer { value, .. } => (low_bits(value), NumberType::Plain),
                    Content::Truth(value) => (value.into(), NumberType::Plain),
                    Content::Enumerator { value, .. } => (value.cast_unsigned(), NumberType::Plain),
                    _ => return Err(InspectError::NotANumber(ty.declare(""))),
                }
            }
            Operand::Object { ty, address } => match ty.shape() {
                Some(Shape::Pointer(target)) => (self.load(ty, address)?, NumberType::PointerTo(target, 0)),
                Some(Shape::Array { element, .. }) => (address.get(), NumberType::PointerTo(element, 0)),
                Some(Shape::Integer { .. } | Shape::Enum { .. }) => (self.load(ty, address)?, NumberType::Typed(ty)),
                _ => return Err(InspectError::NotANumber(ty.declare(""))),
            },
        })
    }

    /// The number at `address`, sign-extended where its type is signed.
    fn load(&self, ty: Type<'_>, address: VirtAddr) -> Result<u64, InspectError> {
        let size = ty.size().filter(|size| matches!(size, 1 | 2 | 4 | 8));
        let size = size.ok_or_else(|| InspectError::NotANumber(ty.declare("")))?;
        let what = || format!("the {} at {address}", ty.declare(""));
        let bytes =
            self.kernel.memory().read_bytes(address, size).map_err(|error| InspectError::read(what(), error))?;
        let raw = le_uint(&bytes, 0, bytes.len()).unwrap_or_default();
        let bits = u32::try_from(size * 8).unwrap_or(64);
        let signed = matches!(ty.shape(), Some(Shape::Integer { signed: true, .. }));
        Ok(if signed { value::sign_extended(raw, bits) } else { raw })
    }

    fn offset(&self, ty: Type<'_>, path: &str) -> Result<u64, InspectError> {
        let (mut ty, mut bits) = (ty, 0u64);
        for step in path.split('.') {
            let member = ty.member(step).ok_or_else(|| InspectError::no_member(ty, step))?;
            bits = bits.wrapping_add(member.bit_offset);
            ty = member.ty;
        }
        Ok(bits / 8)
    }

    fn task(&self, pid: u64) -> Answer<'k> {
        let tasks = self.kernel.tasks(&mut Vec::new());
        let wanted = i32::try_from(pid).ok();
        let task = tasks.iter().find(|task| Some(task.pid) == wanted).ok_or(InspectError::NoTask(pid))?;
        let ty = self.find_type("struct task_struct")?;
        Ok(Operand::Number { value: task.address.get(), ty: NumberType::PointerTo(ty, 0) })
    }

    fn find_type(&self, name: &str) -> Result<Type<'k>, InspectError> {
        find_type(self.kernel, name)
    }
}

/// The address that a pointer leads to; nothing is in the first page.
fn followed(ty: Type<'_>, pointer: u64) -> Result<VirtAddr, InspectError> {
    match pointer {
        0..PAGE_SIZE => Err(InspectError::Null { type_name: ty.declare(""), value: pointer }),
        _ => Ok(VirtAddr::new(pointer)),
    }
}

fn low_bits(value: i128) -> u64 {
    u64::try_from(value & i128::from(u64::MAX)).unwrap_or_default()
}

fn describe(operand: &Operand<'_>) -> String {
    match operand {
        Operand::Object { ty, .. } | Operand::Bits { ty, .. } => ty.declare(""),
        Operand::Untyped { name, .. } => name.clone(),
        Operand::Number { ty: NumberType::Typed(ty), .. } => ty.declare(""),
        Operand::Number { ty: NumberType::PointerTo(ty, more), .. } => ty.declare(&"*".repeat(more + 1)),
        Operand::Number { .. } => "long".to_owned(),
    }
}
