//! What cargo itself writes to standard error, as opposed to rustc and build scripts: its progress, its complaints, and whose
//! fault they are. Names of crates, paths and URLs stand in these texts, too, so that a word counts only at the place where
//! cargo puts it.

use camino::Utf8Path;

/// Why cargo could not read a project or fetch its dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CargoFault {
    /// `Cargo.lock` would have to change, and `--locked` forbids it.
    Locked,
    /// Something is not on this machine, and cargo was told to stay offline.
    Offline,
    /// The network, or a server.
    Network,
    /// The toolchain that the project names is not installed.
    Toolchain,
    /// The project itself: a manifest, a path, a version that nothing satisfies.
    Project,
}

/// The words with which cargo's progress lines begin.
const PROGRESS: &[&str] = &[
    "Adding ",
    "Blocking ",
    "Building ",
    "Compiling ",
    "Dirty ",
    "Downloaded ",
    "Downloading ",
    "Downgrading ",
    "Fetching ",
    "Finished ",
    "Fresh ",
    "Locking ",
    "Removing ",
    "Running ",
    "Unchanged ",
    "Updating ",
    "Upgrading ",
];

/// cargo's standard error without the lines that only show progress.
pub(crate) fn complaints(stderr: &str) -> String {
    let is_progress = |line: &str| {
        let plain = anstream::adapter::strip_str(line).to_string();
        // cargo aligns its verbs to the right, so that only a line of its own begins with blanks and a verb; the lines of a
        // cause begin with two.
        let plain = plain.trim_start();
        PROGRESS.iter().any(|word| plain.starts_with(word)) || plain.starts_with("warning: build failed, waiting")
    };
    let kept: Vec<&str> = stderr.lines().filter(|line| !is_progress(line)).collect();
    kept.join("\n").trim().to_owned()
}

/// cargo's own error in its standard error, from its first line to the end, without progress and warnings before it; all
/// complaints where there is none.
pub(crate) fn error(stderr: &str) -> String {
    // RUST_BACKTRACE makes rustup tell where in rustup it stopped.
    let stderr = stderr.split("Stack backtrace:").next().unwrap_or(stderr);
    let complaints = anstream::adapter::strip_str(&complaints(stderr)).to_string();
    let begins = |line: &&str| line.starts_with("error: ") || line.starts_with("error[");
    let Some(first) = complaints.lines().find(begins) else { return complaints };
    let at = first.as_ptr().addr() - complaints.as_ptr().addr();
    let text = complaints[at..].trim();
    text.strip_prefix("error: ").unwrap_or(text).to_owned()
}

/// Whose fault it is that cargo ended with this error, given as [`error`] or as a whole standard error.
pub(crate) fn fault(stderr: &str) -> CargoFault {
    let error = error(stderr);
    let lines = || error.lines().map(str::trim);
    let begins = |words: &[&str]| lines().any(|line| words.iter().any(|word| line.starts_with(word)));
    let locked = |line: &str| {
        // "cannot update the lock file PATH because --locked was passed to prevent this", in older cargos "the lock file PATH
        // needs to be updated but --locked was passed to prevent this".
        let lock_file = ["cannot create the lock file ", "cannot update the lock file ", "the lock file "];
        lock_file.iter().any(|word| line.starts_with(word)) && line.ends_with(" was passed to prevent this")
    };
    // `--frozen` comes with cargo's advice to leave the network alone, so this is first.
    if lines().any(locked) {
        return CargoFault::Locked;
    }
    let toolchain = |line: &str| line.starts_with("toolchain '") && line.contains("is not installed");
    if lines().any(toolchain) {
        return CargoFault::Toolchain;
    }
    let offline = |line: &str| {
        line.starts_with("attempting to make an HTTP request, but ")
            || line.starts_with("attempting to update a git repository, but ")
            || line.starts_with("can't checkout from ") && line.contains(": you are in the offline mode (")
            || line.starts_with("As a reminder, you're using offline mode (")
    };
    // cargo adds its reminder also where a path was searched, which no network has more of.
    let path =
        |line: &str| line.strip_prefix("location searched: ").is_some_and(|place| Utf8Path::new(place).is_absolute());
    if lines().any(offline) && !lines().any(path) {
        return CargoFault::Offline;
    }
    // A directory that is missing has such a cause, too, but not these words.
    let network = [
        "failed to download",
        "download of ",
        "failed to clone into: ",
        "failed to fetch into: ",
        "failed to fetch `",
        "failed to query replaced source ",
        "failed to connect to ",
        "failed to resolve address for ",
        "network failure seems to have happened",
        "unable to get packages from source",
    ];
    // libcurl's errors begin with their number: "[6] Could not resolve hostname (…)".
    let curl = |line: &str| {
        let number = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map(|(number, _)| number);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if begins(&network) || lines().any(curl) { CargoFault::Network } else { CargoFault::Project }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING_PATH: &str = "    Blocking waiting for file lock on package cache
error: failed to get `network-thing` as a dependency of package `a v0.1.0 (/tmp/offline/a)`

Caused by:
  failed to load source for dependency `network-thing`

Caused by:
  unable to update /tmp/offline/network-thing

Caused by:
  failed to read `/tmp/offline/network-thing/Cargo.toml`

Caused by:
  No such file or directory (os error 2)
";

    #[test]
    fn names_of_crates_and_folders_are_not_cargos_words() {
        assert_eq!(fault(MISSING_PATH), CargoFault::Project);
        for text in [
            "error: no matching package named `offline-network` found\nlocation searched: crates.io index\n",
            "error: failed to load manifest for dependency `failed to download`\n",
            "error: failed to parse manifest at `/network/--locked/Cargo.toml`\n\nCaused by:\n  no targets specified\n",
            "warning: network-thing: download of nothing failed\nerror: package ID specification `--offline` did not match\n",
            "error: failed to select a version for `a = \"^7\"`\nlocation searched: /a\nAs a reminder, you're using offline mode (",
            "error: failed to select a version for `toolchain 'x' is not installed`\n",
        ] {
            assert_eq!(fault(text), CargoFault::Project, "{text}");
        }
    }

    #[test]
    fn each_fault_is_known_by_its_line() {
        let locked = "because --locked was passed to prevent this\nhelp: to generate the lock file without accessing the \
            network, remove the --locked flag and use --offline instead.";
        let reminder = "As a reminder, you're using offline mode (--offline) which can sometimes cause surprising \
            resolution failures, if this error is too confusing you may wish to retry without `--offline`.";
        for (text, expected) in [
            (format!("error: cannot update the lock file /a/Cargo.lock {locked}"), CargoFault::Locked),
            (format!("error: cannot create the lock file /a/Cargo.lock {locked}"), CargoFault::Locked),
            (
                "error: the lock file /a/Cargo.lock needs to be updated but --frozen was passed to prevent this".to_owned(),
                CargoFault::Locked,
            ),
            (format!("error: no matching package named `b` found\nlocation searched: x\n{reminder}"), CargoFault::Offline),
            (
                "error: failed to download `itoa v1.0.0`\n\nCaused by:\n  attempting to make an HTTP request, but \
                 --offline was specified"
                    .to_owned(),
                CargoFault::Offline,
            ),
            (
                "error: failed to get `x` as a dependency\n\nCaused by:\n  can't checkout from 'http://x/x.git': you are \
                 in the offline mode (--offline)"
                    .to_owned(),
                CargoFault::Offline,
            ),
            (
                "    Updating crates.io index\nerror: failed to get `x` as a dependency of package `c v0.1.0 (/c)`\n\n\
                 Caused by:\n  [7] Could not connect to server"
                    .to_owned(),
                CargoFault::Network,
            ),
            (
                "error: failed to get `x` as a dependency\n\nCaused by:\n  failed to clone into: /root/.cargo/git/db/x\n\n\
                 Caused by:\n  failed to connect to 127.0.0.1: Connection refused; class=Os (2)"
                    .to_owned(),
                CargoFault::Network,
            ),
            (
                "error: toolchain '1.999.0-x86_64-unknown-linux-gnu' is not installed\nhelp: run `rustup toolchain install`"
                    .to_owned(),
                CargoFault::Toolchain,
            ),
        ] {
            assert_eq!(fault(&text), expected, "{text}");
        }
    }

    #[test]
    fn the_error_begins_where_cargos_does() {
        let error = error(MISSING_PATH);
        assert!(error.starts_with("failed to get `network-thing`"), "{error}");
        assert!(error.ends_with("No such file or directory (os error 2)"), "{error}");
        assert_eq!(super::error("    Blocking waiting for file lock\nwarning: a\nerror: b\n  c\n"), "b\n  c");
        assert_eq!(super::error("no error line"), "no error line");
        assert_eq!(super::error(""), "");
    }

    #[test]
    fn progress_lines_are_not_complaints() {
        let told = "   Compiling a v1.0.0\nerror: failed to run custom build command for `a`\n\nCaused by:\n  boom\n\
            warning: build failed, waiting for other jobs to finish...\n";
        assert_eq!(complaints(told), "error: failed to run custom build command for `a`\n\nCaused by:\n  boom");
    }
}
