//! MinGW's runtime, which zig compiles once.

use camino::{Utf8Path, Utf8PathBuf};

use crate::support::{Project, require};

const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// A program for Windows that calls a function of C, with what it says when it starts.
fn calls(name: &str, function: &str) -> Project {
    Project::empty(name).manifest("caller", "").file(
        "src/main.rs",
        &format!(
            "use std::ffi::c_char;\nunsafe extern \"C\" {{ fn {function}(path: *mut c_char) -> *mut c_char; }}\n\
             fn main() {{\n    let mut path = *b\"/one/two\\0\";\n\
             println!(\"{{:p}}\", unsafe {{ {function}(path.as_mut_ptr().cast()) }});\n}}\n"
        ),
    )
}

#[test]
fn for_windows_zig_compiles_what_a_program_uses_of_mingws_runtime_and_no_sanitizer() {
    require!(Target(WINDOWS), Zig);
    let zig = crate::support::zig();
    let project = calls("mingw-runtime", "dirname");
    let [cache, zigs] = ["cache", "zigs-cache"].map(|name| project.dir.join(name));
    let build = |project: &Project| {
        let convoy =
            project.build(WINDOWS).args(["--route", "zig", "--profile", "dev"]).path_first(zig.parent().unwrap());
        convoy.env("CONVOY_CACHE_DIR", &cache).env("ZIG_GLOBAL_CACHE_DIR", &zigs)
    };
    let built = |name: &str| -> usize {
        let count = |dir: &Utf8Path| walk(dir).iter().filter(|file| file.file_name() == Some(name)).count();
        count(&cache) + count(&zigs)
    };

    build(&project).ends(0).says("MinGW's runtime");
    assert!(project.dist(&format!("{WINDOWS}/caller.exe")).is_file());
    // Asked for by this program alone, and added.
    assert_eq!(built("misc-dirname.obj"), 1);
    let objects = walk(&cache).iter().filter(|file| file.extension() == Some("obj")).count();
    assert!((20..60).contains(&objects), "{objects} objects");
    // zig itself made none of it, and no sanitizer's runtime.
    assert_eq!((built("libmingw32.lib"), built("ubsan_rt.lib")), (1, 0));

    // What nobody defines is told as ever, without zig's long way.
    let missing = build(&calls("mingw-missing", "defined_by_nobody")).ends(1);
    missing.says("undefined symbol: defined_by_nobody").says_not("MinGW's runtime");
    assert_eq!(built("libmingw32.lib"), 1);
}

/// All files beneath a directory.
fn walk(dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries: Vec<_> = dir.read_dir_utf8().into_iter().flatten().flatten().collect();
    let files = entries.into_iter().flat_map(|entry| match entry.path().is_dir() {
        true => walk(entry.path()),
        false => vec![entry.into_path()],
    });
    files.collect()
}
