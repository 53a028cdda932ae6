//! What apt prints → what it means. Pure.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use jiff::Timestamp;

use crate::model::sysroot::address::decoded;
use crate::project::lock::{LockedPackage, is_digest, is_pool_path, is_word};
use crate::util::credentials::without_credentials;

/// Why the indexes of an archive could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexFault {
    /// A sentence.
    pub(super) reason: String,
    /// Whether the server does not answer at all.
    pub(super) dead: bool,
    /// The suite that an archive does not have, or cannot give now; none where what it gave is not to be trusted.
    pub(super) missing: Option<String>,
}

/// The suite of the fixes between a suite's point releases.
pub(super) fn security_suite(suite: &str) -> String {
    format!("{suite}-security")
}

/// Why the indexes of suites, each below its archive's root, could not be had; none when apt complains of nothing.
pub(super) fn index_fault(output: &str, archives: &[(&str, String)]) -> Option<IndexFault> {
    // Which of them it is about: apt names each by its suite.
    let complaint = |line: &&str| line.starts_with("E: ") || line.starts_with("W: ");
    let names =
        |line: &str, suite: &str| line.contains(&format!(" {suite} ")) || line.contains(&format!("/dists/{suite}/"));
    let about = |line: &str| archives.iter().find(|(_, suite)| names(line, suite));
    let (root, suite) = output.lines().filter(complaint).find_map(about).or(archives.first())?;
    let reason = reason(output, root, suite)?;
    let not_given = |line: &str| {
        let words = ["does not have a Release file", "Failed to fetch"];
        names(line, suite) && words.iter().any(|word| line.contains(word))
    };
    let lines = || output.lines().filter(complaint);
    let forged = lines().any(|line| names(line, suite) && FORGED.iter().any(|word| line.contains(word)));
    Some(IndexFault {
        reason,
        dead: unreachable(output).is_some(),
        missing: (!forged && lines().any(not_given)).then(|| suite.clone()),
    })
}

/// What apt says of a signature that is not the right one.
const FORGED: &[&str] =
    &["NO_PUBKEY", "Missing key", "KEYSIG", "BADSIG", "signature", "Clearsigned", "NOSPLIT", "NODATA", "GPG error"];

fn reason(output: &str, root: &str, suite: &str) -> Option<String> {
    // It works as root all the same.
    let harmless = |line: &str| line.contains("Download is performed unsandboxed");
    let faults: Vec<&str> =
        output.lines().filter(|line| (line.starts_with("E: ") || line.starts_with("W: ")) && !harmless(line)).collect();
    let says = |words: &[&str]| output.lines().any(|line| words.iter().any(|word| line.contains(word)));
    let worst = faults.iter().find(|line| line.starts_with("E: ")).or(faults.first())?;
    let index = format!("the index of `{suite}` at {root}");
    if says(&["NO_PUBKEY", "Missing key"]) {
        let key = output.split("NO_PUBKEY ").nth(1).or_else(|| output.split("Missing key ").nth(1));
        let key = key.and_then(|rest| rest.split(|c: char| !c.is_ascii_hexdigit()).next()).unwrap_or_default();
        let key = if key.is_empty() { String::new() } else { format!(" ({key})") };
        return Some(format!("{index} is signed with a key{key} that is not in the keyring"));
    }
    if says(&["EXPKEYSIG", "REVKEYSIG"]) {
        return Some(format!("{index} is signed with a key that has expired or was revoked"));
    }
    if says(&["BADSIG", "signatures were invalid", "Bad signature"]) {
        return Some(format!("{index} has an invalid signature"));
    }
    if says(&["Clearsigned file isn't valid", "NOSPLIT", "NODATA"]) {
        return Some(format!("{index} is not a signed index; check whether this network requires a login or a proxy"));
    }
    if says(&["401  Unauthorized", "403  Forbidden"]) {
        return Some(format!("the archive {root} requires a valid user name and password in its URL"));
    }
    if says(&["is not signed", "is no longer signed"]) {
        return Some(format!("{index} is not signed"));
    }
    if says(&["is expired"]) {
        return Some(format!("{index} has expired; the mirror is no longer updated"));
    }
    if says(&["is not valid yet"]) {
        return Some(format!("{index} is not valid yet; check this machine's clock"));
    }
    if says(&["Hash Sum mismatch", "unexpected size"]) {
        return Some(format!(
            "a file of {index} has a wrong hash or size; it is damaged, or the mirror is being updated"
        ));
    }
    if let Some((_, got)) = output.split_once(&format!("(expected {suite} but got ")) {
        let got = got.split(')').next().unwrap_or_default();
        return Some(format!("the archive {root} returns `{got}` instead of `{suite}`"));
    }
    if let Some(reason) = unreachable(output) {
        return Some(format!("the archive {root} {reason}"));
    }
    if says(&["does not have a Release file"]) {
        return Some(format!("the archive {root} has no suite `{suite}`"));
    }
    let words = worst[3..].split_whitespace().collect::<Vec<_>>().join(" ");
    Some(format!("apt could not read {index}: {words}"))
}

/// Why a server did not answer; none when it did.
pub(super) fn unreachable(output: &str) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|word| output.contains(word));
    if says(&["Could not resolve", "failure resolving", "Something wicked happened resolving"]) {
        Some("cannot be reached: could not resolve its host name")
    } else if says(&["timed out", "Connection failed"]) {
        Some("did not respond in time")
    } else if says(&["Connection refused", "Could not connect", "Cannot initiate the connection", "Unable to connect"])
    {
        Some("cannot be reached")
    } else if says(&["Certificate verification failed", "certificate"]) {
        Some("has a certificate that this machine does not trust")
    } else if says(&["Network is unreachable", "No route to host", "Connection reset", "Remote end closed"]) {
        Some("cannot be reached: the connection failed")
    } else {
        None
    }
}

/// What is wrong with the packages that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// These are unknown.
    Unknown(BTreeSet<String>),
    /// They do not go together; apt's own lines on it.
    Conflict(Vec<String>),
    /// Anything else that apt says.
    Other(String),
}

/// Why apt found no set of packages.
pub(super) fn unresolved(output: &str) -> Unresolved {
    let mut unknown = BTreeSet::new();
    for line in output.lines() {
        let name = line.strip_prefix("E: Unable to locate package ").or_else(|| {
            line.strip_prefix("E: Package '").filter(|line| line.contains("has no installation candidate"))
        });
        let name = name.and_then(|rest| rest.split(['\'', ' ']).next());
        unknown.extend(name.map(str::to_owned));
    }
    if !unknown.is_empty() {
        return Unresolved::Unknown(unknown);
    }
    if let Some((_, list)) = output.split_once("unmet dependencies:\n") {
        let lines = list.lines().take_while(|line| line.starts_with(' '));
        let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        return Unresolved::Conflict(lines);
    }
    let error = output.lines().find_map(|line| line.strip_prefix("E: ")).unwrap_or("apt gave no reason");
    Unresolved::Other(error.to_owned())
}

/// A package file of `apt-get install --print-uris`, with its path from the root of the archive that has it.
pub(super) fn package(line: &str, roots: &[&str]) -> Result<Option<LockedPackage>, String> {
    let Some((address, rest)) = line.strip_prefix('\'').and_then(|line| line.split_once('\'')) else {
        return Ok(None);
    };
    let wrong = || format!("could not parse a package line printed by apt: {line}");
    let mut words = rest.split_whitespace();
    let (Some(file), Some(size), Some(hash)) = (words.next(), words.next(), words.next()) else {
        return Err(wrong());
    };
    let mut parts = file.strip_suffix(".deb").unwrap_or(file).split('_');
    let (Some(name), Some(version), Some(architecture), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let path = roots.iter().find_map(|root| below(address, root)).ok_or_else(wrong)?;
    let sha256 = hash.strip_prefix("SHA256:").filter(|hash| is_digest(hash));
    let sha256 = sha256.ok_or_else(|| format!("the archive has no SHA-256 checksum for `{name}`"))?;
    let known = is_word(name) && is_word(architecture) && is_pool_path(&path);
    Ok(Some(LockedPackage {
        name: name.to_owned(),
        version: decoded(version).filter(|_| known).ok_or_else(wrong)?,
        architecture: architecture.to_owned(),
        path: Utf8PathBuf::from(path),
        size: size.parse().map_err(|_| wrong())?,
        sha256: sha256.to_owned(),
    }))
}

/// The path of an address below a root. apt leaves out what is secret of an address, and encodes in its own way.
fn below(address: &str, root: &str) -> Option<String> {
    let path = |address: &str| {
        let plain = without_credentials(address);
        let rest = match plain.split_once("://") {
            Some(("file" | "copy", path)) => path.to_owned(),
            Some((_, rest)) => rest.to_owned(),
            None => plain.split_once(':').map_or(plain.clone(), |(_, path)| path.to_owned()),
        };
        decoded(&rest)
    };
    let (address, root) = (path(address)?, path(root)?);
    Some(address.strip_prefix(root.trim_end_matches('/'))?.strip_prefix('/')?.trim_start_matches('/').to_owned())
}

/// A path for an address: what has a meaning there, or is no ASCII, is encoded. Some mirrors take `+` for a space.
pub(super) fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~:=".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    text
}

/// The parts of a Release file that a lock names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) origin: String,
    pub(super) date: Timestamp,
    /// Its names: suite and code name.
    pub(super) names: Vec<String>,
    pub(super) architectures: Vec<String>,
    pub(super) components: Vec<String>,
}

/// Reads a Release or InRelease file.
pub(super) fn release(text: &str) -> Option<Release> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim().to_owned())
    };
    let date = field("Date")?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(&date).ok()?;
    let names = [field("Codename"), field("Suite")].into_iter().flatten().collect();
    let words = |name| field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let (architectures, components) = (words("Architectures"), words("Components"));
    Some(Release { origin: field("Origin").unwrap_or_default(), date, names, architectures, components })
}

/// Which of the files that were to be fetched failed, and how: `E: Failed to fetch ADDRESS  REASON`.
pub(super) fn failed_files(output: &str) -> Vec<(&str, &str)> {
    let lines = output.lines().filter_map(|line| {
        let rest = line.strip_prefix("E: Failed to fetch ").or_else(|| line.strip_prefix("W: Failed to fetch "))?;
        rest.split_once(' ').map(|(address, reason)| (address, reason.trim()))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "http://deb.example/debian";

    fn fault(output: &str) -> Option<IndexFault> {
        index_fault(output, &[(ROOT, "bookworm".to_owned())])
    }

    #[test]
    fn of_two_archives_the_one_at_fault_is_named() {
        let fixes = "http://deb.example/debian-security";
        let archives = [(ROOT, "bookworm".to_owned()), (fixes, security_suite("bookworm"))];
        let fault = |text: &str| index_fault(text, &archives).unwrap();
        let absent =
            fault(&format!("E: The repository '{fixes} bookworm-security Release' does not have a Release file."));
        assert_eq!(absent.missing.as_deref(), Some("bookworm-security"));
        assert_eq!(absent.reason, format!("the archive {fixes} has no suite `bookworm-security`"));
        let both = fault(&format!(
            "E: The repository '{ROOT} bookworm InRelease' is not signed.\n\
             E: The repository '{fixes} bookworm-security Release' does not have a Release file."
        ));
        assert_eq!((both.missing, both.dead), (None, false));
        assert!(both.reason.contains("index of `bookworm` at"), "{}", both.reason);
        let line = format!(
            "E: Failed to fetch {fixes}/dists/bookworm-security/main/binary-armhf/Packages.xz  File has unexpected size"
        );
        assert_eq!(fault(&line).missing.as_deref(), Some("bookworm-security"));
        let line = format!(
            "W: Failed to fetch {fixes}/dists/bookworm-security/InRelease  The following signatures couldn't be verified"
        );
        assert_eq!(fault(&line).missing, None);
        let forged = fault(&format!("E: The repository '{fixes} bookworm-security InRelease' is not signed."));
        assert_eq!((forged.missing, forged.reason.contains(fixes)), (None, true));
        assert!(fault(&format!("W: Failed to fetch {ROOT}/dists/bookworm/InRelease  Connection timed out")).dead);
    }

    #[test]
    fn every_fault_of_an_index_is_a_sentence() {
        let mut output = String::new();
        for text in [
            "E: The repository 'http://deb.example/debian nosuch Release' does not have a Release file.",
            "W: Failed to fetch http://deb.example/debian/dists/bookworm/InRelease  Could not connect to deb.example:80 (1.2.3.4). - connect (111: Connection refused)\n\
             W: Some index files failed to download. They have been ignored, or old ones used instead.",
            "E: Failed to fetch http://deb.example/debian/dists/bookworm/InRelease  Temporary failure resolving 'deb.example'",
            "E: Failed to fetch http://deb.example/debian/dists/bookworm/InRelease  Connection timed out [IP: 1.2.3.4 80]",
            "W: GPG error: http://deb.example/debian bookworm InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 6ED0E7B82643E131\n\
             E: The repository 'http://deb.example/debian bookworm InRelease' is not signed.",
            "W: OpenPGP signature verification failed: http://deb.example/debian bookworm InRelease: Sub-process /usr/bin/sqv returned an error code (1), error message is: Missing key 4CB50190207B4758A3F73A796ED0E7B82643E131, which is needed to verify signature.\n\
             E: The repository 'http://deb.example/debian bookworm InRelease' is not signed.",
            "E: The repository 'http://deb.example/debian bookworm Release' is not signed.",
            "E: The repository 'http://deb.example/debian bookworm Release' is no longer signed.",
            "W: GPG error: http://deb.example/debian bookworm InRelease: The following signatures were invalid: EXPKEYSIG 0123456789ABCDEF Test\n\
             E: The repository 'http://deb.example/debian bookworm InRelease' is not signed.",
            "E: The following signatures were invalid: BADSIG 0123456789ABCDEF Test",
            "E: Release file for http://deb.example/debian/dists/bookworm/InRelease is expired (invalid since 3d). Updates for this repository will not be applied.",
            "E: Release file for http://deb.example/debian/dists/bookworm/InRelease is not valid yet (invalid for another 2h).",
            "E: Failed to fetch http://deb.example/debian/dists/bookworm/main/binary-armhf/Packages.gz  Hash Sum mismatch",
            "E: Failed to fetch http://deb.example/x  Clearsigned file isn't valid, got 'NOSPLIT' (does the network require authentication?)",
            "E: Failed to fetch http://deb.example/debian/dists/bookworm/InRelease  401  Unauthorized [IP: 1.2.3.4 80]\n\
             E: The repository 'http://deb.example/debian bookworm InRelease' is not signed.",
            "W: Conflicting distribution: http://deb.example/debian bookworm InRelease (expected bookworm but got trixie)",
            "E: Something   new",
        ] {
            output.push_str(&fault(text).unwrap().reason);
            output.push('\n');
        }
        insta::assert_snapshot!(output);
        for harmless in [
            "N: a note\nReading package lists...\n",
            "W: Download is performed unsandboxed as root as file '/x' couldn't be accessed by user '_apt'.\n",
        ] {
            assert_eq!(fault(harmless), None);
        }
    }

    #[test]
    fn what_cannot_be_resolved_is_told_apart() {
        let unknown = "Reading package lists...\nE: Unable to locate package libnosuch-dev\n\
                       E: Package 'libgone-dev' has no installation candidate\n";
        let names = ["libnosuch-dev", "libgone-dev"].map(str::to_owned);
        assert_eq!(unresolved(unknown), Unresolved::Unknown(names.into()));
        let conflict = "The following packages have unmet dependencies:\n one : Conflicts: two but 1.0 is to be installed\n\
                        E: Unable to correct problems, you have held broken packages.\n";
        let lines = vec!["one : Conflicts: two but 1.0 is to be installed".to_owned()];
        assert_eq!(unresolved(conflict), Unresolved::Conflict(lines));
        assert_eq!(unresolved("E: Odd\n"), Unresolved::Other("Odd".to_owned()));
    }

    #[test]
    fn a_package_is_read_from_its_line() {
        let digest = "a".repeat(64);
        let line = format!(
            "'http://deb.example/debian/pool/main/g/gcc-12/libstdc%2b%2b6_12.2.0-14%2bdeb12u1_armhf.deb' \
             libstdc++6_1%3a12.2.0-14+deb12u1_armhf.deb 563440 SHA256:{digest}"
        );
        let found = package(&line, &["http://deb.example/debian-security", ROOT]).unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("libstdc++6", "1:12.2.0-14+deb12u1"));
        assert_eq!(found.path, "pool/main/g/gcc-12/libstdc++6_12.2.0-14+deb12u1_armhf.deb");
        assert_eq!((found.size, found.sha256), (563_440, digest.clone()));
        let file = format!("'file:/srv/debian/pool/x_1_all.deb' x_1_all.deb 5 SHA256:{digest}");
        for root in ["file:/srv/debian", "file:///srv/debian/"] {
            assert_eq!(package(&file, &[root]).unwrap().unwrap().path, "pool/x_1_all.deb", "{root}");
        }
        assert_eq!(package("Reading package lists...", &[ROOT]), Ok(None));
        for (from, to) in [
            ("SHA256:", "MD5Sum:"),
            ("563440", "many"),
            ("/debian/pool", "/elsewhere/pool"),
            ("/pool/main", "/pool/../../main"),
            (" 563440", ""),
        ] {
            assert!(package(&line.replace(from, to), &[ROOT]).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn addresses_are_encoded_and_decoded() {
        let path = "pool/main/libs/libsigc++-2.0/libsigc++-2.0-dev_2.12.0-1_armhf.deb";
        assert_eq!(decoded(&encoded(path)).as_deref(), Some(path));
        assert!(!encoded(path).contains('+'));
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_release_is_read() {
        let text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nSuite: oldstable\n\
                    Codename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nArchitectures: all armhf\n\
                    Components: main contrib\nMD5Sum:\n";
        let found = release(text).unwrap();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(found.date.to_string(), "2026-07-11T10:16:37Z");
        assert_eq!((found.origin.as_str(), found.names), ("Debian", words("bookworm oldstable")));
        assert_eq!((found.architectures, found.components), (words("all armhf"), words("main contrib")));
        assert_eq!(release("Origin: Debian\n"), None);
    }

    #[test]
    fn failed_files_are_told_with_the_reason() {
        let output = "Err:1 http://deb.example/x\nE: Failed to fetch http://deb.example/x  404  Not Found [IP: 1.2.3.4 80]\n\
                    E: Download Failed\n";
        assert_eq!(failed_files(output), [("http://deb.example/x", "404  Not Found [IP: 1.2.3.4 80]")]);
    }
}
