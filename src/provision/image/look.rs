//! What an image holds, and whether its containers see this machine's files.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::Images;
use crate::machine::engine::{ImageFacts, SeenImage};
use crate::plan::container::{Mount, probe_script, read_probe};
use crate::provision::engine::{last_line, output_of};
use crate::util::error::{Error, Result};
use crate::util::files;

/// Variables that lead to another engine.
const WAYS: [&str; 4] = ["DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST", "CONTAINER_CONNECTION"];

impl Images<'_> {
    /// The versions of these Debian packages in an image, by their names; one that it does not have under its own name is
    /// left out. All are asked for once and remembered under the image's id.
    pub(crate) fn versions(&self, image: &SeenImage, packages: &BTreeSet<String>) -> Result<BTreeMap<String, String>> {
        let key = format!("packages-{}", &files::sha256(&image.id)[..32]);
        let all = match self.cache.recall::<BTreeMap<String, String>>("engines", &key) {
            Some(all) => all,
            None => {
                let ask = "dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\\n'";
                let done = self.run(self.container(&image.id, &[]).args(["-c", ask]))?;
                if !done.status.success() {
                    let message = "could not list the package versions in an image";
                    return Err(Error::work(message).because(last_line(&output_of(&done))));
                }
                let all = installed(&String::from_utf8_lossy(&done.stdout));
                // A cache that cannot be written only costs time.
                let _ = self.cache.remember("engines", &key, &all);
                all
            }
        };
        let version = |package: &String| {
            // As apt takes it: with an architecture, a version or a release.
            let name = package.split([':', '=', '/']).next().unwrap_or(package);
            Some((name.to_owned(), all.get(name)?.clone()))
        };
        Ok(packages.iter().filter_map(version).collect())
    }

    /// What an image of the user's own holds; remembered under the image's id.
    pub(crate) fn look_into(&self, reference: &str) -> Result<ImageFacts> {
        let id = self.id(self.engine.image(reference))?;
        let script = probe_script();
        let key = format!("image-{}", &files::sha256(format!("{id} {script}"))[..32]);
        if let Some(facts) = self.cache.recall("engines", &key) {
            return Ok(facts);
        }
        let done = self.run(self.container(&id, &[]).args(["-c", &script]))?;
        if !done.status.success() && done.stdout.is_empty() {
            return Err(Error::work(format!(
                "could not inspect the image {reference}, which has no working `/bin/sh`"
            ))
            .because(last_line(&output_of(&done))));
        }
        let facts = read_probe(&String::from_utf8_lossy(&done.stdout));
        // A cache that cannot be written only costs time.
        let _ = self.cache.remember("engines", &key, &facts);
        Ok(facts)
    }

    /// Whether folders that are mounted are this machine's own. It is tried with files that only this run knows: an engine
    /// in another mount namespace mounts an empty folder without a word, and one in a machine of its own may see a part of
    /// this one's folders. Besides the cache it is tried in `dirs`. Remembered until this machine starts anew.
    pub(crate) fn shares_files(&self, reference: &str, dirs: &[&Utf8Path]) -> Result<bool> {
        let room = self.cache.room("engines")?;
        let here = Here::now();
        let way = WAYS.map(|name| std::env::var(name).unwrap_or_default());
        let about = format!("{} {} {way:?} {dirs:?}", self.engine.program, self.engine.id);
        let key = format!("files-{}", &files::sha256(about)[..32]);
        if let Some((known, shares)) = self.cache.recall::<(Here, bool)>("engines", &key)
            && known == here
        {
            return Ok(shares);
        }
        let nonce = files::sha256(format!("{:?} {}", std::time::SystemTime::now(), std::process::id()));
        let mut kept = Vec::new();
        let mut mounts = Vec::new();
        for place in std::iter::once(room.as_path()).chain(dirs.iter().copied()) {
            let dir = tempfile::Builder::new().prefix("nonce-").tempdir_in(place)?;
            let path = Utf8Path::from_path(dir.path())
                .ok_or_else(|| Error::work("the path of a temporary directory is not UTF-8"))?
                .to_owned();
            fs_err::write(path.join("nonce"), format!("{nonce}\n"))?;
            open_to_all(&path)?;
            mounts.push(Mount::read(&path));
            kept.push(dir);
        }
        let mut command = self.container(reference, &mounts);
        command.args(["-c", "for f; do read -r nonce <\"$f\" && echo \"$nonce\"; done", "sh"]);
        command.args(mounts.iter().map(|mount| mount.inside.join("nonce")));
        let done = self.run(&mut command)?;
        drop(kept);
        let text = String::from_utf8_lossy(&done.stdout);
        let shares = text.lines().filter(|line| line.trim() == nonce).count() == mounts.len();
        let output = output_of(&done);
        // Docker's, Podman's and a shell's words for a folder that is not there.
        let lacks = |line: &str| {
            ["bind source path does not exist", "No such file", "no such file", "cannot open", "can't open"]
                .iter()
                .any(|words| line.contains(words))
        };
        // Of another file it is no answer: an image may have no shell.
        let ours = |line: &str| mounts.iter().any(|mount| line.contains(mount.inside.as_str()));
        let elsewhere = output.contains("Mounts denied") || output.lines().any(|line| lacks(line) && ours(line));
        if !shares && !done.status.success() && !elsewhere {
            let message = match output.lines().any(|line| lacks(line) && line.contains("/bin/sh")) {
                true => format!("the image {reference} has no `/bin/sh`, which convoy needs to run builds"),
                false => format!("could not start a container from {reference}"),
            };
            return Err(Error::work(message).because(last_line(&output)));
        }
        // A cache that cannot be written only costs time.
        let _ = self.cache.remember("engines", &key, &(here, shares));
        Ok(shares)
    }
}

/// What a remembered answer about files holds for: this start of this machine, and this view of its folders.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
struct Here {
    boot: String,
    namespace: String,
}

impl Here {
    fn now() -> Self {
        let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = std::fs::read_link("/proc/self/ns/mnt").unwrap_or_default();
        Self { boot: boot.trim().to_owned(), namespace: namespace.to_string_lossy().into_owned() }
    }
}

/// A temporary folder is its owner's alone, and an engine may map users.
fn open_to_all(dir: &Utf8Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs_err::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The installed packages that dpkg told of, with their versions.
fn installed(output: &str) -> BTreeMap<String, String> {
    let line = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        ["installed", name, version] => Some((name.to_owned(), version.to_owned())),
        _ => None,
    };
    output.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_are_installed_have_a_version() {
        let output = "installed gcc 4:12.2.0-3\nconfig-files make 4.3-4.1\ninstalled g++ 4:12.2.0-3\n\n";
        assert_eq!(installed(output).into_keys().collect::<Vec<_>>(), ["g++", "gcc"]);
    }
}
