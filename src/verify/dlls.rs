//! Which DLLs Windows brings itself.

use std::collections::HashSet;
use std::sync::LazyLock;

const LIST: &str = include_str!("../../targets/windows-dlls.txt");

struct Shipped {
    names: HashSet<&'static str>,
    families: Vec<&'static str>,
}

static SHIPPED: LazyLock<Shipped> = LazyLock::new(|| {
    let lines = LIST.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (families, names): (Vec<_>, Vec<_>) = lines.partition(|line| line.ends_with('*'));
    Shipped {
        names: names.into_iter().collect(),
        families: families.into_iter().map(|family| family.trim_end_matches('*')).collect(),
    }
});

/// Whether a plain installation of Windows has this DLL.
pub(super) fn ships_with_windows(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SHIPPED.names.contains(name.as_str()) || SHIPPED.families.iter().any(|family| name.starts_with(family))
}

/// What to do about a DLL that Windows does not have.
pub(super) fn remedy(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if starts(&["libgcc_s", "libwinpthread", "libstdc++", "libc++", "libunwind", "libssp", "libatomic"]) {
        "it is part of the compiler's runtime: link it statically (`rustflags = [\"-C\", \"link-arg=-static\"]` for \
         this target), or use `--route zig`, which links it statically"
    } else if starts(&["vcruntime", "msvcp", "msvcr", "concrt"]) {
        "it is part of the Microsoft Visual C++ Redistributable: link it statically with `rustflags = [\"-C\", \
         \"target-feature=+crt-static\"]` for this target"
    } else {
        "link the library statically (many -sys crates have a `static`, `vendored` or `bundled` feature), or ship the \
         DLL with your program"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_tidy() {
        let mut seen = HashSet::new();
        for line in LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert_eq!(line, line.trim().to_ascii_lowercase());
            assert!(line.contains('.') || line.ends_with('*'), "{line}");
            assert!(seen.insert(line), "{line} stands twice");
        }
    }

    #[test]
    fn system_dlls_are_known_and_runtimes_are_not() {
        for name in ["KERNEL32.dll", "msvcrt.dll", "ucrtbase.dll", "api-ms-win-crt-heap-l1-1-0.dll", "WS2_32.dll"] {
            assert!(ships_with_windows(name), "{name}");
        }
        for name in ["libgcc_s_seh-1.dll", "libwinpthread-1.dll", "libstdc++-6.dll", "VCRUNTIME140.dll", "zlib1.dll"] {
            assert!(!ships_with_windows(name), "{name}");
        }
        assert!(remedy("libstdc++-6.dll").contains("-static"));
        assert!(remedy("VCRUNTIME140_1.dll").contains("crt-static"));
        assert!(remedy("libssl-3-x64.dll").contains("vendored"));
    }
}
