//! Provisions what the plan names, and plans again with the new facts and refusals.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Build;
use crate::command::prepare::Prepared;
use crate::command::sysroots::SysrootProvisioner;
use crate::command::workspace::Planned;
use crate::machine::CacheDir;
use crate::model::code::Code;
use crate::model::zig as pinned;
use crate::plan::{Provision, ProvisionKind};
use crate::provision::{std as rust_std, std::Added, zig};
use crate::report::{Phase, table};
use crate::util::error::Result;

impl Build<'_> {
    /// Provisions what the plan names, and plans again with the new facts and refusals.
    pub(super) fn provision(&self, prepared: &mut Prepared, cache: &CacheDir) -> Result<()> {
        loop {
            let mut wanted: BTreeSet<Provision> = BTreeSet::new();
            wanted.extend(prepared.planned.plan.cells.iter().flat_map(|cell| cell.provision.clone()));
            if wanted.is_empty() {
                if self.images(cache).hold(prepared)? {
                    return Ok(());
                }
                prepared.decide();
                continue;
            }
            for provision in wanted {
                self.interrupt.check()?;
                match provision.kind {
                    ProvisionKind::Image => self.images(cache).provision(&provision.name, prepared)?,
                    ProvisionKind::Sysroot => {
                        self.images(cache).lend_apt(&provision.name, prepared)?;
                        let Build { selection, reporter, interrupt, .. } = self;
                        let offline = prepared.project.settings.provisioning.forbids_network();
                        SysrootProvisioner { selection, cache, reporter, interrupt, offline }
                            .provision(&provision.name, prepared)?;
                    }
                    _ => self.provision_one(&provision, prepared, cache)?,
                }
            }
            prepared.decide();
        }
    }

    fn provision_one(&self, provision: &Provision, prepared: &mut Prepared, cache: &CacheDir) -> Result<()> {
        let Prepared { planned: Planned { machine, .. }, attempt, .. } = prepared;
        let started = Instant::now();
        let toolchain = machine.toolchain.clone().unwrap_or_default();
        let announce = |what: String| self.reporter.info(Phase::Provision, what).send();
        let done = |what: String| self.reporter.debug(Phase::Provision, what).took(started.elapsed()).send();
        match provision.kind {
            ProvisionKind::Std => {
                let triple = &provision.name;
                announce(format!("the standard library for {triple} (rustup, toolchain {toolchain})"));
                match rust_std::add_target(&toolchain, triple, self.interrupt)? {
                    Added::Yes => {
                        machine.std.insert(triple.clone());
                        done(format!("the standard library for {triple}"));
                    }
                    Added::No(why) => {
                        self.reporter
                            .debug(
                                Phase::Provision,
                                format!("rustup could not install the standard library for {triple}: {why}"),
                            )
                            .code(Code::StdMissing)
                            .send();
                        attempt.std.insert(triple.clone(), why);
                    }
                }
            }
            ProvisionKind::RustSrc => {
                announce(format!("the standard library's source (rustup, toolchain {toolchain})"));
                match rust_std::add_component(&toolchain, "rust-src", self.interrupt)? {
                    Added::Yes => machine.rust_src = true,
                    // The cells that need it are blocked with this reason; the others still build.
                    Added::No(why) => {
                        self.reporter
                            .debug(Phase::Provision, format!("rustup could not install rust-src: {why}"))
                            .code(Code::RustSrcMissing)
                            .send();
                        attempt.rust_src = Some(why);
                    }
                }
            }
            // These change more than the host's facts.
            ProvisionKind::Sysroot | ProvisionKind::Image => {}
            ProvisionKind::Zig => {
                let size = provision.bytes.map(|bytes| format!(", about {}", table::size_text(bytes)));
                let version = pinned::version();
                announce(format!("zig {version} (with pip, into convoy's cache{})", size.unwrap_or_default()));
                match zig::ensure_installed(cache, self.interrupt) {
                    Ok(installed) => {
                        if let Some(fault) = installed.replaced {
                            let message = format!(
                                "the zig in convoy's cache differs from the published release ({fault}); replacing it"
                            );
                            self.reporter.warning(Phase::Provision, message).code(Code::ZigDamaged).send();
                        }
                        machine.zig = Some(installed.facts);
                        done(format!("zig {version}"));
                    }
                    Err(error) if self.interrupt.came().is_some() => return Err(error),
                    // The cells that need it are blocked with this reason; the others still build.
                    Err(error) => {
                        self.reporter.warning(Phase::Provision, error.to_string()).code(Code::ZigMissing).send();
                        attempt.zig = Some(error.to_string());
                    }
                }
            }
        }
        Ok(())
    }
}
