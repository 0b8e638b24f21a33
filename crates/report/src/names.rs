//! The names that enumerations have in JSON, for its schemas: taken from the enumerations themselves.

use schemars::{Schema, SchemaGenerator, json_schema};
use vmcore_console::{Ending, Kind};
use vmcore_diagnose::graph::{EdgeKind, Node, ShapeKind};
use vmcore_diagnose::{CheckResult, Confidence, Issue, Severity};
use vmcore_kernel::{Class, Segment, StackEnd, Trust};

/// A string that is one of these.
pub(crate) fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> Schema {
    let names: Vec<_> = names.into_iter().collect();
    json_schema!({ "type": "string", "enum": names })
}

/// The same, or null.
fn one_of_or_null<'n>(names: impl IntoIterator<Item = &'n str>) -> Schema {
    let names: Vec<_> = names.into_iter().map(Some).chain([None]).collect();
    json_schema!({ "type": ["string", "null"], "enum": names })
}

/// The id of an issue.
pub(crate) fn issue(_: &mut SchemaGenerator) -> Schema {
    one_of(Issue::ALL.map(Issue::id))
}

/// The id of an issue, or none.
pub(crate) fn issue_or_null(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(Issue::ALL.map(Issue::id))
}

/// How sure something is.
pub(crate) fn confidence(_: &mut SchemaGenerator) -> Schema {
    one_of(Confidence::ALL.map(Confidence::name))
}

/// How serious something is.
pub(crate) fn severity(_: &mut SchemaGenerator) -> Schema {
    one_of(Severity::ALL.map(Severity::name))
}

/// What became of a claim.
pub(crate) fn check_result(_: &mut SchemaGenerator) -> Schema {
    one_of(CheckResult::ALL.map(CheckResult::name))
}

/// The kind of an edge.
pub(crate) fn edge_kind(_: &mut SchemaGenerator) -> Schema {
    one_of(EdgeKind::ALL.map(EdgeKind::name))
}

/// The kind of a node.
pub(crate) fn node_kind(_: &mut SchemaGenerator) -> Schema {
    one_of(Node::KINDS)
}

/// The kind of a shape.
pub(crate) fn shape_kind(_: &mut SchemaGenerator) -> Schema {
    one_of(ShapeKind::ALL.map(ShapeKind::name))
}

/// The kind of a shape, or none.
pub(crate) fn shape_kind_or_null(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(ShapeKind::ALL.map(ShapeKind::name))
}

/// Whose address it is, or none.
pub(crate) fn space_or_null(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(["kernel", "user", "physical"])
}

/// Yes, no, or unknown.
pub(crate) fn yes_no_unknown(_: &mut SchemaGenerator) -> Schema {
    one_of(["yes", "no", "unknown"])
}

/// What a log reports.
pub(crate) fn log_event(_: &mut SchemaGenerator) -> Schema {
    one_of(Kind::ALL.map(Kind::name))
}

/// How a boot ended.
pub(crate) fn ending(_: &mut SchemaGenerator) -> Schema {
    one_of(Ending::ALL.map(Ending::name))
}

/// How a frame was found.
pub(crate) fn trust(_: &mut SchemaGenerator) -> Schema {
    one_of(Trust::ALL.map(Trust::name))
}

/// Which stack a frame lies on, or none.
pub(crate) fn segment_or_null(_: &mut SchemaGenerator) -> Schema {
    one_of_or_null(Segment::ALL.map(Segment::name))
}

/// What a stack ends at.
pub(crate) fn stack_end(_: &mut SchemaGenerator) -> Schema {
    one_of(StackEnd::ALL.map(StackEnd::name))
}

/// A scheduling class.
pub(crate) fn class(_: &mut SchemaGenerator) -> Schema {
    one_of(Class::ALL.map(Class::name))
}
