//! Rows as Apache Parquet, with the columns of the CSV: `size` and `elapsed_ns` are integers, `from_log` is a truth value,
//! `crashed` a time in milliseconds of UTC, the rest are texts; what is not known is null.
//!
//! Source: the format's specification (`parquet-format`), logical types `STRING` and `TIMESTAMP(MILLIS, UTC)`.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::export::{COLUMNS, fields};
use crate::row::Row;

/// Rows that are written at a time: some megabytes.
const AT_A_TIME: usize = 10_000;

/// Writes rows as they come.
pub struct ParquetWriter<'o> {
    out: &'o mut dyn Write,
    file: SerializedFileWriter<Vec<u8>>,
    rows: Vec<Row>,
}

impl<'o> ParquetWriter<'o> {
    /// A writer of one file.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn new(out: &'o mut dyn Write) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("vmcore-thp version ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file =
            SerializedFileWriter::new(Vec::new(), schema().map_err(other)?, Arc::new(properties)).map_err(other)?;
        Ok(Self { out, file, rows: Vec::new() })
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// As the file.
    pub fn add(&mut self, row: Row) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() >= AT_A_TIME { self.flush() } else { Ok(()) }
    }

    /// Writes what is left, and the end of the file.
    ///
    /// # Errors
    ///
    /// As the file.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        let rest = self.file.into_inner().map_err(other)?;
        self.out.write_all(&rest)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        write_group(&mut self.file, &self.rows).map_err(other)?;
        self.rows.clear();
        // What is taken out here was counted already: the places of later groups stay right.
        let written = std::mem::take(self.file.inner_mut());
        self.out.write_all(&written)
    }
}

fn other(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

fn schema() -> Result<TypePtr, ParquetError> {
    let columns = COLUMNS.iter().map(|name| column(name)).collect::<Result<_, _>>()?;
    Type::group_type_builder("dumps").with_fields(columns).build().map(Arc::new)
}

fn column(name: &str) -> Result<TypePtr, ParquetError> {
    use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
    let (physical, logical, repetition) = match name {
        "size" | "elapsed_ns" => (Physical::INT64, None, Repetition::REQUIRED),
        "from_log" => (Physical::BOOLEAN, None, Repetition::REQUIRED),
        "crashed" => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS)), Repetition::OPTIONAL),
        _ => (Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::OPTIONAL),
    };
    let column = Type::primitive_type_builder(name, physical).with_logical_type(logical).with_repetition(repetition);
    column.build().map(Arc::new)
}

fn write_group(file: &mut SerializedFileWriter<Vec<u8>>, rows: &[Row]) -> Result<(), ParquetError> {
    let texts: Vec<_> = rows.iter().map(fields).collect();
    let mut group = file.next_row_group()?;
    for (at, name) in COLUMNS.iter().enumerate() {
        let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        match *name {
            "size" => all::<Int64Type>(&mut group, rows.iter().map(|row| integer(row.size)))?,
            "elapsed_ns" => all::<Int64Type>(&mut group, rows.iter().map(|row| integer(row.elapsed_ns)))?,
            "from_log" => all::<BoolType>(&mut group, rows.iter().map(|row| row.from_log))?,
            "crashed" => {
                some::<Int64Type>(
                    &mut group,
                    rows.iter().map(|row| row.crashed.map(|time| time.saturating_mul(1000))),
                )?;
            }
            _ => {
                let text = |fields: &[String; COLUMNS.len()]| fields.get(at).filter(|text| !text.is_empty()).cloned();
                let values = texts.iter().map(|fields| text(fields).map(|text| ByteArray::from(text.into_bytes())));
                some::<ByteArrayType>(&mut group, values)?;
            }
        }
    }
    group.close().map(drop)
}

/// A column in which every row has a value.
fn all<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: impl Iterator<Item = T::T>,
) -> Result<(), ParquetError> {
    write::<T>(group, &values.collect::<Vec<_>>(), None)
}

/// A column with nulls.
fn some<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let values: Vec<_> = values.collect();
    let levels: Vec<_> = values.iter().map(|value| i16::from(value.is_some())).collect();
    write::<T>(group, &values.into_iter().flatten().collect::<Vec<_>>(), Some(&levels))
}

fn write<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("there are more columns than the schema has".into()));
    };
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;
    use crate::input::ItemKind;
    use crate::{Signature, Summary};

    fn row(number: u64) -> Row {
        Row {
            key: format!("key-{number}"),
            tool: "1".to_owned(),
            kind: ItemKind::Dump,
            paths: vec![format!("/pile/{number}\n\u{1b}")],
            size: number,
            host: (number.is_multiple_of(2)).then(|| "web1".to_owned()),
            crashed: (number.is_multiple_of(3)).then_some(1_795_874_709),
            finished: 0,
            elapsed_ns: u64::MAX,
            failure: None,
            from_log: number == 4,
            summary: Summary::default(),
            signature: Signature::default(),
            crash: None,
        }
    }

    #[test]
    fn every_row_is_read_again() {
        let mut file = Vec::new();
        let mut writer = ParquetWriter::new(&mut file).unwrap();
        let rows = AT_A_TIME as u64 + 7;
        (0..rows).try_for_each(|number| writer.add(row(number))).unwrap();
        writer.finish().unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let read: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len() as u64, rows);
        for (number, read) in (0..rows).zip(&read) {
            let at = |name: &str| COLUMNS.iter().position(|column| *column == name).unwrap();
            assert_eq!(*read.get_string(at("key")).unwrap(), format!("key-{number}"));
            assert_eq!(*read.get_string(at("path")).unwrap(), format!("/pile/{number}\n\u{1b}"));
            assert_eq!(read.get_long(at("size")).unwrap(), number as i64);
            assert_eq!(read.get_long(at("elapsed_ns")).unwrap(), i64::MAX);
            assert_eq!(read.get_bool(at("from_log")).unwrap(), number == 4);
            assert_eq!(read.get_string(at("host")).is_ok(), number.is_multiple_of(2));
            let time = read.get_timestamp_millis(at("crashed")).ok();
            assert_eq!(time, (number.is_multiple_of(3)).then_some(1_795_874_709_000));
        }
    }

    #[test]
    fn a_file_without_rows_is_one() {
        let mut file = Vec::new();
        ParquetWriter::new(&mut file).unwrap().finish().unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    }
}
