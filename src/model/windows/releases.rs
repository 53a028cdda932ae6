//! Which release of Windows first has a function: `targets/windows/releases.toml` and `newer.txt`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::Windows;

const RELEASES: &str = include_str!("../../../targets/windows/releases.toml");

const NEWER: &str = include_str!("../../../targets/windows/newer.txt");

/// A release of Windows.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its build, as in `10.0.17763`.
    pub build: u32,
    /// What Microsoft calls it.
    pub name: String,
}

/// The releases of Windows, and the functions that the oldest supported one does not have.
#[derive(Debug)]
pub struct Releases {
    oldest: u32,
    releases: Vec<Release>,
    /// By name, wherever the function is.
    functions: HashMap<&'static str, u32>,
    /// By DLL in lower case and name, where no more is known.
    exports: HashMap<(&'static str, &'static str), Export>,
}

#[derive(Debug, PartialEq, Eq)]
struct Export {
    build: u32,
    /// Empty for all.
    architectures: Vec<&'static str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    oldest: u32,
    release: Vec<Release>,
}

static ALL: LazyLock<Releases> = LazyLock::new(|| {
    let file: File =
        toml::from_str(RELEASES).unwrap_or_else(|error| panic!("embedded targets/windows/releases.toml: {error}"));
    let mut all =
        Releases { oldest: file.oldest, releases: file.release, functions: HashMap::new(), exports: HashMap::new() };
    for (function, build, architectures) in lines() {
        match function.split_once('!') {
            Some(export) => _ = all.exports.insert(export, Export { build, architectures }),
            None => _ = all.functions.insert(function, build),
        }
    }
    all
});

fn lines() -> impl Iterator<Item = (&'static str, u32, Vec<&'static str>)> {
    NEWER.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut words = line.split(' ');
        let (function, build) = (words.next(), words.next().and_then(|build| build.parse().ok()));
        let (Some(function), Some(build)) = (function, build) else {
            panic!("embedded targets/windows/newer.txt: {line}")
        };
        (function, build, words.collect())
    })
}

impl Releases {
    /// What is embedded in this program.
    pub fn embedded() -> &'static Self {
        &ALL
    }

    /// The oldest one that a binary must start on.
    pub fn oldest(&self) -> &Release {
        self.of_build(self.oldest)
    }

    fn of_build(&self, build: u32) -> &Release {
        self.releases
            .iter()
            .find(|release| release.build == build)
            .unwrap_or_else(|| panic!("embedded targets/windows/releases.toml: build {build} is missing"))
    }

    /// The release that first has a function of a DLL, on an architecture; none where the oldest one has it, as far as is
    /// known, and where the DLL is no part of Windows.
    ///
    /// An API set such as `api-ms-win-core-file-l1-2-4.dll` is a name that the loader replaces by that of a DLL
    /// (<https://learn.microsoft.com/windows/win32/apiindex/api-set-loader-operation>). Which numbers of a set each Windows
    /// knows is not listed here, so its name tells nothing, and the function counts.
    pub fn newer(&self, dll: &str, name: &str, architecture: &str) -> Option<&Release> {
        let dll = dll.to_ascii_lowercase();
        let here = |export: &Export| export.architectures.is_empty() || export.architectures.contains(&architecture);
        if let Some(export) = self.exports.get(&(dll.as_str(), name)).filter(|export| here(export)) {
            return Some(self.of_build(export.build));
        }
        let of_windows = is_api_set(&dll) || Windows::embedded().dll(&dll).is_some();
        self.functions.get(name).filter(|_| of_windows).map(|build| self.of_build(*build))
    }
}

/// Whether the name of a DLL, in lower case, is that of an API set.
fn is_api_set(dll: &str) -> bool {
    dll.starts_with("api-") || dll.starts_with("ext-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::windows::ARCHITECTURES;

    #[test]
    fn functions_that_windows_10_1809_does_not_have_are_known() {
        let releases = Releases::embedded();
        assert_eq!(releases.oldest().name, "Windows 10 1809");
        let build = |dll: &str, name: &str| releases.newer(dll, name, "x86_64").map(|release| release.build);
        assert_eq!(build("KERNEL32.dll", "GetTempPath2W"), Some(20348));
        assert_eq!(build("kernelbase.dll", "GetTempPath2W"), Some(20348));
        assert_eq!(build("api-ms-win-core-file-l1-2-4.dll", "GetTempPath2W"), Some(20348));
        assert_eq!(build("kernel32.dll", "GetMachineTypeAttributes"), Some(22000));
        assert_eq!(build("iphlpapi.dll", "GetNetworkConnectivityHint"), Some(19041));
        assert_eq!(build("ntdll.dll", "NtCreateIoRing"), Some(22000));
        // A function of the same name in another library.
        assert_eq!(build("zlib1.dll", "GetTempPath2W"), None);
    }

    #[test]
    fn functions_that_it_has_are_not_among_them() {
        let releases = Releases::embedded();
        for (dll, name) in [
            ("kernel32.dll", "CreatePseudoConsole"),
            ("kernel32.dll", "SetThreadDescription"),
            ("api-ms-win-core-synch-l1-2-0.dll", "WaitOnAddress"),
            ("api-ms-win-core-memory-l1-1-6.dll", "MapViewOfFile3"),
            ("api-ms-win-core-memory-l1-1-6.dll", "VirtualAlloc2"),
            ("bcryptprimitives.dll", "ProcessPrng"),
            // Documented for 1803, though a header has it for 1903 only.
            ("user32.dll", "GetDpiAwarenessContextForProcess"),
        ] {
            assert_eq!(releases.newer(dll, name, "x86_64"), None, "{dll} {name}");
        }
        // New for 32-bit programs only.
        assert_eq!(releases.newer("ntdll.dll", "RtlIsEnclaveFeaturePresent", "aarch64"), None);
        assert!(releases.newer("ntdll.dll", "RtlIsEnclaveFeaturePresent", "x86").is_some());
    }

    #[test]
    fn the_tables_are_tidy() {
        let releases = Releases::embedded();
        assert!(releases.releases.is_sorted_by_key(|release| release.build));
        let mut count = 0;
        for (function, build, architectures) in lines() {
            assert!(releases.of_build(build).build > releases.oldest, "{function}");
            assert!(architectures.iter().all(|it| ARCHITECTURES.contains(it)), "{function}");
            let (dll, name) = function.split_once('!').unwrap_or(("", function));
            assert_eq!(dll, dll.to_ascii_lowercase());
            assert!(dll.is_empty() || !releases.functions.contains_key(name), "{function} is there twice");
            count += 1;
        }
        assert_eq!(count, releases.functions.len() + releases.exports.len());
    }
}
