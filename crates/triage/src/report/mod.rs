//! What people and programs get to see of a pile.

mod export;
mod html;
mod metrics;
#[cfg(feature = "parquet")]
mod parquet;
mod record;
mod text;

pub use export::{write_csv_head, write_csv_row};
pub use html::{PAGE, dump_page, page, shown_rows};
pub use metrics::write_metrics;
#[cfg(feature = "parquet")]
pub use parquet::ParquetWriter;
pub use record::Record;
pub use text::{write_row, write_text};
