//! How a container is started: the words for the engine, and the script that the container runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::{LABEL_PREFIX, Mount, VolumeMount};
use crate::machine::engine::{EngineFacts, EngineKind, Identity};
use crate::util::shell::quote;

/// The label that names the machine and cache whose runs started a container.
pub(crate) const LABEL_MACHINE: &str = "io.cargo-convoy.machine";
/// The label that names the run.
pub(crate) const LABEL_RUN: &str = "io.cargo-convoy.run";

/// Variables that lead to a proxy.
pub(crate) const PROXIES: [&str; 10] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// How many processes and threads a container may have: many times what compilers use on a machine of a hundred cores, and
/// less than this machine has.
const PROCESSES: u32 = 16_384;

/// What a container may do besides reading and writing its mounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// Whether it may use the network.
    pub network: bool,
    /// Whether its own file system may be written to; what is written is gone with it.
    pub writable_root: bool,
    /// A limit of memory, as the engine takes it.
    pub memory: Option<String>,
    /// A limit of CPUs.
    pub cpus: Option<String>,
    /// Whether it may give files to another user: convoy's own scripts alone, which fill volumes.
    pub gives_files: bool,
}

/// A container to start.
#[derive(Clone, Debug)]
pub(crate) struct Start<'a> {
    /// The engine.
    pub engine: &'a EngineFacts,
    /// The image.
    pub image: &'a str,
    /// Its name, where it is to be found again.
    pub name: Option<&'a str>,
    /// The machine and cache that it belongs to.
    pub machine: &'a str,
    /// The run that it belongs to.
    pub run: &'a str,
    /// The caller's user and group.
    pub user: Option<(u32, u32)>,
    /// What it sees of this machine.
    pub mounts: &'a [Mount],
    /// What it sees of the engine's own.
    pub volumes: &'a [VolumeMount],
    /// What it may do.
    pub confinement: &'a Confinement,
}

impl Start<'_> {
    /// The engine's arguments up to those of `program`, which runs inside.
    pub(crate) fn args(&self, program: &str) -> Vec<String> {
        let mut args = self.options("run");
        args.insert(1, "--rm".to_owned());
        args.extend(["--entrypoint".to_owned(), program.to_owned(), self.image.to_owned()]);
        args
    }

    /// The same, and what comes on standard input reaches the program.
    pub(crate) fn args_with_input(&self, program: &str) -> Vec<String> {
        let mut args = self.args(program);
        args.insert(1, "--interactive".to_owned());
        args
    }

    /// The same up to the image, for `run` or `create`.
    fn options(&self, verb: &str) -> Vec<String> {
        let Start { engine, confinement, .. } = self;
        let mut args = vec![verb.to_owned()];
        args.extend(["--init", "--pull=never"].map(str::to_owned));
        args.extend(self.name.iter().flat_map(|name| ["--name".to_owned(), (*name).to_owned()]));
        for (label, value) in [(LABEL_MACHINE, self.machine), (LABEL_RUN, self.run)] {
            args.extend(["--label".to_owned(), format!("{label}={value}")]);
        }
        match (engine.identity, self.user) {
            (Identity::Root, _) => args.extend(["--user".to_owned(), "0:0".to_owned()]),
            (_, None) => {}
            (identity, Some((user, group))) => {
                args.extend(["--user".to_owned(), format!("{user}:{group}")]);
                match identity {
                    Identity::Kept => args.push("--userns=keep-id".to_owned()),
                    Identity::Unmapped => args.push("--userns=host".to_owned()),
                    Identity::Caller | Identity::Root => {}
                }
            }
        }
        args.extend(["--cap-drop=ALL", "--security-opt=no-new-privileges"].map(str::to_owned));
        if confinement.gives_files {
            args.extend(["CHOWN", "DAC_OVERRIDE", "FOWNER"].map(|name| format!("--cap-add={name}")));
        }
        if engine.selinux {
            // Files keep their labels, as others use them too.
            args.push("--security-opt=label=disable".to_owned());
        }
        // What cargo says goes to convoy, and is not also to be kept by the engine.
        args.push("--log-driver=none".to_owned());
        if !confinement.writable_root {
            args.push("--read-only".to_owned());
        }
        args.push("--tmpfs=/tmp:exec,mode=1777".to_owned());
        match (confinement.network, engine.identity) {
            (false, _) => args.push("--network=none".to_owned()),
            // Without a helper a rootless engine has the machine's own network alone, with all services on it.
            (true, _) if !engine.own_network => args.push("--network=host".to_owned()),
            (true, _) => {}
        }
        // Addresses of proxies hold passwords, and engines hand some in by themselves. Who may use the network needs them.
        match (engine.kind, confinement.network) {
            (EngineKind::Docker, false) => args.extend(PROXIES.iter().map(|name| format!("--env={name}="))),
            // The engine's program takes the values from its own environment.
            (EngineKind::Docker, true) => args.extend(PROXIES.iter().map(|name| format!("--env={name}"))),
            (EngineKind::Podman, network) => args.push(format!("--http-proxy={network}")),
        }
        args.push(format!("--pids-limit={PROCESSES}"));
        args.extend(confinement.memory.iter().map(|limit| format!("--memory={limit}")));
        args.extend(confinement.cpus.iter().map(|limit| format!("--cpus={limit}")));
        for mount in self.mounts {
            args.extend(["--mount".to_owned(), mount_words(mount, engine.kind)]);
        }
        for volume in self.volumes {
            args.extend(["--mount".to_owned(), volume_words(volume, engine.kind)]);
        }
        args
    }
}

/// A mount as `--mount` takes it, which reads a line of CSV.
fn mount_words(mount: &Mount, kind: EngineKind) -> String {
    let mut words =
        vec!["type=bind".to_owned(), field("source", mount.outside.as_str()), field("target", mount.inside.as_str())];
    words.extend((!mount.writable).then(|| read_only(kind).to_owned()));
    words.join(",")
}

/// The same for a volume.
fn volume_words(volume: &VolumeMount, kind: EngineKind) -> String {
    let mut words =
        vec!["type=volume".to_owned(), field("source", &volume.name), field("target", volume.inside.as_str())];
    if kind == EngineKind::Docker {
        // An empty volume would be filled with what the image has at that place. Podman has no such word, and does that
        // with a volume that was never mounted before alone.
        words.push("volume-nocopy".to_owned());
    }
    words.extend((!volume.writable).then(|| read_only(kind).to_owned()));
    words.join(",")
}

fn field(name: &str, value: &str) -> String {
    let text = format!("{name}={value}");
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn read_only(kind: EngineKind) -> &'static str {
    if kind == EngineKind::Podman { "ro=true" } else { "readonly" }
}

/// What runs in a lane's container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// Where it works.
    pub workdir: Utf8PathBuf,
    /// Folders to put before PATH.
    pub path: Vec<Utf8PathBuf>,
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// Lines for the shell, ahead of the command.
    pub before: Vec<String>,
    /// The command.
    pub command: Vec<String>,
    /// The file that the CPU time of all that ran is written to, in nanoseconds or as the kernel's `cpu.stat`.
    pub usage: Option<Utf8PathBuf>,
    /// The file that is there once the script runs, and holds the command's exit status once that ended.
    pub ended: Option<Utf8PathBuf>,
}

impl Entry {
    /// The script, for the standard input of a shell. Values stand in it, and not on the engine's command line, which every
    /// user of this machine may see.
    pub(crate) fn text(&self) -> String {
        // Read as a whole before anything of it runs: what it starts must not find the rest of it on its standard input.
        let mut text = String::from("{\n");
        for (name, value) in self.env.iter().filter(|(name, _)| is_variable(name)) {
            // Writing to a String does not fail.
            let _ = writeln!(text, "export {name}={}", quote(value));
        }
        if !self.path.is_empty() {
            let dirs: Vec<&str> = self.path.iter().map(|dir| dir.as_str()).collect();
            let _ = writeln!(text, "export PATH={}:\"$PATH\"", quote(&dirs.join(":")));
        }
        let _ = writeln!(text, "mkdir -p \"$HOME\" \"$TMPDIR\" && cd {} || exit 125", quote(self.workdir.as_str()));
        for line in &self.before {
            text.push_str(line);
            text.push('\n');
        }
        let to_end = self.ended.as_ref().map(|file| quote(file.as_str()));
        if let Some(ended) = &to_end {
            let _ = writeln!(text, ": >{ended}");
        }
        let command: Vec<String> = self.command.iter().map(|word| quote(word)).collect();
        let _ = writeln!(text, "{}", TO_THE_END.replace("COMMAND", &command.join(" ")));
        if let Some(usage) = &self.usage {
            let _ = writeln!(
                text,
                "cat /sys/fs/cgroup/cpuacct/cpuacct.usage /sys/fs/cgroup/cpu.stat >{} 2>/dev/null",
                quote(usage.as_str())
            );
        }
        if let Some(ended) = &to_end {
            // What was stopped from outside did not come to its end.
            let _ = writeln!(text, "[ -n \"$stopped\" ] || echo $status >{ended}");
        }
        text.push_str("exit $status\n} </dev/null\n");
        text
    }
}

/// Runs a command to its end. The container's first process hands signals to the script alone, and ends all others with
/// force as soon as the script has ended. So the script hands them on, as to the process group of a lane outside, and waits
/// until nothing of it is left: `make` removes what it has half-written.
const TO_THE_END: &str = r#"in_group() { if command -v setsid >/dev/null 2>&1; then exec setsid "$@"; else exec "$@"; fi; }
in_group COMMAND &
pid=$!
stopped=
trap 'stopped=1; kill -TERM -"$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null' TERM INT HUP
while wait "$pid"; status=$?; kill -0 "$pid" 2>/dev/null; do :; done
while [ -n "$stopped" ] && kill -0 -"$pid" 2>/dev/null; do sleep 0.1 2>/dev/null || sleep 1; done"#;

/// The CPU time that a container wrote down: as the older control groups tell it, or the newer.
pub(crate) fn cpu_used(text: &str) -> Option<Duration> {
    let newer = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse().ok());
    let older = || text.lines().next()?.trim().parse().ok().map(Duration::from_nanos);
    newer.map(Duration::from_micros).or_else(older)
}

/// Whether the shell takes a name for a variable's.
fn is_variable(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(rest)
}

/// The filter that finds convoy's own containers.
pub(crate) fn container_filter() -> String {
    format!("label={LABEL_PREFIX}.run")
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    fn engine(kind: EngineKind, identity: Identity) -> EngineFacts {
        EngineFacts {
            kind,
            program: "/usr/bin/docker".into(),
            id: "ID".to_owned(),
            version: "20.10".to_owned(),
            architecture: "amd64".to_owned(),
            identity,
            selinux: false,
            own_network: identity != Identity::Kept,
            shares_files: Some(true),
            images: Vec::new(),
            others: Vec::new(),
            ids: [].into(),
        }
    }

    fn words(engine: &EngineFacts, confinement: &Confinement) -> String {
        let mounts = [Mount::read(Utf8Path::new("/p q,\"r\"")), Mount::write(Utf8Path::new("/p/target/lane"))];
        let start = Start {
            engine,
            image: "cargo-convoy/tools:x",
            name: Some("convoy-1-main"),
            machine: "m",
            run: "r",
            user: Some((1000, 1001)),
            mounts: &mounts,
            volumes: &[],
            confinement,
        };
        start.args("/bin/sh").join("\n")
    }

    #[test]
    fn volumes_stand_in_for_folders_of_this_machine() {
        let words = |kind, writable| {
            volume_words(&VolumeMount { name: "convoy-std-1".to_owned(), inside: "/p q,r".into(), writable }, kind)
        };
        let read = "type=volume,source=convoy-std-1,\"target=/p q,r\",volume-nocopy,readonly";
        assert_eq!(words(EngineKind::Docker, false), read);
        assert_eq!(words(EngineKind::Podman, true), "type=volume,source=convoy-std-1,\"target=/p q,r\"");
        let confinement = Confinement { gives_files: true, ..Confinement::default() };
        let volumes = [VolumeMount { name: "convoy-std-1".to_owned(), inside: "/convoy/0".into(), writable: true }];
        let start = Start {
            engine: &engine(EngineKind::Docker, Identity::Caller),
            image: "x",
            name: None,
            machine: "m",
            run: "r",
            user: Some((0, 0)),
            mounts: &[],
            volumes: &volumes,
            confinement: &confinement,
        };
        let words = start.args_with_input("/bin/sh").join(" ");
        assert!(words.starts_with("run --interactive --rm --init"), "{words}");
        assert!(words.contains("--cap-drop=ALL") && words.contains("--cap-add=CHOWN"), "{words}");
        assert!(words.contains("source=convoy-std-1,target=/convoy/0,volume-nocopy --entrypoint"), "{words}");
    }

    #[test]
    fn a_container_may_do_little() {
        insta::assert_snapshot!(words(&engine(EngineKind::Docker, Identity::Caller), &Confinement::default()));
        let asked = Confinement {
            network: true,
            writable_root: true,
            memory: Some("4g".to_owned()),
            cpus: Some("1.5".to_owned()),
            ..Confinement::default()
        };
        insta::assert_snapshot!("asked", words(&engine(EngineKind::Podman, Identity::Kept), &asked));
        let helped = EngineFacts { own_network: true, ..engine(EngineKind::Podman, Identity::Kept) };
        assert!(!words(&helped, &asked).contains("--network"));
        let root = words(&engine(EngineKind::Docker, Identity::Root), &Confinement::default());
        assert!(root.contains("--user\n0:0") && !root.contains("1000"), "{root}");
    }

    #[test]
    fn both_kinds_of_control_groups_tell_the_time_that_was_used() {
        assert_eq!(cpu_used("11765699770\n"), Some(Duration::from_nanos(11_765_699_770)));
        assert_eq!(cpu_used("usage_usec 2500000\nuser_usec 1\n"), Some(Duration::from_millis(2500)));
        assert_eq!(cpu_used(""), None);
    }

    /// A shell that reads the script as that of a container does.
    fn through_shell(entry: &Entry) -> std::process::Child {
        use std::io::Write as _;
        use std::process::Stdio;
        let mut shell = std::process::Command::new("/bin/sh");
        let mut child = shell.arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(entry.text().as_bytes()).unwrap();
        child
    }

    #[test]
    fn what_the_script_starts_does_not_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let entry = Entry {
            workdir: dir.to_owned(),
            env: [("HOME", dir.as_str()), ("TMPDIR", dir.as_str())].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            before: vec!["cat".to_owned()],
            command: ["cat".to_owned()].into(),
            ended: Some(dir.join("ended")),
            ..Entry::default()
        };
        let done = through_shell(&entry).wait_with_output().unwrap();
        assert_eq!((String::from_utf8(done.stdout).unwrap().as_str(), done.status.code()), ("", Some(0)));
        assert_eq!(fs_err::read_to_string(dir.join("ended")).unwrap(), "0\n");
    }

    #[test]
    fn the_script_hands_on_what_it_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let entry = Entry {
            workdir: dir.join("it's a place"),
            path: vec![dir.join("bin")],
            env: [
                ("A", "it's \"$HOME\"\nand more"),
                ("HOME", dir.join("home").as_str()),
                ("TMPDIR", dir.join("tmp").as_str()),
                ("no-variable", "x"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            before: vec!["B=b; export B".to_owned()],
            command: ["sh", "-c", "printf '%s|' \"$A\" \"$B\" \"$PWD\" \"${PATH%%:*}\"; exit 7"]
                .map(str::to_owned)
                .into(),
            usage: Some(dir.join("usage")),
            ended: Some(dir.join("ended")),
        };
        fs_err::create_dir_all(&entry.workdir).unwrap();
        let done = through_shell(&entry).wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(7), "{done:?}");
        let output = String::from_utf8(done.stdout).unwrap();
        assert_eq!(output, format!("it's \"$HOME\"\nand more|b|{}|{}|", entry.workdir, dir.join("bin")));
        assert_eq!(fs_err::read_to_string(dir.join("ended")).unwrap(), "7\n");
    }

    #[test]
    fn a_signal_to_the_script_reaches_what_it_runs_and_is_waited_for() {
        use std::io::Read as _;
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        // cargo dies at once, and what it started cleans up behind itself.
        let tidy = "trap 'echo tidied; exit 1' TERM; echo ready; while :; do sleep 0.1; done";
        let cargo = format!("sh -c {} & exec sleep 30", quote(tidy));
        let entry = Entry {
            workdir: dir.to_owned(),
            env: [("HOME", dir.as_str()), ("TMPDIR", dir.as_str())].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            command: ["sh".to_owned(), "-c".to_owned(), cargo].into(),
            ended: Some(dir.join("ended")),
            ..Entry::default()
        };
        let mut child = through_shell(&entry);
        let mut output = child.stdout.take().unwrap();
        let mut ready = [0; 6];
        output.read_exact(&mut ready).unwrap();
        assert_eq!(fs_err::read_to_string(dir.join("ended")).unwrap(), "", "it has begun");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "tidied\n");
        assert_eq!(fs_err::read_to_string(dir.join("ended")).unwrap(), "", "it was stopped");
    }
}
