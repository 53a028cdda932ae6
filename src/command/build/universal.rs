//! `darwin/universal`: one file of both macOS binaries, each of which was built and verified as its own target.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;

use super::rows::failed;
use super::{Build, file_name};
use crate::command::workspace::Planned;
use crate::model::catalog::{UNIVERSAL, Universal};
use crate::model::code::Code;
use crate::plan::CellPlan;
use crate::project::graph::Bin;
use crate::release::{Artifact, ArtifactRow, Checker, FailedRow, FailedStatus, Manifest, Place, join};
use crate::report::Phase;
use crate::util::error::{Exit, Result};
use crate::util::files;
use crate::verify;

impl Build<'_> {
    /// Joins what was asked for as one file; a half that is missing is listed as the reason.
    pub(super) fn join_universal(
        &self,
        planned: &Planned,
        checker: &Checker,
        manifest: &mut Manifest,
        places: &mut Vec<Place>,
    ) -> Result<Exit> {
        let halves: Vec<&CellPlan> = planned.plan.cells.iter().filter(|cell| cell.cell.universal).collect();
        let mut exit = Exit::Success;
        let Some(first) = halves.first() else { return Ok(exit) };
        for bin in planned.workspace.bins.iter().filter(|bin| bin.is_of(&first.cell.id)) {
            match self.join_bin(planned, &halves, bin, checker, manifest, places)? {
                Ok(()) => {}
                Err(why) => {
                    exit = exit.worst(Exit::BuildFailed);
                    let id = UNIVERSAL.triple;
                    self.reporter.error(Phase::Verify, why.clone()).target(id).code(Code::UniversalIncomplete).send();
                    let status = FailedStatus::Failed;
                    let row = failed(first, planned, status, Code::UniversalIncomplete, &why, None);
                    let (id, target) = (id.to_owned(), id.to_owned());
                    manifest.failed.push(FailedRow { id, target, bin: Some(bin.name.clone()), route: None, ..row });
                }
            }
        }
        Ok(exit)
    }

    /// One bin; the error is a sentence.
    fn join_bin(
        &self,
        planned: &Planned,
        halves: &[&CellPlan],
        bin: &Bin,
        checker: &Checker,
        manifest: &mut Manifest,
        places: &mut Vec<Place>,
    ) -> Result<std::result::Result<(), String>> {
        let mut rows = Vec::new();
        let mut contents = Vec::new();
        for half in halves {
            let id = &half.cell.id;
            let is_it = |row: &&ArtifactRow| row.id == *id && row.bin == bin.name && row.package == bin.package;
            let row = manifest.artifacts.iter().find(is_it);
            let place = row.and_then(|row| places.iter().find(|place| place.path == row.path));
            let (Some(row), Some(place)) = (row, place) else {
                return Ok(Err(format!("`{}` has no verified binary for {id}, so there is nothing to join", bin.name)));
            };
            let bytes = place.source.open().and_then(|file| file.read())?;
            if files::sha256(&bytes) != place.sha256 {
                return Ok(Err(format!("the binary of `{}` for {id} changed after it was verified", bin.name)));
            }
            rows.push(row.clone());
            contents.push(bytes);
        }
        let joined = match join(&contents) {
            Ok(joined) => joined,
            Err(error) => return Ok(Err(format!("could not join the binaries of `{}`: {error}", bin.name))),
        };
        let Universal { triple, platform, .. } = UNIVERSAL;
        let file = file_name(&bin.name, &triple.into());
        let root = planned.workspace.convoy_dir().join("universal");
        let built = root.join(triple).join(&file);
        fs_err::create_dir_all(root.join(triple))?;
        files::replace(&built, &joined)?;
        let Some(source) = Artifact::of(bin, &root, triple, &built) else {
            return Ok(Err(format!("`{built}` is not a path in the target directory")));
        };
        let (sha256, path) = (files::sha256(&joined), Utf8PathBuf::from(triple).join(&file));
        places.push(Place {
            up_to_date: checker.placed(&planned.workspace.dist_dir.join(&path), &sha256),
            source,
            sha256: sha256.clone(),
            path: path.clone(),
        });
        let needed: BTreeSet<String> = rows.iter().flat_map(|row| row.needed.clone()).collect();
        let names = rows.iter().map(|row| format!("`{}`", row.target)).collect::<Vec<_>>().join(" and ");
        let findings =
            std::iter::once(verify::joined(&names)).chain(rows.iter().flat_map(|row| row.findings.clone())).collect();
        let Some(first) = rows.first().cloned() else { return Ok(Ok(())) };
        manifest.artifacts.push(ArtifactRow {
            id: triple.to_owned(),
            target: triple.to_owned(),
            platform: Some(platform.to_owned()),
            because: format!("joins the binaries of {names}"),
            path: path.into_string(),
            size: joined.len() as u64,
            sha256,
            arch: rows.iter().map(|row| row.arch.as_str()).collect::<Vec<_>>().join("+"),
            needed: needed.into_iter().collect(),
            findings,
            ..first
        });
        self.reporter.debug(Phase::Verify, bin.name.clone()).target(triple).send();
        Ok(Ok(()))
    }
}
