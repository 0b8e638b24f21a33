//! Detectors: from a snapshot of a kernel to a verdict with its proof.

#![forbid(unsafe_code)]
