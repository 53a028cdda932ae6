//! What the user configured for cargo: linkers, C compilers, rustc flags; and what would be lost of it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_config2::ResolveOptions;
use serde::{Deserialize, Serialize};

use crate::machine::{UserTool, UserTools, VendorDir};
use crate::model::catalog::in_capitals;
use crate::util::error::{Error, Result};

fn variable(name: &str) -> Option<(String, String)> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value))
}

/// cargo's configuration as it holds in a folder.
pub(crate) fn cargo_config(dir: &Utf8Path, host: &str) -> Result<cargo_config2::Config> {
    let options = ResolveOptions::default().host_triple(host);
    cargo_config2::Config::load_with_options(dir, options).map_err(unreadable)
}

fn unreadable(error: cargo_config2::Error) -> Error {
    Error::usage("could not read cargo's configuration (.cargo/config.toml)").because(error)
}

/// The rustc flags of a target's own tables; none where cargo falls back to `build.rustflags`.
fn target_flags(marked: &cargo_config2::Config, triple: &str) -> Option<Vec<String>> {
    let flags = marked.rustflags(triple).ok().flatten()?.flags;
    (!flags.iter().any(|flag| flag == MARK)).then_some(flags)
}

/// A flag that is put into `build.rustflags` to see where these are taken: cargo-config2 tells the outcome alone.
const MARK: &str = "--convoy-mark";

/// The variables that build scripts see of the user: this process's, and those of cargo's `[env]`, which replace them only
/// with `force`. What is no text is left out.
pub(crate) fn build_environment(config: &cargo_config2::Config) -> BTreeMap<String, String> {
    let mut all = process_environment();
    for (name, configured) in &config.env {
        if let Some(value) = configured.value.to_str().filter(|_| configured.force || !all.contains_key(name)) {
            all.insert(name.clone(), value.to_owned());
        }
    }
    all
}

/// The variables of this process. What is no text is left out.
pub(crate) fn process_environment() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

/// The variables by which the `cc` crate finds a C compiler for a triple, the first that is set counts. It looks at plain `CC`
/// for other machines' triples too; as that mostly names this machine's own compiler, and convoy's choice takes its place there,
/// it counts for this machine's triple alone.
fn compiler_variables(triple: &str, host: &str) -> Vec<String> {
    let mut names = vec![format!("CC_{triple}"), format!("CC_{}", triple.replace('-', "_"))];
    if triple == host {
        names.extend(["HOST_CC", "CC"].map(str::to_owned));
    } else {
        names.push("TARGET_CC".to_owned());
    }
    names
}

/// The linkers and C compilers that the user set, for each triple that has one.
pub(crate) fn user_tools(config: &cargo_config2::Config, triples: &[&str], host: &str) -> BTreeMap<String, UserTools> {
    let mut all = BTreeMap::new();
    for triple in triples {
        let from_variable = |names: &[String]| {
            names.iter().find_map(|name| variable(name)).map(|(origin, value)| UserTool { value, origin })
        };
        let from_table = |names: &[String]| {
            let set = names.iter().find_map(|name| config.env.get(name))?;
            let value = set.value.clone().into_string().ok().filter(|value| !value.is_empty())?;
            Some(UserTool { value, origin: "[env] of .cargo/config.toml".to_owned() })
        };
        let linker = from_variable(&[format!("CARGO_TARGET_{}_LINKER", in_capitals(triple))]).or_else(|| {
            let linker = config.linker(*triple).ok().flatten()?;
            Some(UserTool { value: linker.to_string_lossy().into_owned(), origin: ".cargo/config.toml".to_owned() })
        });
        let names = compiler_variables(triple, host);
        let cc = from_variable(&names).or_else(|| from_table(&names));
        if linker.is_some() || cc.is_some() {
            all.insert((*triple).to_owned(), UserTools { linker, cc });
        }
    }
    all
}

/// The number of jobs that cargo's configuration names for builds in a folder; none also where it cannot be read, which
/// cargo will say.
pub(crate) fn build_jobs(dir: &Utf8Path, host: &str) -> Option<i32> {
    cargo_config(dir, host).ok()?.build.jobs
}

/// Whether cargo's configuration for builds in a folder names a build folder; not where it cannot be read, which cargo
/// will say.
pub(crate) fn has_build_dir(dir: &Utf8Path, host: &str) -> bool {
    cargo_config(dir, host).is_ok_and(|config| config.build.build_dir.is_some())
}

/// rustc flags of the user that cargo would drop once convoy sets `target.<triple>.rustflags`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct UserFlags {
    /// From `CARGO_ENCODED_RUSTFLAGS` or `RUSTFLAGS`: these beat every other source, which is then ignored.
    everywhere: Option<Vec<String>>,
    /// From `build.rustflags`, used only where nothing is set for the target itself.
    build: Vec<String>,
    /// Triples that have flags of their own in configuration or environment.
    own: BTreeMap<String, Vec<String>>,
}

/// Reads the user's rustc flags for these triples.
pub(crate) fn user_flags(
    config: &cargo_config2::Config,
    dir: &Utf8Path,
    triples: &[&str],
    host: &str,
) -> Result<UserFlags> {
    let split = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let encoded = std::env::var("CARGO_ENCODED_RUSTFLAGS").ok();
    let everywhere = match encoded {
        Some(text) => Some(text.split('\x1f').filter(|flag| !flag.is_empty()).map(str::to_owned).collect()),
        None => std::env::var("RUSTFLAGS").ok().map(split),
    };
    if everywhere.is_some() {
        return Ok(UserFlags { everywhere, ..UserFlags::default() });
    }
    let build = "CARGO_BUILD_RUSTFLAGS";
    let flags = std::env::var(build).unwrap_or_default();
    let marked = [(build.into(), format!("{flags} {MARK}").into())];
    let variables = std::env::vars_os().filter(|(name, _)| name != build).chain(marked);
    let options = ResolveOptions::default().host_triple(host).env(variables);
    let marked = cargo_config2::Config::load_with_options(dir, options).map_err(unreadable)?;
    let own =
        triples.iter().filter_map(|triple| Some(((*triple).to_owned(), target_flags(&marked, triple)?))).collect();
    let build = config.build.rustflags.clone().map(|flags| flags.flags).unwrap_or_default();
    Ok(UserFlags { everywhere: None, build, own })
}

impl UserFlags {
    /// The flags to hand on with convoy's own, because setting `target.<triple>.rustflags` would lose them.
    /// Flags of the target's own tables are merged by cargo and must not be given twice.
    pub fn to_hand_on(&self, triple: &str) -> &[String] {
        match &self.everywhere {
            Some(flags) => flags,
            None if self.own.contains_key(triple) => &[],
            None => &self.build,
        }
    }

    /// Whether `RUSTFLAGS` or `CARGO_ENCODED_RUSTFLAGS` is set and must be taken out of the lane's environment.
    pub fn from_environment(&self) -> bool {
        self.everywhere.is_some()
    }
}

/// The directories that variables of the environment name for the files of a vendor.
pub(crate) fn vendor_dirs<'a>(
    variables: impl IntoIterator<Item = &'a str>,
    environment: &BTreeMap<String, String>,
) -> BTreeMap<String, VendorDir> {
    let set = variables.into_iter().filter_map(|name| Some((name, environment.get(name)?)));
    let dirs = set.filter(|(_, value)| !value.is_empty()).map(|(name, value)| {
        let path = Utf8PathBuf::from(value);
        (name.to_owned(), VendorDir { exists: path.is_dir(), path })
    });
    dirs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_is_looked_for_as_the_cc_crate_does() {
        let host = "x86_64-unknown-linux-gnu";
        assert_eq!(
            compiler_variables(host, host),
            ["CC_x86_64-unknown-linux-gnu", "CC_x86_64_unknown_linux_gnu", "HOST_CC", "CC"]
        );
        assert_eq!(
            compiler_variables("aarch64-unknown-linux-gnu", host),
            ["CC_aarch64-unknown-linux-gnu", "CC_aarch64_unknown_linux_gnu", "TARGET_CC"]
        );
    }

    #[test]
    fn cargos_precedence_decides_what_is_handed_on() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let own = BTreeMap::from([("a".to_owned(), words(&["-Ca"]))]);
        let flags = UserFlags { everywhere: None, build: words(&["-Cb"]), own };
        assert_eq!(flags.to_hand_on("a"), words(&[]), "cargo merges the table itself");
        assert_eq!(flags.to_hand_on("b"), words(&["-Cb"]));
        let flags = UserFlags { everywhere: Some(words(&["-Ce"])), ..flags };
        assert_eq!(flags.to_hand_on("a"), words(&["-Ce"]));
        assert!(flags.from_environment());
    }
}
