//! `targets/tools.toml`: executables that build scripts start, and the packages that bring them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// A tool of build scripts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Tool {
    /// Executables of which one is enough.
    pub any_of: Vec<String>,
    /// Executables of which all are needed.
    pub all_of: Vec<String>,
    /// A shared library that is loaded, instead of executables.
    pub library: Option<String>,
    /// Whether build scripts that start it mostly do without it as well: what starts `git` wants a commit's name.
    pub often_optional: bool,
    /// Whether it is too large and rare to be in every composed image.
    pub heavy: bool,
    /// Debian's packages.
    pub debian: Vec<String>,
    /// Those of a composed image, where they are others.
    pub image: Vec<String>,
    /// Fedora's.
    pub fedora: Vec<String>,
    /// Arch's.
    pub arch: Vec<String>,
    /// Homebrew's.
    pub brew: Vec<String>,
    /// Python packages.
    pub pip: Vec<String>,
    /// Crates that `cargo install` brings it from.
    pub cargo: Vec<String>,
    /// A component of rustup's toolchains.
    pub rustup_component: Option<String>,
}

impl Tool {
    /// Whether every image that convoy composes has it.
    pub(crate) fn is_in_images(&self) -> bool {
        !self.heavy && !self.debian.is_empty()
    }

    /// The Debian packages that bring it to an image of a release; none where Debian has it not.
    pub(crate) fn image_packages(&self, llvm: u32) -> Vec<String> {
        let packages = if self.image.is_empty() { &self.debian } else { &self.image };
        packages.iter().map(|package| package.replace("{llvm}", &llvm.to_string())).collect()
    }
}

/// Every known tool, by name.
pub(crate) fn tools() -> &'static BTreeMap<String, Tool> {
    static TOOLS: LazyLock<BTreeMap<String, Tool>> = LazyLock::new(|| {
        // Embedded and read by a test below.
        toml::from_str(include_str!("../../../targets/tools.toml"))
            .unwrap_or_else(|error| panic!("embedded targets/tools.toml: {error}"))
    });
    &TOOLS
}

/// The name of a tool that goes by this name, or has an executable of it.
pub(crate) fn name_of(word: &str) -> Option<&'static str> {
    let starts = |tool: &Tool| tool.any_of.iter().chain(&tool.all_of).any(|executable| executable == word);
    let all = tools();
    all.get_key_value(word).or_else(|| all.iter().find(|(_, tool)| starts(tool))).map(|(name, _)| name.as_str())
}

/// A tool by its name.
pub(crate) fn tool(name: &str) -> Option<&'static Tool> {
    tools().get(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_can_be_found_in_exactly_one_way() {
        for (name, tool) in tools() {
            let ways = [!tool.any_of.is_empty(), !tool.all_of.is_empty(), tool.library.is_some()];
            assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{name}");
        }
    }
}
