//! A Debian archive of a test's own: packages by `dpkg-deb`, indexes by `apt-ftparchive`, signed with a throw-away key,
//! served on the loopback interface.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::{run, tool, workspace};

pub const SUITE: &str = "bookworm";
pub const ARCH: &str = "armhf";
pub const MULTIARCH: &str = "arm-linux-gnueabihf";

/// A package about to be made.
#[derive(Debug)]
pub struct Deb {
    name: String,
    version: String,
    fields: String,
    files: Vec<(String, String)>,
    links: Vec<(String, String)>,
    compression: &'static str,
}

impl Deb {
    pub fn new(name: &str, version: &str) -> Self {
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { name, version, fields: String::new(), files: Vec::new(), links: Vec::new(), compression: "xz" }
    }

    /// A line of the control file: `Depends: x`.
    pub fn field(mut self, line: &str) -> Self {
        self.fields.push_str(line);
        self.fields.push('\n');
        self
    }

    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.links.push((path.to_owned(), target.to_owned()));
        self
    }

    pub fn compression(mut self, name: &'static str) -> Self {
        self.compression = name;
        self
    }

    /// Makes the package below a pool; gives its file.
    pub fn build(self, pool: &Utf8Path) -> Utf8PathBuf {
        let dir = tempfile::tempdir().unwrap();
        let tree = Utf8Path::from_path(dir.path()).unwrap().join("tree");
        let Self { name, version, fields, files, links, compression } = self;
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {ARCH}\nMaintainer: A Test <test@example.invalid>\n\
             Description: made by a test\n{fields}"
        );
        let write = |path: &str, text: &str| {
            let path = tree.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("DEBIAN/control", &control);
        for (path, text) in &files {
            write(path, text);
        }
        for (path, target) in &links {
            let path = tree.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::os::unix::fs::symlink(target, path).unwrap();
        }
        // A tempdir is closed to others, and its mode would be the package's.
        run("chmod", &["-R", "u=rwX,go=rX", tree.as_str()]);
        let plain = version.split_once(':').map_or(version.as_str(), |(_, rest)| rest);
        let file = pool.join(format!("{name}_{plain}_{ARCH}.deb"));
        fs_err::create_dir_all(pool).unwrap();
        let compression = format!("-Z{compression}");
        run("dpkg-deb", &["--root-owner-group", &compression, "--build", tree.as_str(), file.as_str()]);
        file
    }
}

/// A tar that says it holds one file of so many bytes of nothing.
pub fn sparse_tar(path: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    // 20 GiB, in octal.
    gnu.realsize = *b"240000000000";
    gnu.sparse[0].offset = *b"240000000000";
    gnu.sparse[0].numbytes = *b"00000000000\0";
    header.set_cksum();
    [header.as_bytes().as_slice(), &[0; 1024]].concat()
}

/// A package whose tree `dpkg-deb` would never make: members as they are given, in a tar of our own.
pub fn odd_deb(pool: &Utf8Path, name: &str, members: &[(&str, OddMember<'_>)]) -> Utf8PathBuf {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, member) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        // Past the crate's own checks.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        let contents: &[u8] = match member {
            OddMember::File(text) => text.as_bytes(),
            OddMember::Link(target) | OddMember::Hard(target) => {
                let hard = matches!(member, OddMember::Hard(_));
                header.set_entry_type(if hard { tar::EntryType::Link } else { tar::EntryType::Symlink });
                header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
                b""
            }
            OddMember::Device => {
                header.set_entry_type(tar::EntryType::Char);
                b""
            }
        };
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append(&header, contents).unwrap();
    }
    with_data(Deb::new(name, "1.0").compression("none").build(pool), "data.tar", |_| builder.into_inner().unwrap())
}

/// Puts another tree, packed or not, into a package.
pub fn with_data(deb: Utf8PathBuf, member: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Utf8PathBuf {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let in_dir = |args: &[&str]| {
        let output = Command::new("ar").args(args).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "ar {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = in_dir(&["t", deb.as_str()]);
    let members: Vec<&str> = listed.lines().collect();
    in_dir(&["x", deb.as_str()]);
    let data = fs_err::read(dir.join(member)).unwrap();
    fs_err::write(dir.join(member), change(data)).unwrap();
    fs_err::remove_file(&deb).unwrap();
    let mut args = vec!["rcS", deb.as_str()];
    args.extend(members);
    in_dir(&args);
    deb
}

/// A member of an odd package.
#[derive(Clone, Copy, Debug)]
pub enum OddMember<'a> {
    File(&'a str),
    Link(&'a str),
    Hard(&'a str),
    Device,
}

/// An archive on disk.
#[derive(Debug)]
pub struct DebianArchive {
    pub root: Utf8PathBuf,
    /// What its Release file says of its origin.
    pub origin: String,
    pub key: Key,
    pub suite: String,
}

impl DebianArchive {
    #[track_caller]
    pub fn new(name: &str) -> Self {
        let (root, key) = (workspace(name).join("debian"), Key::new("test"));
        Self { root, origin: "Debian".to_owned(), key, suite: SUITE.to_owned() }
    }

    /// The archive with the security fixes, beside it and signed by somebody else; empty so far.
    pub fn security(&self) -> Self {
        let (root, key) = (self.root.with_file_name("debian-security"), Key::new("security"));
        Self { root, origin: self.origin.clone(), key, suite: format!("{SUITE}-security") }
    }

    pub fn pool(&self) -> Utf8PathBuf {
        self.root.join("pool/main/t/test")
    }

    pub fn add(&self, deb: Deb) -> Utf8PathBuf {
        deb.build(&self.pool())
    }

    fn dist(&self) -> Utf8PathBuf {
        self.root.join("dists").join(&self.suite)
    }

    /// Writes the indexes anew, and signs them.
    pub fn publish(&self) {
        self.publish_unsigned();
        self.sign(&self.key);
    }

    pub fn publish_unsigned(&self) {
        let binary = format!("main/binary-{ARCH}");
        let dist = self.dist();
        if dist.exists() {
            fs_err::remove_dir_all(&dist).unwrap();
        }
        fs_err::create_dir_all(dist.join(&binary)).unwrap();
        let in_root = |args: &[&str]| {
            let output = Command::new(tool("apt-ftparchive")).args(args).current_dir(&self.root).output().unwrap();
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        fs_err::write(dist.join(&binary).join("Packages"), in_root(&["packages", "pool"])).unwrap();
        let fields = [
            ("Origin", self.origin.as_str()),
            ("Suite", if self.suite == SUITE { "oldstable" } else { "oldstable-security" }),
            ("Codename", self.suite.as_str()),
            ("Architectures", ARCH),
            ("Components", "main"),
        ];
        let options: Vec<String> = fields
            .iter()
            .flat_map(|(key, value)| ["-o".to_owned(), format!("APT::FTPArchive::Release::{key}={value}")])
            .collect();
        let mut args: Vec<&str> = options.iter().map(String::as_str).collect();
        let dist_from_root = format!("dists/{}", self.suite);
        args.extend(["release", dist_from_root.as_str()]);
        let release = in_root(&args);
        fs_err::write(dist.join("Release"), release).unwrap();
    }

    pub fn sign(&self, key: &Key) {
        let dist = self.dist();
        key.gpg(&["--yes", "--clearsign", "--output", dist.join("InRelease").as_str(), dist.join("Release").as_str()]);
    }
}

/// A key that lives no longer than its test.
#[derive(Debug)]
pub struct Key {
    home: tempfile::TempDir,
}

impl Key {
    pub fn new(name: &str) -> Self {
        // Short: gpg-agent's socket is in it.
        let key = Self { home: tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap() };
        let user = format!("{name} <{name}@example.invalid>");
        key.gpg(&["--passphrase", "", "--quick-generate-key", &user, "ed25519", "sign", "never"]);
        let keyring = key.keyring();
        key.gpg(&["--output", keyring.as_str(), "--export"]);
        key
    }

    pub fn keyring(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.home.path()).unwrap().join("keyring.gpg")
    }

    /// One keyring with this key and another.
    pub fn keyring_with(&self, other: &Key) -> Utf8PathBuf {
        let both = Utf8Path::from_path(self.home.path()).unwrap().join("both.gpg");
        let keys = [self, other].map(|key| fs_err::read(key.keyring()).unwrap()).concat();
        fs_err::write(&both, keys).unwrap();
        both
    }

    fn gpg(&self, args: &[&str]) {
        let home = self.home.path().to_str().unwrap();
        let mut all = vec!["--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback"];
        all.extend(args);
        run(tool("gpg"), &all);
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let home = self.home.path().to_str().unwrap().to_owned();
        let _ = Command::new("gpgconf").args(["--homedir", &home, "--kill", "all"]).output();
    }
}

/// A small HTTP server for a folder, with faults.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: Utf8PathBuf,
    asked: Mutex<Vec<String>>,
    /// Paths that are taken up and never answered.
    hangs: Mutex<BTreeSet<String>>,
    /// The value of the header that is asked of everybody, where one is.
    login: Mutex<Option<String>>,
}

impl Server {
    pub fn of(root: &Utf8Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, hangs, login) = (Mutex::default(), Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { root: root.to_owned(), asked, hangs, login });
        let serving = Arc::clone(&shared);
        // It ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || {
                    // A client that goes away is no fault of the server.
                    let _ = serve(stream, &shared);
                });
            }
        });
        Self { address, shared }
    }

    /// The address of the archive's root.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whatever is asked for and has this in its path is never answered.
    pub fn hang(&self, part: &str) {
        self.shared.hangs.lock().unwrap().insert(part.to_owned());
    }

    /// Nobody is answered who does not send this in `Authorization`.
    pub fn require(&self, login: &str) {
        *self.shared.login.lock().unwrap() = Some(login.to_owned());
    }

    /// The packages that were asked for, by their paths.
    pub fn packages_asked(&self) -> Vec<String> {
        self.asked().into_iter().filter(|path| path.ends_with(".deb")).collect()
    }

    /// The paths that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut stream = stream;
    loop {
        let Some(request) = lines.next().transpose()? else { return Ok(()) };
        let mut login = None;
        while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
            login = line.strip_prefix("Authorization: ").map(str::to_owned).or(login);
        }
        let allowed = shared.login.lock().unwrap().as_ref().is_none_or(|wanted| login.as_ref() == Some(wanted));
        let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
        shared.asked.lock().unwrap().push(path.clone());
        if shared.hangs.lock().unwrap().iter().any(|part| path.contains(part.as_str())) {
            std::thread::sleep(Duration::from_secs(600));
        }
        let file = shared.root.join(path.trim_start_matches('/').replace("%2b", "+"));
        let (status, body) = match fs_err::read(&file) {
            _ if !allowed => ("401 Unauthorized", Vec::new()),
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(&body)?;
    }
}
