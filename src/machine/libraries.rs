//! Looking for system libraries of a triple: by pkg-config, as build scripts will, else by file.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use camino::Utf8PathBuf;

use super::ask::output;
use super::probe::Memory;
use super::{CacheDir, FoundBy, FoundLibrary, on_path};
use crate::model::catalog::{Catalog, Target};
use crate::model::needs;

/// Finds those of the wanted libraries (keys of `targets/needs.toml`, or names in pkg-config) that are here, by triple.
pub(crate) fn find_libraries(
    wanted: &BTreeMap<String, BTreeSet<String>>,
    host: &str,
    cache: &CacheDir,
) -> BTreeMap<String, BTreeMap<String, FoundLibrary>> {
    if wanted.values().all(BTreeSet::is_empty) {
        return BTreeMap::new();
    }
    let memory = Memory::open(cache);
    let pkg_config = on_path(&std::env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned()));
    let mut all = BTreeMap::new();
    for (triple, names) in wanted {
        let places = Places::new(triple, host, pkg_config.as_ref(), &memory);
        let found: BTreeMap<String, FoundLibrary> =
            names.iter().filter_map(|name| Some((name.clone(), places.find(name, &memory)?))).collect();
        if !found.is_empty() {
            all.insert(triple.clone(), found);
        }
    }
    memory.close(cache);
    all
}

/// Where libraries of one triple may be.
struct Places {
    pkg_config: Option<Utf8PathBuf>,
    /// The variables to start pkg-config with; none of the process's own may mix in.
    variables: Vec<(&'static str, Option<String>)>,
    /// Folders of `.pc` files, in pkg-config's order.
    pc: Vec<Utf8PathBuf>,
    /// Folders of libraries without one.
    lib: Vec<Utf8PathBuf>,
    by: FoundBy,
    /// Whether the triple is this machine's own.
    native: bool,
}

const VARIABLES: [&str; 3] = ["PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR"];

impl Places {
    fn new(triple: &str, host: &str, pkg_config: Option<&Utf8PathBuf>, memory: &Memory) -> Self {
        let native = triple == host;
        let target = Catalog::embedded().target(triple);
        // As the `pkg-config` crate looks variables up.
        let targeted = |name: &str| {
            let side = if native { "HOST" } else { "TARGET" };
            [
                format!("{name}_{triple}"),
                format!("{name}_{}", triple.replace('-', "_")),
                format!("{side}_{name}"),
                name.to_owned(),
            ]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        };
        let allowed = match targeted("PKG_CONFIG_ALLOW_CROSS") {
            Some(value) => value != "0",
            None => targeted("PKG_CONFIG_SYSROOT_DIR").is_some(),
        };
        let by_user = !native && allowed;
        let mut variables: Vec<(&'static str, Option<String>)> = Vec::new();
        if native || by_user {
            variables.extend(VARIABLES.map(|name| (name, targeted(name))));
        } else {
            let libdir = target.and_then(Target::pkg_config_libdir);
            variables.extend([(VARIABLES[0], None), (VARIABLES[1], libdir), (VARIABLES[2], None)]);
        }
        let set =
            |name: &str| variables.iter().find(|(variable, _)| *variable == name).and_then(|(_, value)| value.clone());
        let standard = || {
            let tool = pkg_config?;
            memory.ask("pc_path", tool, || output(Command::new(tool).args(["--variable=pc_path", "pkg-config"])).ok())
        };
        let last = set("PKG_CONFIG_LIBDIR").or_else(|| (native || by_user).then(standard).flatten());
        let split = |text: Option<String>| {
            let text = text.unwrap_or_default();
            text.trim().split(':').filter(|dir| !dir.is_empty()).map(Utf8PathBuf::from).collect::<Vec<_>>()
        };
        let pc = split(set("PKG_CONFIG_PATH")).into_iter().chain(split(last)).collect();
        let mut lib: Vec<Utf8PathBuf> = target
            .iter()
            .filter_map(|target| target.multiarch.as_ref())
            .flat_map(|dir| [format!("/usr/lib/{dir}"), format!("/lib/{dir}")])
            .map(Into::into)
            .collect();
        if native {
            lib.extend(["/usr/lib64", "/usr/lib", "/usr/local/lib", "/lib64", "/lib"].map(Into::into));
        }
        let by = if by_user { FoundBy::User } else { FoundBy::Machine };
        Self { pkg_config: pkg_config.cloned(), variables, pc, lib, by, native }
    }

    fn find(&self, name: &str, memory: &Memory) -> Option<FoundLibrary> {
        let library = needs::rows().library.get(name);
        let in_pkg_config = match library {
            Some(library) => library.pkg_config.as_deref(),
            None => Some(name),
        };
        let by_pkg_config = in_pkg_config.and_then(|name| self.ask_pkg_config(name, memory));
        by_pkg_config.or_else(|| {
            let library = library?;
            let file = match &library.runtime {
                Some(runtime) if self.native => self.first(std::slice::from_ref(runtime))?,
                _ if library.pkg_config.is_some() => return None,
                _ => {
                    let files: Option<Vec<_>> = library
                        .link
                        .iter()
                        .map(|link| self.first(&[format!("lib{link}.so"), format!("lib{link}.a")]))
                        .collect();
                    files?.into_iter().next()?
                }
            };
            Some(FoundLibrary { version: None, by: self.by, file })
        })
    }

    fn ask_pkg_config(&self, name: &str, memory: &Memory) -> Option<FoundLibrary> {
        let tool = self.pkg_config.as_ref()?;
        let file = self.pc.iter().map(|dir| dir.join(format!("{name}.pc"))).find(|file| file.is_file())?;
        let ask = |arguments: &[&str]| {
            let mut command = Command::new(tool);
            for (variable, value) in &self.variables {
                match value {
                    Some(value) => command.env(variable, value),
                    None => command.env_remove(variable),
                };
            }
            output(command.args(arguments).arg(name)).ok()
        };
        let version = memory.ask("modversion", &file, || {
            // The version alone would not tell that a library which it requires is missing.
            ask(&["--libs", "--cflags"])?;
            ask(&["--modversion"])
        })?;
        Some(FoundLibrary { version: Some(version.trim().to_owned()), by: self.by, file })
    }

    /// The first of these names in a folder of libraries.
    fn first(&self, names: &[String]) -> Option<Utf8PathBuf> {
        self.lib.iter().flat_map(|dir| names.iter().map(move |name| dir.join(name))).find(|file| file.is_file())
    }
}
