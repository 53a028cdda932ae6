//! Conditions, combined and made small: [`Guard`] as a three-valued logic.

use syn::Meta;

use super::Guard;
use super::rust::{cfg_text, metas_of, string_of};

/// Members of a condition beyond which it is not worth keeping.
const LARGEST: usize = 48;

/// Whether two names are those of one feature, as far as a build script's environment tells.
pub(crate) fn same_feature(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.bytes().map(plain).eq(other.bytes().map(plain))
}

impl Guard {
    /// Holds always.
    pub(crate) const ALWAYS: Guard = Guard::All(Vec::new());
    /// Holds never.
    pub(crate) const NEVER: Guard = Guard::Any(Vec::new());

    /// Whether it holds, given what `judge` says about the single facts; none if it depends on an unknown one.
    pub(crate) fn holds(&self, judge: &dyn Fn(&Guard) -> Option<bool>) -> Option<bool> {
        match self {
            Guard::Unknown => None,
            Guard::All(list) => Guard::all_hold(list, judge),
            Guard::Any(list) => {
                let found: Vec<_> = list.iter().map(|guard| guard.holds(judge)).collect();
                if found.contains(&Some(true)) { Some(true) } else { (!found.contains(&None)).then_some(false) }
            }
            fact => judge(fact),
        }
    }

    /// Whether all of a list hold, such as those of a [`super::Call`].
    pub(crate) fn all_hold(list: &[Guard], judge: &dyn Fn(&Guard) -> Option<bool>) -> Option<bool> {
        let found: Vec<_> = list.iter().map(|guard| guard.holds(judge)).collect();
        if found.contains(&Some(false)) { Some(false) } else { (!found.contains(&None)).then_some(true) }
    }

    /// The opposite.
    #[must_use]
    pub(crate) fn negated(&self) -> Guard {
        match self.clone() {
            Guard::Feature { name, on } => Guard::Feature { name, on: !on },
            Guard::Target { cfg, holds } => Guard::Target { cfg, holds: !holds },
            Guard::Host { cfg, holds } => Guard::Host { cfg, holds: !holds },
            Guard::Env { name, set } => Guard::Env { name, set: !set },
            Guard::Library { name, found } => Guard::Library { name, found: !found },
            Guard::Unknown => Guard::Unknown,
            Guard::All(list) => Guard::any(list.iter().map(Guard::negated)),
            Guard::Any(list) => Guard::all(list.iter().map(Guard::negated)),
        }
    }

    /// All of these, as small as it gets.
    pub(crate) fn all(parts: impl IntoIterator<Item = Guard>) -> Guard {
        combined(parts, true)
    }

    /// At least one of these, as small as it gets.
    pub(crate) fn any(parts: impl IntoIterator<Item = Guard>) -> Guard {
        combined(parts, false)
    }

    /// Its members, all of which must hold.
    pub(super) fn into_list(self) -> Vec<Guard> {
        match self {
            Guard::All(list) => list,
            other => vec![other],
        }
    }

    /// Whether some part of it is known to a running script only.
    pub(super) fn has_unknown(&self) -> bool {
        match self {
            Guard::Unknown => true,
            Guard::All(list) | Guard::Any(list) => list.iter().any(Guard::has_unknown),
            _ => false,
        }
    }

    /// Whether it is about the target and the features alone, which no environment changes.
    pub(super) fn is_settled(&self) -> bool {
        match self {
            Guard::Feature { .. } | Guard::Target { .. } => true,
            Guard::All(list) | Guard::Any(list) => list.iter().all(Guard::is_settled),
            _ => false,
        }
    }

    fn size(&self) -> usize {
        match self {
            Guard::All(list) | Guard::Any(list) => 1 + list.iter().map(Guard::size).sum::<usize>(),
            _ => 1,
        }
    }
}

/// `all` or any; what is said of the one holds of the other with everything turned round.
fn combined(parts: impl IntoIterator<Item = Guard>, all: bool) -> Guard {
    let absorbing = if all { Guard::NEVER } else { Guard::ALWAYS };
    let wrap = |list| if all { Guard::All(list) } else { Guard::Any(list) };
    let mut list: Vec<Guard> = Vec::new();
    for part in parts {
        let members = match part {
            Guard::All(members) if all => members,
            Guard::Any(members) if !all => members,
            other => vec![other],
        };
        for member in members {
            if member == absorbing || member != Guard::Unknown && list.contains(&member.negated()) {
                return absorbing;
            }
            if !list.contains(&member) {
                list.push(member);
            }
        }
        if list.len() > LARGEST {
            list.truncate(LARGEST);
            if !list.contains(&Guard::Unknown) {
                list.push(Guard::Unknown);
            }
            break;
        }
    }
    // `a and (a or b)` is `a`, also where `a` is unknown; `a and (not a or b)` is `a and b`.
    for at in 0..list.len() {
        let (Guard::Any(inner) | Guard::All(inner)) = &list[at] else { continue };
        let others = || list.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, guard)| guard);
        if inner.iter().any(|member| others().any(|other| other == member)) {
            list[at] = wrap(Vec::new());
            continue;
        }
        let possible = |member: &&Guard| {
            let opposite = member.negated();
            opposite == Guard::Unknown || others().all(|other| *other != opposite)
        };
        let kept: Vec<Guard> = inner.iter().filter(possible).cloned().collect();
        if kept.len() < inner.len() {
            // What remains may be a member already, or have some.
            let shorter = if all { Guard::any(kept) } else { Guard::all(kept) };
            list[at] = wrap(Vec::new());
            return combined(list.into_iter().chain([shorter]), all);
        }
    }
    if list.contains(&absorbing) {
        return absorbing;
    }
    list.retain(|member| *member != wrap(Vec::new()));
    let whole = if list.len() == 1 { list.remove(0) } else { wrap(list) };
    // The top of a conjunction may be long, as a script's path through many conditions is.
    if !all && whole.size() > LARGEST { Guard::Unknown } else { whole }
}

/// A `cfg` expression in a build script: about the package's features and the host.
pub(super) fn of_cfg(meta: &Meta) -> Guard {
    let host = || Guard::Host { cfg: format!("cfg({})", cfg_text(meta)), holds: true };
    let name = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
    match meta {
        Meta::List(list) => {
            let parts = metas_of(list);
            match name.as_str() {
                "all" => Guard::all(parts.iter().map(of_cfg)),
                "any" => Guard::any(parts.iter().map(of_cfg)),
                "not" => Guard::any(parts.iter().map(of_cfg)).negated(),
                _ => Guard::Unknown,
            }
        }
        Meta::Path(_) => match name.as_str() {
            "windows" | "unix" => host(),
            "test" | "doc" | "docsrs" | "doctest" | "miri" | "clippy" | "rustfmt" | "rust_analyzer" => Guard::NEVER,
            _ => Guard::Unknown,
        },
        Meta::NameValue(pair) => match (name.as_str(), string_of(&pair.value)) {
            ("feature", Some(name)) => Guard::Feature { name, on: true },
            (name, Some(_)) if name.starts_with("target_") => host(),
            _ => Guard::Unknown,
        },
    }
}

/// An environment variable is set.
pub(super) fn is_set(name: &str) -> Guard {
    const ALWAYS: [&str; 14] = [
        "TARGET",
        "HOST",
        "OUT_DIR",
        "PROFILE",
        "NUM_JOBS",
        "OPT_LEVEL",
        "DEBUG",
        "RUSTC",
        "RUSTDOC",
        "CARGO",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_ENCODED_RUSTFLAGS",
        "PATH",
    ];
    if let Some(feature) = name.strip_prefix("CARGO_FEATURE_") {
        return Guard::Feature { name: feature.to_lowercase().replace('_', "-"), on: true };
    }
    match name {
        "CARGO_CFG_WINDOWS" => Guard::Target { cfg: "cfg(windows)".to_owned(), holds: true },
        "CARGO_CFG_UNIX" => Guard::Target { cfg: "cfg(unix)".to_owned(), holds: true },
        _ if ALWAYS.contains(&name) || name.starts_with("CARGO_CFG_TARGET_") || name.starts_with("CARGO_PKG_") => {
            Guard::ALWAYS
        }
        // cargo's own doing, from other packages and from its configuration.
        _ if ["CARGO_CFG_", "DEP_", "RUSTC_"].iter().any(|prefix| name.starts_with(prefix)) => Guard::Unknown,
        "CARGO_MAKEFLAGS" | "CARGO_MANIFEST_LINKS" | "CARGO_PRIMARY_PACKAGE" => Guard::Unknown,
        _ => Guard::Env { name: name.to_owned(), set: true },
    }
}

/// An environment variable has this value.
pub(super) fn is(name: &str, value: &str) -> Guard {
    if let Some(cfg) = target_key(name).and_then(|key| about(key, value)) {
        return Guard::Target { cfg, holds: true };
    }
    match name {
        _ if !is_word(value) => Guard::all([is_set(name), Guard::Unknown]),
        "TARGET" if value.contains('-') => Guard::Target { cfg: value.to_owned(), holds: true },
        "HOST" if value.contains('-') => Guard::Host { cfg: value.to_owned(), holds: true },
        _ if name.starts_with("CARGO_FEATURE_") => is_set(name),
        _ => Guard::all([is_set(name), Guard::Unknown]),
    }
}

/// An environment variable contains, begins with or ends with this text.
pub(super) fn contains(name: &str, text: &str) -> Guard {
    match name {
        "TARGET" => of_triple_part(text, &|cfg| Guard::Target { cfg, holds: true }),
        "HOST" => of_triple_part(text, &|cfg| Guard::Host { cfg, holds: true }),
        // Lists, separated by commas.
        "CARGO_CFG_TARGET_FAMILY" | "CARGO_CFG_TARGET_FEATURE" => is(name, text),
        _ => Guard::all([is_set(name), Guard::Unknown]),
    }
}

fn target_key(name: &str) -> Option<&'static str> {
    Some(match name.strip_prefix("CARGO_CFG_TARGET_")? {
        "OS" => "target_os",
        "ENV" => "target_env",
        "ARCH" => "target_arch",
        "FAMILY" => "target_family",
        "VENDOR" => "target_vendor",
        "ABI" => "target_abi",
        "ENDIAN" => "target_endian",
        "POINTER_WIDTH" => "target_pointer_width",
        "FEATURE" => "target_feature",
        _ => return None,
    })
}

fn about(key: &str, value: &str) -> Option<String> {
    is_word(value).then(|| format!("cfg({key} = \"{value}\")"))
}

fn is_word(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte))
}

/// What it says of a target that its triple contains this text.
fn of_triple_part(text: &str, fact: &dyn Fn(String) -> Guard) -> Guard {
    let is = |key: &str, value: &str| fact(format!("cfg({key} = \"{value}\")"));
    let one = |part: &str| match part {
        "windows" | "win32" => fact("cfg(windows)".to_owned()),
        // An Android triple has it as well.
        "linux" => Guard::any([is("target_os", "linux"), is("target_os", "android")]),
        "darwin" => is("target_os", "macos"),
        "apple" => is("target_vendor", "apple"),
        "android" | "freebsd" | "netbsd" | "openbsd" | "dragonfly" | "solaris" | "illumos" | "haiku" | "fuchsia"
        | "ios" | "tvos" | "watchos" | "visionos" | "emscripten" | "wasi" | "hermit" | "redox" | "aix" | "cygwin"
        | "nto" | "vxworks" | "uefi" | "horizon" | "vita" | "espidf" => is("target_os", part),
        "gnu" | "msvc" | "musl" | "uclibc" | "ohos" | "sgx" | "newlib" => is("target_env", part),
        "gnueabihf" => Guard::all([is("target_env", "gnu"), is("target_abi", "eabihf")]),
        "musleabihf" => Guard::all([is("target_env", "musl"), is("target_abi", "eabihf")]),
        "eabihf" => is("target_abi", "eabihf"),
        "wasm" => is("target_family", "wasm"),
        "i686" | "i586" => is("target_arch", "x86"),
        "x86_64" | "aarch64" | "arm" | "wasm32" | "wasm64" | "riscv32" | "riscv64" | "mips" | "mips64" | "powerpc"
        | "powerpc64" | "s390x" | "sparc64" | "loongarch64" => is("target_arch", part),
        _ => Guard::Unknown,
    };
    // Nothing, or what triples have for lack of a name, tells nothing.
    let parts: Vec<&str> = text.split('-').filter(|part| !["", "pc", "unknown", "none"].contains(part)).collect();
    if parts.is_empty() { Guard::Unknown } else { Guard::all(parts.into_iter().map(one)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(name: &str) -> Guard {
        Guard::Feature { name: name.to_owned(), on: true }
    }

    #[test]
    fn combining_keeps_conditions_small() {
        let (a, b) = (feature("a"), feature("b"));
        let not_a = a.negated();
        assert_eq!(Guard::all([a.clone(), Guard::ALWAYS, a.clone()]), a);
        assert_eq!(Guard::all([a.clone(), not_a.clone()]), Guard::NEVER);
        assert_eq!(Guard::any([a.clone(), not_a.clone()]), Guard::ALWAYS);
        assert_eq!(Guard::any([a.clone(), Guard::all([not_a.clone(), b.clone()])]), Guard::any([a.clone(), b.clone()]));
        assert_eq!(Guard::all([a.clone(), Guard::any([a.clone(), b.clone()])]), a);
        assert_eq!(
            Guard::all([a.clone(), Guard::any([not_a.clone(), Guard::Unknown])]),
            Guard::All(vec![a.clone(), Guard::Unknown])
        );
        assert_eq!(Guard::all([a.clone(), b.clone()]).negated(), Guard::Any(vec![not_a, b.negated()]));
        // What is unknown may differ from what is unknown elsewhere.
        assert_eq!(Guard::any([Guard::Unknown, Guard::Unknown.negated()]), Guard::Unknown);
    }

    #[test]
    fn three_values() {
        let judge = |guard: &Guard| (*guard == feature("a")).then_some(true);
        let (a, b) = (feature("a"), feature("b"));
        assert_eq!(Guard::any([a.clone(), Guard::Unknown]).holds(&judge), Some(true));
        assert_eq!(Guard::Any(vec![b.clone(), Guard::NEVER]).holds(&judge), None);
        assert_eq!(Guard::all_hold(&[a.clone(), b], &judge), None);
        assert_eq!(Guard::all_hold(&[a, Guard::NEVER, Guard::Unknown], &judge), Some(false));
        assert_eq!(Guard::all_hold(&[], &judge), Some(true));
    }

    #[test]
    fn variables_of_cargo_tell_of_the_target() {
        let target = |cfg: &str| Guard::Target { cfg: cfg.to_owned(), holds: true };
        assert_eq!(is("CARGO_CFG_TARGET_OS", "linux"), target("cfg(target_os = \"linux\")"));
        assert_eq!(is("TARGET", "wasm32-unknown-unknown"), target("wasm32-unknown-unknown"));
        assert_eq!(contains("TARGET", "msvc"), target("cfg(target_env = \"msvc\")"));
        assert_eq!(
            contains("TARGET", "pc-windows-gnu"),
            Guard::All(vec![target("cfg(windows)"), target("cfg(target_env = \"gnu\")")])
        );
        assert_eq!(contains("TARGET", "-"), Guard::Unknown);
        assert_eq!(is_set("CARGO_FEATURE_ZLIB_NG"), feature("zlib-ng"));
        assert_eq!(is_set("CARGO_CFG_TARGET_ENV"), Guard::ALWAYS);
        let env = Guard::Env { name: "X".to_owned(), set: true };
        assert_eq!(is("X", "1"), Guard::All(vec![env.clone(), Guard::Unknown]));
        assert_eq!(is("X", "1").negated(), Guard::Any(vec![env.negated(), Guard::Unknown]));
        assert!(same_feature("zlib-ng", "zlib_NG") && !same_feature("a", "ab"));
    }
}
