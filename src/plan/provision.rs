//! What a plan puts on this machine first. Nothing else makes a [`Provision`], and each of its makers asks whether it may
//! be brought, so that no route can plan for a download that `--offline` or `--no-provision` forbids.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::zig as pinned;
use crate::plan::route::Refusal;
use crate::project::config::{Forbidden, Provisioning, Source};

/// Something to download or install before a build.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct Provision {
    /// Its kind.
    pub kind: ProvisionKind,
    /// Its name, such as the target triple of a standard library, or `ziglang`.
    pub name: String,
    /// Its version; null if it is not pinned.
    pub version: Option<String>,
    /// Approximate download size in bytes; null if unknown.
    pub bytes: Option<u64>,
    /// Whether it is already on this machine.
    pub cached: bool,
    /// Keeps other modules from making one.
    #[serde(skip)]
    #[schemars(skip)]
    permitted: Permitted,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Permitted(());

/// A kind of provision.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProvisionKind {
    /// rustup's standard library for a target.
    Std,
    /// rustup's `rust-src` component, from which the standard library is built.
    RustSrc,
    /// zig, from the Python package.
    Zig,
    // Before sysroots, as its apt may have to download them.
    /// A container image.
    Image,
    /// Unpacked Debian packages of the target.
    Sysroot,
}

impl Provision {
    fn new(
        kind: ProvisionKind,
        name: impl Into<String>,
        source: Source,
        provisioning: &Provisioning,
    ) -> Result<Self, Forbidden> {
        match provisioning.forbids(source) {
            Some(forbidden) => Err(forbidden),
            None => Ok(Self {
                kind,
                name: name.into(),
                version: None,
                bytes: None,
                cached: false,
                permitted: Permitted(()),
            }),
        }
    }

    /// The std of a target, by rustup into a toolchain.
    pub(super) fn std(triple: &str, toolchain: &str, provisioning: &Provisioning) -> Result<Self, Forbidden> {
        let std = Self::new(ProvisionKind::Std, triple, Source::Network, provisioning)?;
        Ok(Self { version: Some(toolchain.to_owned()), ..std })
    }

    /// The source of std, by rustup into a toolchain.
    pub(super) fn rust_src(toolchain: &str, provisioning: &Provisioning) -> Result<Self, Forbidden> {
        let source = Self::new(ProvisionKind::RustSrc, "rust-src", Source::Network, provisioning)?;
        Ok(Self { version: Some(toolchain.to_owned()), ..source })
    }

    /// The pinned zig, by pip.
    pub(super) fn zig(provisioning: &Provisioning) -> Result<Self, Forbidden> {
        let zig = Self::new(ProvisionKind::Zig, "ziglang", Source::Network, provisioning)?;
        Ok(Self { version: Some(pinned::version().to_owned()), bytes: Some(pinned::bytes()), ..zig })
    }

    /// A sysroot; one whose packages are `fetched` is only unpacked.
    pub(super) fn sysroot(name: &str, fetched: bool, provisioning: &Provisioning) -> Result<Self, Forbidden> {
        let source = if fetched { Source::ThisMachine } else { Source::Network };
        Self::new(ProvisionKind::Sysroot, name, source, provisioning)
    }

    /// An image that is not on the engine.
    pub(super) fn image(reference: &str, provisioning: &Provisioning) -> Result<Self, Forbidden> {
        Self::new(ProvisionKind::Image, reference, Source::Network, provisioning)
    }

    /// An image that is to be looked into. Whether one of the user's own is on the engine is only known once the engine is
    /// asked for it; whoever fetches it then asks the same permission.
    pub(super) fn look_into_image(reference: &str, present: bool) -> Self {
        Self {
            kind: ProvisionKind::Image,
            name: reference.to_owned(),
            version: None,
            bytes: None,
            cached: present,
            permitted: Permitted(()),
        }
    }
}

/// The refusal of a route that needs something which may not be provisioned; `other` is what the user can do instead.
pub(super) fn refuse(lacking: impl std::fmt::Display, forbidden: &Forbidden, other: &str) -> Refusal {
    Refusal::new(format!("{lacking}, and {}", forbidden.reason)).hint(forbidden.hint_or(other))
}
