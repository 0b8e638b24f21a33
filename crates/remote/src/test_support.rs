//! What tests need.

mod server;

pub(crate) use server::{Fault, Server};
