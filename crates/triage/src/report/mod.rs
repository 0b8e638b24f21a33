//! What people and programs get to see of a pile.

mod export;
mod html;
mod metrics;
mod record;
mod text;

pub use export::{write_csv, write_csv_row, write_json_lines};
pub use html::page;
pub use metrics::write_metrics;
pub use record::Record;
pub use text::{write_row, write_text};
