//! What a `Cross.toml` comes to.

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
    let output = |needle: &str| {
        let warnings = read(FULL).warnings;
        assert_eq!(warnings.iter().filter(|warning| warning.contains(needle)).count(), 1, "{needle}: {warnings:#?}");
    };
    output("Cross.toml: key `build.default-target` is not supported by convoy: use `-t`");
    output(
        "key `target.aarch64-unknown-linux-gnu.runner` is not supported by convoy: use `cargo convoy build \
         --smoke`",
    );
    output("key `target.aarch64-unknown-linux-gnu.image.toolchain` is not supported by convoy: this machine's");
    output("key `target.x86_64-unknown-linux-musl.build-std` is not supported by convoy: the crates cannot be chosen");
    output("key `target.x86_64-unknown-linux-musl.zig` is not supported by convoy: to build with zig");
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
        assert_eq!(cross_deb_arch(&triple.into()), arch, "{triple}");
    }
    assert_eq!(cross_variables(&ARM.into())[1], ("CROSS_TARGET", ARM.to_owned()));
}
