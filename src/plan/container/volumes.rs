//! The same table of mounts for an engine that does not see this machine's files: every folder becomes a volume of the
//! engine, at the same place inside. Pure: what the volumes are filled with is data here.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mount;
use crate::util::files;

/// The label that names what a volume of convoy's holds.
pub(crate) const LABEL_VOLUME: &str = "io.cargo-convoy.volume";
/// The label that says it to people.
pub(crate) const LABEL_WHAT: &str = "io.cargo-convoy.what";
/// The label that tells a volume from another one that had its name before.
pub(crate) const LABEL_INSTANCE: &str = "io.cargo-convoy.instance";
/// The label that holds how many bytes a volume was filled with, where that never changes.
pub(crate) const LABEL_BYTES: &str = "io.cargo-convoy.bytes";

/// A volume in a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeMount {
    /// The name that the engine knows it by.
    pub name: String,
    /// Where it is inside.
    pub inside: Utf8PathBuf,
    /// Whether it may be written to.
    pub writable: bool,
}

/// What a volume holds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    /// rustc, cargo and the std of their own machine.
    Toolchain,
    /// The std of another target.
    Std,
    /// The source of std.
    RustSource,
    /// A sysroot.
    Sysroot,
    /// zig.
    Zig,
    /// cargo-convoy itself, which wrappers start.
    Program,
    /// Crates that were fetched.
    Crates,
    /// A project's sources.
    Sources,
    /// Other files of this machine.
    Files,
    /// What a lane builds.
    Lane,
    /// What a project's volumes were last filled with.
    State,
}

impl VolumeKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            VolumeKind::Toolchain => "toolchain",
            VolumeKind::Std => "std",
            VolumeKind::RustSource => "rust-source",
            VolumeKind::Sysroot => "sysroot",
            VolumeKind::Zig => "zig",
            VolumeKind::Program => "program",
            VolumeKind::Crates => "crates",
            VolumeKind::Sources => "sources",
            VolumeKind::Files => "files",
            VolumeKind::Lane => "lane",
            VolumeKind::State => "state",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
    }
}

/// Files of this machine as they are to be in a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Folders and files, each with all that is in it; a later one replaces what is at its place.
    pub parts: Vec<Part>,
    /// Folders, by their paths in the volume, that must be there for others to be mounted on: an engine makes no place for
    /// a mount in what may not be written to.
    pub places: BTreeSet<Utf8PathBuf>,
}

/// A folder or file of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Where it is in the volume; the empty path is the volume itself.
    pub at: Utf8PathBuf,
    /// Where it is on this machine.
    pub from: Utf8PathBuf,
    /// What is left out, by its place on this machine.
    pub skip: BTreeSet<Utf8PathBuf>,
    /// Whether folders that say of themselves that they are caches are left out, as backups leave them out.
    pub skip_caches: bool,
}

impl Tree {
    /// All of a folder.
    pub fn whole(from: &Utf8Path) -> Self {
        Self { parts: vec![Part { from: from.to_owned(), ..Part::default() }], places: BTreeSet::new() }
    }
}

/// Something that is the same on every machine and never changes: a volume of it serves all projects and all machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// What it is.
    pub kind: VolumeKind,
    /// The same to people.
    pub what: String,
    /// What tells it from others of its kind.
    pub key: String,
    /// What it is made of.
    pub tree: Tree,
}

/// What is in a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Filled once.
    Kept {
        /// What tells it from others of its kind.
        key: String,
        /// What it is filled with.
        tree: Tree,
    },
    /// Files of this machine, which the volume follows.
    Followed(Tree),
    /// What the containers of a lane write, by the lane's folder on this machine.
    Written(Utf8PathBuf),
}

/// A volume that stands in for a folder of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What it holds.
    pub kind: VolumeKind,
    /// The same to people.
    pub what: String,
    /// Where it is inside.
    pub inside: Utf8PathBuf,
    /// Whether it may be written to.
    pub writable: bool,
    /// What is in it.
    pub content: Content,
}

impl Stream {
    /// Its name. What is kept has the same one everywhere; the rest belongs to a machine and a project.
    pub fn name(&self, owner: &str) -> String {
        let key = match &self.content {
            Content::Kept { key, .. } => key.clone(),
            Content::Followed(_) => format!("{owner}\n{}", self.inside),
            Content::Written(lane) => format!("{owner}\n{lane}"),
        };
        volume_name(self.kind, &key)
    }
}

/// The name of a volume.
pub(crate) fn volume_name(kind: VolumeKind, key: &str) -> String {
    format!("convoy-{}-{}", kind.name(), &files::sha256(format!("{}\n{key}", kind.name()))[..20])
}

/// What is known of the folders in a table of mounts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Those that never change, by their places on this machine.
    pub kept: BTreeMap<Utf8PathBuf, Kept>,
    /// What is taken of those of which not all is needed, by their places on this machine.
    pub chosen: BTreeMap<Utf8PathBuf, (VolumeKind, Tree)>,
    /// Those that are a project's sources.
    pub sources: Vec<Utf8PathBuf>,
    /// What is left out of sources: what is built, what is published.
    pub skip: BTreeSet<Utf8PathBuf>,
    /// What is seen although it lies in what is left out.
    pub wanted: BTreeSet<Utf8PathBuf>,
    /// What the lane builds into: its folder, and where that leads to.
    pub lane: Vec<Utf8PathBuf>,
}

/// Folders that an image fills itself: a volume there would hide what runs inside.
const OF_IMAGES: [&str; 18] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/opt",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/usr/sbin",
    "/var",
];

/// The volumes that stand in for a table of mounts, the outer ones first; or the sentence that says why there are none.
/// `is_file` tells files from folders.
pub(crate) fn streams(
    table: &[Mount],
    known: &Known,
    is_file: &dyn Fn(&Utf8Path) -> bool,
) -> Result<Vec<Stream>, String> {
    let (single, folders): (Vec<&Mount>, Vec<&Mount>) = table.iter().partition(|mount| is_file(&mount.outside));
    let mut streams: Vec<Stream> = folders.iter().map(|mount| stream(mount, known)).collect();
    streams.sort_by(|a, b| a.inside.cmp(&b.inside));
    // One path is one volume: the later mount hides the earlier.
    streams.reverse();
    let mut seen = BTreeSet::new();
    streams.retain(|stream| seen.insert(stream.inside.clone()));
    streams.reverse();

    for mount in single {
        let (Some(dir), Some(name)) = (mount.inside.parent(), mount.inside.file_name()) else { continue };
        let around = match enclosing(&streams, &mount.inside) {
            Some(around) => around,
            None if OF_IMAGES.contains(&dir.as_str()) => {
                return Err(format!(
                    "cannot mount the file {} in a container: the engine cannot access this machine's files, and a \
                     volume at {dir} would hide the image's own files",
                    mount.outside
                ));
            }
            None => {
                streams.push(Stream {
                    kind: VolumeKind::Files,
                    what: format!("files of {dir}"),
                    inside: dir.to_owned(),
                    writable: false,
                    content: Content::Followed(Tree::default()),
                });
                streams.len() - 1
            }
        };
        let at = mount.inside.strip_prefix(&streams[around].inside).unwrap_or(Utf8Path::new(name)).to_owned();
        let Content::Followed(tree) = &mut streams[around].content else {
            return Err(format!("cannot mount the file {} inside {}", mount.outside, streams[around].inside));
        };
        tree.parts.push(Part { at, from: mount.outside.clone(), ..Part::default() });
    }
    streams.sort_by(|a, b| a.inside.cmp(&b.inside));

    for inner in 0..streams.len() {
        let inside = streams[inner].inside.clone();
        let Some(outer) = enclosing(&streams[..inner], &inside) else { continue };
        let place = inside.strip_prefix(&streams[outer].inside).unwrap_or(&inside).to_owned();
        match &mut streams[outer].content {
            Content::Followed(tree) => {
                // What is there is hidden by the inner one.
                for part in &mut tree.parts {
                    if let Ok(rest) = place.strip_prefix(&part.at) {
                        part.skip.insert(part.from.join(rest));
                    }
                }
                tree.places.insert(place);
            }
            Content::Kept { tree, .. } if !tree.places.contains(&place) => {
                return Err(format!("cannot mount {inside} inside {}", streams[outer].inside));
            }
            // There the engine itself can make a place.
            Content::Kept { .. } | Content::Written(_) => {}
        }
    }
    Ok(streams)
}

/// The innermost volume that a path is in.
fn enclosing(streams: &[Stream], path: &Utf8Path) -> Option<usize> {
    let around =
        streams.iter().enumerate().filter(|(_, stream)| path != stream.inside && path.starts_with(&stream.inside));
    around.max_by_key(|(_, stream)| stream.inside.as_str().len()).map(|(index, _)| index)
}

fn stream(mount: &Mount, known: &Known) -> Stream {
    let of = |kind, what: String, content| Stream {
        kind,
        what,
        inside: mount.inside.clone(),
        writable: mount.writable,
        content,
    };
    if let Some(lane) = known.lane.first().filter(|_| mount.writable && known.lane.contains(&mount.outside)) {
        let what = format!("build output of {}", lane.file_name().unwrap_or_default());
        return of(VolumeKind::Lane, what, Content::Written(lane.clone()));
    }
    if let Some(kept) = known.kept.get(&mount.outside).filter(|_| !mount.writable) {
        let content = Content::Kept { key: kept.key.clone(), tree: kept.tree.clone() };
        return of(kept.kind, kept.what.clone(), content);
    }
    if let Some((kind, tree)) = known.chosen.get(&mount.outside).filter(|_| !mount.writable) {
        return of(*kind, format!("{} of {}", kind.name(), mount.outside), Content::Followed(tree.clone()));
    }
    let is_source = known.sources.contains(&mount.outside);
    let mut tree = Tree::whole(&mount.outside);
    for part in &mut tree.parts {
        part.skip_caches = is_source;
        let within = |path: &&Utf8PathBuf| is_source && path.starts_with(&mount.outside) && **path != mount.outside;
        part.skip.extend(known.skip.iter().filter(within).cloned());
    }
    let hidden = |path: &&Utf8PathBuf| {
        is_source && known.skip.iter().any(|skip| path.starts_with(skip) && skip.starts_with(&mount.outside))
    };
    for path in known.wanted.iter().filter(hidden) {
        let at = path.strip_prefix(&mount.outside).unwrap_or(path).to_owned();
        tree.parts.push(Part { at, from: path.clone(), ..Part::default() });
    }
    let kind = if is_source { VolumeKind::Sources } else { VolumeKind::Files };
    let name = mount.outside.file_name().unwrap_or(mount.outside.as_str());
    of(kind, format!("{} of {name}", kind.name()), Content::Followed(tree))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(inside: &str, outside: &str) -> Mount {
        Mount { inside: inside.into(), outside: outside.into(), writable: false }
    }

    fn known() -> Known {
        let toolchain = Kept {
            kind: VolumeKind::Toolchain,
            what: "rustc 1".to_owned(),
            key: "1".to_owned(),
            tree: Tree { places: ["lib/rustlib/arm".into()].into(), ..Tree::whole(Utf8Path::new("/rust")) },
        };
        let std = Kept { kind: VolumeKind::Std, key: "arm".to_owned(), ..toolchain.clone() };
        Known {
            kept: [("/rust".into(), toolchain), ("/rust/lib/rustlib/arm".into(), std)].into(),
            chosen: BTreeMap::new(),
            sources: vec!["/p".into()],
            skip: ["/p/target".into(), "/p/dist".into()].into(),
            wanted: ["/p/target/convoy/tools/cell".into(), "/cache/stubs".into()].into(),
            lane: vec!["/p/target/convoy/container-1".into(), "/disk/lane".into()],
        }
    }

    fn shown(table: &[Mount]) -> Result<String, String> {
        let is_file = |path: &Utf8Path| path.extension().is_some();
        let mut table = table.to_vec();
        table.sort();
        let streams = streams(&table, &known(), &is_file)?;
        let one = |stream: &Stream| {
            let mut text = format!("{} ({})\n", stream.inside, stream.kind.name());
            if let Content::Followed(tree) | Content::Kept { tree, .. } = &stream.content {
                for part in &tree.parts {
                    let skip: Vec<&str> = part.skip.iter().map(|path| path.as_str()).collect();
                    text += &format!("  {:?} <- {} without [{}]\n", part.at, part.from, skip.join(", "));
                }
                let places: Vec<&str> = tree.places.iter().map(|place| place.as_str()).collect();
                text += &format!("  places: [{}]\n", places.join(", "));
            }
            text
        };
        Ok(streams.iter().map(one).collect())
    }

    #[test]
    fn folders_become_volumes_and_files_go_into_those_around_them() {
        let table = [
            mount("/p", "/p"),
            mount("/p/.cargo/config.toml", "/p/target/convoy/tools/lane/masked.toml"),
            mount("/home/x/.cargo/config.toml", "/p/target/convoy/tools/lane/home.toml"),
            mount("/home/x/.cargo/registry", "/home/x/.cargo/registry"),
            mount("/p/vendor", "/elsewhere/vendor"),
            mount("/rust", "/rust"),
            mount("/rust/lib/rustlib/arm", "/rust/lib/rustlib/arm"),
            Mount::write(Utf8Path::new("/p/target/convoy/container-1")),
            Mount::write(Utf8Path::new("/disk/lane")),
        ];
        insta::assert_snapshot!(shown(&table).unwrap());
    }

    #[test]
    fn what_would_hide_the_image_or_change_what_is_kept_is_refused() {
        let text = shown(&[mount("/usr/bin/tool.sh", "/x/tool.sh")]).unwrap_err();
        assert!(text.contains("/x/tool.sh") && text.contains("/usr/bin"), "{text}");
        assert!(shown(&[mount("/rust", "/rust"), mount("/rust/bin/own.sh", "/x/own.sh")]).is_err());
        assert!(shown(&[mount("/rust", "/rust"), mount("/rust/lib/rustlib/other", "/x")]).is_err());
    }

    #[test]
    fn a_lane_behind_a_link_is_one_volume() {
        let table = ["/disk/lane", "/p/target/convoy/container-1"].map(|path| Mount::write(Utf8Path::new(path)));
        let streams = streams(&table, &known(), &|_| false).unwrap();
        assert_eq!(streams[0].name("a"), streams[1].name("a"));
    }

    #[test]
    fn what_is_kept_has_one_name_everywhere_and_the_rest_one_a_project() {
        let is_file = |_: &Utf8Path| false;
        let streams = streams(&[mount("/p", "/p"), mount("/rust", "/rust")], &known(), &is_file).unwrap();
        let names = |owner: &str| -> Vec<String> { streams.iter().map(|stream| stream.name(owner)).collect() };
        let (one, other) = (names("a"), names("b"));
        assert!(one[0] != other[0] && one[1] == other[1], "{one:?} {other:?}");
        assert!(one[1].starts_with("convoy-toolchain-"));
        assert_eq!(VolumeKind::from_name("rust-source"), Some(VolumeKind::RustSource));
    }
}
