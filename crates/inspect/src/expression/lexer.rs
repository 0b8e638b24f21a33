//! The words of an expression.

use crate::InspectError;

/// The longest expression, in bytes.
const MAX_LENGTH: usize = 4096;
/// Signs of two characters.
const DOUBLE: [&str; 7] = ["->", "<<", ">>", "<=", ">=", "==", "!="];

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Name(String),
    Number(u64),
    /// Punctuation.
    Sign(&'static str),
}

/// Splits `text` into words.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, InspectError> {
    if text.len() > MAX_LENGTH {
        return Err(InspectError::Syntax(format!("the expression is longer than {MAX_LENGTH} bytes")));
    }
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, used) = if first.is_ascii_digit() {
            let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (number(rest.get(..len).unwrap_or_default())?, len)
        } else if is_name_start(first) {
            let len = rest.find(|c: char| !is_name_start(c) && !c.is_ascii_digit()).unwrap_or(rest.len());
            (Token::Name(rest.get(..len).unwrap_or_default().to_owned()), len)
        } else {
            sign(rest, first)?
        };
        tokens.push(token);
        rest = rest.get(used..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

/// Compilers put `$` into names, too.
const fn is_name_start(character: char) -> bool {
    character.is_ascii_alphabetic() || matches!(character, '_' | '$')
}

/// `123`, `0x7b`, `0b1`, `123UL`; also `ffff888012345678`, as addresses are copied from anywhere.
fn number(text: &str) -> Result<Token, InspectError> {
    let wrong = || InspectError::Syntax(format!("'{text}' is not a number of at most 64 bits"));
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let digits = digits.trim_end_matches(['u', 'U', 'l', 'L']);
        return u64::from_str_radix(digits, 16).map(Token::Number).map_err(|_| wrong());
    }
    let digits = text.trim_end_matches(['u', 'U', 'l', 'L']);
    digits.parse().or_else(|_| u64::from_str_radix(text, 16)).map(Token::Number).map_err(|_| wrong())
}

fn sign(rest: &str, first: char) -> Result<(Token, usize), InspectError> {
    const SINGLE: [&str; 21] =
        ["(", ")", "[", "]", ".", ",", ":", "*", "&", "-", "+", "/", "%", "<", ">", "^", "|", "~", "!", "=", "?"];
    let found = DOUBLE.iter().chain(&SINGLE).find(|sign| rest.starts_with(**sign));
    let found = found.ok_or_else(|| InspectError::Syntax(format!("'{first}' has no meaning in an expression")))?;
    Ok((Token::Sign(found), found.len()))
}

/// A word that is an address without `0x`: 8 to 16 hexadecimal digits that begin with a letter, as `ffff888000000000`.
pub(super) fn bare_address(name: &str) -> Option<u64> {
    let hexadecimal = name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hexadecimal && (8..=16).contains(&name.len())).then(|| u64::from_str_radix(name, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs() {
        let words = tokens("a->b[0x10] + 12UL<<c").unwrap();
        let sign = Token::Sign;
        let name = |name: &str| Token::Name(name.to_owned());
        let expected = [
            name("a"),
            sign("->"),
            name("b"),
            sign("["),
            Token::Number(16),
            sign("]"),
            sign("+"),
            Token::Number(12),
            sign("<<"),
            name("c"),
        ];
        assert_eq!(words, expected);
        assert_eq!(tokens("7f00dead").unwrap(), [Token::Number(0x7f00_dead)]);
        assert!(tokens("0xzz").is_err() && tokens("a;b").is_err() && tokens("99999999999999999999").is_err());
        assert_eq!(bare_address("ffff888000000000"), Some(0xffff_8880_0000_0000));
        assert_eq!((bare_address("face"), bare_address("deadbeef")), (None, Some(0xdead_beef)));
    }
}
