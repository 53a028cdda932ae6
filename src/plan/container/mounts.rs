//! Which folders of this machine a lane's container sees: at the same paths, and no more than it needs.

use camino::{Utf8Path, Utf8PathBuf};

/// A folder or file of this machine in a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mount {
    /// Where it is inside.
    pub inside: Utf8PathBuf,
    /// Where it is on this machine.
    pub outside: Utf8PathBuf,
    /// Whether it may be written to.
    pub writable: bool,
}

impl Mount {
    /// One that may be read.
    pub(crate) fn read(path: &Utf8Path) -> Self {
        Self { inside: path.to_owned(), outside: path.to_owned(), writable: false }
    }

    /// One that may be written to.
    pub(crate) fn write(path: &Utf8Path) -> Self {
        Self { writable: true, ..Self::read(path) }
    }
}

/// What a lane needs of this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// The workspace, and the packages that lie outside of it.
    pub sources: Vec<Utf8PathBuf>,
    /// cargo's own folder, as cargo names it.
    pub cargo_home: Utf8PathBuf,
    /// What stands in for cargo's own folder, which has credentials: cargo's configuration for the inside, and empty
    /// places for what is mounted in it.
    pub cargo_stand_in: Option<Utf8PathBuf>,
    /// The Rust toolchain; none where it comes with the image.
    pub toolchain: Option<Utf8PathBuf>,
    /// What the lane builds into.
    pub lane: Utf8PathBuf,
    /// Folders and files that are read: wrappers, sysroots, stubs, zig, this program.
    pub read: Vec<Utf8PathBuf>,
    /// What stands in for files of the sources that hold secrets: the file, and what is seen of it.
    pub masks: Vec<(Utf8PathBuf, Utf8PathBuf)>,
    /// A folder of the sources of which only mounts are seen, and the empty folder that stands in for it.
    pub hidden: Option<(Utf8PathBuf, Utf8PathBuf)>,
    /// What the user asked for besides.
    pub more: Vec<Mount>,
}

impl Places {
    /// Adds where links lead to, by a function that follows them: a link in a folder that is seen is seen as a link.
    pub(crate) fn resolve(&mut self, follow: &dyn Fn(&Utf8Path) -> Option<Utf8PathBuf>) {
        let led = |path: &Utf8Path| follow(path).filter(|real| real != path);
        let real: Vec<Utf8PathBuf> = self.read.iter().chain(&self.sources).filter_map(|path| led(path)).collect();
        self.read.extend(real);
        self.more.extend(led(&self.lane).map(|lane| Mount::write(&lane)));
    }
}

/// The parts of cargo's own folder that crates are in.
pub(crate) const CARGO_PARTS: [&str; 2] = ["registry", "git"];

/// The mounts of a lane, the outer ones first. cargo's folder is seen without its credentials: the parts with crates
/// alone.
pub(crate) fn mounts(places: &Places) -> Vec<Mount> {
    let mut all: Vec<Mount> = Vec::new();
    all.extend(places.sources.iter().map(|dir| Mount::read(dir)));
    all.extend(CARGO_PARTS.iter().map(|part| Mount::read(&places.cargo_home.join(part))));
    all.extend(places.cargo_stand_in.iter().map(|dir| Mount {
        inside: places.cargo_home.clone(),
        outside: dir.clone(),
        writable: false,
    }));
    all.extend(places.toolchain.iter().map(|dir| Mount::read(dir)));
    all.extend(places.read.iter().map(|path| Mount::read(path)));
    all.extend(places.hidden.iter().map(|(dir, stand_in)| Mount {
        inside: dir.clone(),
        outside: stand_in.clone(),
        writable: false,
    }));
    // A file that the user asks for is seen.
    let asked = |file: &Utf8Path| places.more.iter().any(|mount| mount.inside == file);
    all.extend(places.masks.iter().filter(|(file, _)| !asked(file)).map(|(file, seen)| Mount {
        inside: file.clone(),
        outside: seen.clone(),
        writable: false,
    }));
    all.push(Mount::write(&places.lane));
    all.extend(places.more.iter().cloned());
    all.sort();
    all.dedup();
    let needed = |mount: &Mount| !all.iter().any(|other| other != mount && makes_needless(other, mount, &all));
    all.iter().filter(|mount| needed(mount)).cloned().collect()
}

/// Whether `inner` is seen through `outer` all the same.
fn makes_needless(outer: &Mount, inner: &Mount, all: &[Mount]) -> bool {
    let Ok(rest) = inner.inside.strip_prefix(&outer.inside) else { return false };
    let same_file = !rest.as_str().is_empty() && outer.outside.join(rest) == inner.outside;
    let same_place =
        outer.inside == inner.inside && outer.outside == inner.outside && outer.writable && !inner.writable;
    if !(same_place || same_file && outer.writable == inner.writable) {
        return false;
    }
    // Something between the two may hide it.
    !all.iter().any(|between| {
        between != outer
            && between != inner
            && between.inside != outer.inside
            && between.inside.starts_with(&outer.inside)
            && inner.inside.starts_with(&between.inside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            sources: vec!["/p".into(), "/p/member".into(), "/elsewhere/dep".into()],
            cargo_home: "/home/x/.cargo".into(),
            cargo_stand_in: Some("/p/target/convoy/tools/lane/cargo-home".into()),
            toolchain: Some("/rust".into()),
            lane: "/p/target/convoy/container-1".into(),
            read: vec!["/p/target/convoy/tools/cell".into(), "/cache/sysroots/a/root".into()],
            hidden: Some(("/p/target".into(), "/p/target/convoy/tools/lane/hidden".into())),
            masks: vec![("/p/.cargo/config.toml".into(), "/p/target/convoy/tools/lane/project.toml".into())],
            more: vec![Mount::read(Utf8Path::new("/data"))],
        }
    }

    #[test]
    fn only_what_is_needed_is_seen_and_only_the_lane_is_written_to() {
        let shown: Vec<String> = mounts(&places())
            .iter()
            .map(|mount| {
                let from = if mount.inside == mount.outside { String::new() } else { format!(" <- {}", mount.outside) };
                format!("{}{from}{}", mount.inside, if mount.writable { " (rw)" } else { "" })
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn cargos_folder_in_the_sources_shows_its_crates_alone() {
        let places = Places { cargo_home: "/p/.cargo".into(), masks: Vec::new(), ..places() };
        let inside: Vec<Utf8PathBuf> = mounts(&places).into_iter().map(|mount| mount.inside).collect();
        for wanted in ["/p/.cargo", "/p/.cargo/git", "/p/.cargo/registry"] {
            assert!(inside.contains(&wanted.into()), "{inside:?}");
        }
    }

    #[test]
    fn a_file_that_the_user_names_is_no_longer_masked() {
        let mut places = places();
        places.masks.push(("/p/.env".into(), "/empty".into()));
        let env = |places: &Places| mounts(places).into_iter().find(|mount| mount.inside == "/p/.env");
        assert_eq!(env(&places).unwrap().outside, "/empty");
        // It is seen through the project's folder.
        places.more = vec![Mount::read(Utf8Path::new("/p/.env"))];
        assert_eq!(env(&places), None);
    }

    #[test]
    fn what_is_hidden_by_another_mount_stays() {
        let mut places = places();
        places.more = vec![
            Mount { inside: "/p/a".into(), outside: "/other".into(), writable: false },
            Mount::read(Utf8Path::new("/p/a/b")),
        ];
        let inside: Vec<Utf8PathBuf> = mounts(&places).into_iter().map(|mount| mount.inside).collect();
        assert!(inside.contains(&"/p/a".into()) && inside.contains(&"/p/a/b".into()), "{inside:?}");
    }
}
