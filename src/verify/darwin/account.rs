//! The account of a darwin binary's symbols. `-undefined dynamic_lookup` accepts any name, so a C library that was
//! forgotten would link and die at start on the user's machine: each such name must be somebody's.

use std::collections::BTreeSet;

use crate::model::darwin::{DATA, Family, Framework, Library};

/// Who is known to bring a symbol that is only looked up when the program starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// libSystem.
    LibSystem,
    /// A library of `/usr/lib`, by its link name.
    Library(String),
    /// A framework.
    Framework(String),
    /// A crate of the graph declares it in a `#[link(kind = "framework")]` block.
    Declared,
    /// Nobody: the program would not start.
    Unaccounted,
}

/// A library or a framework that is linked, or that comes along with one that is.
#[derive(Clone, Copy)]
enum Linked<'a> {
    Library(&'a Library),
    Framework(&'a str, &'a Framework),
}

/// Who brings symbols, given the install names that a binary loads.
pub struct Accountant {
    /// Whether libSystem is among these.
    system: bool,
    linked: Vec<Linked<'static>>,
}

impl std::fmt::Debug for Accountant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accountant").field("system", &self.system).finish_non_exhaustive()
    }
}

impl Accountant {
    /// For a binary that loads these.
    pub fn new(dylibs: &[String]) -> Self {
        Self { system: dylibs.contains(&DATA.system.install_name), linked: linked(dylibs) }
    }

    /// Accounts for `symbol` (spelled as in the object file: `_CFRelease`), given the symbols that the graph's crates declare
    /// (see [`super::declared_in_source`]).
    ///
    /// A library's or framework's family counts only when it, or an umbrella of it, is linked.
    pub fn account(&self, symbol: &str, declared: &BTreeSet<String>) -> Account {
        if self.system && DATA.system_names.contains(symbol) {
            return Account::LibSystem;
        }
        for linked in &self.linked {
            match linked {
                Linked::Library(library) if exports(library, symbol) => {
                    return Account::Library(library.names[0].clone());
                }
                Linked::Framework(name, framework) if has(&framework.family, symbol) => {
                    return Account::Framework((*name).to_owned());
                }
                Linked::Library(_) | Linked::Framework(..) => {}
            }
        }
        if declared.contains(symbol) { Account::Declared } else { Account::Unaccounted }
    }
}

/// [`Accountant::account`] for one symbol.
pub fn account(symbol: &str, dylibs: &[String], declared: &BTreeSet<String>) -> Account {
    Accountant::new(dylibs).account(symbol, declared)
}

/// What the install names bring, with what umbrellas re-export.
fn linked(dylibs: &[String]) -> Vec<Linked<'static>> {
    let framework = |name: &str| {
        let (name, framework) = DATA.frameworks.get_key_value(name)?;
        Some(Linked::Framework(name, framework))
    };
    let library =
        |with: &dyn Fn(&Library) -> bool| DATA.libraries.iter().find(|library| with(library)).map(Linked::Library);
    let mut found: Vec<Linked<'static>> = dylibs
        .iter()
        .filter_map(|dylib| {
            let known = DATA.frameworks.iter().find(|(_, framework)| framework.install_name == *dylib);
            known
                .and_then(|(name, _)| framework(name))
                .or_else(|| library(&|library: &Library| library.install_name == *dylib))
        })
        .collect();
    let mut next = 0;
    while let Some(&entry) = found.get(next) {
        next += 1;
        let Linked::Framework(_, umbrella) = entry else { continue };
        for included in &umbrella.family.includes {
            let already = found.iter().any(|entry| match entry {
                Linked::Framework(name, _) => name == included,
                Linked::Library(library) => library.names.contains(included),
            });
            if !already {
                let entry =
                    framework(included).or_else(|| library(&|library: &Library| library.names.contains(included)));
                found.extend(entry);
            }
        }
    }
    found
}

fn exports(library: &Library, symbol: &str) -> bool {
    library.symbols.iter().any(|export| export.name == symbol) || starts_with_one_of(symbol, &library.prefixes)
}

fn starts_with_one_of(symbol: &str, prefixes: &[String]) -> bool {
    let Some(name) = symbol.strip_prefix('_') else { return false };
    prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
}

/// Whether a symbol is of a framework's family.
fn has(family: &Family, symbol: &str) -> bool {
    if family.symbols.iter().any(|known| known == symbol) || starts_with_one_of(symbol, &family.prefixes) {
        return true;
    }
    if let Some(class) = class_name(symbol) {
        return family.classes.iter().any(|prefix| after(class, prefix).is_some());
    }
    let Some(name) = symbol.strip_prefix('_') else { return false };
    // Apple's names have no underscore after the prefix, but for constants; OpenSSL's (`SSL_new`, `CMS_sign`) do.
    let of_family = |prefix: &String| {
        after(name, prefix).is_some_and(|rest| prefix.trim_start_matches('_').starts_with('k') || !rest.contains('_'))
    };
    family.names.iter().any(of_family)
}

/// The class that a symbol of the Objective-C runtime belongs to.
fn class_name(symbol: &str) -> Option<&str> {
    let name = symbol.strip_prefix("_OBJC_")?;
    ["CLASS_$_", "METACLASS_$_", "EHTYPE_$_", "IVAR_$_"].iter().find_map(|kind| name.strip_prefix(kind))
}

/// What follows `prefix` in `name`, when a new word begins there.
fn after<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?;
    rest.starts_with(|first: char| first.is_ascii_uppercase() || first.is_ascii_digit()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framework(name: &str) -> String {
        DATA.frameworks[name].install_name.clone()
    }

    fn of(symbol: &str, dylibs: &[String]) -> Account {
        let mut all = vec![DATA.system.install_name.clone()];
        all.extend_from_slice(dylibs);
        account(symbol, &all, &BTreeSet::from(["_declared_one".to_owned()]))
    }

    #[test]
    fn libsystem_counts_when_it_is_linked() {
        assert_eq!(of("_malloc", &[]), Account::LibSystem);
        assert_eq!(account("_malloc", &[], &BTreeSet::new()), Account::Unaccounted);
    }

    #[test]
    fn a_family_counts_only_with_its_framework_or_an_umbrella() {
        let core_foundation = || Account::Framework("CoreFoundation".to_owned());
        assert_eq!(of("_CFRelease", &[]), Account::Unaccounted);
        for linked in ["CoreFoundation", "Foundation", "AppKit", "Cocoa", "CoreServices"] {
            let account = of("_kCFAllocatorDefault", &[framework(linked)]);
            assert!(account == core_foundation() || account == Account::Framework("CFNetwork".to_owned()), "{linked}");
        }
        assert_eq!(of("_CFRelease", &[framework("Security")]), Account::Unaccounted);
        assert_eq!(of("___CFConstantStringClassReference", &[framework("CoreFoundation")]), core_foundation());
        assert_eq!(of("_objc_msgSend", &[framework("Foundation")]), Account::Library("objc".to_owned()));
        assert_eq!(of("_OBJC_CLASS_$_NSString", &[framework("AppKit")]), Account::Framework("AppKit".to_owned()));
        assert_eq!(of("_OBJC_CLASS_$_MyString", &[framework("AppKit")]), Account::Unaccounted);
        assert_eq!(
            of("_kCVImageBufferYCbCrMatrix_ITU_R_709_2", &[framework("CoreVideo")]),
            Account::Framework("CoreVideo".to_owned())
        );
    }

    #[test]
    fn a_forgotten_c_library_is_not_waved_through() {
        let frameworks: Vec<String> = DATA.frameworks.keys().map(|name| framework(name)).collect();
        for symbol in [
            "_sodium_init",
            "_deflate",
            "_SSL_new",
            "_CMS_sign",
            "_CTX_free",
            "_AES_encrypt",
            "_MD5_Init",
            "_EVP_sha256",
            "_SKERNEL_x",
            "_ZSTD_compress",
            "_LZ4_compress_default",
            "_BZ2_bzCompress",
            "_SDL_Init",
            "_ASN1_item_new",
            "_FT_New_Face",
            "_SCTP_x",
            "_PQconnectdb",
            "_mysql_init",
            "_lua_newstate",
            "_git_libgit2_init",
            "_ssh_new",
            "_uv_loop_new",
            "_hb_font_create",
            "_cairo_create",
            "_g_object_new",
            "_gtk_init",
            "__ZNSt3__112basic_stringIcE",
            "___gxx_personality_v0",
            "_sqlite3_open",
            "_PyObject_Call",
            "_JNI_CreateJavaVM",
            "_NetCDFOpen",
        ] {
            assert_eq!(of(symbol, &frameworks), Account::Unaccounted, "{symbol}");
        }
        assert_eq!(of("_deflate", &["/usr/lib/libz.1.dylib".to_owned()]), Account::Library("z".to_owned()));
        assert_eq!(of("_deflate_x", &["/usr/lib/libz.1.dylib".to_owned()]), Account::Unaccounted);
    }

    #[test]
    fn a_look_alike_elsewhere_is_not_the_systems() {
        assert_eq!(of("_deflate", &["/opt/homebrew/lib/libz.1.dylib".to_owned()]), Account::Unaccounted);
        assert_eq!(
            of("_CFRelease", &["@rpath/CoreFoundation.framework/CoreFoundation".to_owned()]),
            Account::Unaccounted
        );
    }

    #[test]
    fn declared_symbols_count() {
        assert_eq!(of("_declared_one", &[]), Account::Declared);
    }
}
