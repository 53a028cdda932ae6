//! What a composed image is made from: a release of Debian and packages of tools. No libraries of targets: these come
//! from sysroots, so that one image serves every project.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::catalog::{Catalog, tools};
use crate::model::sysroot::Suite;
use crate::util::files;

/// The label that holds the recipe itself.
pub const LABEL: &str = "io.cargo-convoy.recipe";

/// The label that holds the form of the recipe.
const LABEL_FORM: &str = "io.cargo-convoy.form";

/// Raised when the same recipe is to give another image.
const FORM: u32 = 2;

/// A build that fails is begun anew, so that nothing need reach the disk at once; and nobody reads there.
const DPKG: &str = r"force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n";

/// What an image is made from.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Recipe {
    /// The base image.
    pub base: String,
    /// Debian's name of the release; `unknown` if it cannot be determined from the base image.
    pub suite: String,
    /// The Debian packages to install.
    pub packages: BTreeSet<String>,
    /// Shell commands to run after the packages are installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_build: Vec<String>,
    /// The Rust toolchain in the image; null if this machine's is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rust: Option<RustInImage>,
}

/// A Rust toolchain in an image with rustup.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct RustInImage {
    /// Its version.
    pub version: String,
    /// The targets whose standard library is installed.
    pub targets: BTreeSet<String>,
}

/// The packages that every composed image has: the cross compilers, and the tools of build scripts but for those that
/// are large and rare. `host` is the triple that the image's own programs are of.
pub fn standard_packages(host: &str, suite: &Suite) -> BTreeSet<String> {
    let native = ["gcc", "g++", "libc6-dev"].map(str::to_owned);
    let others = Catalog::embedded().targets.iter().filter(|target| target.triple != host);
    let cross = others.filter_map(|target| target.gcc.as_ref()).filter(|gcc| !gcc.rare);
    let cross = cross.flat_map(|gcc| gcc.debian.iter().cloned());
    let tools =
        tools::tools().values().filter(|tool| tool.is_in_images()).flat_map(|tool| tool.image_packages(suite.llvm));
    native.into_iter().chain(cross).chain(tools).collect()
}

impl Recipe {
    /// What two recipes must have in common to be one image with the packages of both.
    pub(crate) fn merge_key(&self) -> (String, Vec<String>, Option<String>) {
        (self.base.clone(), self.pre_build.clone(), self.rust.as_ref().map(|rust| rust.version.clone()))
    }

    /// Whether an image of this recipe serves where another is wanted.
    pub fn covers(&self, wanted: &Recipe) -> bool {
        let targets = |recipe: &Recipe| recipe.rust.as_ref().map(|rust| rust.targets.clone()).unwrap_or_default();
        self.merge_key() == wanted.merge_key()
            && self.packages.is_superset(&wanted.packages)
            && targets(self).is_superset(&targets(wanted))
    }

    /// The recipe in a form that the same recipe always has.
    pub fn text(&self) -> String {
        // A struct of strings and sets always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A recipe from a label.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The recipe that labels tell of, where this convoy would make the same image from it.
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Option<Self> {
        let text = labels.get(LABEL)?;
        let form = labels.get(LABEL_FORM)?.parse::<u32>().ok()?;
        // One that says more than is known here gives another image.
        Self::from_text(text).filter(|recipe| form == FORM && recipe.text() == *text)
    }

    /// What names it.
    pub fn digest(&self) -> String {
        files::sha256(format!("{FORM}\n{}", self.text()))
    }

    /// The name of its image.
    pub fn tag(&self) -> String {
        format!("cargo-convoy/tools:{}-{}", self.suite, &self.digest()[..16])
    }

    /// The Dockerfile, for the classic builder too.
    pub fn dockerfile(&self) -> String {
        let mut text = format!("# The tools that cargo-convoy builds with in a container.\nFROM {}\n", self.base);
        let packages: Vec<&str> = self.packages.iter().map(String::as_str).collect();
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "RUN export DEBIAN_FRONTEND=noninteractive \\\n \
             && printf '{DPKG}' >/etc/dpkg/dpkg.cfg.d/cargo-convoy \\\n && apt-get -qq -o APT::Update::Error-Mode=any update \\\n \
             && apt-get -qq install -y --no-install-recommends \\\n        {} \\\n && rm -rf /var/lib/apt/lists/*\n",
            packages.join(" \\\n        ")
        );
        if let Some(rust) = &self.rust {
            let targets: Vec<&str> = rust.targets.iter().map(String::as_str).collect();
            let _ = writeln!(text, "RUN rustup target add {} && chmod -R a+rX \"$RUSTUP_HOME\"", targets.join(" "));
        }
        text.push_str(&run_lines(&self.pre_build));
        // Last, so that it does not keep the builder from using layers again.
        let label = self.text().replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
        let _ = writeln!(text, "LABEL {LABEL}=\"{label}\" {LABEL_FORM}=\"{FORM}\"");
        text
    }
}

/// The step of a Dockerfile that runs lines; none where there are none.
pub(crate) fn run_lines(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    // The form with brackets, as lines may hold anything.
    let words = ["/bin/sh", "-euc", &lines.join("\n")];
    format!("RUN {}\n", serde_json::to_string(&words).unwrap_or_default())
}

/// A recipe for tests.
#[cfg(test)]
pub(crate) fn bookworm(packages: &[&str]) -> Recipe {
    Recipe {
        base: "debian:bookworm-slim".to_owned(),
        suite: "bookworm".to_owned(),
        packages: packages.iter().map(|package| (*package).to_owned()).collect(),
        pre_build: Vec::new(),
        rust: None,
    }
}

#[cfg(test)]
mod tests {
    use super::bookworm as recipe;
    use super::*;
    use crate::model::sysroot::Suites;

    #[test]
    fn the_dockerfile_of_a_recipe() {
        let mut recipe = recipe(&["gcc", "cmake"]);
        recipe.pre_build = vec!["echo \"$HOME\"".to_owned(), "true".to_owned()];
        insta::assert_snapshot!(recipe.dockerfile());
    }

    #[test]
    fn an_image_with_more_tools_serves_and_another_base_does_not() {
        let (small, large) = (recipe(&["gcc"]), recipe(&["gcc", "cmake"]));
        assert!(large.covers(&small) && !small.covers(&large));
        let other = Recipe { base: "debian:trixie-slim".to_owned(), ..large.clone() };
        assert!(!other.covers(&small));
        assert_ne!(small.tag(), large.tag());
        assert_eq!(Recipe::from_text(&large.text()), Some(large));
    }

    #[test]
    fn the_standard_image_has_compilers_and_tools_and_no_libraries_of_targets() {
        let suite = Suites::embedded().named("bookworm").unwrap();
        let packages = standard_packages("x86_64-unknown-linux-gnu", suite);
        let windows = "gcc-mingw-w64-x86-64-win32";
        for wanted in ["gcc-aarch64-linux-gnu", "g++-arm-linux-gnueabihf", windows, "cmake", "libclang1-14"] {
            assert!(packages.contains(wanted), "{wanted}");
        }
        assert!(!packages.contains("gcc-x86-64-linux-gnu"), "its own compiler is `gcc`");
        assert!(!packages.contains("libssl-dev") && !packages.contains("nvidia-cuda-toolkit"));
    }
}
