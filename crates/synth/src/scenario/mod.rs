//! Scenarios: what a machine was doing when it stopped, in words that do not depend on its kernel.

mod catalog;
mod check;
mod model;

pub use catalog::{named, names};
pub use model::{
    Change, Confidence, Doing, Entry, Expected, Huge, Mapping, Missing, Module, Policy, Process, Route, Scenario,
    SplitPoint, State, Task, Under,
};
