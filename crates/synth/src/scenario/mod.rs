//! Scenarios: what a machine was doing when it stopped, in words that do not depend on its kernel.

mod catalog;
mod check;
mod model;

pub use catalog::{named, names};
pub use model::{
    Change, Circle, Confidence, Doing, Entry, Expected, Frame, Huge, Mapping, Missing, Module, Object, Policy, Process,
    Reference, Route, Scenario, SplitPoint, State, Task, Under, Word,
};
