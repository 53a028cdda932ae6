//! Whether a run may put something on this machine that is not there yet, and which word forbids it.

use crate::project::config::{Origin, Valued};
use crate::util::error::Error;

/// What a run may put on this machine: everything, what needs no network, or nothing. Every [`crate::plan::Provision`] is
/// made by asking this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioning {
    allowed: Valued<bool>,
    offline: Valued<bool>,
}

/// Where something comes from that a run puts on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A server: rustup's, Python's package index, a Debian archive, a registry.
    Network,
    /// What was fetched before.
    ThisMachine,
}

/// That something may not be put on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// What forbids it, as the end of a sentence: "`--offline` is set".
    pub reason: String,
    /// How to allow it, to be typed or edited.
    pub hint: String,
}

impl Provisioning {
    /// Of `--no-provision`, `CONVOY_PROVISION` or `provision`, and of `--offline`, `CARGO_NET_OFFLINE` or `net.offline` of
    /// cargo's configuration.
    pub fn new(allowed: Valued<bool>, offline: Valued<bool>) -> Self {
        Self { allowed, offline }
    }

    /// Everything may be put on this machine.
    pub fn unlimited() -> Self {
        let default = |value| Valued { value, origin: Origin::Default };
        Self::new(default(true), default(false))
    }

    /// What forbids to put something on this machine; none where nothing does.
    pub fn forbids(&self, source: Source) -> Option<Forbidden> {
        if !self.allowed.value {
            let (reason, hint) = match &self.allowed.origin {
                Origin::CommandLine => ("`--no-provision` is set".to_owned(), "remove `--no-provision`".to_owned()),
                Origin::Environment(name) => (format!("`{name}=never` is set"), format!("unset `{name}`")),
                Origin::File(file) => (
                    format!("`provision = \"never\"` is set in {file}"),
                    format!("set `provision = \"auto\"` in {file}"),
                ),
                Origin::Default => (
                    "provisioning is disabled".to_owned(),
                    "set `provision = \"auto\"` in \
                                     `Convoy.toml`"
                        .to_owned(),
                ),
            };
            return Some(Forbidden { reason, hint });
        }
        self.forbids_network().filter(|_| source == Source::Network)
    }

    /// What forbids to go over the network; none where nothing does.
    pub fn forbids_network(&self) -> Option<Forbidden> {
        let Valued { value: true, origin } = &self.offline else { return None };
        let (reason, hint) = match origin {
            Origin::Environment(name) => (format!("`{name}` is set"), format!("unset `{name}` for one run")),
            Origin::File(file) => (
                format!("`offline` is set under `[net]` in {file}"),
                format!("set `CARGO_NET_OFFLINE=false`, which overrides [net] in {file}, for one run"),
            ),
            Origin::CommandLine | Origin::Default => {
                ("`--offline` is set".to_owned(), "run once without `--offline`".to_owned())
            }
        };
        Some(Forbidden { reason, hint })
    }

    /// The values with their origins, for `plan -v`.
    pub(super) fn origins(&self) -> [(&'static str, &'static str, &Origin); 2] {
        let allowed = if self.allowed.value { "auto" } else { "never" };
        let offline = if self.offline.value { "true" } else { "false" };
        [("provision", allowed, &self.allowed.origin), ("offline", offline, &self.offline.origin)]
    }
}

impl Forbidden {
    /// The hint, and on another line what else would do.
    pub fn hint_or(&self, other: &str) -> String {
        format!("{}\n{other}", self.hint)
    }
}

impl From<Forbidden> for Error {
    fn from(Forbidden { reason, hint }: Forbidden) -> Self {
        Error::usage(reason).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(allowed: Option<Origin>, offline: Option<Origin>) -> Provisioning {
        let valued = |word: Option<Origin>, set: bool| match word {
            Some(origin) => Valued { value: set, origin },
            None => Valued { value: !set, origin: Origin::Default },
        };
        Provisioning::new(valued(allowed, false), valued(offline, true))
    }

    #[test]
    fn the_word_that_forbids_is_named() {
        let file = |name: &str| Some(Origin::File(name.to_owned()));
        for (provisioning, network, this_machine) in [
            (of(None, None), None, None),
            (of(None, Some(Origin::CommandLine)), Some("`--offline` is set"), None),
            (of(None, Some(Origin::Environment("CARGO_NET_OFFLINE"))), Some("`CARGO_NET_OFFLINE` is set"), None),
            (of(None, file(".cargo/config.toml")), Some("`offline` is set under `[net]` in .cargo/config.toml"), None),
            (
                of(Some(Origin::CommandLine), Some(Origin::CommandLine)),
                Some("`--no-provision` is set"),
                Some("`--no-provision` is set"),
            ),
            (
                of(file("Convoy.toml"), None),
                Some("`provision = \"never\"` is set in Convoy.toml"),
                Some("`provision = \"never\"` is set in Convoy.toml"),
            ),
        ] {
            let output = |source| provisioning.forbids(source).map(|forbidden| forbidden.reason);
            assert_eq!(output(Source::Network).as_deref(), network);
            assert_eq!(output(Source::ThisMachine).as_deref(), this_machine);
        }
        // A build script's download asks for the network alone.
        let both = of(Some(Origin::CommandLine), Some(Origin::CommandLine));
        assert_eq!(both.forbids_network().unwrap().reason, "`--offline` is set");
    }
}
