//! What a target word means.

use super::{Known, floor_fault, unknown};
use crate::model::catalog::{Catalog, Device, Glibc, Target, UNIVERSAL, split_floor};
use crate::model::triple::Triple;
use crate::util::error::{Error, Result};

/// Groups of targets.
pub(super) const GROUPS: &[&str] = &["linux", "darwin", "windows", "pi", "all"];

/// The group of the devices whose names begin with it.
const PI: &str = "pi";

/// One target of a word.
#[derive(Clone, Debug)]
pub(super) struct Wanted<'a> {
    pub triple: Triple,
    pub asked_floor: Option<Glibc>,
    pub device: Option<&'a Device>,
    /// Whether a group of devices was asked for.
    pub of_group: bool,
    /// Whether it is half of a universal file.
    pub universal: bool,
}

impl Wanted<'_> {
    /// The id of its cell. See the [parent module](super).
    pub(crate) fn id(&self) -> String {
        let name = match self.device {
            Some(device) => device.name.clone(),
            None if self.of_group => group_id(&self.triple),
            None => self.triple.to_string(),
        };
        with_floor(&name, self.asked_floor)
    }

    /// What the members of its group with the same triple have in common.
    pub(crate) fn without_device(&self) -> Self {
        Self { device: None, ..self.clone() }
    }

    /// The words that mean it in tables and for `--route`, the most specific last: the groups that have it, its triple and
    /// platform, its device; then the same with the floor that was asked for. They do not depend on the spelling of the
    /// word that asked.
    pub(crate) fn names(&self, known: &Known<'_>) -> Vec<String> {
        let target = known.catalog.target(&self.triple);
        let platform = target.and_then(|target| known.platform_of(target));
        let mut names: Vec<String> = Vec::new();
        if let Some(target) = target.filter(|_| platform.is_some()) {
            names.extend(["all", target.os()].map(str::to_owned));
        }
        names.push(self.triple.to_string());
        names.extend(platform.map(str::to_owned));
        if self.of_group || self.device.is_some_and(is_pi) {
            names.extend([PI.to_owned(), group_id(&self.triple)]);
        }
        if let Some(device) = self.device {
            names.extend(device.aliases.iter().chain([&device.name]).cloned());
        }
        if let Some(floor) = self.asked_floor {
            let precise: Vec<String> = names.iter().map(|name| with_floor(name, Some(floor))).collect();
            names.extend(precise);
        }
        names
    }
}

fn with_floor(name: &str, floor: Option<Glibc>) -> String {
    floor.map_or_else(|| name.to_owned(), |floor| format!("{name}.{floor}"))
}

fn is_pi(device: &Device) -> bool {
    device.name.strip_prefix(PI).is_some_and(|rest| rest.starts_with('-'))
}

/// What the group's devices of one triple are called.
fn group_id(triple: &Triple) -> String {
    format!("{PI}-{}", triple.architecture_word())
}

/// Whether some word needs rustc's target list to be judged.
pub fn needs_target_list(words: &[String], catalog: &Catalog) -> bool {
    words.iter().any(|word| !is_known(word, catalog))
}

/// Whether the catalog knows what a word means; its floor is not looked at.
pub fn is_known(word: &str, catalog: &Catalog) -> bool {
    let (name, _) = split_floor(word);
    let name = catalog.synonym(name).unwrap_or(name);
    GROUPS.contains(&name)
        || UNIVERSAL.is(name)
        || catalog.target(name).is_some()
        || catalog.platform(name).is_some()
        || catalog.device(name).is_some()
        || catalog.devices.iter().any(|device| is_pi(device) && group_id(&Triple::from(&*device.target)) == name)
}

/// Whether a word is a triple, perhaps with a floor.
pub fn names_target(word: &str, triple: &str) -> bool {
    split_floor(word).0 == triple
}

/// The targets of a word, in the catalog's order.
pub(super) fn expand<'a>(word: &str, known: &Known<'a>) -> Result<Vec<Wanted<'a>>> {
    let catalog = known.catalog;
    let (name, floor) = split_floor(word);
    let name = catalog.synonym(name).unwrap_or(name);
    let floor = floor
        .map(|text| text.parse::<Glibc>().map_err(|why| Error::usage(format!("target `{word}`: {why}"))))
        .transpose()?;
    let group = GROUPS.contains(&name);
    let target = catalog.target(name).or_else(|| catalog.target_of_platform(name, known.windows));
    let oldest = Glibc::oldest_for(target.map_or(name, |target| target.triple.as_str()));
    if let Some((fault, instead)) = floor.and_then(|floor| floor_fault(floor, oldest, known.newest_glibc)) {
        return Err(Error::usage(format!("target `{word}`: {fault}")).hint(format!("use `{name}.{instead}`")));
    }
    // Of a group that has younger architectures too, an older floor than their first glibc means just that.
    let floor_of = |triple: &str| floor.map(|floor| if group { floor.max(Glibc::oldest_for(triple)) } else { floor });
    let wanted = |triple: &str, device| Wanted {
        triple: triple.into(),
        asked_floor: floor_of(triple),
        device,
        of_group: false,
        universal: UNIVERSAL.is(name),
    };
    let plain = |target: &Target| wanted(&target.triple, None);
    let pis = || catalog.devices.iter().filter(|device| is_pi(device));
    let member = |device: &'a Device| Wanted { of_group: true, ..wanted(&device.target, Some(device)) };
    let found = if UNIVERSAL.is(name) {
        UNIVERSAL.halves.iter().map(|triple| wanted(triple, None)).collect()
    } else if name == PI {
        pis().map(member).collect()
    } else if group {
        let of_os = |target: &&Target| known.platform_of(target).is_some() && (name == "all" || target.os() == name);
        catalog.targets.iter().filter(of_os).map(plain).collect()
    } else if let Some(target) = target {
        vec![plain(target)]
    } else if let Some(device) = catalog.device(name) {
        vec![wanted(&device.target, Some(device))]
    } else if known.rustc_targets.iter().any(|triple| triple == name) {
        vec![wanted(name, None)]
    } else {
        pis().filter(|device| group_id(&Triple::from(&*device.target)) == name).map(member).collect()
    };
    if found.is_empty() {
        return Err(unknown(name, catalog, known.rustc_targets));
    }
    if floor.is_some()
        && let Some(other) = found.iter().find(|wanted| !wanted.triple.is_glibc())
    {
        return Err(Error::usage(format!(
            "target `{word}`: a minimum glibc version is not supported for {}",
            other.triple
        ))
        .hint(format!("use `{name}`")));
    }
    Ok(found)
}
