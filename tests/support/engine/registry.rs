//! A registry for images.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use camino::Utf8Path;

use super::super::{tool, wait_for};

/// A registry for images on the loopback interface, empty at first.
#[derive(Debug)]
pub struct Registry {
    server: Child,
    dir: tempfile::TempDir,
    port: u16,
}

/// Starts a registry; it ends with the value, or with the thread that asked for it.
pub fn registry() -> Registry {
    let dir = tempfile::tempdir().unwrap();
    fs_err::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = Utf8Path::from_path(dir.path()).unwrap();
    let config = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n\
         storage: {{filesystem: {{rootdirectory: \"{place}/data\"}}, delete: {{enabled: true}}}}\n"
    );
    fs_err::write(place.join("config.yml"), config).unwrap();
    let trust = format!("[[registry]]\nlocation = \"127.0.0.1:{port}\"\ninsecure = true\n");
    fs_err::write(place.join("registries.conf"), trust).unwrap();
    let server = Command::new(tool("setpriv"))
        .args(["--pdeathsig", "TERM"])
        .args([tool("docker-registry").as_str(), "serve", place.join("config.yml").as_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs_err::File::create(place.join("log")).unwrap().into_parts().0)
        .spawn()
        .unwrap();
    let mut registry = Registry { server, dir, port };
    wait_for("the registry", || {
        if let Some(status) = registry.server.try_wait().unwrap() {
            panic!("docker-registry ended: {status}\n{}", fs_err::read_to_string(registry.dir().join("log")).unwrap());
        }
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    registry
}

impl Registry {
    /// What an image's name begins with.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn dir(&self) -> &Utf8Path {
        Utf8Path::from_path(self.dir.path()).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
