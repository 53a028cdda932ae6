//! The stable names of findings, failures and events in convoy's JSON. A name is never given another meaning.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Where a code appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeKind {
    /// In `findings`: what verification saw in a binary.
    Finding,
    /// In `failed`: why a target has no binary.
    Failure,
    /// In events only.
    Event,
}

/// Makes the enum, its names and its list from one table.
macro_rules! codes {
    ($($kind:ident { $($variant:ident = $name:literal, $meaning:literal;)+ })+) => {
        /// What was found, what failed, or what happened.
        #[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $meaning] #[serde(rename = $name)] $variant,)+)+
            /// A code of another version of convoy.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Code {
            /// All codes, each with its meaning, which `docs/json.md` repeats.
            pub const ALL: &[(Self, CodeKind, &'static str)] =
                &[$($((Self::$variant, CodeKind::$kind, $meaning),)+)+];

            /// Its name in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$variant => $name,)+)+
                    Self::Unknown => "unknown",
                }
            }
        }
    };
}

codes! {
    Finding {
        Format = "format", "The executable format is that of the target.";
        WrongFormat = "wrong-format", "The executable format is that of another system.";
        Architecture = "architecture", "The instruction set and the word size are those of the target.";
        WrongArchitecture = "wrong-architecture", "The file is for another instruction set or word size.";
        Program = "program", "The file is a program.";
        NotAProgram = "not-a-program", "The file is a library, an object or something else, not a program.";
        Truncated = "truncated", "The end of the file is missing.";
        Damaged = "damaged", "The file contradicts itself.";
        Unreadable = "unreadable", "The file cannot be read.";
        TargetInferred = "target-inferred", "No target was given, so it was detected from the file.";
        TargetUnknown = "target-unknown", "No target was given, and it could not be detected from the file, so nothing \
                         was checked.";
        TargetNotInCatalog = "target-not-in-catalog", "The target is not a supported one, so some checks were not made.";
        Linkage = "linkage", "The binary is linked statically or dynamically, as its target requires.";
        DynamicNotStatic = "dynamic-not-static", "The binary is linked dynamically, but its target requires a static one.";
        Interpreter = "interpreter", "The dynamic loader is the one of the target.";
        WrongInterpreter = "wrong-interpreter", "The binary asks for a dynamic loader that systems of its target do not \
                            have.";
        NoSectionHeaders = "no-section-headers", "The section headers were removed, so some checks could not be made.";
        NeedsLibraries = "needs-libraries", "The binary needs shared libraries that must be installed where it runs; not \
                          a warning if they are packages of its sysroot.";
        Glibc = "glibc", "The binary starts on the requested glibc version.";
        GlibcTooNew = "glibc-too-new", "The binary needs a newer glibc version than requested.";
        GlibcAboveDefault = "glibc-above-default", "No glibc version was requested, and the binary needs a newer one than \
                             the default minimum.";
        GlibcUnknown = "glibc-unknown", "The glibc version that the binary needs could not be determined; a violation \
                        if a version was requested.";
        GlibcPrivate = "glibc-private", "The binary uses private symbols of glibc, so it may start with one glibc version \
                        only.";
        GlibcNotInSysroot = "glibc-not-in-sysroot", "The sysroot has no glibc to compare with.";
        PageAlignment = "page-alignment", "Kernels with large pages can load the binary.";
        PageAlignmentTooSmall = "page-alignment-too-small", "Kernels with large pages cannot load the binary.";
        ArmLevel = "arm-level", "The ARM architecture version of all code is within that of the target.";
        ArmLevelTooHigh = "arm-level-too-high", "Some code needs a newer ARM architecture version than the target's CPUs \
                           may have.";
        ArmLevelUnchecked = "arm-level-unchecked", "The ARM architecture version of some object files could not be \
                             determined.";
        ArmNeon = "arm-neon", "The binary contains NEON code, which is right only if it checks the CPU first.";
        ArmCpuUnknown = "arm-cpu-unknown", "The requested CPU is not in convoy's list, so its limits were not checked.";
        FloatAbi = "float-abi", "The floating-point ABI is that of the target.";
        FloatAbiUnknown = "float-abi-unknown", "The file does not state which floating-point ABI it uses.";
        WrongFloatAbi = "wrong-float-abi", "An object file uses another floating-point ABI than the target.";
        Abi = "abi", "The ABI that the file states is that of the target.";
        WrongAbi = "wrong-abi", "The file states another ABI than that of the target.";
        CpuLevel = "cpu-level", "The CPU level that the file states is within that of the target or of its `cpu`.";
        CpuLevelTooHigh = "cpu-level-too-high", "The file states a CPU level that the target's CPUs may not have.";
        CpuUnknown = "cpu-unknown", "The requested CPU is not in convoy's list, so the CPU level was not checked.";
        WasiImports = "wasi-imports", "The WebAssembly module imports only functions of WASI preview 1.";
        ImportNotInWasi = "import-not-in-wasi", "The WebAssembly module imports something that WASI does not have.";
        Universal = "universal", "The universal file holds the verified binaries of both architectures.";
        Platform = "platform", "The binary is for macOS.";
        WrongPlatform = "wrong-platform", "The binary is for another Apple platform, or for another BSD.";
        MinOs = "min-os", "The binary is marked for the requested version of macOS, FreeBSD or NetBSD, or an older one.";
        MinOsTooNew = "min-os-too-new", "The binary is marked for a newer version of its system than requested.";
        MinOsUnknown = "min-os-unknown", "The binary does not state which version of its system it requires.";
        Dylibs = "dylibs", "The binary loads only macOS system libraries.";
        DylibNotShipped = "dylib-not-shipped", "The binary loads a library that is not part of macOS.";
        CodeSignature = "code-signature", "The code signature is valid, or not required for this architecture.";
        CodeSignatureMissing = "code-signature-missing", "The binary has no code signature, and Apple silicon requires \
                                one.";
        CodeSignatureBroken = "code-signature-broken", "The code signature does not match the contents.";
        DarwinSymbols = "darwin-symbols", "Every symbol that is looked up at load time is accounted for.";
        DarwinSymbolUnaccounted = "darwin-symbol-unaccounted", "No library that the binary links against exports a \
                                   symbol that it looks up.";
        DarwinSymbolWeak = "darwin-symbol-weak", "No known macOS library exports some weak symbols.";
        DarwinSymbolsLoneFile = "darwin-symbols-lone-file", "The file was verified without its build, so its symbols were \
                                 only compared with convoy's lists.";
        Subsystem = "subsystem", "The binary is a Windows console or GUI program.";
        WrongSubsystem = "wrong-subsystem", "The binary is for a subsystem that Windows does not run as a program.";
        Dlls = "dlls", "The binary loads only Windows system DLLs.";
        DllNotShipped = "dll-not-shipped", "The binary loads a DLL that is not part of Windows.";
        Imports = "imports", "The DLLs export everything that the binary imports from them.";
        ImportNotExported = "import-not-exported", "The binary imports something that its DLL does not export.";
        ImportTooNew = "import-too-new", "The binary imports a function that the oldest supported Windows does not have.";
        Hardening = "hardening", "ASLR and DEP are on.";
        HardeningOff = "hardening-off", "ASLR or DEP is off.";
        Sysroot = "sysroot", "The libraries and symbols that the binary needs are in its sysroot.";
        SysrootNotRead = "sysroot-not-read", "The libraries of the sysroot were not checked.";
        LibraryNotInSysroot = "library-not-in-sysroot", "A library that the binary needs is missing from its sysroot, or \
                               damaged there.";
        SymbolNotInSysroot = "symbol-not-in-sysroot", "No library of the sysroot exports a symbol that the binary needs.";
        SonameTime64 = "soname-time64", "In a newer Debian release, a library uses a 64-bit `time_t`, but the binary a \
                        32-bit one.";
        SonameGone = "soname-gone", "A newer Debian release no longer has a library that the binary needs.";
        SmokeStarted = "smoke-started", "With `--smoke`: the binary started and exited.";
        SmokeNotRun = "smoke-not-run", "With `--smoke`: the binary could not be started on this machine, for example \
                       because an emulator is missing.";
        SmokeFailed = "smoke-failed", "With `--smoke`: the binary did not start, or was killed by a signal.";
        SmokeUnending = "smoke-unending", "With `--smoke`: the binary started, but did not exit in time.";
    }
    Failure {
        Blocked = "blocked", "No route can build the target on this machine; no build was attempted.";
        SupplyFailed = "supply-failed", "A sysroot or an image that the target needs could not be prepared.";
        FetchFailed = "fetch-failed", "The crates for a build in a container could not be downloaded.";
        SetupFailed = "setup-failed", "The build could not be set up.";
        EngineFailed = "engine-failed", "The container engine failed, or stopped the build.";
        DiskFull = "disk-full", "The disk is full.";
        BuildScriptFailed = "build-script-failed", "A build script failed.";
        LinkFailed = "link-failed", "The linker failed.";
        CompileFailed = "compile-failed", "A crate could not be compiled.";
        CargoFailed = "cargo-failed", "Cargo failed for another reason.";
        ArtifactMissing = "artifact-missing", "Cargo reported success, but a binary is missing.";
        UniversalIncomplete = "universal-incomplete", "A universal file could not be made, because one of its binaries is \
                               missing.";
        Interrupted = "interrupted", "A signal ended the run before the target was built.";
    }
    Event {
        Failed = "failed", "The closing message of a run in which targets failed.";
        Ended = "ended", "An error or a signal ended the run.";
        Lane = "lane", "A cargo invocation ended; `duration` and `cpu` are set.";
        Tokens = "tokens", "All job tokens were counted at the end of the builds.";
        Waiting = "waiting", "Convoy waits for another process.";
        RouteFailed = "route-failed", "A route failed because of a tool, and another one is tried.";
        OuterJobserver = "outer-jobserver", "The jobserver of the calling process is used.";
        NoLocks = "no-locks", "The file system does not support locks.";
        UnknownKey = "unknown-key", "A configuration key, table or crate is not known.";
        UnreadSettings = "unread-settings", "A `Convoy.toml` is not read, because it is not at the workspace root.";
        LockNotWritten = "lock-not-written", "The file `Convoy.lock` could not be written.";
        StdMissing = "std-missing", "A standard library could not be installed with rustup.";
        RustSrcMissing = "rust-src-missing", "The standard library's source could not be installed with rustup.";
        ZigMissing = "zig-missing", "The zig compiler could not be installed.";
        ZigDamaged = "zig-damaged", "The zig in convoy's cache was damaged and is replaced.";
        SysrootMissing = "sysroot-missing", "A sysroot could not be prepared.";
        NoSecurityFixes = "no-security-fixes", "Packages were selected without Debian's security fixes.";
        ImageMissing = "image-missing", "A container image could not be built or pulled.";
        ImageNotPulled = "image-not-pulled", "A container image was not updated; the one on this machine is used.";
        ImageNotTheSame = "image-not-the-same", "A published image was built from a different recipe and is not used.";
        ImageLocked = "image-locked", "The digest of an image was written to `Convoy.lock`.";
        ImageDiffers = "image-differs", "An image differs from the one in `Convoy.lock`.";
        ImagePublished = "image-published", "An image was pushed to a registry.";
        ImageNotPublished = "image-not-published", "A container image of your own is not pushed.";
        OrphansRemoved = "orphans-removed", "Containers left behind by a killed run were removed.";
        FilesSent = "files-sent", "The container engine cannot access this machine's files; they are sent to it.";
        VolumeNotShared = "volume-not-shared", "Files that a container writes to a volume stay on the container engine's \
                           machine.";
        ContainerVariables = "container-variables", "The names of the environment variables that are passed to a \
                              container.";
        OddNames = "odd-names", "Files whose names cannot be sent to the container engine are left out.";
        RepositoryLeftOut = "repository-left-out", "The Git repository is not sent to the container engine.";
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A string: a version of convoy that knows more codes is no new version of the format.
impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "Code".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn a_code_is_its_name_in_json() {
        for (code, _, meaning) in Code::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
            assert!(
                meaning.ends_with('.')
                    && code
                        .name()
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            );
        }
        let names: std::collections::BTreeSet<&str> = Code::ALL.iter().map(|(code, _, _)| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(serde_json::from_str::<Code>("\"of-tomorrow\"").unwrap(), Code::Unknown);
    }
}
