//! A container: an image has the tools that this machine lacks. Inside of it one of the other routes builds; libraries
//! come from the same sysroots as without.

use camino::Utf8Path;

use super::{Offer, Refusal, RouteKind, Situation, blocking, named};
use crate::machine::Machine;
use crate::machine::engine::{Engine, EngineFacts};
use crate::model::catalog::tools;
use crate::model::recipe::{Recipe, RustInImage, standard_packages};
use crate::model::sysroot::{Suite, Suites};
use crate::plan::container::{self, ImagePlan, ImageSource, plan_for};
use crate::plan::{Cell, Provision, supply};
use crate::project::config::{self, Forbidden, ToolchainSource};
use crate::project::needs::NeedKind;
use crate::util::files;
use crate::util::shell::quote;

pub(super) fn offer(situation: &Situation<'_>) -> Result<Offer, Refusal> {
    let situation = &Situation { needs: situation.needs_inside, ..*situation };
    let engine = engine(situation.machine)?;
    let candidates = candidates(situation, engine)?;
    let mut last = None;
    for image in candidates {
        match in_image(situation, image) {
            Ok(offer) => return Ok(offer),
            // The first image is the one that is meant; what others lack besides is of no interest.
            Err(refusal) => {
                last.get_or_insert(refusal);
            }
        }
    }
    Err(last.unwrap_or_else(|| Refusal::new("no container image is available for the target")))
}

fn engine(machine: &Machine) -> Result<&EngineFacts, Refusal> {
    match &machine.engine {
        Engine::Unasked => Err(Refusal::new("the container engine was not queried")),
        Engine::None { reason, hint } => Err(Refusal { hint: hint.clone(), ..Refusal::new(reason.clone()) }),
        Engine::Found(engine) => Ok(engine),
    }
}

/// In place of a release's name, where the name of a base tells none.
const UNKNOWN: &str = "unknown";

/// The images that may serve, the best first.
fn candidates(situation: &Situation<'_>, engine: &EngineFacts) -> Result<Vec<ImagePlan>, Refusal> {
    let settings = &situation.settings.container;
    if let Some(image) = own_image(situation, engine)? {
        return Ok(vec![image]);
    }
    let suites = Suites::embedded();
    let Some(default) = suites.all().iter().find(|suite| suite.default) else { return Ok(Vec::new()) };
    let registry = settings.registry.as_deref();
    // A compiler reads no headers of a newer release's C++ library, and a newer image's glibc is no trouble.
    let taken: Vec<&Suite> = match &settings.base {
        Some(base) => match suites.of_image(base) {
            Some(suite) => vec![suite],
            None => {
                // The names of packages are those of the usual release; what they bring is looked at once they are there.
                let recipe = Recipe { suite: UNKNOWN.to_owned(), base: base.clone(), ..composed(situation, default)? };
                return Ok(vec![plan_for(recipe, registry, &engine.images)]);
            }
        },
        None => suites.all().iter().skip_while(|suite| !suite.default).collect(),
    };
    // Debian's compilers speak of time as its libraries do.
    let arch = situation.target.and_then(|target| target.debian_arch.as_deref());
    let other_time = |suite: &&&Suite| arch.is_some_and(|arch| suite.time64.iter().any(|other| other == arch));
    if let Some(suite) = taken.iter().find(other_time).filter(|_| taken.iter().all(|suite| other_time(&suite))) {
        let message = "compilers for 32-bit ARM use a 64-bit time_t, but Rust's libc crate uses a 32-bit one";
        return Err(Refusal::new(format!("Debian's {} {message}", suite.name))
            .hint("set `base` under `[container]` in `Convoy.toml` to an older release"));
    }
    let taken = taken.into_iter().filter(|suite| !other_time(&suite));
    let recipe = |suite: &Suite| {
        let recipe = composed(situation, suite)?;
        let base = settings.base.clone().unwrap_or_else(|| recipe.base.clone());
        Ok(plan_for(Recipe { base, ..recipe }, registry, &engine.images))
    };
    taken.map(recipe).collect()
}

/// The image that the user named.
fn own_image(situation: &Situation<'_>, engine: &EngineFacts) -> Result<Option<ImagePlan>, Refusal> {
    let settings = &situation.settings.container;
    let source = match settings.source() {
        config::ImageSource::Composed { .. } => return Ok(None),
        config::ImageSource::Named(image) => match pre_build(situation)? {
            lines if lines.is_empty() => ImageSource::Named,
            pre_build => ImageSource::Derived { from: image.to_owned(), pre_build },
        },
        config::ImageSource::Dockerfile { file, context } => ImageSource::Dockerfile {
            file: file.to_string(),
            context: context.to_string(),
            build_args: build_args(situation, own_file(situation, file)?),
            pre_build: pre_build(situation)?,
        },
    };
    let reference = match (&source, settings.source()) {
        (ImageSource::Named, config::ImageSource::Named(image)) => image.to_owned(),
        (_, config::ImageSource::Dockerfile { file, .. }) => own_name(&source, own_file(situation, file)?),
        _ => own_name(&source, ""),
    };
    let present = engine.others.contains(&reference);
    Ok(Some(ImagePlan {
        reference,
        source,
        present,
        brings_rust: toolchain_of_image(situation),
        wanted: None,
        registry: None,
    }))
}

/// The values of a Dockerfile's `ARG`s: the user's, and those that cross gives. These differ from target to target, so a
/// Dockerfile that does not ask for them goes without, and its image serves all targets.
fn build_args(situation: &Situation<'_>, dockerfile: &str) -> Vec<String> {
    let own = &situation.settings.container.dockerfile_args;
    let cross = config::cross_variables(&situation.cell.target).into_iter();
    let asked = cross.filter(|(name, _)| dockerfile.contains(name) && !own.contains_key(*name));
    let mut all: Vec<String> = own.iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.extend(asked.map(|(name, value)| format!("{name}={value}")));
    all
}

/// The name of an image that is built from something of the user's.
fn own_name(source: &ImageSource, text: &str) -> String {
    format!("cargo-convoy/own:{}", &files::sha256(format!("{source:?}\n{text}"))[..16])
}

/// What is in a file of the user's that an image is made from.
fn own_file<'a>(situation: &Situation<'a>, file: &Utf8Path) -> Result<&'a str, Refusal> {
    let text = situation.image_files.get(file);
    text.map(String::as_str).ok_or_else(|| {
        Refusal::new(format!("could not read `{file}`, which the image is built from")).hint("check its path")
    })
}

/// The lines that are run once an image is made. They may ask for what cross tells them of the target; those that do not
/// are the same for every target, and so is their image.
fn pre_build(situation: &Situation<'_>) -> Result<Vec<String>, Refusal> {
    let settings = &situation.settings.container;
    let mut lines = Vec::new();
    if let Some(file) = &settings.pre_build_script {
        let (text, place) = (own_file(situation, file)?, "/tmp/pre-build");
        lines.push(format!("printf %s {} >{place}\nchmod +x {place}", quote(text)));
        lines.push(format!("{place} {}\nrm {place}", quote(&situation.cell.target)));
    }
    lines.extend(settings.pre_build.iter().cloned());
    if lines.iter().any(|line| line.contains("CROSS_")) {
        let variables = config::cross_variables(&situation.cell.target);
        let words: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
        lines.insert(0, format!("export {}", words.join(" ")));
    }
    Ok(lines)
}

/// What convoy would compose of a release: the tools that all images have, and what this cell needs besides.
fn composed(situation: &Situation<'_>, suite: &Suite) -> Result<Recipe, Refusal> {
    let (machine, settings) = (situation.machine, &situation.settings.container);
    let mut packages = standard_packages(&machine.rustc.host, suite);
    let wanted = blocking(situation).filter(|need| need.kind == NeedKind::Tool);
    packages.extend(wanted.filter_map(|need| tools::tool(&need.name)).flat_map(|tool| tool.image_packages(suite.llvm)));
    let rare = situation.target.and_then(|target| target.gcc.as_ref()).filter(|gcc| gcc.rare);
    packages.extend(rare.into_iter().flat_map(|gcc| gcc.debian.iter().cloned()));
    packages.extend(settings.packages.iter().cloned());
    let rust = toolchain_of_image(situation).then(|| RustInImage {
        version: machine.rustc.version.split(' ').next().unwrap_or_default().to_owned(),
        targets: [situation.cell.target.to_string()].into(),
    });
    let base = match &rust {
        Some(rust) => format!("rust:{}-slim-{}", rust.version, suite.name),
        None => format!("debian:{}-slim", suite.name),
    };
    Ok(Recipe { base, suite: suite.name.clone(), packages, pre_build: pre_build(situation)?, rust })
}

/// Whether the Rust toolchain must come with the image: this machine's own does not run inside, or cannot be mounted
/// apart from the rest of the system.
fn toolchain_of_image(situation: &Situation<'_>) -> bool {
    let machine = situation.machine;
    let architecture = match &machine.engine {
        Engine::Found(engine) => engine.architecture.as_str(),
        _ => "",
    };
    let own = situation.catalog.target(&machine.rustc.host).and_then(|target| target.debian_arch.as_deref());
    situation.settings.container.toolchain == Some(ToolchainSource::Image)
        || !machine.rustc.host.is_linux()
        || own != Some(architecture)
        || ["/", "/usr", "/usr/local"].map(Utf8Path::new).contains(&machine.rustc.sysroot.as_path())
}

/// The offer of a route inside of an image.
fn in_image(situation: &Situation<'_>, image: ImagePlan) -> Result<Offer, Refusal> {
    let machine = situation.machine;
    if let Some(refused) = situation.attempt.images.get(&image.reference) {
        return Err(Refusal {
            reason: format!("the image {} could not be prepared: {}", image.reference, refused.reason),
            hint: refused.hint.clone(),
            broken: refused.work,
        });
    }
    if image.is_opaque() && !machine.image_facts.contains_key(&image.reference) {
        // Only a look into it tells what it has: it is brought, and then planned for.
        let because = format!("in a container from {}, which has to be inspected first", image.reference);
        let provision = bring(situation, &image)?;
        return Ok(Offer { because, provision, image: Some(image), ..Offer::default() });
    }
    let brought = bring(situation, &image)?;
    let inside = container::inside(machine, &image);
    // Inside it is no longer this machine that a build without a floor is for.
    let cell = match situation.target.and_then(|target| target.default_floor) {
        Some(floor) if situation.cell.floor.is_none() => {
            Cell { floor: Some(floor), floor_by_default: true, ..situation.cell.clone() }
        }
        _ => situation.cell.clone(),
    };
    let situation = &Situation { machine: &inside, cell: &cell, in_image: true, ..*situation };
    let own = situation.cell.target == machine.rustc.host;
    let order = [RouteKind::Host, RouteKind::Lld, RouteKind::Gcc, RouteKind::Zig];
    let mut reasons: Vec<String> = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    for route in order.into_iter().filter(|route| own || *route != RouteKind::Host) {
        match super::offer(route, situation) {
            Ok(mut offer) => {
                offer.because = format!("in a container, route {route}: {}", offer.because);
                if let Some(own) =
                    machine.user.get(cell.target.as_str()).and_then(|user| user.linker.as_ref().or(user.cc.as_ref()))
                {
                    offer.because += &format!("; {} is ignored there", named(own));
                }
                offer.provision.extend(brought);
                offer.floor = offer.floor.or(cell.floor);
                offer.image = Some(image);
                offer.inner = Some(route);
                return Ok(offer);
            }
            Err(refusal) => {
                hints.extend(refusal.hint.filter(|hint| !hints.contains(hint)));
                if !reasons.contains(&refusal.reason) {
                    reasons.push(refusal.reason);
                }
            }
        }
    }
    if let Some(common) = super::common_refusal(situation, supply::NO_ROUTE) {
        return Err(common);
    }
    let hint = (!hints.is_empty()).then(|| hints.join("\n"));
    let name = match image.recipe() {
        Some(recipe) => format!("an image made from {}", recipe.base),
        None => image.reference,
    };
    Err(Refusal { hint, ..Refusal::new(format!("in {name}: {}", reasons.join("; "))) })
}

fn bring(situation: &Situation<'_>, image: &ImagePlan) -> Result<Vec<Provision>, Refusal> {
    if image.present && (!image.is_opaque() || situation.machine.image_facts.contains_key(&image.reference)) {
        return Ok(Vec::new());
    }
    if image.present || image.recipe().is_none() {
        return Ok(vec![Provision::look_into_image(&image.reference, image.present)]);
    }
    match Provision::image(&image.reference, situation.provisioning) {
        Ok(provision) => Ok(vec![provision]),
        Err(Forbidden { reason, hint }) => {
            Err(Refusal::new(format!("the image {} is not on this machine, and {reason}", image.reference)).hint(hint))
        }
    }
}
