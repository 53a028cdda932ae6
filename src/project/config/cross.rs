//! `Cross.toml`, the file of cross-rs: what it says of containers counts here too, below every file of convoy's own.
//!
//! Read from cross 0.2.5 and its main branch (docs/config_file.md, src/cross_toml.rs, src/docker/shared.rs). It says how a
//! container is made where one is used; that one is used, it does not say: with cross that goes without saying.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, de};

use crate::model::architecture::Architecture;
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

/// Keys that are not read, to be told of.
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
const INSTEAD_OF_ZIG: &str = "to build with zig (without a container), set `routes = [\"zig\"]`, and `glibc` for its \
                              version, under [target.\"…\"] in `Convoy.toml`";
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
pub(crate) fn cross_deb_arch(triple: &str) -> String {
    let hard_float = triple.ends_with("hf");
    let Some(known) = Architecture::of_triple(triple) else { return String::new() };
    let arch = match known.debian(hard_float) {
        // cross's own word.
        Some("armel") if triple.contains("-linux-musl") => "arm",
        Some(arch) => arch,
        None => return String::new(),
    };
    if triple.contains("-linux-gnu") {
        arch.to_owned()
    } else if triple.contains("-linux-musl") {
        format!("musl-linux-{arch}")
    } else {
        String::new()
    }
}

/// The variables that a `pre-build` and the `ARG`s of a Dockerfile may ask for, as cross sets them.
pub(crate) fn cross_variables(triple: &str) -> [(&'static str, String); 2] {
    [("CROSS_DEB_ARCH", cross_deb_arch(triple)), ("CROSS_TARGET", triple.to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::Selection;
    use crate::project::config::{ImageSource, Settings, settle};

    const ARM: &str = "aarch64-unknown-linux-gnu";

    /// All that people write, in one file.
    const FULL: &str = r#"
# cross-rs configuration
[build]
default-target = "x86_64-unknown-linux-gnu"
build-std = false
xargo = false
pre-build = [
    "dpkg --add-architecture $CROSS_DEB_ARCH",
    "apt-get update && apt-get --assume-yes install libssl-dev:$CROSS_DEB_ARCH",
]

[build.env]
passthrough = ["RUST_BACKTRACE", "RUST_LOG", "OPENSSL_STATIC=1"]
volumes = ["CACHE_DIR", "DATA=./data"]

[build.dockerfile]
file = "./ci/Dockerfile"
context = "ci"
build-args = { VERSION = "1", FLAVOUR = "plain" }

[target.aarch64-unknown-linux-gnu]
image.name = "ubuntu:latest"
image.toolchain = ["x86_64-unknown-linux-gnu"]
env.passthrough = ["PKG_CONFIG_ALLOW_CROSS_aarch64-unknown-linux-gnu=1"]
pre-build = ["export DEBIAN_FRONTEND=noninteractive", """
apt-get update
apt-get install -y cmake
"""]
runner = "qemu-user"

[target.armv7-unknown-linux-gnueabihf]
image = "rustembedded/cross:armv7-unknown-linux-gnueabihf"
pre-build = "./scripts/pre-build.sh"

[target.x86_64-unknown-linux-musl]
dockerfile = "musl.Dockerfile"
build-std = ["core", "alloc"]
zig = "2.17"

[target.mips-unknown-linux-gnu.dockerfile]
file = "mips.Dockerfile"
context = "."
build-args = { VERSION = "2" }
"#;

    fn read(text: &str) -> ConfigFile {
        parse(text, "Cross.toml").unwrap_or_else(|error| panic!("{error}"))
    }

    fn settled(files: &[ConfigFile]) -> Settings {
        let work = Utf8Path::new("/work");
        settle(&Selection::default(), &Environment::default(), files, work, work).unwrap()
    }

    fn of(text: &str, triple: &str) -> TargetSettings {
        settled(&[read(text)]).for_names([triple])
    }

    #[test]
    fn a_targets_own_table_and_the_general_one() {
        let settings = of(FULL, ARM);
        let container = &settings.container;
        assert_eq!(container.source(), ImageSource::Named("ubuntu:latest"));
        assert_eq!(settings.build_std, Some(false));
        // A target's lines replace the general ones; what is handed in adds up.
        assert_eq!(
            container.pre_build,
            ["export DEBIAN_FRONTEND=noninteractive", "apt-get update\napt-get install -y cmake\n"]
        );
        let variables: Vec<_> = container.variables().into_iter().collect();
        assert_eq!(
            variables,
            [
                ("OPENSSL_STATIC", Some("1")),
                ("PKG_CONFIG_ALLOW_CROSS_aarch64-unknown-linux-gnu", Some("1")),
                ("RUST_BACKTRACE", None),
                ("RUST_LOG", None),
            ]
        );
        let mounts = container.mounts(&|_| None).unwrap();
        assert_eq!((mounts[0].host.as_str(), mounts[0].variable.as_deref()), ("/work/./data", Some("DATA")));
    }

    #[test]
    fn a_target_without_a_table_takes_the_general_one() {
        let settings = of(FULL, "riscv64gc-unknown-linux-gnu");
        let source = ImageSource::Dockerfile { file: "/work/./ci/Dockerfile".into(), context: "/work/ci".into() };
        assert_eq!(settings.container.source(), source);
        assert_eq!(settings.container.pre_build.len(), 2);
        assert_eq!(settings.container.dockerfile_args["VERSION"], "1");
    }

    #[test]
    fn scripts_and_dockerfiles_lie_in_the_workspace() {
        let container = of(FULL, "armv7-unknown-linux-gnueabihf").container;
        assert_eq!(container.source(), ImageSource::Named("rustembedded/cross:armv7-unknown-linux-gnueabihf"));
        assert_eq!(container.pre_build_script.unwrap(), "/work/./scripts/pre-build.sh");
        assert_eq!(container.pre_build, [""; 0]);
        let musl = of(FULL, "x86_64-unknown-linux-musl");
        // As with cross, the general context counts, and all build-args do.
        let source = ImageSource::Dockerfile { file: "/work/musl.Dockerfile".into(), context: "/work/ci".into() };
        assert_eq!((musl.container.source(), musl.build_std), (source, Some(true)));
        let mips = of(FULL, "mips-unknown-linux-gnu").container;
        let source = ImageSource::Dockerfile { file: "/work/mips.Dockerfile".into(), context: "/work/.".into() };
        assert_eq!(mips.source(), source);
        let arguments: Vec<_> = mips.dockerfile_args.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(arguments, ["FLAVOUR=plain", "VERSION=2"]);
        // Without a context, cross takes the workspace.
        let alone = of("[build]\ndockerfile = 'ci/Dockerfile'\n", ARM).container;
        let source = ImageSource::Dockerfile { file: "/work/ci/Dockerfile".into(), context: "/work/.".into() };
        assert_eq!(alone.source(), source);
    }

    #[test]
    fn what_is_not_followed_is_told_by_its_key() {
        let told = |needle: &str| {
            let warnings = read(FULL).warnings;
            assert_eq!(
                warnings.iter().filter(|warning| warning.contains(needle)).count(),
                1,
                "{needle}: {warnings:#?}"
            );
        };
        told("Cross.toml: key `build.default-target` is not supported by convoy: use `-t`");
        told(
            "key `target.aarch64-unknown-linux-gnu.runner` is not supported by convoy: use `cargo convoy build \
             --smoke`",
        );
        told("key `target.aarch64-unknown-linux-gnu.image.toolchain` is not supported by convoy: this machine's");
        told(
            "key `target.x86_64-unknown-linux-musl.build-std` is not supported by convoy: the crates cannot be chosen",
        );
        told("key `target.x86_64-unknown-linux-musl.zig` is not supported by convoy: to build with zig");
        assert_eq!(read(FULL).warnings.len(), 5, "{:#?}", read(FULL).warnings);
        let odd = "[build]\nimage = 'a'\nxargo = true\nprebuild = []\n[target.x]\nimage = 'a'\ndockerfile = { file = 'b', x = 1 }\n\
            [target.x.env]\nvars = []\n[extra]\n";
        let mut warnings = read(odd).warnings;
        warnings.sort();
        assert_eq!(
            warnings,
            [
                "Cross.toml: key `build.image` is not supported by convoy: cross supports an image for one target \
                 only; set it under [target.…]",
                "Cross.toml: key `build.xargo` is not supported by convoy: use `build-std = true` to build the \
                 standard library from source",
                "Cross.toml: key `target.x.dockerfile.x` is not supported by convoy: cross does not know it either",
                "Cross.toml: key `target.x.image` is not supported by convoy: `dockerfile` takes precedence, and \
                 convoy names the image itself",
                "Cross.toml: unknown key `build.prebuild` (cross does not know it either); did you mean `pre-build`?",
                "Cross.toml: unknown key `extra` (cross does not know it either)",
                "Cross.toml: unknown key `target.x.env.vars` (cross does not know it either)",
            ]
        );
        let container = of(odd, "x").container;
        assert!(matches!(container.source(), ImageSource::Dockerfile { .. }), "{container:?}");
        assert_eq!(of(odd, ARM).container.source(), ImageSource::Composed { base: None });
    }

    #[test]
    fn files_of_convoys_own_weigh_more() {
        let own = "[target.aarch64-unknown-linux-gnu.container]\nbase = 'debian:bookworm-slim'\npre-build = ['mine']\n\
            [container]\nregistry = 'registry.example/team'\npassthrough = ['RUST_LOG=debug']\n";
        let own = ConfigFile {
            name: "Convoy.toml".to_owned(),
            table: toml::from_str(own).unwrap(),
            warnings: Vec::new(),
            of_cross: false,
        };
        let container = settled(&[read(FULL), own]).for_names([ARM]).container;
        assert_eq!(container.source(), ImageSource::Composed { base: Some("debian:bookworm-slim") });
        assert_eq!(container.pre_build.len(), 3);
        assert_eq!(container.pre_build.last().unwrap(), "mine");
        assert_eq!(container.variables()["RUST_LOG"], Some("debug"));
    }

    #[test]
    fn a_wrong_value_is_shown_with_its_place() {
        for (text, wants) in [
            ("[target.x]\nimage = 3\n", "Cross.toml:2:9: invalid image"),
            ("[target.x]\nimage = '-v /:/host'\n", "Cross.toml:2:9: invalid image"),
            ("[target.x]\nimage.toolchain = []\n", "invalid image"),
            ("[build]\npre-build = [3]\n", "Cross.toml:2:13: invalid `pre-build`"),
            ("[build]\ndockerfile = {}\n", "Cross.toml:2:14: invalid Dockerfile"),
            ("[build]\nbuild-std = 'yes'\n", "Cross.toml:2:13: invalid `build-std`"),
            ("[build.env]\npassthrough = 'A'\n", "Cross.toml:2:15"),
            ("[build.env]\nvolumes = ['x:y']\n", "Cross.toml:2:11: `x:y` is not a valid volume"),
            ("target = 3\n", "Cross.toml:1:10"),
            ("[build\n", "Cross.toml:1:"),
        ] {
            let error = parse(text, "Cross.toml").unwrap_err();
            assert!(error.to_string().contains(wants), "{text}: {error}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_or_a_file() {
        let mut right = 0;
        for end in (0..FULL.len()).step_by(3) {
            right += usize::from(parse(&FULL[..end], "Cross.toml").is_ok());
            let mut text = FULL.to_owned();
            text.replace_range(end..=end, "\"");
            right += usize::from(parse(&text, "Cross.toml").is_ok());
        }
        assert!(right > 10, "{right}");
        assert!(read("").warnings.is_empty());
    }

    #[test]
    fn the_file_is_the_one_that_cross_would_read() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let named = |path: &str| Environment { cross_config: Some(path.to_owned()), ..Environment::default() };
        assert!(load_cross(&Environment::default(), dir, dir).unwrap().is_none());
        let error = load_cross(&named("ci/Cross.toml"), dir, dir).unwrap_err();
        assert!(error.to_string().contains("`CROSS_CONFIG` does not exist: `"), "{error}");
        fs_err::write(dir.join("Cross.toml"), "[target.x]\nimage = 'a'\n").unwrap();
        assert_eq!(load_cross(&Environment::default(), dir, "/".into()).unwrap().unwrap().name, "Cross.toml");
        fs_err::write(dir.join("other.toml"), "[target.x]\nrunner = 'native'\n").unwrap();
        let other = load_cross(&named("other.toml"), "/nowhere".into(), dir).unwrap().unwrap();
        assert!(other.warnings[0].starts_with("other.toml: key `target.x.runner`"), "{:?}", other.warnings);
    }

    #[test]
    fn variables_are_those_that_cross_sets() {
        for (triple, arch) in [
            (ARM, "arm64"),
            ("x86_64-unknown-linux-gnu", "amd64"),
            ("armv7-unknown-linux-gnueabihf", "armhf"),
            ("arm-unknown-linux-gnueabi", "armel"),
            ("i686-unknown-linux-gnu", "i386"),
            ("powerpc64le-unknown-linux-gnu", "ppc64el"),
            ("mips64el-unknown-linux-gnuabi64", "mips64el"),
            ("aarch64-unknown-linux-musl", "musl-linux-arm64"),
            ("arm-unknown-linux-musleabi", "musl-linux-arm"),
            ("x86_64-pc-windows-gnu", ""),
            ("aarch64-linux-android", ""),
            ("wasm32-unknown-emscripten", ""),
            ("", ""),
        ] {
            assert_eq!(cross_deb_arch(triple), arch, "{triple}");
        }
        assert_eq!(cross_variables(ARM)[1], ("CROSS_TARGET", ARM.to_owned()));
    }
}
