//! Inspects what was built; a right binary is on its way to dist, a wrong one is listed with the reason.

use super::Build;
use super::rows::failed;
use super::shorten;
use crate::build::smoke::{self, Smoke, SmokeImage};
use crate::command::workspace::Planned;
use crate::machine::engine::Engine;
use crate::model::catalog::Catalog;
use crate::model::code::Code;
use crate::model::sysroot::{LinkedAgainst, Sysroot, SysrootKey};
use crate::model::triple::Triple;
use crate::plan::CellPlan;
use crate::release::{
    Artifact, ArtifactRow, Checked, Checker, DebugInfo, FailedRow, FailedStatus, GlibcRow, Manifest, Place, SysrootRow,
};
use crate::report::Phase;
use crate::util::error::{Exit, Result};
use crate::verify::{Expectation, Finding, Level, Linkage};

impl Build<'_> {
    /// What a container built is started in one, too.
    fn smoke_image<'b>(&'b self, planned: &'b Planned, cell: &'b CellPlan) -> Option<SmokeImage<'b>> {
        let (Some(image), Engine::Found(engine), Some(mark)) = (&cell.image, &planned.machine.engine, self.mark.get())
        else {
            return None;
        };
        Some(SmokeImage { engine, reference: engine.image(&image.reference), machine: &mark.machine, run: &self.run })
    }

    /// Inspects one binary; a right one is on its way to dist, a wrong one is listed.
    pub(super) fn check(
        &self,
        planned: &Planned,
        cell: &CellPlan,
        artifact: &Artifact,
        checker: &mut Checker,
        manifest: &mut Manifest,
        places: &mut Vec<Place>,
    ) -> Result<Exit> {
        let id = &cell.cell.id;
        let catalog = Catalog::embedded();
        let sysroot = sysroot_of(planned, cell);
        let expectation = expectation(planned, cell);
        let dirs = || planned.workspace.packages.get(id).cloned().unwrap_or_default();
        let Checked { sha256, size, inspection, mut findings, runtime_packages, sonames } =
            checker.check(artifact, expectation, &dirs)?;
        if self.options.smoke {
            let smoke = Smoke {
                binary: &artifact.path,
                triple: &cell.cell.target,
                target: catalog.target(&cell.cell.target),
                is_static: inspection.as_ref().is_some_and(|it| it.linkage == Linkage::Static),
                host: &planned.machine.rustc.host,
                cpu: cell.cell.cpu.as_deref(),
                root: sysroot.map(|(_, sysroot)| sysroot.root.as_path()),
                image: self.smoke_image(planned, cell),
            };
            let finding = smoke::smoke(&smoke, self.interrupt)?;
            self.reporter.info(Phase::Smoke, format!("{}: {}", artifact.bin.name, finding.message)).target(id).send();
            findings.push(finding);
        }
        for finding in findings.iter().filter(|finding| finding.level == Level::Warning) {
            let message = format!("{}: {}", artifact.bin.name, finding.message);
            self.reporter.warning(Phase::Verify, message).target(id).code(finding.code).send();
        }
        let violations: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Violation).collect();
        let (Some(inspection), [], Some(route)) = (inspection, violations.as_slice(), cell.route) else {
            let violations: Vec<Finding> = violations.into_iter().cloned().collect();
            manifest.failed.push(self.rejected(planned, cell, artifact, findings, &violations));
            return Ok(Exit::Rejected);
        };
        self.reporter.debug(Phase::Verify, artifact.bin.name.clone()).target(id).send();
        let path = camino::Utf8PathBuf::from(id).join(file_name(&artifact.bin.name, &cell.cell.target));
        let dist = &planned.workspace.dist_dir;
        places.push(Place {
            up_to_date: checker.placed(&dist.join(&path), &sha256),
            source: artifact.clone(),
            sha256: sha256.clone(),
            path: path.clone(),
        });
        let debug_info = debug_info(artifact).find_map(|file| Some((checker.hash(&file)?, file)));
        let debug_info = debug_info.map(|((sha256, size), source)| {
            let path = camino::Utf8PathBuf::from(id).join(source.path.file_name().unwrap_or_default());
            let up_to_date = checker.placed(&dist.join(&path), &sha256);
            places.push(Place { up_to_date, source, sha256: sha256.clone(), path: path.clone() });
            DebugInfo { path: path.into_string(), size, sha256 }
        });
        manifest.artifacts.push(ArtifactRow {
            id: id.clone(),
            package: artifact.bin.package.clone(),
            version: artifact.bin.version.clone(),
            bin: artifact.bin.name.clone(),
            target: cell.cell.target.to_string(),
            platform: cell.cell.platform.clone(),
            devices: cell.cell.devices.clone(),
            route,
            because: cell.because.clone(),
            path: path.into_string(),
            size,
            sha256,
            debug_info,
            format: inspection.format(),
            arch: inspection.arch.clone(),
            cpu: inspection.cpu.clone(),
            linkage: inspection.linkage,
            linker: inspection.linker.clone(),
            interpreter: inspection.interpreter().map(str::to_owned),
            needed: inspection.needed.clone(),
            sysroot: sysroot.map(|(key, sysroot)| SysrootRow { key: key.clone(), digest: sysroot.digest.clone() }),
            runtime_packages,
            sonames,
            glibc: inspection.glibc().map(|seen| GlibcRow { floor: cell.cell.floor, seen: Some(seen) }),
            min_os: inspection.min_os().map(str::to_owned),
            verified: true,
            findings,
        });
        Ok(Exit::Success)
    }

    /// Says why a binary is rejected; gives its row.
    fn rejected(
        &self,
        planned: &Planned,
        cell: &CellPlan,
        artifact: &Artifact,
        findings: Vec<Finding>,
        violations: &[Finding],
    ) -> FailedRow {
        for finding in violations {
            let message = format!("{}: {}", artifact.bin.name, finding.message);
            self.reporter.error(Phase::Verify, message).target(&cell.cell.id).code(finding.code).send();
        }
        let first = violations.first();
        let hint = format!("inspect the rejected binary in {}", shorten(&artifact.path, &planned.workspace.cwd));
        self.tell_hint(Some(&hint));
        let code = first.map_or(Code::Unreadable, |finding| finding.code);
        let message = first.map_or("the binary could not be read", |finding| &finding.message);
        FailedRow {
            bin: Some(artifact.bin.name.clone()),
            findings,
            ..failed(cell, planned, FailedStatus::Rejected, code, message, Some(hint))
        }
    }
}

/// The sysroot that a cell's libraries come from, where it has one.
fn sysroot_of<'p>(planned: &'p Planned, cell: &'p CellPlan) -> Option<(&'p SysrootKey, &'p Sysroot)> {
    let key = cell.sysroot.as_ref()?;
    Some((key, planned.machine.sysroots.get(&key.to_string())?))
}

/// What a right binary of a cell is.
fn expectation(planned: &Planned, cell: &CellPlan) -> Expectation {
    let catalog = Catalog::embedded();
    Expectation {
        floor: cell.cell.floor,
        cpu: cell.cell.cpu.clone(),
        sysroot: sysroot_of(planned, cell).and_then(|(key, sysroot)| {
            let multiarch = catalog.target(&cell.cell.target)?.multiarch.as_deref()?;
            Some(LinkedAgainst::new(key, sysroot, multiarch))
        }),
        ..Expectation::of_triple(&cell.cell.target, catalog)
    }
}

/// Where a Windows program's debug information may be: beside it, by its own name or by that of its crate, which the
/// program knows it by.
fn debug_info(artifact: &Artifact) -> impl Iterator<Item = Artifact> {
    let windows = artifact.path.extension() == Some("exe");
    let stem = artifact.path.file_stem().unwrap_or_default();
    let names = [stem.replace('-', "_"), stem.to_owned()].into_iter().filter(move |_| windows);
    names.map(|name| Artifact { path: artifact.path.with_file_name(format!("{name}.pdb")), ..artifact.clone() })
}

/// A bin's file in dist.
pub(super) fn file_name(bin: &str, target: &Triple) -> String {
    let extension = if target.is_windows() {
        ".exe"
    } else if target.is_wasm() {
        ".wasm"
    } else {
        ""
    };
    format!("{bin}{extension}")
}
