//! The container engine, asked through its command line: contexts, `DOCKER_HOST` and rootless set-ups then work by
//! themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use camino::Utf8Path;
use serde_json::Value;

use super::{ConvoyImage, Engine, EngineFacts, EngineKind, Identity, MadeImage, OWN_IMAGES, PresentImage, SeenImage};
use crate::machine::ask::output;
use crate::machine::{CacheDir, on_path};
use crate::model::architecture::Architecture;
use crate::model::recipe::LABEL;
use crate::model::request::EngineChoice;
use crate::util::error::{Error, Result};

/// The engine of the user's choice, or the first that answers. The cache tells which of its images convoy made.
pub fn engine(choice: EngineChoice, cache: &CacheDir) -> Engine {
    let kinds: &[EngineKind] = match choice {
        EngineChoice::Docker => &[EngineKind::Docker],
        EngineChoice::Podman => &[EngineKind::Podman],
        EngineChoice::Auto => &[EngineKind::Docker, EngineKind::Podman],
        EngineChoice::None => {
            return Engine::None { reason: "containers are disabled (`engine = \"none\"`)".to_owned(), hint: None };
        }
    };
    let mut silent = Vec::new();
    for kind in kinds {
        let Some(program) = on_path(kind.name()) else { continue };
        match ask(*kind, &program, cache) {
            Ok(engine) => return Engine::Found(engine),
            Err(why) => silent.push(format!("`{}` is on PATH, but its engine does not respond: {why}", kind.name())),
        }
    }
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let (reason, hint) = match silent.is_empty() {
        true => (
            format!("no container engine on this machine ({})", names.join(", ")),
            format!("install {}, so that missing tools can run in a container", names.join(" or ")),
        ),
        false => (silent.join("; "), "start the engine, and make sure that this user has access to it".to_owned()),
    };
    Engine::None { reason, hint: Some(hint) }
}

fn ask(kind: EngineKind, program: &Utf8Path, cache: &CacheDir) -> Result<EngineFacts, String> {
    let format = if kind == EngineKind::Docker { "{{json .}}" } else { "json" };
    let answer =
        output(Command::new(program).args(["info", "--format", format])).map_err(|error| fault_line(&error))?;
    let info: Value = serde_json::from_str(&answer).map_err(|error| format!("could not parse its output: {error}"))?;
    // The `docker` of podman-docker.
    let kind = if info["host"].is_object() { EngineKind::Podman } else { kind };
    let mut engine = match kind {
        EngineKind::Docker => of_docker(&info, program)?,
        EngineKind::Podman => of_podman(&info, program)?,
    };
    engine.images = images(&engine, cache)?;
    engine.ids = engine.images.iter().map(|image| (image.reference.clone(), image.id.clone())).collect();
    Ok(engine)
}

/// The line of an engine's words that says what is wrong.
fn fault_line(error: &crate::util::error::Error) -> String {
    let text = error.to_string();
    let text = text.split_once("): ").map_or(text.as_str(), |(_, answer)| answer);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && *line != "errors pretty printing info");
    line.unwrap_or("it gave no reason").trim_start_matches("ERROR: ").to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Debian's name of an architecture as engines call it.
fn architecture(name: &str) -> String {
    Architecture::of_machine(name).and_then(|known| known.debian(true)).unwrap_or(name).to_owned()
}

fn of_docker(info: &Value, program: &Utf8Path) -> Result<EngineFacts, String> {
    if let Some(fault) = info["ServerErrors"].as_array().and_then(|faults| faults.first()) {
        return Err(text(fault));
    }
    if info["OSType"] != "linux" {
        return Err(format!("it runs {} containers", text(&info["OSType"])));
    }
    let security: Vec<&str> =
        info["SecurityOptions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let has = |name: &str| security.iter().any(|option| option.split(',').any(|word| word == format!("name={name}")));
    Ok(EngineFacts {
        kind: EngineKind::Docker,
        program: program.to_owned(),
        // Machines that were copied have one ID between them.
        id: ["ID", "Name", "DockerRootDir"].map(|key| text(&info[key])).join(" "),
        version: text(&info["ServerVersion"]),
        architecture: architecture(&text(&info["Architecture"])),
        identity: match () {
            () if has("rootless") => Identity::Root,
            () if has("userns") => Identity::Unmapped,
            () => Identity::Caller,
        },
        selinux: has("selinux"),
        own_network: true,
        shares_files: None,
        images: Vec::new(),
        others: Vec::new(),
        ids: BTreeMap::new(),
    })
}

fn of_podman(info: &Value, program: &Utf8Path) -> Result<EngineFacts, String> {
    let host = &info["host"];
    let rootless = host["security"]["rootless"] == true;
    Ok(EngineFacts {
        kind: EngineKind::Podman,
        program: program.to_owned(),
        id: format!("{} {}", text(&host["hostname"]), text(&info["store"]["graphRoot"])),
        version: text(&info["version"]["Version"]),
        architecture: architecture(&text(&host["arch"])),
        identity: if rootless { Identity::Kept } else { Identity::Caller },
        selinux: host["security"]["selinuxEnabled"] == true,
        // pasta or slirp4netns make a network for a user without rights.
        own_network: !rootless
            || ["pasta", "slirp4netns"].iter().any(|name| !text(&host[*name]["executable"]).is_empty()),
        shares_files: None,
        images: Vec::new(),
        others: Vec::new(),
        ids: BTreeMap::new(),
    })
}

/// The images that plans can take.
fn images(engine: &EngineFacts, cache: &CacheDir) -> Result<Vec<PresentImage>, String> {
    let present = |image: &SeenImage| image.as_present(made_image(cache, &image.id).as_ref());
    Ok(seen(engine, &[labelled()])?.iter().filter_map(present).collect())
}

/// What is known of an image that convoy made; none of any other.
pub(crate) fn made_image(cache: &CacheDir, id: &str) -> Option<MadeImage> {
    cache.recall::<MadeImage>("engines", &MadeImage::key(id)).filter(|made| made.is(id))
}

/// Remembers an image that convoy made, with what was known of it before.
pub fn remember_made(cache: &CacheDir, mut made: MadeImage) {
    if let Some(known) = made_image(cache, &made.id) {
        made.references.extend(known.references);
        made.digest = made.digest.or(known.digest);
        made.base = made.base.or(known.base);
        // What was built here is as good as before, whoever else has it.
        made.registry = made.registry.and(known.registry);
    }
    // Where the cache cannot be written, it is made anew the next time.
    let _ = cache.remember("engines", &MadeImage::key(&made.id), &made);
}

/// The filter for images that convoy made, and for what others made from them.
fn labelled() -> String {
    format!("label={LABEL}")
}

/// The images that convoy made, also those that no plan would take.
pub(crate) fn convoy_images(engine: &EngineFacts) -> Result<Vec<ConvoyImage>> {
    let named = |name: &str| format!("reference={name}*");
    let filters = [labelled(), named(OWN_IMAGES), named(&format!("localhost/{OWN_IMAGES}"))];
    let all = seen(engine, &filters)
        .map_err(|answer| Error::work(format!("`{}` could not list its images: {answer}", engine.kind.name())))?;
    let mut images: Vec<ConvoyImage> =
        all.iter().filter_map(|image| image.as_convoy_image(|| is_made_last(engine, &image.id))).collect();
    images.sort_by(|a, b| (a.names.is_empty(), &a.names, &a.id).cmp(&(b.names.is_empty(), &b.names, &b.id)));
    Ok(images)
}

/// The images that any of these filters lets through.
fn seen(engine: &EngineFacts, filters: &[String]) -> Result<Vec<SeenImage>, String> {
    let mut tries = 3;
    loop {
        let mut ids = BTreeSet::new();
        for filter in filters {
            let mut list = Command::new(&engine.program);
            let list = output(list.args(["images", "--quiet", "--no-trunc", "--filter", filter]))
                .map_err(|e| fault_line(&e))?;
            ids.extend(list.lines().map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned));
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        tries -= 1;
        match output(Command::new(&engine.program).args(["image", "inspect"]).args(&ids)) {
            Ok(answer) => return SeenImage::read_all(&answer),
            // One that somebody else removed in between is asked for no more.
            Err(_) if tries > 0 => {}
            Err(error) => return Err(fault_line(&error)),
        }
    }
}

/// Whether the last step of an image is convoy's label, and not somebody else's on top of it.
fn is_made_last(engine: &EngineFacts, id: &str) -> bool {
    let format = ["history", "--no-trunc", "--format", "{{.CreatedBy}}"];
    let history = output(Command::new(&engine.program).args(format).arg(id));
    history.is_ok_and(|steps| steps.lines().next().is_some_and(|last| last.contains(LABEL)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_say_of_themselves_is_read() {
        let program = Utf8Path::new("/usr/bin/docker");
        let info = |security: &str| {
            serde_json::from_str::<Value>(&format!(
                r#"{{"ID":"A","ServerVersion":"20.10","Architecture":"x86_64","OSType":"linux","SecurityOptions":[{security}]}}"#
            ))
            .unwrap()
        };
        let identity = |security: &str| of_docker(&info(security), program).unwrap().identity;
        assert_eq!(identity(r#""name=seccomp,profile=default""#), Identity::Caller);
        assert_eq!(identity(r#""name=seccomp,profile=default","name=rootless""#), Identity::Root);
        assert_eq!(identity(r#""name=userns""#), Identity::Unmapped);
        let facts = of_docker(&info(r#""name=selinux""#), program).unwrap();
        assert!(facts.selinux && facts.architecture == "amd64");
        let broken = serde_json::json!({"ServerErrors": ["Cannot connect to the Docker daemon"]});
        assert!(of_docker(&broken, program).unwrap_err().starts_with("Cannot connect"));
        let podman = serde_json::json!({"host": {"arch": "arm64", "security": {"rootless": true}}, "store": {"graphRoot": "/x"}});
        let facts = of_podman(&podman, program).unwrap();
        assert_eq!((facts.identity, facts.architecture.as_str()), (Identity::Kept, "arm64"));
        assert!(!facts.own_network);
        let pasta =
            serde_json::json!({"host": {"security": {"rootless": true}, "pasta": {"executable": "/usr/bin/pasta"}}});
        assert!(of_podman(&pasta, program).unwrap().own_network);
    }

    #[test]
    fn nobody_is_asked_where_no_engine_may_be_used() {
        assert!(matches!(engine(EngineChoice::None, &CacheDir::at(Utf8Path::new("/nowhere"))), Engine::None { .. }));
    }
}
