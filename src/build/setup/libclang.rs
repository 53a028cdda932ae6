//! libclang's own headers (`stddef.h`, `x86intrin.h`, …). A clang on PATH tells bindgen where they are; Debian's libclang
//! alone finds them for Linux with glibc only.

use camino::{Utf8Path, Utf8PathBuf};

/// The folder with the headers that belong to a libclang; none where it lies in no way known here.
pub(super) fn headers(libclang: &Utf8Path) -> Option<Utf8PathBuf> {
    // What a package puts beside the libraries is a link into the folder of its release.
    let real = libclang.canonicalize_utf8().ok()?;
    [libclang, &real]
        .into_iter()
        .filter_map(|library| library.parent())
        .flat_map(|dir| std::iter::once(dir).chain(dir.parent()))
        .find_map(|dir| in_release(&dir.join("clang")))
}

/// `clang/<version>/include`, of the newest version.
fn in_release(dir: &Utf8Path) -> Option<Utf8PathBuf> {
    let entries = dir.read_dir_utf8().ok()?;
    let versions = entries.flatten().map(|entry| entry.into_path().join("include"));
    versions.filter(|include| include.join("stddef.h").is_file()).max()
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_lie_beside_the_library_or_where_it_is_linked_from() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().canonicalize_utf8().unwrap();
        let lib = root.join("llvm-14/lib");
        let include = lib.join("clang/14.0.6/include");
        fs_err::create_dir_all(&include).unwrap();
        fs_err::create_dir_all(root.join("multiarch")).unwrap();
        let library = lib.join("libclang-14.so.1");
        fs_err::write(&library, "").unwrap();
        assert_eq!(headers(&library), None);
        fs_err::write(include.join("stddef.h"), "").unwrap();
        assert_eq!(headers(&library), Some(include.clone()));
        let link = root.join("multiarch/libclang.so");
        std::os::unix::fs::symlink(&library, &link).unwrap();
        assert_eq!(headers(&link), Some(include));
        assert_eq!(headers(&root.join("gone/libclang.so")), None);
    }
}
