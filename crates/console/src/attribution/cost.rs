//! What each piece of evidence costs or saves, as -ln of a probability ratio. The sizes were chosen on recorded logs:
//! the test `interleave` measures them.

/// The same CPU printed the line before.
pub(super) const STAY: f32 = 0.3;
pub(super) const SWITCH: f32 = 1.0;
/// A report of a CPU that has not printed before, by how it begins.
pub(super) const OPEN_EVENT: f32 = 3.0;
pub(super) const OPEN_CPU: f32 = 5.0;
pub(super) const OPEN_MIDDLE: f32 = 10.0;
/// At the beginning of a log or after a long silence: others may have begun before.
pub(super) const OPEN_EARLY: f32 = 6.0;
/// `panic()` on the stack of a CPU that did not say so.
pub(super) const NO_PANIC: f32 = 5.0;
/// Two streams for one CPU.
pub(super) const SECOND: f32 = 8.0;
pub(super) const OTHER_CPU: f32 = 16.0;
pub(super) const SAME_CPU: f32 = -3.0;
pub(super) const OTHER_PID: f32 = 4.0;
pub(super) const OTHER_CALLER: f32 = 20.0;
pub(super) const SAME_CALLER: f32 = -3.0;
/// A CPU's clock does not go back.
pub(super) const BACKWARDS: f32 = 8.0;
/// A clock that stands still while others go on.
pub(super) const SAME_STILL_CLOCK: f32 = -3.0;
pub(super) const CALLER: f32 = -1.0;
pub(super) const NO_CALLER: f32 = 3.0;
pub(super) const OTHER_KIND_OF_STACK: f32 = 3.0;
pub(super) const WRONG_SIDE: f32 = 5.0;
pub(super) const OWN_STACK: f32 = -1.0;
pub(super) const STACK_OF_OTHER: f32 = 3.0;
pub(super) const OTHER_STACK: f32 = 6.0;
pub(super) const SAME_STACK: f32 = -3.0;
pub(super) const SAME_VALUE: f32 = -2.5;
pub(super) const REPEATED_VALUE: f32 = -1.0;
pub(super) const NEAR_VALUE: f32 = -1.5;
pub(super) const NEW_VALUE: f32 = 0.4;
/// For each other CPU.
pub(super) const IN_ORDER: f32 = -1.0;
pub(super) const OUT_OF_ORDER: f32 = 7.0;
pub(super) const BLANK: f32 = 0.2;
pub(super) const ODD_BLANK: f32 = 3.0;
