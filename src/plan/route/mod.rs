//! The routes: each file says when its route works for a cell and how the lane is then set up.
//!
//! To add a route: a variant of [`RouteKind`], a file beside this one, a line in [`offer`], and its place in
//! [`default_order`].

mod gcc;
mod host;
mod lld;
mod zig;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Glibc, Target};
use crate::host::{HostFacts, UserTool};
use crate::needs::{Need, NeedKind, Side};
use crate::plan::{Cell, Provision, ProvisionKind};
pub use crate::request::RouteKind;

pub use zig::{for_host as zig_for_host, zig_name};

/// All that a route may look at.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// What the catalog knows of its target; none for a triple outside the catalog.
    pub target: Option<&'a Target>,
    /// What the dependencies ask for.
    pub needs: &'a [Need],
    /// What this machine offers.
    pub host: &'a HostFacts,
    /// The catalog.
    pub catalog: &'a Catalog,
    /// Whether things may be brought to this machine.
    pub may_provision: bool,
    /// Whether configuration says to build std from source.
    pub build_std: bool,
}

/// A route that works for a cell.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Why it works.
    pub because: String,
    /// What it brings first.
    pub provision: Vec<Provision>,
    /// How the lane is set up.
    pub setup: Setup,
    /// Whether std is built from source.
    pub build_std: bool,
    /// Worth knowing.
    pub hint: Option<String>,
}

/// Why a route does not work for a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it lacks.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Refusal {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// How a lane is set up for one cell: data, turned into scripts and variables by [`crate::run`].
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
pub fn default_order(cell: &Cell, host: &HostFacts) -> Vec<RouteKind> {
    let mut order = Vec::new();
    if cell.target == host.rustc.host {
        order.push(RouteKind::Host);
    }
    order.extend([RouteKind::Lld, RouteKind::Gcc, RouteKind::Zig]);
    order
}

/// Asks a route whether it works for a cell.
pub fn offer(kind: RouteKind, situation: &Situation<'_>) -> Result<Offer, Refusal> {
    let mut offer = match kind {
        RouteKind::Host => host::offer(situation),
        RouteKind::Lld => lld::offer(situation),
        RouteKind::Gcc => gcc::offer(situation),
        RouteKind::Zig => zig::offer(situation),
    }?;
    require_library_supply(situation)?;
    require_std(situation, &mut offer)?;
    require_host_linker(situation, &mut offer)?;
    offer.provision.sort();
    offer.provision.dedup();
    Ok(offer)
}

/// What is missing whatever the route, so that one sentence can name it.
pub fn common_refusal(situation: &Situation<'_>) -> Option<Refusal> {
    let mut offer = Offer::default();
    require_library_supply(situation)
        .and_then(|()| require_tools(situation))
        .and_then(|()| require_std(situation, &mut offer))
        .and_then(|()| require_host_linker(situation, &mut offer))
        .err()
}

/// The std of the target: installed, brought by rustup, or built.
fn require_std(situation: &Situation<'_>, offer: &mut Offer) -> Result<(), Refusal> {
    let host = situation.host;
    let triple = &situation.cell.target;
    if situation.build_std {
        offer.build_std = true;
        if !host.rust_src {
            let lacking = format!("std for {triple} is to be built, and its source is not installed");
            let Some(toolchain) = &host.toolchain else {
                let hint = "no rustup manages this toolchain, so install the source of std the way rustc was installed";
                return Err(Refusal::new(lacking).hint(hint));
            };
            let hint = format!("run `rustup component add --toolchain {toolchain} rust-src`");
            if let Some(why) = &host.refused_src {
                return Err(Refusal::new(format!("{lacking}: rustup could not bring it: {why}")).hint(hint));
            }
            if !situation.may_provision {
                return Err(Refusal::new(format!("{lacking}, and nothing may be provisioned")).hint(hint));
            }
            offer.provision.push(Provision {
                kind: ProvisionKind::RustSrc,
                name: "rust-src".to_owned(),
                version: Some(toolchain.clone()),
                bytes: None,
                cached: false,
            });
        }
        return Ok(());
    }
    if host.std.contains(triple) {
        return Ok(());
    }
    let Some(toolchain) = &host.toolchain else {
        return Err(Refusal::new(format!("rustc {} has no std for {triple}", host.rustc.version)).hint(format!(
            "no rustup manages this toolchain, so install the std for {triple} the way rustc was installed"
        )));
    };
    let command = format!("rustup target add --toolchain {toolchain} {triple}");
    if let Some(why) = host.refused_std.get(triple) {
        return Err(Refusal::new(format!("rustup could not bring the std for {triple}: {why}")).hint(format!(
            "set `build-std = true` under [target.\"{triple}\"] in Convoy.toml to build it from source"
        )));
    }
    if !situation.may_provision {
        return Err(Refusal::new(format!("the std for {triple} is not installed, and nothing may be provisioned"))
            .hint(format!("run `{command}`")));
    }
    offer.provision.push(Provision {
        kind: ProvisionKind::Std,
        name: triple.clone(),
        version: Some(toolchain.clone()),
        bytes: None,
        cached: false,
    });
    Ok(())
}

/// A linker for the host's own build scripts and proc-macros.
fn require_host_linker(situation: &Situation<'_>, offer: &mut Offer) -> Result<(), Refusal> {
    let Some(need) = situation.needs.iter().find(|need| need.kind == NeedKind::HostLinker) else { return Ok(()) };
    if situation.host.links_itself() {
        return Ok(());
    }
    match zig::require_zig(situation) {
        Ok(provision) => {
            offer.provision.extend(provision);
            offer.because +=
                &format!("; zig links the build script or proc-macro of `{}` for this machine", need.package);
            Ok(())
        }
        Err(refusal) => Err(Refusal {
            reason: format!(
                "`{}` has a build script or proc-macro, which needs a linker for this machine: no cc is on PATH, and {}",
                need.package, refusal.reason
            ),
            hint: Some("install gcc or clang, or put `zig` on PATH".to_owned()),
        }),
    }
}

/// Libraries that only the target's own system has.
fn require_library_supply(situation: &Situation<'_>) -> Result<(), Refusal> {
    if situation.cell.target == situation.host.rustc.host {
        return Ok(());
    }
    match target_needs(situation.needs, &[NeedKind::SystemLibrary]).first() {
        None => Ok(()),
        Some(need) => Err(Refusal::new(format!(
            "crate `{}` needs the system library {} for {}",
            need.package, need.name, situation.cell.target
        ))
        .hint(format!(
            "turn on a feature that builds the library from source (often `vendored` or `bundled`) for `{}`, or leave \
             out the feature that pulls it in",
            need.paths.first().and_then(|path| path.get(1)).unwrap_or(&need.package)
        ))),
    }
}

/// The target-side needs of these kinds.
fn target_needs<'a>(needs: &'a [Need], kinds: &[NeedKind]) -> Vec<&'a Need> {
    needs.iter().filter(|need| need.side == Side::Target && kinds.contains(&need.kind)).collect()
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

/// Build tools that must be on PATH whatever compiles (cmake, perl, …).
fn require_tools(situation: &Situation<'_>) -> Result<(), Refusal> {
    for need in situation.needs {
        let Some(tool) = need.kind.tool() else { continue };
        if !situation.host.tools.contains_key(tool) {
            return Err(Refusal::new(format!("crate `{}` needs {tool}, which is not on PATH", need.package))
                .hint(format!("install {tool}")));
        }
    }
    Ok(())
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
            Refusal::new(format!("{what} links against glibc {glibc}, newer than the floor {floor}"))
                .hint(format!("ask for `-t {}.{glibc}` if that floor will do", cell.target)),
        ),
        None => Some(Refusal::new(format!("the glibc of {what} is not known, so the floor {floor} cannot be held"))),
    }
}
