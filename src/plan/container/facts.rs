//! What a container offers to a build: this machine's facts, with an image's compilers and tools in place of its own.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::image::ImagePlan;
use crate::machine::engine::ImageFacts;
use crate::machine::{AptFacts, FoundBy, FoundLibrary, GccFacts, Machine, UserTool, UserTools};
use crate::model::catalog::{Catalog, Glibc, Target, in_capitals, tools};
use crate::model::needs;
use crate::model::recipe::Recipe;
use crate::model::sysroot::Suites;
use crate::util::shell::quote;

/// This machine as it looks from inside of a container of an image. Of an image that was not looked into yet nothing is
/// known.
pub(crate) fn inside(machine: &Machine, image: &ImagePlan) -> Machine {
    let facts = match image.recipe().filter(|_| !image.is_opaque()) {
        Some(recipe) => inside_composed(machine, recipe),
        None => inside_named(machine, &machine.image_facts.get(&image.reference).cloned().unwrap_or_default()),
    };
    if !image.brings_rust {
        return facts;
    }
    // What belongs to this machine's toolchain is not there.
    let tools = facts.tools.into_iter().filter(|(name, _)| name != "rustfmt").collect();
    Machine { rust_lld: None, rust_src: false, tools, ..facts }
}

/// What every container shows of this machine.
fn of_every(machine: &Machine) -> Machine {
    Machine {
        linker: None,
        cxx: None,
        glibc: None,
        gcc: BTreeMap::new(),
        user: BTreeMap::new(),
        // A component of the toolchain, which is the same inside.
        tools: machine
            .tools
            .iter()
            .filter(|(name, _)| *name == "rustfmt")
            .map(|(n, p)| (n.clone(), p.clone()))
            .collect(),
        libraries: BTreeMap::new(),
        ..machine.clone()
    }
}

/// The same in an image that convoy composes: what its packages contain is known before the image is made.
fn inside_composed(machine: &Machine, recipe: &Recipe) -> Machine {
    let catalog = Catalog::embedded();
    let mut facts = of_every(machine);
    let Some(suite) = Suites::embedded().named(&recipe.suite) else { return facts };
    facts.linker = Some("/usr/bin/cc".into());
    facts.cxx = Some("/usr/bin/c++".into());
    facts.glibc = Some(suite.glibc);
    for target in &catalog.targets {
        let Some(gcc) = &target.gcc else { continue };
        let native = target.triple == machine.rustc.host;
        let brought = !gcc.debian.is_empty() && gcc.debian.iter().all(|package| recipe.packages.contains(package));
        if native || brought {
            facts
                .gcc
                .insert(target.triple.to_string(), debian_gcc(target, &gcc.prefix, suite.gcc, suite.glibc, native));
        }
    }
    let has = |tool: &tools::Tool| {
        let packages = tool.image_packages(suite.llvm);
        !packages.is_empty() && packages.iter().all(|package| recipe.packages.contains(package))
    };
    for (name, tool) in tools::tools().iter().filter(|(_, tool)| has(tool)) {
        let path = match &tool.library {
            Some(_) => Utf8PathBuf::from(format!("/usr/lib/llvm-{0}/lib/libclang-{0}.so.1", suite.llvm)),
            None => {
                let program = tool.any_of.iter().chain(&tool.all_of).next().map(String::as_str).unwrap_or_default();
                Utf8PathBuf::from("/usr/bin").join(program)
            }
        };
        facts.tools.insert(name.clone(), path);
    }
    let folder = Utf8PathBuf::from(format!("/usr/lib/llvm-{}/lib/clang/{}/include", suite.llvm, suite.clang));
    facts.libclang_headers = Some(folder);
    facts
}

/// A compiler as Debian installs it.
fn debian_gcc(target: &Target, prefix: &str, version: u32, glibc: Glibc, native: bool) -> GccFacts {
    let bin = |name: &str| Utf8PathBuf::from(format!("/usr/bin/{prefix}-{name}"));
    let windows = target.triple.is_windows();
    let lib = match (windows, native) {
        (true, _) => format!("/usr/lib/gcc/{prefix}/{version}-win32"),
        (false, true) => format!("/usr/lib/gcc/{prefix}/{version}"),
        (false, false) => format!("/usr/lib/gcc-cross/{prefix}/{version}"),
    };
    GccFacts {
        prefix: prefix.to_owned(),
        cc: bin("gcc"),
        cxx: Some(bin("g++")),
        ar: Some(bin("ar")),
        version: version.to_string(),
        glibc: (!windows).then_some(glibc),
        static_cxx: windows.then(|| format!("{lib}/libstdc++.a").into()),
        headers: Some(format!("{lib}/include").into()),
        fault: None,
    }
}

/// The same in an image of the user's own.
fn inside_named(machine: &Machine, image: &ImageFacts) -> Machine {
    let catalog = Catalog::embedded();
    let mut facts = of_every(machine);
    facts.linker = image.cc.clone();
    facts.cxx = image.cxx.clone();
    facts.glibc = image.glibc;
    facts.tools.extend(image.tools.clone());
    for target in &catalog.targets {
        let prefix = target.gcc.as_ref().map(|gcc| gcc.prefix.as_str());
        let others = TRIED_PREFIXES.iter().filter(|(triple, _)| *triple == target.triple).map(|(_, prefix)| *prefix);
        let found = prefix.into_iter().chain(others).find_map(|prefix| image.gcc.get(prefix));
        facts.gcc.extend(found.map(|gcc| (target.triple.to_string(), gcc.clone())));
        // An image that is made for cargo says by variables what to take.
        let upper = in_capitals(&target.triple);
        let tool = |name: String| {
            let value = image.env.get(&name)?.clone();
            Some(UserTool { value, origin: format!("the image ({name})") })
        };
        let linker = tool(format!("CARGO_TARGET_{upper}_LINKER"));
        let cc = tool(format!("CC_{}", target.triple.replace('-', "_")));
        if linker.is_some() || cc.is_some() {
            facts.user.insert(target.triple.to_string(), UserTools { linker, cc });
        }
        let found = libraries(target, image);
        if !found.is_empty() {
            facts.libraries.insert(target.triple.to_string(), found);
        }
    }
    facts
}

/// The libraries of the needs table that an image has for a target.
fn libraries(target: &Target, image: &ImageFacts) -> BTreeMap<String, FoundLibrary> {
    let Some(multiarch) = &target.multiarch else { return BTreeMap::new() };
    let Some(pc) = image.pc.get(multiarch) else { return BTreeMap::new() };
    let library = |name: &str| {
        let file = format!("/usr/lib/{multiarch}/pkgconfig/{name}.pc").into();
        FoundLibrary { version: None, by: FoundBy::Machine, file }
    };
    let known = needs::rows().library.iter().filter_map(|(key, row)| {
        let name = row.pkg_config.as_deref().filter(|name| pc.contains(*name))?;
        Some((key.clone(), library(name)))
    });
    pc.iter().map(|name| (name.clone(), library(name))).chain(known).collect()
}

/// GNU prefixes of compilers, besides those of Debian, that images for cargo have.
pub(crate) const TRIED_PREFIXES: [(&str, &str); 5] = [
    ("x86_64-unknown-linux-musl", "x86_64-linux-musl"),
    ("aarch64-unknown-linux-musl", "aarch64-linux-musl"),
    ("armv7-unknown-linux-musleabihf", "armv7l-linux-musleabihf"),
    ("arm-unknown-linux-musleabihf", "arm-linux-musleabihf"),
    ("arm-unknown-linux-gnueabihf", "arm-unknown-linux-gnueabihf"),
];

/// A script for `/bin/sh` that tells what an image holds, one fact a line, its words parted by tabs.
pub(crate) fn probe_script() -> String {
    let catalog = Catalog::embedded();
    let known = catalog.targets.iter().filter_map(|target| Some(target.gcc.as_ref()?.prefix.as_str()));
    let prefixes: BTreeSet<&str> = known.chain(TRIED_PREFIXES.iter().map(|(_, prefix)| *prefix)).collect();
    let mut script = String::from(
        "tell() { (IFS='\t'; printf '%s\\n' \"$*\"); }\n\
         tab=$(printf '\\t')\n\
         glibc() { printf '#include <features.h>\\n__GLIBC__.__GLIBC_MINOR__\\n' | $1 -E -P -x c - 2>/dev/null | tail -n 1 | tr -d ' '; }\n\
         gcc() {\n\
         cc=$(command -v \"$2\") || return 0\n\
         cxx=$(command -v \"$3\"); ar=$(command -v \"$4\")\n\
         tell gcc \"$1\" \"$cc\" \"$cxx\" \"$ar\" \"$($cc -dumpfullversion 2>/dev/null || $cc -dumpversion)\" \
         \"$(glibc $cc)\" \"$($cc -print-file-name=include)\" \"$($cc -print-file-name=libstdc++.a)\"\n\
         }\n\
         command -v cc >/dev/null && gcc '' cc c++ ar || gcc '' gcc g++ ar\n",
    );
    for prefix in prefixes {
        script.push_str(&format!("gcc {prefix} {prefix}-gcc {prefix}-g++ {prefix}-ar\n"));
    }
    for (name, tool) in tools::tools() {
        if tool.library.is_some() {
            script.push_str(&format!(
                "for f in \"$LIBCLANG_PATH\"/libclang*.so* /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* \
                 /usr/lib/libclang*.so*; do if [ -e \"$f\" ]; then tell tool {} \"$f\"; break; fi; done\n",
                quote(name)
            ));
            continue;
        }
        for program in &tool.any_of {
            script.push_str(&format!("p=$(command -v {}) && tell tool {} \"$p\"\n", quote(program), quote(name)));
        }
        if let [first, ..] = tool.all_of.as_slice() {
            let all: Vec<String> = tool.all_of.iter().map(|p| format!("command -v {} >/dev/null", quote(p))).collect();
            script.push_str(&format!(
                "{} && tell tool {} \"$(command -v {})\"\n",
                all.join(" && "),
                quote(name),
                quote(first)
            ));
        }
    }
    script.push_str(
        "for f in /usr/lib/*/pkgconfig/*.pc; do [ -e \"$f\" ] && tell pc \"$f\"; done\n\
         env | grep -E '^(CARGO_TARGET_[A-Z0-9_]*_(LINKER|RUNNER)|CC_[a-z0-9_]*)=' | while IFS= read -r l; do tell env \"$l\"; done\n\
         if [ -x /usr/bin/apt-get ]; then\n\
         h=; for f in /usr/lib/apt/apt-helper /usr/libexec/apt/apt-helper; do [ -x \"$f\" ] && h=$f; done\n\
         . /etc/os-release; k=/usr/share/keyrings/debian-archive-keyring.gpg; [ -e \"$k\" ] || k=\n\
         m=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -n -e 's/^URIs: *\\([^ ]*\\).*/\\1/p' \
         -e 's/^deb \\(\\[[^]]*\\] \\)\\{0,1\\}\\([^ ]*\\) [^ ]* main.*/\\2/p' | head -n 1)\n\
         tell apt \"$h\" \"$ID\" \"$m\" \"$k\"\n\
         fi\n",
    );
    script
}

/// What the script printed.
pub(crate) fn read_probe(output: &str) -> ImageFacts {
    let mut facts = ImageFacts::default();
    let path = |text: &str| Some(Utf8PathBuf::from(text)).filter(|path| path.is_absolute());
    for line in output.lines() {
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["gcc", prefix, cc, cxx, ar, version, glibc, headers, static_cxx] => {
                let Some(cc) = path(cc) else { continue };
                let gcc = GccFacts {
                    prefix: (*prefix).to_owned(),
                    cc,
                    cxx: path(cxx),
                    ar: path(ar),
                    version: (*version).to_owned(),
                    glibc: glibc.parse().ok(),
                    static_cxx: path(static_cxx).filter(|_| prefix.contains("mingw")),
                    headers: path(headers),
                    fault: None,
                };
                if prefix.is_empty() {
                    (facts.cc, facts.cxx, facts.glibc) = (Some(gcc.cc.clone()), gcc.cxx.clone(), gcc.glibc);
                }
                facts.gcc.insert(gcc.prefix.clone(), gcc);
            }
            ["tool", name, found] => {
                facts.tools.entry((*name).to_owned()).or_insert_with(|| (*found).into());
            }
            ["pc", file] => {
                let file = Utf8Path::new(file);
                let folder = file.parent().and_then(Utf8Path::parent).and_then(Utf8Path::file_name);
                if let (Some(folder), Some(name)) = (folder, file.file_stem()) {
                    facts.pc.entry(folder.to_owned()).or_default().insert(name.to_owned());
                }
            }
            ["env", assignment] => {
                if let Some((name, value)) = assignment.split_once('=') {
                    facts.env.insert(name.to_owned(), value.to_owned());
                }
            }
            ["apt", helper, distribution, mirror, keyring] => {
                let Some(helper) = path(helper) else { continue };
                facts.apt = Some(AptFacts {
                    apt_get: "/usr/bin/apt-get".into(),
                    helper,
                    distribution: (*distribution).to_owned(),
                    mirror: Some(mirror.trim_end_matches('/').to_owned())
                        .filter(|mirror| !mirror.is_empty() && *distribution == "debian"),
                    keyring: path(keyring),
                    through: Vec::new(),
                });
            }
            _ => {}
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_tells_is_read() {
        let output = "gcc\taarch64-linux-gnu\t/usr/bin/aarch64-linux-gnu-gcc\t\t/usr/bin/aarch64-linux-gnu-ar\t9.4.0\t2.31\t/usr/lib/x/include\tlibstdc++.a\n\
            tool\tcmake\t/usr/bin/cmake\ntool\tcmake\t/opt/cmake\npc\t/usr/lib/aarch64-linux-gnu/pkgconfig/openssl.pc\n\
            env\tCARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc\n\
            apt\t/usr/lib/apt/apt-helper\tdebian\thttp://m.example/debian/\t\nnoise\n";
        let facts = read_probe(output);
        assert_eq!(facts.gcc["aarch64-linux-gnu"].glibc.unwrap().to_string(), "2.31");
        assert_eq!(facts.gcc["aarch64-linux-gnu"].cxx, None);
        assert_eq!(facts.tools["cmake"], "/usr/bin/cmake", "the first that was told");
        assert_eq!(facts.apt.as_ref().unwrap().mirror.as_deref(), Some("http://m.example/debian"));
        let inside = inside_named(&Machine::default(), &facts);
        let triple = "aarch64-unknown-linux-gnu";
        assert!(inside.libraries[triple].contains_key("openssl"));
        assert_eq!(inside.user[triple].linker.as_ref().unwrap().value, "aarch64-linux-gnu-gcc");
    }

    #[test]
    fn the_probe_runs_in_any_shell_and_finds_this_machine() {
        let done = std::process::Command::new("sh").args(["-c", &probe_script()]).output().unwrap();
        let facts = read_probe(&String::from_utf8(done.stdout).unwrap());
        assert!(facts.cc.is_some() && facts.tools.contains_key("sh"), "{facts:?}");
        assert!(facts.glibc.is_some(), "{facts:?}");
    }

    #[test]
    fn a_composed_image_offers_what_its_packages_bring() {
        let recipe = Recipe {
            base: "debian:bookworm-slim".to_owned(),
            suite: "bookworm".to_owned(),
            packages: crate::model::recipe::standard_packages(
                "x86_64-unknown-linux-gnu",
                Suites::embedded().named("bookworm").unwrap(),
            ),
            pre_build: Vec::new(),
            rust: None,
        };
        let mut machine = Machine::default();
        machine.rustc.host = "x86_64-unknown-linux-gnu".into();
        let facts = inside_composed(&machine, &recipe);
        assert_eq!(facts.glibc.unwrap().to_string(), "2.36");
        assert!(facts.gcc.contains_key("x86_64-pc-windows-gnu") && facts.gcc.contains_key("x86_64-unknown-linux-gnu"));
        assert!(!facts.gcc.contains_key("arm-unknown-linux-gnueabihf"), "Debian's armhf is ARMv7");
        assert!(facts.tools.contains_key("protoc") && facts.tools.contains_key("libclang"));
    }
}
