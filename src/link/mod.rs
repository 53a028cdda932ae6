//! The linker shim. A linked binary no longer tells everything: lld keeps only the first object's ARM attributes, and a
//! Mach-O does not say which object wants a symbol. So for some targets cargo's linker is a script that runs
//! `cargo-convoy link …`, which starts the real linker and then writes down what the link line held.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// What the linker shim saw on one link line; kept beside the output as `<output>.convoy-link.json`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct LinkRecord {
    /// Raised when the meaning of a field changes; another number is treated as no record.
    pub schema: u32,
    /// The real linker.
    pub linker: Utf8PathBuf,
    /// The output file.
    pub output: Utf8PathBuf,
    /// For 32-bit ARM: the attributes of each object and archive member that exceed or differ from the plain baseline,
    /// by object name (`libfoo.a(bar.o)`).
    pub arm: BTreeMap<String, ArmAttributes>,
    /// For Mach-O: for each undefined symbol of the objects, those objects (at most three), by symbol.
    pub wanted_by: BTreeMap<String, Vec<String>>,
}

/// The build attributes of one 32-bit ARM object (`.ARM.attributes`), as numbers of the ARM ABI's addenda.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct ArmAttributes {
    /// `Tag_CPU_arch`: 6 is v6, 9 is v6KZ, 10 is v7.
    pub cpu_arch: Option<u8>,
    /// `Tag_FP_arch`: 2 is VFPv2, 3 is VFPv3, 4 is VFPv3-D16.
    pub fp_arch: Option<u8>,
    /// `Tag_Advanced_SIMD_arch`: not 0 is NEON.
    pub simd_arch: Option<u8>,
    /// `Tag_ABI_VFP_args`: 1 is the hard float ABI.
    pub vfp_args: Option<u8>,
}
