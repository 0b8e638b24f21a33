//! What the owner of a dump had erased from it: `makedumpfile --config` and `--eppic` write the letter X over it.
//!
//! Source: makedumpfile's `erase_info.c`; the note `ERASEINFO` of ELF dumps, `offset_eraseinfo` of kdump-compressed ones.

/// The name of the note.
pub(crate) const NOTE: &[u8] = b"ERASEINFO";

/// Says how much of the machine's memory is not what it was: the list has a line for each kind of data.
pub(crate) fn warning(list: &[u8]) -> String {
    let kinds = list.split(|&byte| byte == b'\n').filter(|line| line.iter().any(u8::is_ascii_graphic)).count();
    let kinds = if kinds == 1 { "one kind of data was".to_owned() } else { format!("{kinds} kinds of data were") };
    format!(
        "{kinds} erased when the dump was made, at its owner's wish: the letter X (0x58) is there instead, which is not what the \
         machine had"
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_line_is_a_kind() {
        let said = super::warning(b"erase task_struct.comm 16\nerase modules size 8\n\0\0");
        assert!(said.starts_with("2 kinds of data were erased"), "{said}");
    }
}
