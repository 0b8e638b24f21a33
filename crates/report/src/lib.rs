//! The verdict and the kernel state rendered as text and JSON.

#![forbid(unsafe_code)]
