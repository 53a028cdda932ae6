//! `Cross.toml`, the file of cross-rs: what it says of containers counts here too, below every file of convoy's own.
//!
//! Read from cross 0.2.5 and its main branch (docs/config_file.md, src/cross_toml.rs, src/docker/shared.rs). It says how a
//! container is made where one is used; that one is used, it does not say: with cross that goes without saying.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, de};

use crate::model::triple::Triple;
use crate::project::config::container::{passthrough, volumes};
use crate::project::config::file::{ConfigFile, Table, in_order, parse_with_unknown, read};
use crate::project::config::image::is_image;
use crate::project::config::{ContainerSettings, Environment, PreBuild, TargetSettings};
use crate::util::error::{Error, Result};
use crate::util::suggest::did_you_mean;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cross {
    build: Section,
    #[serde(deserialize_with = "in_order")]
    target: Vec<(String, Section)>,
}

/// `[build]`, or `[target.TRIPLE]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Section {
    env: Env,
    image: Option<Image>,
    dockerfile: Option<Dockerfile>,
    pre_build: Option<WrittenPreBuild>,
    build_std: Option<BuildStd>,
    xargo: Option<Switch>,
    zig: Option<Switch>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Env {
    #[serde(deserialize_with = "passthrough")]
    passthrough: Vec<String>,
    #[serde(deserialize_with = "volumes")]
    volumes: Vec<String>,
}

/// Keys that are not read, for warnings.
type Rest = BTreeMap<String, IgnoredAny>;

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "invalid image: expected a name, such as `debian:bookworm-slim`, or a table with `name`")]
enum Image {
    Name(ImageName),
    Table {
        name: ImageName,
        #[serde(flatten)]
        rest: Rest,
    },
}

#[derive(Debug)]
struct ImageName(String);

impl<'de> Deserialize<'de> for ImageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if is_image(&name) { Ok(Self(name)) } else { Err(de::Error::custom("not an image name")) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "invalid Dockerfile: expected a path, or a table with `file` and optionally `context` and `build-args`"
)]
enum Dockerfile {
    File(Utf8PathBuf),
    #[serde(rename_all = "kebab-case")]
    Table {
        file: Utf8PathBuf,
        context: Option<Utf8PathBuf>,
        #[serde(default)]
        build_args: BTreeMap<String, String>,
        #[serde(flatten)]
        rest: Rest,
    },
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "invalid `pre-build`: expected a list of shell commands, or the path of a script")]
enum WrittenPreBuild {
    Script(Utf8PathBuf),
    Lines(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "invalid `build-std`: expected true, false, or a list of crates")]
enum BuildStd {
    Whether(bool),
    Crates(Vec<String>),
}

/// A key that convoy does not know, and that asks for something unless it is false.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Switch {
    Whether(bool),
    Other(IgnoredAny),
}

impl Image {
    fn name(&self) -> String {
        match self {
            Image::Name(name) | Image::Table { name, .. } => name.0.clone(),
        }
    }
}

impl Dockerfile {
    fn file(&self) -> &Utf8Path {
        match self {
            Dockerfile::File(file) | Dockerfile::Table { file, .. } => file,
        }
    }

    fn context(&self) -> Option<&Utf8PathBuf> {
        match self {
            Dockerfile::File(_) => None,
            Dockerfile::Table { context, .. } => context.as_ref(),
        }
    }

    fn arguments(&self) -> BTreeMap<String, String> {
        match self {
            Dockerfile::File(_) => BTreeMap::new(),
            Dockerfile::Table { build_args, .. } => build_args.clone(),
        }
    }
}

impl BuildStd {
    fn is_asked(&self) -> bool {
        match self {
            BuildStd::Whether(whether) => *whether,
            BuildStd::Crates(crates) => !crates.is_empty(),
        }
    }
}

impl Section {
    /// What it says of the container; `general` is `[build]`, for a target's own table.
    fn container(&self, general: Option<&Section>) -> ContainerSettings {
        let PreBuild { script, lines } = self.pre_build();
        let image = self.image.as_ref().filter(|_| self.dockerfile.is_none());
        let dockerfile = self.dockerfile.as_ref();
        // cross takes the workspace for the context, and not the Dockerfile's own folder.
        let context = dockerfile.map(|own| {
            let general = general.and_then(|general| general.dockerfile.as_ref()?.context());
            own.context().or(general).cloned().unwrap_or_else(|| ".".into())
        });
        ContainerSettings {
            image: image.map(Image::name),
            dockerfile: dockerfile.map(|own| own.file().to_owned()),
            dockerfile_context: context,
            dockerfile_args: dockerfile.map(Dockerfile::arguments).unwrap_or_default(),
            pre_build: lines,
            pre_build_script: script,
            passthrough: self.env.passthrough.clone(),
            volumes: self.env.volumes.clone(),
            replaces: general.filter(|_| self.pre_build.is_some()).map(Section::pre_build),
            ..ContainerSettings::default()
        }
    }

    fn pre_build(&self) -> PreBuild {
        match &self.pre_build {
            None => PreBuild::default(),
            Some(WrittenPreBuild::Script(script)) => PreBuild { script: Some(script.clone()), lines: Vec::new() },
            Some(WrittenPreBuild::Lines(lines)) => PreBuild { script: None, lines: lines.clone() },
        }
    }

    fn build_std(&self) -> Option<bool> {
        self.build_std.as_ref().map(BuildStd::is_asked)
    }

    /// A warning for each key that is read and not followed, or not wholly.
    fn not_followed(&self, begin: &str) -> Vec<String> {
        let mut keys: Vec<(String, &str)> = Vec::new();
        let asked = |switch: &Option<Switch>| switch.as_ref().is_some_and(|s| !matches!(s, Switch::Whether(false)));
        if asked(&self.xargo) {
            keys.push(("xargo".to_owned(), INSTEAD_OF_XARGO));
        }
        if asked(&self.zig) {
            keys.push(("zig".to_owned(), INSTEAD_OF_ZIG));
        }
        if let Some(Image::Table { rest, .. }) = &self.image {
            keys.extend(rest.keys().map(|key| (format!("image.{key}"), instead_of(key).unwrap_or(NO_KEY))));
        }
        if let Some(Dockerfile::Table { rest, .. }) = &self.dockerfile {
            keys.extend(rest.keys().map(|key| (format!("dockerfile.{key}"), NO_KEY)));
        }
        if self.image.is_some() && self.dockerfile.is_some() {
            keys.push(("image".to_owned(), "`dockerfile` takes precedence, and convoy names the image itself"));
        }
        if let Some(BuildStd::Crates(crates)) = &self.build_std
            && self.build_std().is_some_and(|asked| asked)
            && !crates.iter().any(|name| name == "std")
        {
            keys.push((
                "build-std".to_owned(),
                "the crates cannot be chosen; all of the standard library is built from source",
            ));
        }
        keys.into_iter().map(|(key, instead)| format!("{begin}.{key}{UNSUPPORTED}{instead}")).collect()
    }
}

/// What stands between a key that convoy does not follow and what to do instead.
const UNSUPPORTED: &str = "` is not supported by convoy: ";
const INSTEAD_OF_XARGO: &str = "use `build-std = true` to build the standard library from source";
const INSTEAD_OF_ZIG: &str = "to build with zig (without a container), set `routes = [\"zig\"]` and, for a minimum \
                              glibc version, `glibc`, under `[target.\"…\"]` in `Convoy.toml`";
const NO_KEY: &str = "cross does not know it either";

/// What to do instead of setting a key of cross that convoy does not follow.
fn instead_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "default-target" => "use `-t`, or set `targets` in `Convoy.toml`",
        "runner" => "use `cargo convoy build --smoke`, which looks for an emulator itself",
        "toolchain" => {
            "this machine's Rust toolchain is mounted; to use the image's, set `toolchain = \"image\"` under \
             [container] in `Convoy.toml`"
        }
        "cargo-config" => "convoy always reads cargo's configuration as cargo does",
        _ => return None,
    })
}

/// The keys of the file that mean something to cross.
const KEYS: &[&str] = &[
    "build",
    "target",
    "env",
    "passthrough",
    "volumes",
    "image",
    "dockerfile",
    "pre-build",
    "build-std",
    "default-target",
    "runner",
    "xargo",
    "zig",
];

/// The file that cross would read: the one that `CROSS_CONFIG` names, or `Cross.toml` beside the workspace's manifest.
pub(crate) fn cross_file(environment: &Environment, workspace_root: &Utf8Path, cwd: &Utf8Path) -> Utf8PathBuf {
    match &environment.cross_config {
        Some(path) => cwd.join(path),
        None => workspace_root.join("Cross.toml"),
    }
}

/// Reads the file that cross would read, if there is one.
pub(crate) fn load_cross(
    environment: &Environment,
    workspace_root: &Utf8Path,
    cwd: &Utf8Path,
) -> Result<Option<ConfigFile>> {
    let path = cross_file(environment, workspace_root, cwd);
    match (read(&path)?, &environment.cross_config) {
        (Some(text), named) => parse(&text, named.as_deref().unwrap_or("Cross.toml")).map(Some),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::usage(format!("the file given by `CROSS_CONFIG` does not exist: `{path}`"))
            .hint("set it to an existing file, or unset it")),
    }
}

pub(crate) fn parse(text: &str, name: &str) -> Result<ConfigFile> {
    let (Cross { build, target }, unknown) = parse_with_unknown(text, name)?;
    let mut warnings: Vec<String> = unknown.iter().map(|path| unknown_key(name, path)).collect();
    warnings.extend(build.not_followed(&format!("{name}: key `build")));
    if build.image.is_some() {
        let instead = "cross supports an image for one target only; set it under [target.…]";
        warnings.push(format!("{name}: key `build.image{UNSUPPORTED}{instead}"));
    }
    for (triple, section) in &target {
        warnings.extend(section.not_followed(&format!("{name}: key `target.{triple}")));
    }
    let settings = |section: &Section| TargetSettings {
        container: section.container(Some(&build)),
        build_std: section.build_std(),
        ..TargetSettings::default()
    };
    let table = Table {
        target: target.iter().map(|(triple, section)| (triple.clone(), settings(section))).collect(),
        container: ContainerSettings { image: None, ..build.container(None) },
        build_std: build.build_std(),
        ..Table::default()
    };
    Ok(ConfigFile { name: name.to_owned(), table, warnings, of_cross: true })
}

fn unknown_key(name: &str, path: &str) -> String {
    let key = path.rsplit('.').next().unwrap_or(path);
    if let Some(instead) = instead_of(key) {
        return format!("{name}: key `{path}{UNSUPPORTED}{instead}");
    }
    format!("{name}: unknown key `{path}` (cross does not know it either){}", did_you_mean(key, KEYS.iter().copied()))
}

/// What `$CROSS_DEB_ARCH` holds for a target: dpkg's name of the architecture, or nothing where cross has none.
pub(crate) fn cross_deb_arch(triple: &Triple) -> String {
    let hard_float = triple.ends_with("hf");
    let Some(known) = triple.architecture() else { return String::new() };
    let arch = match known.debian(hard_float) {
        // cross's own word.
        Some("armel") if triple.is_musl() => "arm",
        Some(arch) => arch,
        None => return String::new(),
    };
    if triple.is_glibc() {
        arch.to_owned()
    } else if triple.is_musl() {
        format!("musl-linux-{arch}")
    } else {
        String::new()
    }
}

/// The variables that a `pre-build` and the `ARG`s of a Dockerfile may ask for, as cross sets them.
pub(crate) fn cross_variables(triple: &Triple) -> [(&'static str, String); 2] {
    [("CROSS_DEB_ARCH", cross_deb_arch(triple)), ("CROSS_TARGET", triple.to_string())]
}

#[cfg(test)]
mod tests;
