//! Scenarios: what a machine was doing when it stopped, in words that do not depend on its kernel.

mod catalog;
mod check;
mod defaults;
mod model;
mod object;
mod task;
mod text;

pub use catalog::{named, names};
pub use model::{
    Arch, Confidence, Entry, Expected, GracePeriod, Huge, Limits, LogLine, LoggedAt, Mapping, Missing, Module, Process,
    Route, Scenario,
};
pub use object::{Change, Circle, Frame, Object, Reference, Word};
pub use task::{Doing, Life, Policy, SplitPoint, State, Task, Under};
