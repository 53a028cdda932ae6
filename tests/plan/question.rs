//! Questions to the planner, the machines that they are about, and answers in few words.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use cargo_convoy::machine::{AptFacts, GccFacts, Machine, Rustc, UserTool, UserTools, ZigFacts};
use cargo_convoy::model::catalog::{Catalog, WindowsRuntime};
use cargo_convoy::model::recipe::Recipe;
use cargo_convoy::model::request::EngineChoice;
use cargo_convoy::model::sysroot::Suites;
use cargo_convoy::plan::container::{ImagePlan, ImageSource};
use cargo_convoy::plan::{self, Attempt, CellInput, Linker, Plan, Project, RouteKind, matrix, route::CTools};
use cargo_convoy::project::config::{
    ContainerSettings, Origin, Provisioning, Settings, SupplySettings, TargetSettings, TargetTable, Valued,
};
use cargo_convoy::project::needs::{Confidence, Need, NeedKind, Side};

pub const HOST: &str = "x86_64-unknown-linux-gnu";

/// A machine with rustup's tools and nothing else; pip would bring zig.
pub fn bare() -> Machine {
    Machine {
        rustc: Rustc {
            version: "1.95.0 (59807616e 2026-04-14)".to_owned(),
            host: HOST.into(),
            sysroot: "/rust".into(),
        },
        toolchain: Some("stable-x86_64-unknown-linux-gnu".to_owned()),
        std: Catalog::embedded().targets.iter().map(|target| target.triple.to_string()).collect(),
        rust_lld: Some("/rust/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld".into()),
        glibc: Some("2.36".parse().unwrap()),
        ..Machine::default()
    }
}

/// The same, with a C compiler, zig and the usual build tools.
pub fn developer() -> Machine {
    Machine {
        linker: Some("/usr/bin/cc".into()),
        cxx: Some("/usr/bin/c++".into()),
        zig: Some(ZigFacts { path: "/opt/zig/zig".into(), version: "0.17.1".to_owned() }),
        tools: ["cmake", "make", "perl"]
            .map(|name| (name.to_owned(), Utf8PathBuf::from(format!("/usr/bin/{name}"))))
            .into(),
        ..bare()
    }
}

/// The same, with Debian's cross compilers, whose glibc is this one.
pub fn with_gcc(glibc: Option<&str>) -> Machine {
    let gcc = [
        ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu"),
        ("armv7-unknown-linux-gnueabihf", "arm-linux-gnueabihf"),
        ("x86_64-pc-windows-gnu", "x86_64-w64-mingw32"),
    ];
    let facts = |prefix: &str| GccFacts {
        prefix: prefix.to_owned(),
        cc: format!("/usr/bin/{prefix}-gcc").into(),
        cxx: Some(format!("/usr/bin/{prefix}-g++").into()),
        ar: Some(format!("/usr/bin/{prefix}-ar").into()),
        version: "12.2.0".to_owned(),
        glibc: glibc.map(|text| text.parse().unwrap()).filter(|_| !prefix.ends_with("mingw32")),
        static_cxx: None,
        headers: None,
        fault: None,
    };
    Machine { gcc: gcc.into_iter().map(|(triple, prefix)| (triple.to_owned(), facts(prefix))).collect(), ..developer() }
}

pub fn need(kind: NeedKind, package: &str) -> Need {
    Need {
        kind,
        name: if kind == NeedKind::SystemLibrary { "foo".to_owned() } else { kind.name().to_owned() },
        side: if kind == NeedKind::HostLinker { Side::Host } else { Side::Target },
        package: package.to_owned(),
        version: "1.0.0".to_owned(),
        paths: vec![vec!["app".to_owned(), "middle".to_owned(), package.to_owned()]],
        evidence: "this test says so".to_owned(),
        confidence: Confidence::Known,
        by_pkg_config: false,
        loaded: false,
        supply: None,
    }
}

pub fn c() -> Vec<Need> {
    vec![need(NeedKind::CCompiler, "zstd-sys"), need(NeedKind::HostLinker, "zstd-sys")]
}

pub fn cxx() -> Vec<Need> {
    vec![need(NeedKind::CxxCompiler, "cxx-user"), need(NeedKind::HostLinker, "cxx-user")]
}

/// One question to the planner.
pub struct Question {
    words: Vec<String>,
    pub host: Machine,
    needs: Vec<Need>,
    needs_inside: Option<Vec<Need>>,
    provision: bool,
    supply: SupplySettings,
    container: ContainerSettings,
    offline: bool,
    tables: Vec<(String, TargetSettings)>,
    routes: Option<Vec<RouteKind>>,
    failed: BTreeMap<RouteKind, String>,
    attempt: Attempt,
    image_files: BTreeMap<Utf8PathBuf, String>,
}

pub fn ask(words: &[&str], host: Machine) -> Question {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Question {
        words,
        host,
        needs: Vec::new(),
        needs_inside: None,
        provision: true,
        supply: SupplySettings::default(),
        container: ContainerSettings::default(),
        offline: false,
        tables: Vec::new(),
        routes: None,
        failed: BTreeMap::new(),
        attempt: Attempt::default(),
        image_files: BTreeMap::new(),
    }
}

impl Question {
    /// What is needed in a container, where that is something else.
    pub fn needs_inside(mut self, needs: Vec<Need>) -> Self {
        self.needs_inside = Some(needs);
        self
    }

    pub fn needs(mut self, needs: Vec<Need>) -> Self {
        self.needs = needs;
        self
    }

    pub fn never_provision(mut self) -> Self {
        self.provision = false;
        self
    }

    /// zig is not here, and cannot be brought.
    pub fn never_zig(mut self) -> Self {
        self.host.zig = None;
        self.host.zig_unavailable = Some("there is no Python".to_owned());
        self
    }

    pub fn supply(mut self, edit: impl FnOnce(&mut SupplySettings)) -> Self {
        edit(&mut self.supply);
        self
    }

    pub fn container(mut self, edit: impl FnOnce(&mut ContainerSettings)) -> Self {
        edit(&mut self.container);
        self
    }

    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    pub fn table(mut self, word: &str, edit: impl FnOnce(&mut TargetSettings)) -> Self {
        let mut table = TargetSettings::default();
        edit(&mut table);
        self.tables.push((word.to_owned(), table));
        self
    }

    pub fn routes(mut self, routes: &[RouteKind]) -> Self {
        self.routes = Some(routes.to_vec());
        self
    }

    pub fn failed(mut self, route: RouteKind, cause: &str) -> Self {
        self.failed.insert(route, cause.to_owned());
        self
    }

    /// What was refused in this run.
    pub fn refused(mut self, edit: impl FnOnce(&mut Attempt)) -> Self {
        edit(&mut self.attempt);
        self
    }

    /// A Dockerfile or script of the user's that can be read.
    pub fn image_file(mut self, path: &str, text: &str) -> Self {
        self.image_files.insert(path.into(), text.to_owned());
        self
    }

    pub fn user_linker(mut self, triple: &str, value: &str, origin: &str) -> Self {
        let linker = Some(UserTool { value: value.to_owned(), origin: origin.to_owned() });
        self.host.user.insert(triple.to_owned(), UserTools { linker, cc: None });
        self
    }

    pub fn plan(self) -> Plan {
        fn valued<T>(value: T) -> Valued<T> {
            Valued { value, origin: Origin::Default }
        }
        fn set(value: bool, set: bool) -> Valued<bool> {
            Valued { value, origin: if set { Origin::CommandLine } else { Origin::Default } }
        }
        let table = |(word, settings)| TargetTable { word, settings, origin: Origin::File("Convoy.toml".to_owned()) };
        let settings = Settings {
            targets: valued(self.words.clone()),
            dist_dir: valued("/project/dist".into()),
            profile: valued("release".to_owned()),
            provisioning: Provisioning::new(set(self.provision, !self.provision), set(self.offline, self.offline)),
            windows: valued(WindowsRuntime::default()),
            ignore_needs: false,
            needs: [].into(),
            supply: self.supply,
            container: self.container,
            engine: valued(EngineChoice::default()),
            build_std: None,
            tables: self.tables.into_iter().map(table).collect(),
            route: None,
            sources: Vec::new(),
        };
        let known =
            ["powerpc64-unknown-linux-gnu", "i586-unknown-linux-musl", "sparc64-unknown-linux-gnu"].map(str::to_owned);
        let configured = |names: &[String]| {
            let settings = settings.for_names(names.iter().map(String::as_str));
            TargetSettings { routes: self.routes.clone().or(settings.routes.clone()), ..settings }
        };
        let newest_glibc = Some(matrix::newest_glibc(&self.host));
        let (catalog, windows) = (Catalog::embedded(), settings.windows.value);
        let known = matrix::Known { catalog, host: HOST, rustc_targets: &known, newest_glibc, windows };
        let cells = matrix::cells(&self.words, &known, &configured).unwrap();
        let failed = cells.iter().map(|cell| (cell.id.clone(), self.failed.clone())).collect();
        let attempt = Attempt { failed, ..self.attempt };
        let cells = cells
            .into_iter()
            .map(|cell| CellInput { cell, needs: self.needs.clone(), needs_inside: self.needs_inside.clone() })
            .collect();
        let project = Project { cells, settings, image_files: self.image_files };
        plan::plan(&self.host, &project, &attempt, Catalog::embedded())
    }

    /// The plan as short text.
    pub fn told(self) -> String {
        let plan = self.plan();
        let mut text = String::new();
        for cell in &plan.cells {
            let route = cell.route.map_or("BLOCKED", RouteKind::name);
            text += &format!("{}: {route}, {}\n", cell.cell.id, cell.because);
            for brought in &cell.provision {
                let version = brought.version.as_deref().unwrap_or_default();
                text += &format!("  brings {:?} {} {version}\n", brought.kind, brought.name);
            }
            for rejected in &cell.rejected {
                text += &format!("  not {}: {}\n", rejected.route, rejected.reason);
            }
            for need in cell.needs.iter().filter(|need| need.supply.is_some()) {
                let supply = need.supply.as_ref().unwrap();
                text += &format!("  {} by {:?}: {}\n", need.name, supply.kind, supply.name);
            }
            if let Some(image) = &cell.image {
                text += &format!("  in {}\n", image_words(image, cell.inner_route));
            }
            for hint in cell.hint.iter().flat_map(|hints| hints.lines()) {
                text += &format!("  hint: {hint}\n");
            }
            if cell.route.is_some() {
                text += &format!("  linker {}; C {}\n", linker(&cell.setup.linker), compilers(&cell.setup.c));
                if !cell.setup.rustflags.is_empty() {
                    text += &format!("  rustflags {}\n", cell.setup.rustflags.join(" "));
                }
                if !cell.setup.cflags.is_empty() {
                    text += &format!("  cflags {}\n", cell.setup.cflags.join(" "));
                }
                if cell.setup.record_link {
                    text += "  the link line is recorded\n";
                }
            }
        }
        for sysroot in &plan.sysroots {
            let packages: Vec<&str> = sysroot.packages.iter().map(String::as_str).collect();
            text += &format!("sysroot {}: {}", sysroot.key, packages.join(" "));
            text += &sysroot.archive.mirrors.iter().map(|mirror| format!(" from {mirror}")).collect::<String>();
            text += "\n";
        }
        for lane in &plan.lanes {
            text += &format!("lane {} ({}): {}\n", lane.id, lane.route, lane.cells.join(", "));
        }
        if let Some(zig) = &plan.host_linker {
            text += &format!("this machine's own programs are linked by zig for {}\n", zig.target);
        }
        without_digests(&text)
    }
}

fn linker(linker: &Linker) -> String {
    match linker {
        Linker::Inherit => "inherited".to_owned(),
        Linker::Driver(path) => path.to_string(),
        Linker::Zig(tool) => format!("zig for {}{}", tool.target, mcpu(tool.mcpu.as_deref())),
        Linker::RustLld(_) => "rust-lld".to_owned(),
        Linker::Darwin { libcxx, .. } if libcxx.is_some() => "rust-lld, stubs, zig's libc++".to_owned(),
        Linker::Darwin { .. } => "rust-lld, stubs".to_owned(),
        Linker::Windows { libcxx: true, .. } => "rust-lld, import libraries, zig's libc++".to_owned(),
        Linker::Windows { .. } => "rust-lld, import libraries".to_owned(),
    }
}

fn compilers(c: &CTools) -> String {
    match c {
        CTools::Inherit => "inherited".to_owned(),
        CTools::Gcc { cc, .. } => cc.to_string(),
        CTools::Zig(tool) => format!("zig for {}{}", tool.target, mcpu(tool.mcpu.as_deref())),
    }
}

fn mcpu(mcpu: Option<&str>) -> String {
    mcpu.map(|mcpu| format!(" {mcpu}")).unwrap_or_default()
}

/// Short words for an image. Names of composed images hold the digest of their packages, which the tables decide.
fn image_words(image: &ImagePlan, inner: Option<RouteKind>) -> String {
    let inner = inner.map(|route| format!(", by {route} there")).unwrap_or_default();
    let here = if image.present { ", which is here" } else { "" };
    let made = match &image.source {
        ImageSource::Composed(recipe) => {
            let rust = recipe.rust.as_ref().map(|rust| format!(", Rust {}", rust.version)).unwrap_or_default();
            let lines = recipe.pre_build.iter().map(|line| format!(", `{line}`")).collect::<String>();
            let rare: Vec<&str> =
                recipe.packages.iter().filter(|own| !usual(recipe).contains(*own)).map(String::as_str).collect();
            let rare = if rare.is_empty() { String::new() } else { format!(", besides: {}", rare.join(" ")) };
            format!("tools on {}{rare}{rust}{lines}", recipe.base)
        }
        ImageSource::Named => image.reference.clone(),
        ImageSource::Derived { from, pre_build } => format!("{from}, `{}`", pre_build.join("`, `")),
        ImageSource::Dockerfile { file, build_args, pre_build, .. } => {
            format!("what {file} makes, {build_args:?}, {pre_build:?}")
        }
    };
    format!("{made}{here}{inner}")
}

/// What a table of packages decides, and not the planner.
pub fn without_digests(text: &str) -> String {
    let digest =
        regex::Regex::new("(cargo-convoy/tools:[a-z]+-|cargo-convoy/own:|lane container-)[0-9a-f]{12,16}").unwrap();
    digest.replace_all(text, "${1}DIGEST").into_owned()
}

/// What every composed image of this release has.
pub fn usual(recipe: &Recipe) -> BTreeSet<String> {
    // A base of no release that convoy knows has none.
    let suite = Suites::embedded().named(&recipe.suite);
    suite.map(|suite| cargo_convoy::model::recipe::standard_packages(HOST, suite)).unwrap_or_default()
}

/// A Debian machine: its apt knows an archive, and pkg-config is there.
pub fn with_apt(mut host: Machine) -> Machine {
    host.tools.insert("pkg-config".to_owned(), "/usr/bin/pkg-config".into());
    host.apt = Some(AptFacts {
        through: Vec::new(),
        apt_get: "/usr/bin/apt-get".into(),
        helper: "/usr/lib/apt/apt-helper".into(),
        distribution: "debian".to_owned(),
        mirror: Some("http://mirror/debian".to_owned()),
        keyring: Some("/usr/share/keyrings/debian-archive-keyring.gpg".into()),
    });
    // This machine's own gcc by its full name.
    let own = GccFacts {
        headers: None,
        prefix: "x86_64-linux-gnu".to_owned(),
        cc: "/usr/bin/x86_64-linux-gnu-gcc".into(),
        cxx: Some("/usr/bin/x86_64-linux-gnu-g++".into()),
        ar: None,
        version: "12.2.0".to_owned(),
        glibc: Some("2.36".parse().unwrap()),
        static_cxx: None,
        fault: None,
    };
    host.gcc.insert(HOST.to_owned(), own);
    host
}

pub fn library(name: &str, package: &str) -> Need {
    Need { name: name.to_owned(), ..need(NeedKind::SystemLibrary, package) }
}

pub fn openssl() -> Vec<Need> {
    vec![library("openssl", "openssl-sys"), need(NeedKind::HostLinker, "openssl-sys")]
}
