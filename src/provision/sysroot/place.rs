//! Where a package's path lands in a sysroot, if it lands there at all. Pure.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

/// Folders that Debian merged into `/usr`. Older packages still name them, so all of them do land there.
pub(super) const MERGED: &[&str] = &["bin", "lib", "lib32", "lib64", "libx32", "sbin"];

/// Folders that no build looks at.
const LEFT_OUT: &[&str] = &[
    "usr/games",
    "usr/lib/firmware",
    "usr/lib/locale",
    "usr/lib/modules",
    "usr/lib/systemd",
    "usr/lib/udev",
    "usr/sbin",
    "usr/share/applications",
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/debhelper",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/dpkg",
    "usr/share/fish",
    "usr/share/fonts",
    "usr/share/gdb",
    "usr/share/gtk-doc",
    "usr/share/help",
    "usr/share/i18n",
    "usr/share/icons",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/metainfo",
    "usr/share/mime",
    "usr/share/perl",
    "usr/share/perl5",
    "usr/share/pixmaps",
    "usr/share/polkit-1",
    "usr/share/python3",
    "usr/share/sounds",
    "usr/share/zoneinfo",
    "usr/share/zsh",
    "usr/src",
];

/// A path that leads out of the sysroot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outside;

/// A path of a package as one from the root, without `.` and `..`.
fn inside(path: &Utf8Path) -> Result<Utf8PathBuf, Outside> {
    let mut plain = Utf8PathBuf::new();
    for part in path.components() {
        match part {
            Utf8Component::Normal(part) => plain.push(part),
            Utf8Component::CurDir | Utf8Component::RootDir => {}
            Utf8Component::ParentDir => {
                if !plain.pop() {
                    return Err(Outside);
                }
            }
            Utf8Component::Prefix(_) => return Err(Outside),
        }
    }
    Ok(plain)
}

/// With the merged folders below `usr`.
fn merged(path: Utf8PathBuf) -> Utf8PathBuf {
    let first = path.components().next();
    let moves = first.is_some_and(|first| MERGED.contains(&first.as_str()));
    if moves { Utf8Path::new("usr").join(path) } else { path }
}

/// Where a member of a package lands, from the root. A member's own path has no business with `..`.
pub(super) fn place(path: &Utf8Path) -> Result<Utf8PathBuf, Outside> {
    if path.components().any(|part| matches!(part, Utf8Component::ParentDir)) {
        return Err(Outside);
    }
    inside(path).map(merged)
}

/// Whether a build may look at what lands here.
pub(super) fn is_wanted(place: &Utf8Path) -> bool {
    if LEFT_OUT.iter().any(|dir| place.starts_with(dir)) {
        return false;
    }
    if let Ok(program) = place.strip_prefix("usr/bin") {
        // pkg-config itself is this machine's own.
        let name = program.as_str();
        return (name.ends_with("-config") || name.ends_with("_config")) && !name.ends_with("pkg-config");
    }
    // Raspbian has libraries of its own in /opt/vc.
    place.starts_with("usr") || place.starts_with("opt")
}

/// What a symbolic link at `member` (its path in the package) must point to, so that it leads to the same file in the
/// sysroot, wherever that is.
pub(super) fn link(member: &Utf8Path, target: &Utf8Path) -> Result<Utf8PathBuf, Outside> {
    let from = place(member)?;
    // Relative to where the package means the link to be, which may be above `usr`.
    let meant = inside(member)?;
    let target = merged(inside(&meant.parent().unwrap_or(Utf8Path::new("")).join(target))?);
    Ok(relative(&from, &target))
}

/// The way from the folder of `from` to `to`, both from the root.
pub(super) fn relative(from: &Utf8Path, to: &Utf8Path) -> Utf8PathBuf {
    let dir: Vec<&str> = from.parent().map(|dir| dir.iter().collect()).unwrap_or_default();
    let to: Vec<&str> = to.iter().collect();
    let shared = dir.iter().zip(&to).take_while(|(a, b)| a == b).count();
    // A link to a folder above itself keeps at least the way up.
    let up = std::iter::repeat_n("..", dir.len() - shared);
    let way: Utf8PathBuf = up.chain(to[shared..].iter().copied()).collect();
    if way.as_str().is_empty() { ".".into() } else { way }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_folders_land_below_usr_and_nothing_lands_outside() {
        for (path, lands) in [
            ("./usr/include/zlib.h", "usr/include/zlib.h"),
            ("./lib/arm-linux-gnueabihf/libc.so.6", "usr/lib/arm-linux-gnueabihf/libc.so.6"),
            ("/lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
            ("lib", "usr/lib"),
            ("./", ""),
            ("library/x", "library/x"),
        ] {
            assert_eq!(place(path.into()), Ok(lands.into()), "{path}");
        }
        for path in ["../evil", "./usr/../../evil", "usr/lib/../evil", ".."] {
            assert_eq!(place(path.into()), Err(Outside), "{path}");
        }
    }

    #[test]
    fn only_what_builds_look_at_is_wanted() {
        for path in [
            "usr/include/x.h",
            "usr/lib/x86_64-linux-gnu/libz.a",
            "usr/share/pkgconfig/xproto.pc",
            "usr/share/wayland-protocols/x.xml",
            "usr/bin/mariadb_config",
            "usr/bin/freetype-config",
            "opt/vc/lib/libbcm_host.so",
            "usr/arm-linux-gnueabihf/include/x.h",
        ] {
            assert!(is_wanted(path.into()), "{path}");
        }
        for path in [
            "usr/share/doc/zlib1g/copyright",
            "usr/share/man",
            "usr/bin/openssl",
            "usr/bin/pkg-config",
            "usr/bin/arm-linux-gnueabihf-pkg-config",
            "usr/sbin/x",
            "etc/ssl/openssl.cnf",
            "var/lib/x",
        ] {
            assert!(!is_wanted(path.into()), "{path}");
        }
    }

    #[test]
    fn links_lead_to_the_same_file_below_the_root() {
        for (member, target, leads) in [
            ("./usr/lib/arm/libdbus-1.so", "/lib/arm/libdbus-1.so.3", "libdbus-1.so.3"),
            ("./usr/lib/arm/libz.so", "../../../lib/arm/libz.so.1", "libz.so.1"),
            ("./lib/ld-linux-armhf.so.3", "arm/ld-linux-armhf.so.3", "arm/ld-linux-armhf.so.3"),
            // The link moves one folder down, and the way to its target with it.
            ("./lib/arm/libx.so", "../../usr/lib/arm/libx.so.1", "libx.so.1"),
            ("./lib/arm/libx.so", "../../opt/x", "../../../opt/x"),
            ("./lib64/ld-linux-x86-64.so.2", "/lib/x86/ld.so", "../lib/x86/ld.so"),
            ("./usr/lib/gcc/x/12/libstdc++.so", "../../../arm/libstdc++.so.6", "../../../arm/libstdc++.so.6"),
            ("./usr/include/here", ".", "."),
            ("./usr/include/up", "..", ".."),
            ("./usr/share/x", "/etc/x", "../../etc/x"),
        ] {
            assert_eq!(link(member.into(), target.into()), Ok(leads.into()), "{member} -> {target}");
        }
        for (member, target) in
            [("./usr/lib/x", "../../../etc/passwd"), ("./x", ".."), ("./usr/lib/x", "/../etc/passwd"), ("../x", "y")]
        {
            assert_eq!(link(member.into(), target.into()), Err(Outside), "{member} -> {target}");
        }
    }
}
