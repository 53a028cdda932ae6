//! A registry of crates on the loopback interface, which gives nothing without its token.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::{Done, environment, workspace};

/// What it takes to be served.
#[derive(Debug)]
pub struct CrateRegistry {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

/// A registry with one crate, `NAME` 0.1.0, whose library is this source. It serves until the test program ends.
pub fn crate_registry(name: &str, source: &str, token: &str) -> CrateRegistry {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let packed = package(name, source);
    let digest = cargo_convoy::util::files::sha256(&packed);
    let line = format!(
        "{{\"name\":\"{name}\",\"vers\":\"0.1.0\",\"deps\":[],\"cksum\":\"{digest}\",\"features\":{{}},\"yanked\":false}}\n"
    );
    let config = format!("{{\"dl\":\"http://127.0.0.1:{port}/dl\",\"auth-required\":true}}");
    let files = [
        ("/index/config.json".to_owned(), config.into_bytes()),
        (format!("/index/{}/{}/{name}", &name[..2], &name[2..4]), line.into_bytes()),
        (format!("/dl/{name}/0.1.0/download"), packed),
    ];
    let (token, asked) = (token.to_owned(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &files, &token, &log);
        }
    });
    CrateRegistry { port, asked }
}

impl CrateRegistry {
    /// What cargo calls its index.
    pub fn index(&self) -> String {
        format!("sparse+http://127.0.0.1:{}/index/", self.port)
    }

    /// The paths that were given out.
    pub fn served(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The `.crate` file, as cargo makes it.
fn package(name: &str, source: &str) -> Vec<u8> {
    let dir = workspace(&format!("crate-{name}"));
    fs_err::create_dir_all(dir.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"MIT\"\n\
         description = \"made by a test\"\n[workspace]\n"
    );
    fs_err::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs_err::write(dir.join("src/lib.rs"), source).unwrap();
    let target = dir.join("target");
    let done = environment::cargo()
        .args(["package", "--quiet", "--offline", "--no-verify", "--allow-dirty", "--target-dir", target.as_str()])
        .current_dir(&dir)
        .output()
        .unwrap();
    let done = Done::from(done);
    assert_eq!(done.code, Some(0), "{done}");
    fs_err::read(target.join(format!("package/{name}-0.1.0.crate"))).unwrap()
}

fn serve(mut stream: TcpStream, files: &[(String, Vec<u8>)], token: &str, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let allowed = headers.iter().any(|header| {
        header.split_once(": ").is_some_and(|(key, value)| key.eq_ignore_ascii_case("authorization") && value == token)
    });
    let found = files.iter().find(|(name, _)| *name == path);
    let (status, body): (&str, &[u8]) = match found {
        _ if !allowed => ("401 Unauthorized", b""),
        Some((_, body)) => ("200 OK", body),
        None => ("404 Not Found", b""),
    };
    if status == "200 OK" {
        log.lock().unwrap().push(path);
    }
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Whoever asked may have gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}
