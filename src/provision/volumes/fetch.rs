//! What a lane gave is fetched, and unpacked with care.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::process::Command;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{PLACE, Volumes, unique};
use crate::plan::container::{Confinement, Stream, VolumeMount};
use crate::provision::engine::last_line;
use crate::util::error::{Error, Result};
use crate::util::files;
use crate::util::stamp::Stamp;

/// Gives what was built.
pub(super) const FETCH: &str = include_str!("fetch.sh");
/// Files of a lane that tell of a run, by their names in its folder. They are fetched each time.
pub(super) const OF_A_RUN: [&str; 2] = ["cpu-usage", "ended"];

/// What was fetched, by the file's place in the lane.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Fetched(BTreeMap<String, (String, Option<Stamp>)>);

impl Volumes<'_> {
    /// Brings files of a lane to the same places on this machine, each with the record of how it was linked. What was
    /// fetched before and is still the same is left alone.
    pub fn fetch(&self, stream: &Stream, lane: &Utf8Path, wanted: &[Utf8PathBuf]) -> Result<()> {
        let name = stream.name(&self.owner());
        let before: Fetched = self.recall(&name).unwrap_or_default();
        let mut input = String::new();
        for file in
            wanted.iter().filter_map(|file| file.strip_prefix(lane).ok()).filter(|file| !file.as_str().contains('\n'))
        {
            let same = before
                .0
                .get(file.as_str())
                .filter(|(_, stamp)| stamp.is_some() && *stamp == Stamp::of(&lane.join(file)));
            let seen = same.map(|(seen, _)| seen.as_str()).unwrap_or_default();
            // Writing to a String does not fail.
            let _ = write!(input, "{file}\n{seen}\n");
        }
        for file in OF_A_RUN {
            let _ = write!(input, "{file}\n\n");
        }
        let volume = VolumeMount { name: name.clone(), inside: format!("{PLACE}/0").into(), writable: false };
        let confinement = Confinement::default();
        let own = format!("convoy-{}-fetch-{}", self.run, &unique()[..8]);
        let volumes = [volume];
        let start = self.start(&own, self.user, &volumes, &confinement);
        let mut command = Command::new(&self.engine.program);
        command.args(start.args_with_input("/bin/sh")).args(["-c", FETCH]);
        let talk = self.interrupt.talk(
            &mut command,
            move |mut stdin| stdin.write_all(input.as_bytes()),
            |stdout| unpack(stdout, lane),
        );
        if self.interrupt.came().is_some() {
            self.remove_container(&own);
        }
        let failed = || Error::work("could not copy the build output from the container engine");
        let talk = talk?.map_err(|error| failed().because(error))?;
        let unpacked = match (talk.output, talk.status.success()) {
            (Ok(unpacked), true) => unpacked,
            // Nothing more is read then, and the engine's client can only say that its pipe broke.
            (Err(error), _) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(failed().because(error)),
            (Err(error), true) => return Err(failed().because(error)),
            (_, false) => return Err(failed().because(last_line(&talk.stderr))),
        };
        let mut fetched = before;
        for line in talk.stderr.lines() {
            let ["now", file, seen] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
            let known =
                unpacked.contains(Utf8Path::new(file)) || fetched.0.get(file).is_some_and(|(old, _)| old == seen);
            if known && !OF_A_RUN.contains(&file) {
                fetched.0.insert(file.to_owned(), (seen.to_owned(), Stamp::of(&lane.join(file))));
            }
        }
        self.remember(&name, &fetched)
    }
}

/// Unpacks what a lane gives: files and second names of files within its folder, and nothing else. What builds there is
/// not trusted with this machine. Gives the paths.
pub(super) fn unpack(input: impl Read, lane: &Utf8Path) -> io::Result<BTreeSet<Utf8PathBuf>> {
    let mut archive = tar::Archive::new(input);
    let mut unpacked = BTreeSet::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = within(&entry.path()?)?;
        let kind = entry.header().entry_type();
        let place = lane.join(&path);
        let dir = place.parent().unwrap_or(lane);
        fs_err::create_dir_all(dir)?;
        if kind.is_hard_link() {
            let first = entry.link_name()?.ok_or_else(|| io::Error::other("hard link without a target"))?;
            let first = within(&first)?;
            if !unpacked.contains(&first) {
                return Err(io::Error::other(format!("hard link to {first}, which was not sent")));
            }
            files::remove_if_there(&place)?;
            fs_err::hard_link(lane.join(&first), &place)?;
        } else if kind.is_file() {
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            let expected = entry.size();
            if io::copy(&mut entry, &mut file)? != expected {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = entry.header().mode()? & 0o777;
                fs_err::set_permissions(file.path(), std::fs::Permissions::from_mode(mode))?;
            }
            file.persist(&place).map_err(|error| error.error)?;
        } else {
            return Err(io::Error::other(format!("{path} is not a file")));
        }
        unpacked.insert(path);
    }
    // tar fills its last record up after the archive's end, and an engine's client fails when nobody takes that.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(unpacked)
}

/// A path that stays where it starts.
fn within(path: &std::path::Path) -> io::Result<Utf8PathBuf> {
    let wrong = || io::Error::other(format!("path outside of the volume: {}", path.display()));
    let path = Utf8Path::from_path(path).ok_or_else(wrong)?;
    let mut own = Utf8PathBuf::new();
    for part in path.components() {
        match part {
            Utf8Component::Normal(name) => own.push(name),
            Utf8Component::CurDir => {}
            _ => return Err(wrong()),
        }
    }
    if own.as_str().is_empty() { Err(wrong()) } else { Ok(own) }
}
