//! A line as its words and what is between them.

/// Words, and what is between them.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for letter in text.chars() {
        let goes_on = pieces.last().and_then(|piece| piece.chars().next()).is_some_and(|first| {
            let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
            is_word(first) == is_word(letter)
        });
        match pieces.last_mut() {
            Some(piece) if goes_on => piece.push(letter),
            _ => pieces.push(letter.to_string()),
        }
    }
    pieces
}

pub(crate) fn is_word(piece: &str) -> bool {
    piece.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '_')
}

/// Digits from which a hexadecimal number may be an address.
pub(crate) const SHORTEST_ADDRESS: usize = 8;
