//! Linking for macOS without an SDK: text stubs of the system's libraries, and the account of every symbol that is
//! only looked up when the program starts.
//!
//! The recipe: [`write_stubs`] makes the folder that stands in for the SDK, [`link_settings`] says which environment
//! and rustc flags make rustup's `rust-lld` link against it, [`provision_libcxx`](super::libcxx::provision_libcxx) brings
//! zig's C++ library. What a link leaves to be looked up at start, [`crate::verify::darwin::account()`] must know: that is
//! what makes the recipe safe.

mod stubs;

use camino::Utf8Path;

pub use stubs::{stub_files, write_stubs};

/// zig's name of a darwin target: `aarch64-macos.11.0-none`. `min_os` is `MACOSX_DEPLOYMENT_TARGET` where the user has
/// set it, else the catalog's.
pub fn zig_target(arch: &str, min_os: &str) -> String {
    format!("{arch}-macos.{min_os}-none")
}

/// What makes cargo link for macOS without an SDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Environment variables of the cargo process.
    pub env: Vec<(String, String)>,
    /// rustc's flags for the target.
    pub rustflags: Vec<String>,
}

/// What makes cargo link for macOS with `rust-lld`, or with a script of any name that starts it.
///
/// `stubs` is the folder of [`write_stubs`]; `libcxx` the folder of [`provision_libcxx`](super::libcxx::provision_libcxx), where the graph holds C++.
/// The minimum OS is left to rustc (`MACOSX_DEPLOYMENT_TARGET` where the user has set it): it writes it, as minimum and
/// as SDK version, on the link line.
pub fn link_settings(stubs: &Utf8Path, libcxx: Option<&Utf8Path>) -> Settings {
    let mut rustflags = vec![
        // Of the flavours for ld64-like linkers the one that stable rustc takes. It makes rustc start the linker with
        // `-flavor darwin`; without it only the names `rust-lld` and `lld` are recognised, and `ld64.lld` is taken for
        // a gcc.
        "-Clinker-flavor=ld64.lld".to_owned(),
        "-Clink-arg=-undefined".to_owned(),
        "-Clink-arg=dynamic_lookup".to_owned(),
    ];
    rustflags.extend(libcxx.map(|folder| format!("-Lnative={folder}")));
    // With it rustc asks no `xcrun`.
    Settings { env: vec![("SDKROOT".to_owned(), stubs.to_string())], rustflags }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe() {
        let settings = link_settings("/cache/stubs".into(), Some("/cache/c++".into()));
        assert_eq!(settings.env, [("SDKROOT".to_owned(), "/cache/stubs".to_owned())]);
        assert_eq!(
            settings.rustflags,
            ["-Clinker-flavor=ld64.lld", "-Clink-arg=-undefined", "-Clink-arg=dynamic_lookup", "-Lnative=/cache/c++"]
        );
    }
}
