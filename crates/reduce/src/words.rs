//! A line as its words and what is between them.

/// Digits from which a hexadecimal number may be an address.
pub(crate) const SHORTEST_ADDRESS: usize = 8;

/// Words, and what is between them.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for letter in text.chars() {
        match pieces.last_mut() {
            Some(piece) if is_word(piece) == is_of_word(letter) => piece.push(letter),
            _ => pieces.push(letter.to_string()),
        }
    }
    pieces
}

pub(crate) fn is_word(piece: &str) -> bool {
    piece.chars().next().is_some_and(is_of_word)
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
