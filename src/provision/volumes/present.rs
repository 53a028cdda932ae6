//! The volumes that an engine has.

use serde::Serialize;

use crate::machine::engine::{EngineFacts, EngineKind};
use crate::machine::interrupt::Interrupt;
use crate::plan::container::{LABEL_BYTES, LABEL_INSTANCE, LABEL_MACHINE, LABEL_VOLUME, LABEL_WHAT, VolumeKind};
use crate::provision::engine::says;
use crate::util::error::Result;

/// A volume of convoy's on an engine.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct PresentVolume {
    /// Its name.
    pub name: String,
    /// What it holds; none where another version of convoy made it.
    pub kind: Option<VolumeKind>,
    /// The same to people.
    pub what: String,
    /// The machine and cache whose project it belongs to; none where it serves everybody.
    pub machine: Option<String>,
    /// How many bytes it was filled with, where that never changes.
    pub bytes: Option<u64>,
    /// What tells it from another one that had its name before.
    #[serde(skip)]
    pub instance: String,
}

/// The volumes that convoy made on an engine.
pub fn list(engine: &EngineFacts, interrupt: &Interrupt) -> Result<Vec<PresentVolume>> {
    let label = |name: &str| match engine.kind {
        EngineKind::Docker => format!("{{{{.Label \"{name}\"}}}}"),
        EngineKind::Podman => format!("{{{{index .Labels \"{name}\"}}}}"),
    };
    let labels = [LABEL_VOLUME, LABEL_MACHINE, LABEL_INSTANCE, LABEL_BYTES, LABEL_WHAT].map(label).join("\t");
    let (filter, format) = (format!("label={LABEL_VOLUME}"), format!("{{{{.Name}}}}\t{labels}"));
    let output = says(engine, interrupt, &["volume", "ls", "--filter", &filter, "--format", &format])?;
    let mut volumes: Vec<PresentVolume> = output.lines().filter_map(read_row).collect();
    volumes.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(volumes)
}

pub(super) fn read_row(line: &str) -> Option<PresentVolume> {
    let [name, kind, machine, instance, bytes, what] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
    Some(PresentVolume {
        name: name.to_owned(),
        kind: VolumeKind::from_name(kind),
        what: what.to_owned(),
        machine: Some(machine.to_owned()).filter(|machine| !machine.is_empty()),
        bytes: bytes.parse().ok(),
        instance: instance.to_owned(),
    })
}

/// Removes a volume. One that a container uses stays, and that is the error.
pub fn remove(engine: &EngineFacts, name: &str, interrupt: &Interrupt) -> Result<()> {
    says(engine, interrupt, &["volume", "rm", name]).map(drop)
}
