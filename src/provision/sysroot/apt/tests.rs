//! apt as another process: its configuration, its user, its time.

use super::*;

fn facts(program: &str) -> AptFacts {
    AptFacts { apt_get: program.into(), helper: program.into(), ..AptFacts::default() }
}

fn apt_in<'a>(dir: &Utf8Path, facts: &'a AptFacts, limits: Limits) -> PrivateApt<'a> {
    PrivateApt { facts, dir: dir.to_owned(), source: Source::of("http://x/debian"), limits, sandbox: None }
}

fn prepare<'a>(
    facts: &'a AptFacts,
    dir: &Utf8Path,
    root: &str,
    keyring: Option<&Utf8Path>,
) -> Result<PrivateApt<'a>, Stop> {
    let source = Source::of(root);
    let setup = Setup { architecture: "armhf", keyring, source: &source, limits: Limits::default() };
    PrivateApt::prepare(facts, dir, &setup)
}

#[test]
fn a_password_is_in_a_closed_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let facts = facts("true");
    // Written by an earlier convoy, for all to read.
    fs_err::write(dir.join("sources.list"), "old").unwrap();
    let apt = prepare(&facts, dir, "http://me:s3cret%21@h.example:81/debian", None).unwrap();
    apt.update("bookworm", &Interrupt::default()).unwrap().unwrap();
    let command = format!("{:?}", apt.command("apt-get".into()));
    assert!(!command.contains("s3cret"), "{command}");
    let logins = fs_err::read_to_string(dir.join("auth.conf")).unwrap();
    assert_eq!(
        logins,
        "machine http://h.example:81/debian login me password s3cret!\n\
         machine http://h.example:81/debian-security login me password s3cret!\n"
    );
    for name in ["sources.list", "apt.conf"] {
        let text = fs_err::read_to_string(dir.join(name)).unwrap();
        assert!(!text.contains("s3cret") && !text.contains("old"), "{text}");
    }
    #[cfg(unix)]
    for name in ["sources.list", "auth.conf"] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(dir.join(name).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let plain = prepare(&facts, &dir.join("plain"), "http://h.example/debian", None).unwrap();
    assert!(!plain.logins().exists());
    assert!(prepare(&facts, dir, "http://me:a%20b@h.example/debian", None).is_err());
}

#[cfg(unix)]
#[test]
fn root_fetches_as_another_user_where_that_one_can_come() {
    let open = Utf8PathBuf::from_path_buf(std::env::temp_dir()).unwrap();
    let (facts, http, local) = (facts("true"), Source::of("http://x/debian"), Source::of("file:/srv/debian"));
    let found = sandbox(&facts, &open, &http);
    let root = rustix::process::geteuid().is_root();
    let known = fs_err::read_to_string(USERS).unwrap().contains("_apt:");
    assert!(found.is_none() || root && known);
    assert!(found.is_some() || !root || !known || !open.ancestors().all(|dir| dir == "/" || dir == "/tmp"));
    assert_eq!(sandbox(&facts, &open, &local), None);
    assert_eq!(sandbox(&AptFacts { through: vec!["docker".to_owned()], ..facts.clone() }, &open, &http), None);
    use std::os::unix::fs::PermissionsExt as _;
    let closed = tempfile::tempdir().unwrap();
    let closed = Utf8Path::from_path(closed.path()).unwrap();
    fs_err::set_permissions(closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(sandbox(&facts, closed, &http), None);
}

#[test]
fn apt_that_gets_stuck_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let facts = facts("sleep");
    let run = |seconds: &str, slack: u64| {
        let limits = Limits { idle: Duration::ZERO, retries: 0, slack: Duration::from_secs(slack) };
        apt_in(dir, &facts, limits)
            .run(Command::new("sleep").arg(seconds), dir, &Interrupt::default(), &mut |_| {})
            .unwrap()
    };
    // Nothing grows, but the time is not over when it ends.
    assert!(run("0.3", 30).unwrap().success);
    assert!(run("600", 1).is_none());
    let limits = Limits { idle: Duration::from_secs(1), retries: 0, ..Limits::default() };
    let words = apt_in(dir, &facts, limits).sent_nothing("http://x/debian");
    assert!(words.contains("http://x/debian did not respond for 31"), "{words}");
}

#[test]
fn growth_is_told_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let facts = facts("sh");
    let apt = apt_in(dir, &facts, Limits::default());
    let mut told = Vec::new();
    let script = format!("printf 12345 >{dir}/x; sleep 0.5; echo out; echo err >&2; exit 3");
    let mut command = Command::new("sh");
    let words = apt.run(command.args(["-c", &script]), dir, &Interrupt::default(), &mut |bytes| told.push(bytes));
    let words = words.unwrap().unwrap();
    assert_eq!((words.success, words.stdout.as_str(), words.all.as_str()), (false, "out\n", "out\n\nerr\n"));
    assert_eq!(told, [5]);
}

#[test]
fn a_keyring_is_trusted_alone_and_by_its_form() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let facts = facts("true");
    let keyring = dir.join("any");
    let keys = || {
        let mut names: Vec<String> =
            dir.join("keys").read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
        names.sort();
        names
    };
    for (text, name) in [("-----BEGIN PGP PUBLIC KEY BLOCK-----", "keyring.asc"), ("\x01\x02", "keyring.gpg")] {
        fs_err::write(&keyring, text).unwrap();
        prepare(&facts, dir, "http://x/debian", Some(&keyring)).unwrap();
        assert_eq!(keys(), [name]);
    }
    let missing = dir.join("missing");
    let stop = prepare(&facts, dir, "http://x/debian", Some(&missing)).unwrap_err();
    let Stop::Error(error) = stop else { panic!("{stop:?}") };
    assert_eq!(error.exit(), crate::util::error::Exit::Usage);
    assert!(error.to_string().starts_with("could not read the keyring"), "{error}");
    let quoted = dir.join("a\"b");
    assert!(prepare(&facts, &quoted, "http://x/debian", None).is_err());
}
