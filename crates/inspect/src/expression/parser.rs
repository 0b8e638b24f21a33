//! From words to a tree.

use super::lexer::{Token, tokens};
use super::syntax::{Node, OPERATORS, Operator, TypeName};
use crate::InspectError;
use crate::cpu_list::{self, CpuList};

/// How deep parentheses and signs nest.
const MAX_DEPTH: usize = 64;
/// Words that begin a type wherever they stand.
const TYPE_WORDS: [&str; 12] =
    ["struct", "union", "enum", "unsigned", "signed", "long", "int", "short", "char", "void", "const", "volatile"];

/// An expression that has been understood, but not yet asked of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    text: String,
    pub(super) root: Node,
    /// The CPUs that are listed behind the first name.
    pub(super) cpus: Option<CpuList>,
}

impl Expression {
    /// Understands `text`.
    ///
    /// # Errors
    ///
    /// [`InspectError::Syntax`] where it is no expression.
    pub fn parse(text: &str) -> Result<Self, InspectError> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, cpus: None };
        let root = parser.binary(0)?;
        match parser.peek() {
            None => Ok(Self { text: text.trim().to_owned(), root, cpus: parser.cpus }),
            Some(token) => Err(InspectError::Syntax(format!("unexpected {}", show(token)))),
        }
    }

    /// The expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn show(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("'{name}'"),
        Token::Number(number) => format!("'{number:#x}'"),
        Token::Sign(sign) => format!("'{sign}'"),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    cpus: Option<CpuList>,
}

type Parsed<T> = Result<T, InspectError>;

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn peek_sign(&self) -> Option<&'static str> {
        match self.peek() {
            Some(Token::Sign(sign)) => Some(sign),
            _ => None,
        }
    }

    fn take(&mut self, sign: &str) -> bool {
        let there = self.peek_sign() == Some(sign);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.take(sign) {
            return Ok(());
        }
        let found = self.peek().map_or_else(|| "the end".to_owned(), show);
        Err(InspectError::Syntax(format!("expected '{sign}', found {found}")))
    }

    fn name(&mut self) -> Parsed<String> {
        let Some(Token::Name(name)) = self.peek().cloned() else {
            let found = self.peek().map_or_else(|| "the end".to_owned(), show);
            return Err(InspectError::Syntax(format!("expected a name, found {found}")));
        };
        self.at += 1;
        Ok(name)
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return Err(InspectError::Syntax(format!("the expression is nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// An expression of operators that bind at least as strongly as `least`.
    fn binary(&mut self, least: u8) -> Parsed<Node> {
        let mut left = self.deeper(Self::unary)?;
        while let Some((operator, strength)) = self.operator().filter(|(_, strength)| *strength >= least) {
            self.at += 1;
            let right = self.deeper(|parser| parser.binary(strength + 1))?;
            left = Node::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn operator(&self) -> Option<(Operator, u8)> {
        let sign = self.peek_sign()?;
        OPERATORS.iter().find(|(known, ..)| *known == sign).map(|(_, operator, strength)| (*operator, *strength))
    }

    fn unary(&mut self) -> Parsed<Node> {
        let make: fn(Box<Node>) -> Node = match self.peek_sign() {
            Some("*") => Node::Dereference,
            Some("&") => Node::AddressOf,
            Some("-") => Node::Negate,
            Some("~") => Node::Complement,
            Some("!") => Node::Not,
            Some("(") if self.is_type(1) => {
                self.at += 1;
                let ty = self.type_name()?;
                self.expect(")")?;
                let operand = self.deeper(Self::unary)?;
                return Ok(Node::Cast(ty, Box::new(operand)));
            }
            _ => return self.postfix(),
        };
        self.at += 1;
        Ok(make(Box::new(self.deeper(Self::unary)?)))
    }

    fn postfix(&mut self) -> Parsed<Node> {
        let mut node = self.primary()?;
        loop {
            if self.take(".") || self.take("->") {
                node = Node::Member(Box::new(node), self.name()?);
            } else if self.take("[") {
                let index = self.deeper(|parser| parser.binary(0))?;
                self.expect("]")?;
                node = Node::Index(Box::new(node), Box::new(index));
            } else {
                return Ok(node);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Node> {
        match self.peek().cloned() {
            Some(Token::Number(number)) => {
                self.at += 1;
                Ok(Node::Number(number))
            }
            Some(Token::Sign("(")) => {
                self.at += 1;
                let inner = self.deeper(|parser| parser.binary(0))?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(Token::Name(name)) => {
                self.at += 1;
                if self.take("(") { self.call(&name) } else { self.variable(name) }
            }
            other => {
                let found = other.as_ref().map_or_else(|| "the end".to_owned(), show);
                Err(InspectError::Syntax(format!("expected a value, found {found}")))
            }
        }
    }

    /// A name, perhaps with the CPU that is meant, or CPUs where it begins the expression: elsewhere commas and minus
    /// signs are those of a call or a subtraction.
    fn variable(&mut self, name: String) -> Parsed<Node> {
        let is_first = self.at == 1;
        if !self.take(":") {
            return Ok(Node::Name(name, None));
        }
        if is_first && let Some(cpus) = self.cpu_list() {
            self.cpus = Some(cpus);
            return Ok(Node::Name(name, None));
        }
        match self.peek().cloned() {
            Some(Token::Number(cpu)) => {
                self.at += 1;
                Ok(Node::Name(name, Some(cpu)))
            }
            Some(Token::Name(all)) if cpu_list::is_all(&all) => {
                self.at += 1;
                Ok(Node::Name(name, None))
            }
            _ => Err(InspectError::Syntax(format!("expected a CPU after '{name}:', or `a` for all"))),
        }
    }

    /// Two or more CPUs, if that is what stands here.
    fn cpu_list(&mut self) -> Option<CpuList> {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let words = rest.iter().map_while(|token| match token {
            Token::Number(number) => Some(number.to_string()),
            Token::Sign(sign @ ("," | "-")) => Some((*sign).to_owned()),
            _ => None,
        });
        let words: Vec<String> = words.collect();
        let list = (words.len() > 1).then(|| words.concat().parse().ok())?;
        self.at += if list.is_some() { words.len() } else { 0 };
        list
    }

    /// What looks like a call; the parenthesis has been read.
    fn call(&mut self, name: &str) -> Parsed<Node> {
        let node = match name {
            "sizeof" if self.is_type(0) => Node::SizeOfType(self.type_name()?),
            "sizeof" => Node::SizeOf(Box::new(self.deeper(|parser| parser.binary(0))?)),
            "offsetof" => {
                let ty = self.type_name()?;
                self.expect(",")?;
                Node::OffsetOf(ty, self.path()?)
            }
            "container_of" => {
                let pointer = Box::new(self.deeper(|parser| parser.binary(0))?);
                self.expect(",")?;
                let ty = self.type_name()?;
                self.expect(",")?;
                Node::ContainerOf(pointer, ty, self.path()?)
            }
            "per_cpu_ptr" => {
                let pointer = Box::new(self.deeper(|parser| parser.binary(0))?);
                self.expect(",")?;
                Node::PerCpuPointer(pointer, Box::new(self.deeper(|parser| parser.binary(0))?))
            }
            "task" => Node::Task(Box::new(self.deeper(|parser| parser.binary(0))?)),
            _ => {
                return Err(InspectError::Syntax(format!(
                    "'{name}' cannot be called: the code of a dump does not run"
                )));
            }
        };
        self.expect(")")?;
        Ok(node)
    }

    /// Members joined by points.
    fn path(&mut self) -> Parsed<String> {
        let mut path = self.name()?;
        while self.take(".") {
            path = format!("{path}.{}", self.name()?);
        }
        Ok(path)
    }

    /// Whether a type and then its end stand `ahead` words from here: `(struct x *)`, `(u64)`, `(pid_t *)`. A name alone
    /// is a type only in front of something that a cast can apply to.
    fn is_type(&self, ahead: usize) -> bool {
        let from = self.at.saturating_add(ahead);
        let Some(Token::Name(first)) = self.tokens.get(from) else { return false };
        if TYPE_WORDS.contains(&first.as_str()) {
            return true;
        }
        let mut at = from.saturating_add(1);
        while self.tokens.get(at) == Some(&Token::Sign("*")) {
            at = at.saturating_add(1);
        }
        let has_stars = at > from.saturating_add(1);
        match self.tokens.get(at) {
            Some(Token::Sign(")" | ",")) if has_stars => true,
            Some(Token::Sign(")")) => {
                let next = self.tokens.get(at.saturating_add(1));
                matches!(next, Some(Token::Name(_) | Token::Number(_) | Token::Sign("(" | "~")))
            }
            _ => false,
        }
    }

    /// `struct x **`, `unsigned long`, `u64 *`.
    fn type_name(&mut self) -> Parsed<TypeName> {
        let mut words = vec![self.name()?];
        while let Some(Token::Name(word)) = self.peek() {
            words.push(word.clone());
            self.at += 1;
        }
        let mut pointers = 0;
        while self.take("*") {
            pointers += 1;
        }
        words.retain(|word| word != "const" && word != "volatile");
        Ok(TypeName { name: words.join(" "), pointers })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree(text: &str) -> String {
        Expression::parse(text).map_or_else(|error| format!("error: {error}"), |parsed| write(&parsed.root))
    }

    fn write(node: &Node) -> String {
        match node {
            Node::Number(number) => number.to_string(),
            Node::Name(name, cpu) => format!("{name}{}", cpu.map(|cpu| format!(":{cpu}")).unwrap_or_default()),
            Node::Member(of, name) => format!("{}.{name}", write(of)),
            Node::Index(of, index) => format!("{}[{}]", write(of), write(index)),
            Node::Dereference(of) => format!("*({})", write(of)),
            Node::AddressOf(of) => format!("&({})", write(of)),
            Node::Cast(ty, of) => format!("({}{}){}", ty.name, "*".repeat(ty.pointers), write(of)),
            Node::Binary(operator, left, right) => format!("({operator:?} {} {})", write(left), write(right)),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn members_bind_more_strongly_than_pointers_and_casts() {
        assert_eq!(tree("*a->b.c[1]"), "*(a.b.c[1])");
        assert_eq!(tree("((struct rq *)0x10)->curr->pid"), "(struct rq*)16.curr.pid");
        assert_eq!(tree("(unsigned long)a + 2 * 3"), "(Add (unsigned long)a (Multiply 2 3))");
        assert_eq!(tree("(a) + 1"), "(Add a 1)");
        assert_eq!(tree("(u64)x"), "(u64)x");
        assert_eq!(tree("(pid_t *)x"), "(pid_t*)x");
        assert_eq!(tree("runqueues:3.nr_running"), "runqueues:3.nr_running");
        assert_eq!(tree("a & b == c"), "(And a (Equal b c))");
        assert_eq!(tree("1 - 2 - 3"), "(Subtract (Subtract 1 2) 3)");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("", "expected a value, found the end"),
            ("a.", "expected a name, found the end"),
            ("a b", "unexpected 'b'"),
            ("(a", "expected ')', found the end"),
            ("f(1)", "'f' cannot be called: the code of a dump does not run"),
            ("a = 1", "unexpected '='"),
            ("x:y", "expected a CPU after 'x:', or `a` for all"),
        ] {
            assert_eq!(tree(text), format!("error: {why}"), "{text}");
        }
        assert!(tree(&"(".repeat(1000)).contains("nested deeper"));
        assert!(tree(&"-".repeat(4000)).contains("nested deeper"));
        assert!(tree(&"1+".repeat(2000)).contains("expected a value"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[a-z0-9().*&\\[\\]>:, +<=-]{0,200}") {
            let _ = Expression::parse(&text);
        }

        #[test]
        fn nor_does_any_other(text in ".{0,100}") {
            let _ = Expression::parse(&text);
        }
    }
}
