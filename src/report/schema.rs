//! The JSON Schemas of everything that convoy prints for machines, made from the very types that are serialised.

use schemars::{Schema, schema_for};

use crate::model::request::SchemaKind;
use crate::release::Manifest;
use crate::report::plan::PlanReport;
use crate::report::{
    CacheReport, CacheVerifyReport, DoctorReport, Event, ImagesReport, SupplyReport, SupplyVerifyReport, TargetsReport,
    VerifyReport, WhyReport,
};

/// The schema of one kind of output.
pub(crate) fn schema(kind: SchemaKind) -> Schema {
    match kind {
        SchemaKind::Manifest => schema_for!(Manifest),
        SchemaKind::Plan => schema_for!(PlanReport<'_>),
        SchemaKind::Targets => schema_for!(TargetsReport),
        SchemaKind::Verify => schema_for!(VerifyReport),
        SchemaKind::Cache => schema_for!(CacheReport),
        SchemaKind::CacheVerify => schema_for!(CacheVerifyReport),
        SchemaKind::Supply => schema_for!(SupplyReport),
        SchemaKind::SupplyVerify => schema_for!(SupplyVerifyReport),
        SchemaKind::Images => schema_for!(ImagesReport),
        SchemaKind::Why => schema_for!(WhyReport),
        SchemaKind::Doctor => schema_for!(DoctorReport),
        SchemaKind::Event => schema_for!(Event),
    }
}
