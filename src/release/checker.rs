//! Checking the binaries of a run, and remembering what was found: one that did not change since is neither read nor judged
//! again.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::model::code::Code;
use crate::model::sysroot::{Libraries, RuntimePackage, Soname, read_control, runtime_packages, sonames};
use crate::release::Artifact;
use crate::release::Place;
use crate::util::error::Result;
use crate::util::files::{self, UntrustedDir};
use crate::util::stamp::{Stamp, this_program};
use crate::verify::darwin;
use crate::verify::link;
use crate::verify::{self, Expectation, Facts, Finding, Inspection, Linkage, inspect, judge};

/// What was found in one file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Checked {
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it is; none where it could not be read as a program.
    pub inspection: Option<Inspection>,
    /// What was judged.
    pub findings: Vec<Finding>,
    /// The Debian packages that it needs at run time, where it was linked against a sysroot.
    pub runtime_packages: Vec<RuntimePackage>,
    /// The releases that have the libraries which it needs, where these are known.
    pub sonames: Vec<Soname>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Memory {
    /// Another version of convoy judges anew.
    version: String,
    checked: BTreeMap<Utf8PathBuf, Remembered>,
    placed: BTreeMap<Utf8PathBuf, (Stamp, String)>,
    /// Files that are published and not judged.
    hashed: BTreeMap<Utf8PathBuf, (Stamp, String, u64)>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Remembered {
    stamp: Stamp,
    expectation: String,
    checked: Checked,
}

/// Checks files.
#[derive(Debug)]
pub struct Checker {
    file: Utf8PathBuf,
    memory: Memory,
    changed: bool,
}

impl Checker {
    /// With what earlier runs in this target folder found.
    pub fn open(convoy_dir: &Utf8Path) -> Self {
        let file = convoy_dir.join("checked.json");
        let version = this_program();
        let memory: Option<Memory> = fs_err::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let memory = memory.filter(|memory| memory.version == version);
        Self { file, memory: memory.unwrap_or(Memory { version, ..Memory::default() }), changed: false }
    }

    /// Checks one build product. `package_dirs` gives the sources whose declarations account for darwin's symbols.
    ///
    /// # Errors
    /// The sysroot that it was linked against cannot be read. What cannot be opened as a plain file is a violation.
    pub fn check(
        &mut self,
        artifact: &Artifact,
        mut expectation: Expectation,
        package_dirs: &dyn Fn() -> Vec<Utf8PathBuf>,
    ) -> Result<Checked> {
        let path = &artifact.path;
        let file = match artifact.open() {
            Ok(file) => file,
            Err(error) => return Ok(Checked::unreadable(Finding::unreadable(error.to_string()))),
        };
        expectation.link = UntrustedDir::open(&artifact.root).ok().and_then(|root| link::record_beneath(&root, path));
        // A digest, because the link record may name thousands of symbols and every run reads the memory. The sysroot is in
        // it by its own digest: its libraries are read below.
        let key = files::sha256(format!("{expectation:?}"));
        if let Some(known) = self.memory.checked.get(path)
            && known.stamp == *file.stamp()
            && known.expectation == key
        {
            return Ok(known.checked.clone());
        }
        let bytes = match file.read() {
            Ok(bytes) => bytes,
            Err(error) => {
                return Ok(Checked::unreadable(Finding::unreadable(format!("could not read `{path}`: {error}"))));
            }
        };
        let checked = examine(&bytes, expectation, package_dirs)?;
        let known = Remembered { stamp: file.stamp().clone(), expectation: key, checked: checked.clone() };
        self.memory.checked.insert(path.to_owned(), known);
        self.changed = true;
        Ok(checked)
    }

    /// The SHA-256 of a file that is published beside a binary, and its size; none where there is no such plain file.
    pub fn hash(&mut self, artifact: &Artifact) -> Option<(String, u64)> {
        let file = artifact.open().ok()?;
        if let Some((stamp, sha256, size)) = self.memory.hashed.get(&artifact.path)
            && stamp == file.stamp()
        {
            return Some((sha256.clone(), *size));
        }
        let copied = file.copy_to(std::io::sink()).ok()?;
        let known = (file.stamp().clone(), copied.sha256.clone(), copied.size);
        self.memory.hashed.insert(artifact.path.clone(), known);
        self.changed = true;
        Some((copied.sha256, copied.size))
    }

    /// Whether the file at this place of dist is, untouched since, the one with this hash.
    pub fn placed(&self, path: &Utf8Path, sha256: &str) -> bool {
        self.memory
            .placed
            .get(path)
            .is_some_and(|(stamp, known)| known == sha256 && Some(stamp) == Stamp::of(path).as_ref())
    }

    /// Notes what was just put into dist.
    pub fn remember(&mut self, places: &[Place], dist: &Utf8Path) {
        for place in places.iter().filter(|place| !place.up_to_date) {
            let path = dist.join(&place.path);
            if let Some(stamp) = Stamp::of(&path) {
                self.memory.placed.insert(path, (stamp, place.sha256.clone()));
                self.changed = true;
            }
        }
    }

    /// Keeps what was found for the next run.
    pub fn close(mut self) {
        if !self.changed {
            return;
        }
        self.memory.checked.retain(|path, _| path.exists());
        self.memory.placed.retain(|path, _| path.exists());
        self.memory.hashed.retain(|path, _| path.exists());
        // A memory that cannot be written only costs time.
        if let Ok(text) = serde_json::to_vec(&self.memory) {
            let _ = files::replace(&self.file, text);
        }
    }
}

impl Checked {
    fn unreadable(finding: Finding) -> Self {
        Self {
            sha256: String::new(),
            size: 0,
            inspection: None,
            findings: vec![finding],
            runtime_packages: Vec::new(),
            sonames: Vec::new(),
        }
    }
}

fn examine(bytes: &[u8], mut expectation: Expectation, package_dirs: &dyn Fn() -> Vec<Utf8PathBuf>) -> Result<Checked> {
    let (sha256, size) = (files::sha256(bytes), bytes.len() as u64);
    let mut inspection = match inspect(bytes) {
        Ok(inspection) => inspection,
        Err(unreadable) => return Ok(Checked { sha256, size, ..Checked::unreadable(unreadable.finding()) }),
    };
    // The objects tell more than the file, of which lld writes the first one's level only.
    let objects = expectation.link.as_ref().and_then(verify::cpu_of_objects);
    inspection.cpu = objects.or(inspection.cpu);
    let runtime_packages = against_sysroot(&inspection, &mut expectation)?;
    let mut findings = judge(&inspection, &expectation);
    if findings.iter().any(|finding| finding.code == Code::DarwinSymbolUnaccounted) {
        // Reading the sources costs, so only where something is unaccounted for without them.
        expectation.declared_symbols = darwin::declared_in_packages(&package_dirs());
        findings = judge(&inspection, &expectation);
    }
    let sysroot = expectation.sysroot.as_ref().map(|sysroot| sysroot.key.architecture.as_str());
    let debian = expectation.target.as_ref().and_then(|target| target.debian_arch.as_deref());
    let sonames = sonames::known(&inspection.needed, sysroot.or(debian));
    Ok(Checked { sha256, size, inspection: Some(inspection), findings, runtime_packages, sonames })
}

/// Reads what the sysroot has for a binary that was linked against it: its libraries, to be judged, and the packages that
/// it needs.
fn against_sysroot(inspection: &Inspection, expectation: &mut Expectation) -> Result<Vec<RuntimePackage>> {
    let dynamic = matches!(inspection.facts, Facts::Elf(_)) && inspection.linkage == Linkage::Dynamic;
    let Some(sysroot) = expectation.sysroot.as_ref().filter(|_| dynamic) else { return Ok(Vec::new()) };
    let libraries = Libraries::load(sysroot, inspection.bits, &inspection.needed, inspection.interpreter())?;
    expectation.libraries = Some(Arc::new(libraries));
    let control = read_control(&sysroot.control());
    Ok(runtime_packages(&inspection.needed, &inspection.used_symbols(), &control))
}
