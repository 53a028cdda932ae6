//! `[container]`: what the containers are made from in which targets are built, and what they are given.

use std::collections::BTreeMap;
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Deserializer, de};

use crate::model::request::EngineChoice;
use crate::project::config::image::{is_image, is_image_prefix};
use crate::project::config::supply::packages;
use crate::project::config::volume::{Mount, Volume};
use crate::util::error::Result;
use crate::util::plural::counted;

/// A `[container]` or `[target.X.container]` table.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", default)]
pub struct ContainerSettings {
    /// The container engine; it means something in `[container]` alone, and is settled as `Settings::engine`.
    pub engine: Option<EngineChoice>,
    /// The image that convoy adds tools to.
    #[serde(deserialize_with = "image")]
    pub base: Option<String>,
    /// An image to build in as it is.
    #[serde(deserialize_with = "image")]
    pub image: Option<String>,
    /// A Dockerfile of the user's, to build in what it makes.
    #[serde(deserialize_with = "path")]
    pub dockerfile: Option<Utf8PathBuf>,
    /// The folder that the Dockerfile copies from; its own when none is named.
    #[serde(deserialize_with = "path")]
    pub dockerfile_context: Option<Utf8PathBuf>,
    /// Values of the Dockerfile's `ARG`s.
    #[serde(deserialize_with = "arguments")]
    pub dockerfile_args: BTreeMap<String, String>,
    /// Debian packages (tools) to install in a composed image besides those that are known to be needed.
    #[serde(deserialize_with = "packages")]
    pub packages: Vec<String>,
    /// Shell lines, run in this order and by one shell once the image is made.
    pub pre_build: Vec<String>,
    /// A script that is run with the target's triple before the lines.
    #[serde(deserialize_with = "path")]
    pub pre_build_script: Option<Utf8PathBuf>,
    /// Environment variables that are handed in: `NAME`, or `NAME=value`.
    #[serde(deserialize_with = "passthrough")]
    pub passthrough: Vec<String>,
    /// What is mounted besides what every build needs, as [`Volume`] reads it.
    #[serde(deserialize_with = "volumes")]
    pub volumes: Vec<String>,
    /// Whether a build may go over the network.
    pub network: Option<bool>,
    /// The most memory that a container may take, as docker takes it: `512m`, `4g`.
    #[serde(deserialize_with = "memory")]
    pub memory: Option<String>,
    /// The most CPUs that a container may take, as a decimal number.
    #[serde(deserialize_with = "cpus")]
    pub cpus: Option<String>,
    /// What the names of the images begin with that a team shares.
    #[serde(deserialize_with = "registry")]
    pub registry: Option<String>,
    /// Where cargo and rustc come from.
    pub toolchain: Option<ToolchainSource>,
    /// What this table's `pre-build` stands in for. Lists add up, but with cross a target's `pre-build` replaces the
    /// general one.
    #[serde(skip)]
    pub replaces: Option<PreBuild>,
}

/// What is run once an image is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreBuild {
    /// A script.
    pub script: Option<Utf8PathBuf>,
    /// Shell lines.
    pub lines: Vec<String>,
}

/// Where a container's cargo and rustc come from.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ToolchainSource {
    /// This machine's own, mounted.
    Mount,
    /// The image contains them.
    Image,
}

impl ToolchainSource {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            ToolchainSource::Mount => "mount",
            ToolchainSource::Image => "image",
        }
    }
}

/// What a container is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSource<'a> {
    /// An image that convoy composes of a base and tools.
    Composed {
        /// The base, when the user names one.
        base: Option<&'a str>,
    },
    /// An image that the user names.
    Named(&'a str),
    /// A Dockerfile of the user's.
    Dockerfile {
        /// The file; absolute.
        file: &'a Utf8Path,
        /// The folder that it copies from; absolute.
        context: &'a Utf8Path,
    },
}

impl ContainerSettings {
    /// Takes what another table says over what this one says; lists add up.
    pub(super) fn overlay(&mut self, over: ContainerSettings) {
        self.overlay_source(&over);
        self.overlay_pre_build(&over);
        self.engine = over.engine.or(self.engine);
        self.packages.extend(over.packages);
        self.passthrough.extend(over.passthrough);
        self.volumes.extend(over.volumes);
        self.network = over.network.or(self.network);
        self.memory = over.memory.or(self.memory.take());
        self.cpus = over.cpus.or(self.cpus.take());
        self.registry = over.registry.or(self.registry.take());
        self.toolchain = over.toolchain.or(self.toolchain);
    }

    /// A table that says what the container is made from says it alone: an image stands in for a Dockerfile, too.
    fn overlay_source(&mut self, over: &ContainerSettings) {
        let ContainerSettings { base, image, dockerfile, dockerfile_context, .. } = over;
        if base.is_some() || image.is_some() || dockerfile.is_some() {
            (self.base, self.image, self.dockerfile) = (base.clone(), image.clone(), dockerfile.clone());
            self.dockerfile_context = None;
        }
        self.dockerfile_context = dockerfile_context.clone().or(self.dockerfile_context.take());
        self.dockerfile_args.extend(over.dockerfile_args.clone());
    }

    fn overlay_pre_build(&mut self, over: &ContainerSettings) {
        if let Some(PreBuild { script, lines }) = &over.replaces {
            if self.pre_build.starts_with(lines) {
                self.pre_build.drain(..lines.len());
            }
            self.pre_build_script.take_if(|own| script.as_ref() == Some(&*own));
        }
        self.pre_build.extend(over.pre_build.iter().cloned());
        self.pre_build_script = over.pre_build_script.clone().or(self.pre_build_script.take());
    }

    /// The same, its files taken from a folder.
    pub(super) fn in_dir(mut self, dir: &Utf8Path) -> Self {
        let join = |path: Option<Utf8PathBuf>| path.map(|path| dir.join(path));
        self.dockerfile = join(self.dockerfile);
        self.dockerfile_context = join(self.dockerfile_context);
        self.pre_build_script = join(self.pre_build_script);
        self.replaces = self.replaces.map(|replaced| PreBuild { script: join(replaced.script), ..replaced });
        for volume in &mut self.volumes {
            if let Ok(read) = volume.parse::<Volume>() {
                *volume = read.in_dir(dir).to_string();
            }
        }
        self
    }

    /// What the container is made from.
    pub fn source(&self) -> ImageSource<'_> {
        match (&self.image, &self.dockerfile) {
            (Some(image), _) => ImageSource::Named(image),
            (None, Some(file)) => {
                let default = || file.parent().unwrap_or(file);
                ImageSource::Dockerfile { file, context: self.dockerfile_context.as_deref().unwrap_or_else(default) }
            }
            (None, None) => ImageSource::Composed { base: self.base.as_deref() },
        }
    }

    /// The files that an image is made from.
    pub fn files(&self) -> impl Iterator<Item = &Utf8Path> {
        [&self.dockerfile, &self.pre_build_script].into_iter().filter_map(|path| path.as_deref())
    }

    /// The environment variables that are handed in, each with its value where one is given; of one name the last counts.
    pub fn variables(&self) -> BTreeMap<&str, Option<&str>> {
        self.passthrough.iter().map(|text| name_and_value(text)).collect()
    }

    /// What is mounted besides what every build needs; paths that are said by a variable are looked up.
    pub fn mounts(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Mount>> {
        let volumes = self.volumes.iter().filter_map(|text| text.parse::<Volume>().ok());
        volumes.filter_map(|volume| volume.mount(variable).transpose()).collect()
    }

    /// What it says, by its keys, for `plan -v`. Values that are handed in may be secrets, and lines may hold some.
    pub(super) fn entries(&self) -> Vec<(&'static str, String)> {
        let mut words = Vec::new();
        let mut say = |key, value: Option<&dyn fmt::Display>| {
            words.extend(value.map(|value| (key, value.to_string())));
        };
        fn shown<T: fmt::Display>(value: &Option<T>) -> Option<&dyn fmt::Display> {
            value.as_ref().map(|value| value as &dyn fmt::Display)
        }
        let list = |list: Vec<&str>| (!list.is_empty()).then(|| list.join(", "));
        let lines = Some(self.pre_build.len()).filter(|count| *count > 0);
        let lines = lines.map(|count| counted(count, "line", "lines"));
        say("base", shown(&self.base));
        say("image", shown(&self.image));
        say("dockerfile", shown(&self.dockerfile));
        say("dockerfile-context", shown(&self.dockerfile_context));
        say("dockerfile-args", shown(&list(self.dockerfile_args.keys().map(String::as_str).collect())));
        say("packages", shown(&list(self.packages.iter().map(String::as_str).collect())));
        say("pre-build-script", shown(&self.pre_build_script));
        say("pre-build", shown(&lines));
        say("passthrough", shown(&list(self.variables().into_keys().collect())));
        say("volumes", shown(&list(self.volumes.iter().map(String::as_str).collect())));
        say("network", shown(&self.network));
        say("memory", shown(&self.memory));
        say("cpus", shown(&self.cpus));
        say("registry", shown(&self.registry));
        say("toolchain", shown(&self.toolchain.map(ToolchainSource::name)));
        words
    }
}

/// A table that says one way only what the container is made from.
pub(super) fn one_source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ContainerSettings, D::Error> {
    let table = ContainerSettings::deserialize(deserializer)?;
    let words =
        [("image", table.image.is_some()), ("dockerfile", table.dockerfile.is_some()), ("base", table.base.is_some())];
    let words: Vec<&str> = words.into_iter().filter_map(|(key, words)| words.then_some(key)).collect();
    match words.as_slice() {
        [one, other, ..] => {
            Err(de::Error::custom(format!("`{one}` and `{other}` cannot be used together; remove one of them")))
        }
        _ => Ok(table),
    }
}

fn name_and_value(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    }
}

fn image<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_image(&name) {
        return Ok(Some(name));
    }
    Err(de::Error::custom(format!("`{name}` is not a valid image name, such as `debian:bookworm-slim`")))
}

fn registry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let prefix = String::deserialize(deserializer)?;
    if is_image_prefix(&prefix) {
        return Ok(Some(prefix));
    }
    Err(de::Error::custom(format!(
        "`{prefix}` is not a valid image name prefix, such as `registry.example:5000/team` (without https:// and tag)"
    )))
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Utf8PathBuf>, D::Error> {
    let path = Utf8PathBuf::deserialize(deserializer)?;
    if path.as_str().is_empty() || path.as_str().contains(char::is_control) {
        return Err(de::Error::custom("invalid path: expected a file or directory, relative to the workspace root"));
    }
    Ok(Some(path))
}

/// An engine takes nearly any name: `PKG_CONFIG_ALLOW_CROSS_aarch64-unknown-linux-gnu` is one that people hand in.
fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '=')
}

fn arguments<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let arguments = BTreeMap::<String, String>::deserialize(deserializer)?;
    match arguments.keys().find(|name| !is_variable(name)) {
        Some(name) => Err(de::Error::custom(format!("`{name}` is not a valid name of an `ARG`"))),
        None => Ok(arguments),
    }
}

pub(super) fn passthrough<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    let wrong = list.iter().map(|text| name_and_value(text)).find(|(name, value)| {
        // The value may be a secret, and is not repeated.
        !is_variable(name) || value.is_some_and(|value| value.contains('\0'))
    });
    match wrong {
        Some((name, _)) => Err(de::Error::custom(format!(
            "`{name}` is not a valid environment variable: expected `NAME` or `NAME=value`"
        ))),
        None => Ok(list),
    }
}

pub(super) fn volumes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    match list.iter().find_map(|text| text.parse::<Volume>().err()) {
        Some(wrong) => Err(de::Error::custom(wrong)),
        None => Ok(list),
    }
}

fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let memory = String::deserialize(deserializer)?;
    let number = memory.trim_end_matches(['b', 'k', 'm', 'g', 'B', 'K', 'M', 'G']);
    // One letter for the unit: every engine and every version of it takes that.
    let right = memory.len() <= number.len() + 1 && number.bytes().all(|b| b.is_ascii_digit());
    if right && number.parse::<u64>().is_ok_and(|number| number > 0) {
        return Ok(Some(memory));
    }
    Err(de::Error::custom(format!("`{memory}` is not a valid amount of memory, such as `512m` or `4g`")))
}

/// `2`, `1.5` or `"1.5"`.
fn cpus<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "invalid number of CPUs: expected a number, such as `2` or `1.5`")]
    enum Written {
        Whole(u32),
        Decimal(f64),
        Text(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Whole(number) => number.to_string(),
        Written::Decimal(number) => number.to_string(),
        Written::Text(text) => text,
    };
    // Not `inf`, not `1e3`: engines take digits and a point.
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.starts_with(|c: char| c.is_ascii_digit());
    if plain && text.parse::<f64>().is_ok_and(|number| number > 0.0) {
        return Ok(Some(text));
    }
    Err(de::Error::custom(format!("`{text}` is not a valid number of CPUs, such as `2` or `1.5`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> ContainerSettings {
        toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_an_engine_would_misread_is_refused() {
        for wrong in [
            "engine = 'lxc'",
            "base = '--privileged'",
            "image = 'https://example.org/x'",
            "dockerfile = ''",
            "packages = ['-o=x']",
            "passthrough = ['=x']",
            "passthrough = ['-x']",
            "passthrough = ['A B']",
            "volumes = ['data:/x']",
            "memory = '4 g'",
            "memory = '0g'",
            "memory = '4gib'",
            "memory = 'g'",
            "memory = '-1'",
            "cpus = '0'",
            "cpus = 'many'",
            "cpus = inf",
            "cpus = -1",
            "cpus = true",
            "registry = 'https://registry.example'",
            "toolchain = 'nightly'",
            "dockerfile-args = { 'A B' = 'x' }",
        ] {
            assert!(toml::from_str::<ContainerSettings>(wrong).is_err(), "{wrong}");
        }
        let secret = toml::from_str::<ContainerSettings>("passthrough = ['A B=hunter2']").unwrap_err();
        let secret = secret.message();
        assert!(
            secret.contains("`A B` is not a valid environment variable") && !secret.contains("hunter2"),
            "{secret}"
        );
    }

    #[test]
    fn cpus_and_memory_as_people_write_them() {
        for (written, taken) in [("2", "2"), ("1.5", "1.5"), ("'1.5'", "1.5"), ("'8'", "8")] {
            assert_eq!(table(&format!("cpus = {written}")).cpus.unwrap(), taken);
        }
        for written in ["512m", "4g", "4G", "1073741824", "100b"] {
            assert_eq!(table(&format!("memory = '{written}'")).memory.unwrap(), written);
        }
    }

    #[test]
    fn a_narrower_table_wins_and_lists_add_up() {
        let mut settings = table(
            "dockerfile = 'ci/Dockerfile'\ndockerfile-args = { A = '1', B = '1' }\npackages = ['cmake']\npre-build = ['one']\n\
             passthrough = ['A', 'B=1']\nvolumes = ['/data']\nmemory = '4g'\n",
        )
        .in_dir("/work".into());
        let docker = |file: &'static str, context: &'static str| ImageSource::Dockerfile {
            file: Utf8Path::new(file),
            context: Utf8Path::new(context),
        };
        assert_eq!(settings.source(), docker("/work/ci/Dockerfile", "/work/ci"));
        settings.overlay(table(
            "network = true\npackages = ['perl']\npre-build = ['two']\npassthrough = ['A=2']\ndockerfile-args = { B = '2' }",
        ));
        assert_eq!(settings.source(), docker("/work/ci/Dockerfile", "/work/ci"));
        assert_eq!(settings.packages, ["cmake", "perl"]);
        assert_eq!(settings.pre_build, ["one", "two"]);
        assert_eq!(settings.variables(), [("A", Some("2")), ("B", Some("1"))].into());
        assert_eq!(settings.dockerfile_args.values().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((settings.network, settings.memory.as_deref()), (Some(true), Some("4g")));
        settings.overlay(table("image = 'team/tools:1'"));
        assert_eq!(settings.source(), ImageSource::Named("team/tools:1"));
        settings.overlay(table("base = 'debian:bookworm-slim'"));
        assert_eq!(settings.source(), ImageSource::Composed { base: Some("debian:bookworm-slim") });
        settings.overlay(table("dockerfile = 'Dockerfile'\ndockerfile-context = '.'").in_dir("/work".into()));
        assert_eq!(settings.source(), docker("/work/Dockerfile", "/work/."));
    }

    #[test]
    fn a_pre_build_can_stand_in_for_the_general_one() {
        let general = table("pre-build = ['one', 'two']");
        let mut own = table("pre-build = ['three']");
        own.replaces = Some(PreBuild { script: None, lines: general.pre_build.clone() });
        let mut settings = general.clone();
        settings.overlay(table("pre-build = ['mine']"));
        settings.overlay(own);
        assert_eq!(settings.pre_build, ["mine", "three"]);
    }

    #[test]
    fn values_that_may_be_secrets_are_not_said() {
        let settings = table(
            "passthrough = ['TOKEN=hunter2', 'HOME']\npre-build = ['login hunter2']\ndockerfile-args = { KEY = 'hunter2' }\n\
             volumes = ['/data:ro']\nnetwork = false\ntoolchain = 'image'\nregistry = 'registry.example/team'\n",
        );
        let words: Vec<String> =
            settings.entries().into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
        assert_eq!(
            words,
            [
                "dockerfile-args = KEY",
                "pre-build = 1 line",
                "passthrough = HOME, TOKEN",
                "volumes = /data:ro",
                "network = false",
                "registry = registry.example/team",
                "toolchain = image",
            ]
        );
        assert!(ContainerSettings::default().entries().is_empty());
    }

    #[test]
    fn volumes_are_looked_up() {
        let settings = table("volumes = ['CACHE', 'UNSET', './x:/x:ro']").in_dir("/work".into());
        let mounts = settings.mounts(&|name| (name == "CACHE").then(|| "/cache".to_owned())).unwrap();
        let mounts: Vec<_> = mounts.iter().map(|m| (m.host.as_str(), m.inside.as_str(), m.read_only)).collect();
        assert_eq!(mounts, [("/cache", "/cache", false), ("/work/./x", "/x", true)]);
    }
}
