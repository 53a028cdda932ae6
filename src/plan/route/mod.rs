//! The routes: each file says when its route works for a cell and how the lane is then set up.
//!
//! To add a route: a variant of [`RouteKind`], a file beside this one, a line in [`offer`], and its place in
//! [`default_order`].

mod container;
mod cross;
mod gcc;
mod host;
mod lld;
mod stand_ins;
mod standard_library;
mod vendor;
mod xwin;
mod zig;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::machine::engine::Engine;
use crate::machine::{Machine, UserTool};
use crate::model::catalog::{Catalog, Glibc, Target};
pub use crate::model::request::RouteKind;
use crate::plan::attempt::Attempt;
use crate::plan::container::ImagePlan;
use crate::plan::sysroot::SysrootOffer;
use crate::plan::{Cell, Provision, supply};
use crate::project::config::{Forbidden, ImageSource, Provisioning, TargetSettings};
use crate::project::needs::{Need, NeedKind, Side};

pub(crate) use stand_ins::{Role, StandIn, stand_ins};
pub(crate) use zig::for_host as zig_for_host;

/// All that a route may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// What the catalog knows of its target; none for a triple outside the catalog.
    pub target: Option<&'a Target>,
    /// What the dependencies ask for.
    pub needs: &'a [Need],
    /// The same in a container, which has fewer of this machine's variables.
    pub needs_inside: &'a [Need],
    /// What this machine offers; in a container, what that offers.
    pub machine: &'a Machine,
    /// What was tried in this run, and failed.
    pub attempt: &'a Attempt,
    /// The catalog.
    pub catalog: &'a Catalog,
    /// What may be put on this machine.
    pub provisioning: &'a Provisioning,
    /// The Dockerfiles and scripts that the user's images are made from, with their contents.
    pub image_files: &'a BTreeMap<Utf8PathBuf, String>,
    /// What configuration says for the cell.
    pub settings: &'a TargetSettings,
    /// Whether `host` is the inside of a container.
    pub in_image: bool,
}

impl Situation<'_> {
    /// Whether configuration says to build std from source.
    fn builds_std(&self) -> bool {
        self.settings.build_std.unwrap_or(false)
    }

    /// Where tools are looked for, in words.
    fn place(&self) -> &'static str {
        if self.in_image { "in the image" } else { "on this machine" }
    }
}

/// A route that works for a cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    /// Why it works.
    pub because: String,
    /// What it brings first.
    pub provision: Vec<Provision>,
    /// How the lane is set up.
    pub setup: Setup,
    /// Whether std is built from source.
    pub build_std: bool,
    /// A floor above the default one, which the libraries that are linked ask for.
    pub floor: Option<Glibc>,
    /// The sysroot that libraries come from.
    pub sysroot: Option<SysrootOffer>,
    /// The image that it is built in.
    pub image: Option<ImagePlan>,
    /// The route that builds inside of it.
    pub inner: Option<RouteKind>,
    /// Worth knowing.
    pub hint: Option<String>,
}

/// Why a route does not work for a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What it lacks.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it was tried in this run, and convoy could not do its own work.
    pub broken: bool,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None, broken: false }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// How a lane is set up for one cell: data, turned into wrappers and variables by [`crate::build`].
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Setup {
    /// What links.
    pub linker: Linker,
    /// What compiles C for the target.
    pub c: CTools,
    /// rustc flags, besides the user's own.
    pub rustflags: Vec<String>,
    /// Flags for C and C++ compilers that are not already in a wrapper.
    pub cflags: Vec<String>,
    /// Whether the link line is recorded for verification.
    pub record_link: bool,
    /// Where pkg-config finds this machine's packages for the target's architecture, when the cell uses some.
    #[serde(default)]
    pub pkg_config_libdir: Option<String>,
    /// The sysroot that the cell's headers and libraries come from, by its key's name.
    #[serde(default)]
    pub sysroot: Option<String>,
    /// Libraries that the linker is to find before others of their name.
    #[serde(default)]
    pub first_libraries: Vec<Utf8PathBuf>,
}

/// What links.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum Linker {
    /// Whatever cargo and rustc take by themselves, or what the user configured.
    #[default]
    Inherit,
    /// A gcc-like driver.
    Driver(Utf8PathBuf),
    /// zig behind a wrapper.
    Zig(ZigTool),
    /// rustup's `rust-lld` with what rustup's std brings.
    RustLld(Utf8PathBuf),
    /// rustup's `rust-lld` against generated stubs of macOS.
    Darwin {
        /// `rust-lld`.
        rust_lld: Utf8PathBuf,
        /// zig, when it also provides the C++ standard library.
        libcxx: Option<ZigTool>,
    },
    /// rustup's `rust-lld` against generated import libraries of Windows.
    Windows {
        /// `rust-lld`.
        rust_lld: Utf8PathBuf,
        /// zig, when it compiles C.
        c: Option<ZigTool>,
        /// Whether zig's C++ standard library is linked.
        #[serde(default)]
        libcxx: bool,
    },
}

/// What compiles C for the target.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum CTools {
    /// Nothing is set: none is needed, or the user configured it, or it is the host's own.
    #[default]
    Inherit,
    /// A cross gcc.
    Gcc {
        /// C compiler.
        cc: Utf8PathBuf,
        /// C++ compiler.
        cxx: Option<Utf8PathBuf>,
        /// Archiver.
        ar: Option<Utf8PathBuf>,
    },
    /// zig behind wrappers.
    Zig(ZigTool),
}

/// zig for one target. Its path is not known where it is still to be provisioned.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct ZigTool {
    /// `-target`, glibc version included.
    pub target: String,
    /// `-mcpu`.
    pub mcpu: Option<String>,
}

/// The order in which routes are tried: the cheapest first, and GNU ld before zig, because it applies the erratum
/// workarounds that ARM distributions ship with.
pub(crate) fn default_order(cell: &Cell, machine: &Machine) -> Vec<RouteKind> {
    let mut order = Vec::new();
    if cell.target == machine.rustc.host {
        order.push(RouteKind::Host);
    }
    order.extend([RouteKind::Lld, RouteKind::Gcc, RouteKind::Zig]);
    // Asked when there is no other way: then it is the last.
    order.extend((machine.engine != Engine::Unasked).then_some(RouteKind::Container));
    order
}

/// Asks a route whether it works for a cell.
pub(crate) fn offer(kind: RouteKind, situation: &Situation<'_>) -> Result<Offer, Refusal> {
    if kind == RouteKind::Container {
        // The route inside settles all that follows here.
        require_support(situation)?;
        return container::offer(situation);
    }
    if kind.is_foreign() {
        require_support(situation)?;
        let mut offer = match kind {
            RouteKind::Cross => cross::offer(situation)?,
            _ => xwin::offer(situation)?,
        };
        standard_library::require(situation, &mut offer)?;
        return Ok(offer);
    }
    let sysroot = supply::settle(situation, kind);
    let chosen = sysroot.as_ref().ok().and_then(Option::as_ref);
    let mut offer = match kind {
        RouteKind::Host => host::offer(situation, chosen),
        RouteKind::Lld => lld::offer(situation),
        RouteKind::Gcc => gcc::offer(situation, chosen),
        RouteKind::Zig => zig::offer(situation, chosen),
        RouteKind::Container | RouteKind::Cross | RouteKind::Xwin => {
            unreachable!("container, cross and xwin are handled earlier")
        }
    }?;
    require_support(situation)?;
    if let Some(sysroot) = sysroot? {
        offer.floor = Some(sysroot.floor(situation));
        offer.because += &sysroot.words();
        offer.provision.extend(sysroot.provision.clone());
        offer.setup.sysroot = Some(sysroot.plan.key.to_string());
        offer.sysroot = Some(sysroot);
    }
    standard_library::require(situation, &mut offer)?;
    require_host_compiler(situation, &mut offer)?;
    offer.provision.sort();
    offer.provision.dedup();
    Ok(offer)
}

/// What is missing whatever the route, so that one sentence can name it; `verdict` is what is said of a need that none of
/// them meets.
pub(crate) fn common_refusal(situation: &Situation<'_>, verdict: &str) -> Option<Refusal> {
    let mut offer = Offer::default();
    require_support(situation)
        .and_then(|()| supply::require_any(situation, &default_order(situation.cell, situation.machine), verdict))
        .and_then(|()| require_tools(situation))
        .and_then(|()| standard_library::require(situation, &mut offer))
        .and_then(|()| require_host_compiler(situation, &mut offer))
        .err()
}

/// Whether a container would build the cell, were there an engine: what an image has is known before it is made.
pub(crate) fn may_be_in_container(situation: &Situation<'_>) -> bool {
    let Situation { machine, catalog, .. } = *situation;
    match &machine.engine {
        // Why not is known then.
        Engine::Unasked | Engine::Found(_) => true,
        Engine::None { hint: None, .. } => false,
        Engine::None { .. } => {
            let architecture = catalog.target(&machine.rustc.host).and_then(|target| target.debian_arch.as_deref());
            let engine = Engine::imagined(architecture.unwrap_or_default());
            let machine = &Machine { engine, ..machine.clone() };
            offer(RouteKind::Container, &Situation { machine, ..*situation }).is_ok()
        }
    }
}

/// What no route changes: a vendor's files, a crate that is not made for the target, a build script that wants the network.
fn require_support(situation: &Situation<'_>) -> Result<(), Refusal> {
    vendor::require(situation)?;
    let offline = situation.provisioning.forbids_network();
    for need in blocking(situation) {
        if let (NeedKind::Download, Some(Forbidden { reason, hint })) = (need.kind, &offline) {
            return Err(Refusal::new(format!(
                "the build script of crate `{}` downloads {}, and {reason}",
                need.package, need.name
            ))
            .hint(hint));
        }
        match need.kind {
            NeedKind::Unsupported => {
                return Err(Refusal::new(format!(
                    "crate `{}` does not support {}: {}",
                    need.package, situation.cell.target, need.name
                ))
                .hint(format!(
                    "do not depend on `{}` for this target (use `[target.'cfg(…)'.dependencies]`)",
                    first_step(need)
                )));
            }
            NeedKind::Download if situation.in_image && situation.settings.container.network != Some(true) => {
                return Err(Refusal::new(format!(
                    "the build script of crate `{}` downloads {}, but containers have no network access unless it is \
                     enabled",
                    need.package, need.name
                ))
                .hint("set `network = true` under `[container]` in `Convoy.toml`"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The needs that are sure enough to decide about a route.
pub(super) fn blocking<'a>(situation: &Situation<'a>) -> impl Iterator<Item = &'a Need> {
    situation.needs.iter().filter(|need| need.blocks())
}

/// The crate through which a selected package comes to a need.
fn first_step(need: &Need) -> &str {
    need.paths.first().and_then(|path| path.get(1)).unwrap_or(&need.package)
}

/// A compiler for this machine itself: it links build scripts and proc-macros, and compiles the C that these hold.
fn require_host_compiler(situation: &Situation<'_>, offer: &mut Offer) -> Result<(), Refusal> {
    let machine = situation.machine;
    let own = situation.cell.target == machine.rustc.host;
    let of_host = |need: &&Need| match need.kind {
        NeedKind::HostLinker => true,
        NeedKind::CCompiler | NeedKind::CxxCompiler => need.side == Side::Host,
        _ => false,
    };
    let Some(need) = blocking(situation).find(of_host) else { return Ok(()) };
    if !machine.links_itself() {
        return match zig::require_zig(situation) {
            Ok(provision) => {
                offer.provision.extend(provision);
                offer.because +=
                    &format!("; zig links the build script or proc-macro `{}` for this machine", need.package);
                Ok(())
            }
            Err(refusal) => Err(Refusal::new(format!(
                "`{}` has a build script or is a proc-macro, and so needs a linker for this machine: {}, and {}",
                need.package,
                machine.linker_fault.as_deref().unwrap_or("no C compiler on PATH"),
                refusal.reason
            ))
            .hint(format!("{}, or put `zig` on PATH", host::linker_hint(machine)))),
        };
    }
    let cxx = blocking(situation).find(|need| {
        need.kind == NeedKind::CxxCompiler && (need.side == Side::Host || own && offer.setup.c == CTools::Inherit)
    });
    let configured = machine.user.get(machine.rustc.host.as_str()).is_some_and(|user| user.cc.is_some());
    match cxx {
        Some(need) if machine.cxx.is_none() && !configured => Err(Refusal::new(format!(
            "crate `{}` needs a C++ compiler for this machine: {}",
            need.package,
            machine.cxx_fault.as_deref().unwrap_or("no C++ compiler on PATH")
        ))
        .hint("install g++ or clang++")),
        _ => Ok(()),
    }
}

/// The target-side needs of these kinds.
fn target_needs<'a>(needs: &'a [Need], kinds: &[NeedKind]) -> Vec<&'a Need> {
    let wanted = |need: &&Need| need.side == Side::Target && kinds.contains(&need.kind) && need.blocks();
    needs.iter().filter(wanted).collect()
}

/// Whether anything asks for a C or C++ compiler, and who.
fn c_users(situation: &Situation<'_>) -> Option<String> {
    let needs = target_needs(situation.needs, &[NeedKind::CCompiler, NeedKind::CxxCompiler]);
    let mut crates: Vec<&str> = needs.iter().map(|need| need.package.as_str()).collect();
    crates.dedup();
    match crates.as_slice() {
        [] => None,
        [a] => Some(format!("`{a}`")),
        [a, b] => Some(format!("`{a}` and `{b}`")),
        [a, b, rest @ ..] => Some(format!("`{a}`, `{b}` and {} more", rest.len())),
    }
}

/// Build tools that must be here whatever compiles (cmake, perl, libclang, …).
fn require_tools(situation: &Situation<'_>) -> Result<(), Refusal> {
    require_tools_but(situation, &[])
}

/// The same without those that a route stands in for itself.
fn require_tools_but(situation: &Situation<'_>, stood_in: &[&str]) -> Result<(), Refusal> {
    let lacking = blocking(situation)
        .filter(|need| need.kind == NeedKind::Tool && !stood_in.contains(&need.name.as_str()))
        .find(|need| !situation.machine.tools.contains_key(&need.name));
    match lacking {
        None => Ok(()),
        Some(need) => Err(Refusal::new(format!(
            "crate `{}` {} needs {}, which is missing {}",
            need.package,
            need.version,
            need.name,
            situation.place()
        ))
        .hint(match situation.in_image {
            true => in_image_hint(&need.name, situation),
            false => format!("install {}", need.name),
        })),
    }
}

/// How something comes into an image.
fn in_image_hint(name: &str, situation: &Situation<'_>) -> String {
    match situation.settings.container.source() {
        ImageSource::Composed { .. } => {
            format!("add the Debian package that provides {name} to `container.packages` in `Convoy.toml`")
        }
        ImageSource::Named(_) => {
            format!("use an image that has {name}, or install it with `container.pre-build` in `Convoy.toml`")
        }
        ImageSource::Dockerfile { file, .. } => format!("install {name} in {file}"),
    }
}

/// The page size to link with, as a driver takes it.
fn page_size_flag(target: Option<&Target>, driver: bool) -> Option<String> {
    let size = target?.max_page_size?;
    Some(if driver {
        format!("-Clink-arg=-Wl,-z,max-page-size={size}")
    } else {
        format!("-Clink-arg=-zmax-page-size={size}")
    })
}

/// How a user's own setting is named in a plan.
fn named(tool: &UserTool) -> String {
    format!("`{}` ({})", tool.value, tool.origin)
}

/// The sentence for a floor that a compiler's own glibc is above.
fn floor_refusal(cell: &Cell, what: &str, glibc: Option<Glibc>) -> Option<Refusal> {
    let floor = cell.floor?;
    match glibc {
        Some(glibc) if glibc <= floor => None,
        Some(glibc) => Some(
            Refusal::new(format!(
                "{what} links against glibc {glibc}, which is newer than the minimum glibc version {floor}"
            ))
            .hint(format!("use `-t {}.{glibc}` if that minimum glibc version is acceptable", cell.target)),
        ),
        None => Some(Refusal::new(format!(
            "cannot guarantee the minimum glibc version {floor}, because the glibc of {what} is unknown"
        ))),
    }
}
