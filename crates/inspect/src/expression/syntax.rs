//! The tree that an expression is.

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Number(u64),
    /// A symbol, enumerator or variable, with the CPU that was named.
    Name(String, Option<u64>),
    Member(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    Dereference(Box<Node>),
    AddressOf(Box<Node>),
    Negate(Box<Node>),
    Complement(Box<Node>),
    Not(Box<Node>),
    Cast(TypeName, Box<Node>),
    SizeOfType(TypeName),
    SizeOf(Box<Node>),
    OffsetOf(TypeName, String),
    ContainerOf(Box<Node>, TypeName, String),
    PerCpuPointer(Box<Node>, Box<Node>),
    Task(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
}

/// A type in a cast: its name, and how many pointers lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeName {
    pub(super) name: String,
    pub(super) pointers: usize,
}

/// An operator between two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Multiply,
    Divide,
    Remainder,
    Add,
    Subtract,
    ShiftLeft,
    ShiftRight,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    And,
    Xor,
    Or,
}

/// All operators with how strongly they bind; longer ones first, so that `<<` is not two `<`.
pub(super) const OPERATORS: [(&str, Operator, u8); 16] = [
    ("<<", Operator::ShiftLeft, 8),
    (">>", Operator::ShiftRight, 8),
    ("<=", Operator::LessOrEqual, 7),
    (">=", Operator::GreaterOrEqual, 7),
    ("==", Operator::Equal, 6),
    ("!=", Operator::NotEqual, 6),
    ("*", Operator::Multiply, 10),
    ("/", Operator::Divide, 10),
    ("%", Operator::Remainder, 10),
    ("+", Operator::Add, 9),
    ("-", Operator::Subtract, 9),
    ("<", Operator::Less, 7),
    (">", Operator::Greater, 7),
    ("&", Operator::And, 5),
    ("^", Operator::Xor, 4),
    ("|", Operator::Or, 3),
];
