//! Emulators, their words, and what a start comes to.

use super::*;

const GNU: &str = "x86_64-unknown-linux-gnu";

fn ways(triple: &str, host: &str, root: Option<&Utf8Path>) -> std::result::Result<Vec<Utf8PathBuf>, String> {
    let target = Catalog::embedded().target(triple);
    let (binary, is_static) = ("/lane/app".into(), triple.ends_with("-musl"));
    let smoke = Smoke { binary, triple, target, is_static, host, cpu: None, root, image: None };
    let qemu = |name: &str| name.ends_with("-static").then(|| Utf8Path::new("/usr/bin").join(name));
    smoke.ways(&qemu).map(|ways| ways.into_iter().map(|way| way.program).collect())
}

#[test]
fn a_static_binary_of_this_machines_architecture_is_started_as_it_is() {
    let first = |triple, host| ways(triple, host, None).unwrap()[0].clone();
    assert_eq!(first("x86_64-unknown-linux-musl", GNU), "/lane/app");
    assert_eq!(first("i686-unknown-linux-musl", GNU), "/lane/app");
    assert_eq!(first("aarch64-unknown-linux-musl", "aarch64-unknown-linux-gnu"), "/lane/app");
    assert_eq!(first("aarch64-unknown-linux-musl", GNU), "/usr/bin/qemu-aarch64-static");
    // Where this machine's own kernel refuses it, an emulator may not.
    assert_eq!(ways("x86_64-unknown-linux-musl", GNU, None).unwrap().len(), 2);
    // Its loader is another than this machine's.
    let musl = "x86_64-unknown-linux-musl";
    assert_eq!(first(GNU, musl), "/usr/bin/qemu-x86_64-static");
    let by_loader = ways(GNU, musl, Some("/root".into())).unwrap();
    assert_eq!(by_loader[0], "/root/lib64/ld-linux-x86-64.so.2");
}

#[test]
fn a_program_knows_few_variables() {
    let all = ["PATH", "LC_ALL", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "WINEPREFIX"];
    let kept = few(all.into_iter().map(|name| (name.into(), "x".into()))).map(|(name, _)| name);
    assert_eq!(kept.collect::<Vec<_>>(), ["PATH", "LC_ALL", "WINEPREFIX"]);
}

#[test]
fn a_program_that_runs_too_long_ends_with_what_it_started() {
    let held = tempfile::tempdir().unwrap();
    let file = Utf8Path::from_path(held.path()).unwrap().join("pid");
    let interrupt = Interrupt::listening();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("sleep 600 & echo $! >{file}.new; mv {file}.new {file}; wait")]);
    let ended = run(command, &interrupt, Duration::from_secs(2)).unwrap();
    assert!(matches!(ended, Ended::TooLong));
    let pid: i32 = fs_err::read_to_string(&file).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    // Whoever adopted it takes a moment.
    let gone = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
    assert!(gone, "it still runs");
}

#[test]
fn an_engines_client_tells_a_signal_by_its_code() {
    let status = |code: i32| <ExitStatus as std::os::unix::process::ExitStatusExt>::from_raw(code << 8);
    assert_eq!(
        (signal_of(status(139), true), signal_of(status(139), false), signal_of(status(2), true)),
        (Some(11), None, None)
    );
}

#[test]
fn a_sysroots_own_folders_come_first_and_plugins_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(dir.path()).unwrap();
    for file in ["pulseaudio/libpulsecommon-16.1.so", "blas/libblas.so.3", "pkgconfig/x.pc", "engines-3/afalg.so"] {
        let file = root.join("usr/lib/arm-linux-gnueabihf").join(file);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, "").unwrap();
    }
    let path = library_path(root, "arm-linux-gnueabihf").replace(root.as_str(), "");
    assert_eq!(
        path,
        "/usr/lib/arm-linux-gnueabihf:/lib/arm-linux-gnueabihf:/usr/lib/arm-linux-gnueabihf/blas:\
         /usr/lib/arm-linux-gnueabihf/pulseaudio"
    );
}

#[test]
fn a_dll_that_wine_lacks_is_no_start() {
    let stderr = "it looks like wine32 is missing, you should install it.\n0024:err:module:import_dll Library \
        bcryptprimitives.dll (which is needed by L\"Z:\\\\a.exe\") not found\n0024:err:module:LdrInitializeThunk \
        Importing dlls for L\"Z:\\\\a.exe\" failed, status c0000135\n";
    let finding = judge(None, Some(53), &complaint(stderr));
    assert_eq!(finding.level, Level::Violation);
    insta::assert_snapshot!(
        finding.message,
        @"did not start (exit code 53): this version of Wine has no bcryptprimitives.dll; try a newer one"
    );
}

#[test]
fn what_an_emulator_cannot_do_is_no_start() {
    for output in ["unable to find CPU model 'cortex-a53'", "qemu-arm-static: cannot do that", "qemu-aarch64: no"] {
        assert_eq!(judge(None, Some(1), output).code, Code::SmokeFailed, "{output}");
    }
    assert_eq!(judge(None, Some(1), "qemu-tool: unknown option").code, Code::SmokeStarted);
    assert_eq!(emulated("qemu-arm", Some("cortex-a53")), Some("max"));
    assert_eq!(emulated("qemu-arm", Some("cortex-a7")), Some("cortex-a7"));
    assert_eq!(emulated("qemu-aarch64", Some("cortex-a53")), Some("cortex-a53"));
    assert_eq!(emulated("qemu-arm", Some("arm1176jzf-s")), None);
}

#[test]
fn a_code_of_the_programs_own_is_a_start() {
    let finding = judge(None, Some(2), &complaint("error: unexpected argument '--version' found\n"));
    assert_eq!((finding.level, finding.code), (Level::Ok, Code::SmokeStarted));
}
