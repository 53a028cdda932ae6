//! Container engines: which one answers, and the images that it has.

mod ask;
mod made;
mod seen;

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::{AptFacts, GccFacts};
use crate::model::catalog::Glibc;
pub(crate) use ask::{convoy_images, made_image};
pub use ask::{engine, remember_made};
pub use made::MadeImage;
pub use seen::PresentImage;
pub(crate) use seen::{ConvoyImage, MadeFrom, OWN_IMAGES, SeenImage, repository};

/// A container engine.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl EngineKind {
    /// The name of its program.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Docker => "docker",
            EngineKind::Podman => "podman",
        }
    }
}

/// Whether this machine has an engine.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum Engine {
    /// Nobody needed to know so far: asking an engine takes longer than a whole plan.
    #[default]
    Unasked,
    /// None that answers.
    None {
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// One that answers.
    Found(EngineFacts),
}

impl Engine {
    /// One that this machine does not have: what it would be good for can be planned with it.
    pub fn imagined(architecture: &str) -> Self {
        Engine::Found(EngineFacts {
            kind: EngineKind::Docker,
            program: EngineKind::Docker.name().into(),
            id: String::new(),
            version: String::new(),
            architecture: architecture.to_owned(),
            identity: Identity::Caller,
            selinux: false,
            own_network: true,
            shares_files: None,
            images: Vec::new(),
            others: Vec::new(),
            ids: BTreeMap::new(),
        })
    }

    /// Whether the user wants none.
    pub fn is_refused(&self) -> bool {
        matches!(self, Engine::None { hint: None, .. })
    }
}

/// An engine that answers.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct EngineFacts {
    /// Which.
    pub kind: EngineKind,
    /// Its command line.
    pub program: Utf8PathBuf,
    /// What tells it from others: its own id, or where it keeps its images.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The architecture of its machine, by Debian's name.
    pub architecture: String,
    /// How files that a container writes come to belong to the caller.
    pub identity: Identity,
    /// Whether SELinux keeps containers from the caller's files.
    pub selinux: bool,
    /// Whether it can give containers a network of their own.
    pub own_network: bool,
    /// Whether a folder that is mounted is this machine's; none where that was not tried yet.
    pub shares_files: Option<bool>,
    /// The images that convoy made.
    pub images: Vec<PresentImage>,
    /// Other images that were asked for in this run and are there.
    pub others: Vec<String>,
    /// The ids of images, by the names that plans have for them: in one run a name always means the same image, whoever moves
    /// it meanwhile.
    #[serde(default)]
    pub ids: BTreeMap<String, String>,
}

/// How files that a container writes come to belong to the caller.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum Identity {
    /// The caller's own numbers.
    Caller,
    /// Root inside, which is the caller outside: a rootless Docker.
    Root,
    /// The caller's own numbers, which a user namespace keeps: a rootless Podman.
    Kept,
    /// The caller's own numbers, outside of the engine's user namespace: a Docker that remaps users.
    Unmapped,
}

impl EngineFacts {
    /// From now on a name means this image.
    pub fn pin(&mut self, reference: &str, id: &str) {
        self.ids.insert(reference.to_owned(), id.to_owned());
    }

    /// What the engine is told to start for a name: the id, where it is known by now.
    pub fn image<'a>(&'a self, reference: &'a str) -> &'a str {
        self.ids.get(reference).map_or(reference, String::as_str)
    }

    /// Whether mounts are this machine's own files. An engine that was not tried yet mostly is: it is tried before
    /// anything is built.
    pub fn mounts(&self) -> bool {
        self.shares_files != Some(false)
    }
}

/// What an image of the user's own was found to hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its own C compiler.
    pub cc: Option<Utf8PathBuf>,
    /// Its own C++ compiler.
    pub cxx: Option<Utf8PathBuf>,
    /// Its own glibc.
    pub glibc: Option<Glibc>,
    /// Compilers, by GNU prefix; its own by the empty one.
    pub gcc: BTreeMap<String, GccFacts>,
    /// Tools, by their names in `targets/tools.toml`.
    pub tools: BTreeMap<String, Utf8PathBuf>,
    /// Files of pkg-config, by the multiarch folder they are in.
    pub pc: BTreeMap<String, BTreeSet<String>>,
    /// Variables that lead cargo and build scripts to compilers, with their values.
    pub env: BTreeMap<String, String>,
    /// Its apt.
    pub apt: Option<AptFacts>,
}
