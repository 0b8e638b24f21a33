//! Writes flattened files, as `makedumpfile -F` does into a pipe.

use std::io::{self, Write};

use super::{RECORDS_AT, SIGNATURE};

/// Wraps all that is written to it in records, one for each write, in the order of their offsets.
pub struct Flattener<W> {
    out: W,
    offset: u64,
}

impl<W: Write> Flattener<W> {
    /// Begins a flattened file.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut header = SIGNATURE.to_vec();
        header.extend(1u64.to_be_bytes());
        header.extend(1u64.to_be_bytes());
        header.resize(RECORDS_AT as usize, 0);
        out.write_all(&header)?;
        Ok(Self { out, offset: 0 })
    }

    /// Writes the end mark.
    ///
    /// # Errors
    ///
    /// What the writer underneath says.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0xff; 16])?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Flattener<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            self.out.write_all(&self.offset.to_be_bytes())?;
            self.out.write_all(&(bytes.len() as u64).to_be_bytes())?;
            self.out.write_all(bytes)?;
            self.offset += bytes.len() as u64;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use vmcore_memory::{Architecture, PhysAddr, ReadPhysical};

    use super::*;
    use crate::{Dump, Format, write_elf_core};

    #[test]
    fn a_flattened_core_is_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut out = Flattener::new(file.as_file()).unwrap();
        let pages = [(PhysAddr::new(0x1000), &[1u8; 4096][..]), (PhysAddr::new(0x5000), &[2; 4096])];
        write_elf_core(&mut out, Architecture::X86_64, &[], pages.into_iter()).unwrap();
        out.finish().unwrap();
        let dump = Dump::open(file.path()).unwrap();
        assert_eq!((dump.format(), dump.incomplete().is_none()), (Format::FlattenedElf, true));
        let mut word = [0; 2];
        dump.read_physical(PhysAddr::new(0x5ffe), &mut word).unwrap();
        assert_eq!(word, [2, 2]);
    }
}
