//! Volumes that follow directories of this machine: only what changed is sent.

use std::collections::{BTreeMap, BTreeSet};

use super::fetch::OF_A_RUN;
use super::{Filled, KEY, Orders, PLACE, STATES, State, Step, Volumes, not_filled, unique};
use crate::plan::container::{Content, Stream, VolumeMount};
use crate::provision::listing::{Changes, Listing, Sent};
use crate::util::error::Result;
use crate::util::files;

/// A volume that is about to be filled.
struct Followed<'a> {
    stream: &'a Stream,
    name: &'a str,
    listing: &'a Listing,
    instance: String,
    /// Whether nothing is known of what is in it.
    anew: bool,
    changes: Changes,
    token: String,
}

/// All that one container is to fill.
#[derive(Default)]
struct Work<'a> {
    orders: Orders,
    /// The volumes as that container sees them.
    inside: Vec<VolumeMount>,
    /// Those that change, by their place in `inside`.
    followed: BTreeMap<usize, Followed<'a>>,
    /// The places of all, by their names.
    at: BTreeMap<&'a str, usize>,
}

impl Volumes<'_> {
    /// Makes the followed volumes what this machine's files are; gives the names of those that must be filled from the
    /// start, in which case nothing is changed.
    pub(super) fn follow(
        &self,
        streams: &[Stream],
        mounts: &[VolumeMount],
        listings: &BTreeMap<&str, Listing>,
        instances: &BTreeMap<String, String>,
        keys: &BTreeMap<String, String>,
        step: &dyn Fn(Step<'_>),
    ) -> Result<BTreeSet<String>> {
        let user = self.user.unwrap_or((0, 0));
        let mut work = Work::default();
        for (mount, stream) in mounts.iter().zip(streams) {
            if !work.at.contains_key(mount.name.as_str()) {
                self.compare(&mut work, stream, mount, listings, instances)?;
            }
        }
        work.order_changes(user, step)?;
        let written = |stream: &Stream| matches!(stream.content, Content::Written(_));
        for (mount, _) in mounts.iter().zip(streams).filter(|(_, stream)| written(stream)) {
            work.order_written(&mount.name, user, keys)?;
        }
        let Work { orders, mut inside, followed, .. } = work;
        inside.push(VolumeMount { name: self.states(), inside: format!("{PLACE}/{STATES}").into(), writable: true });
        let filled = self.fill(None, &inside, &orders, |archive| {
            for (index, followed) in &followed {
                followed.listing.write(&followed.changes.new, &index.to_string(), user, false, archive)?;
            }
            Ok(())
        })?;
        match filled {
            Filled::Done => {
                for Followed { name, listing, instance, token, .. } in followed.into_values() {
                    self.remember(name, &State { instance, token, sent: listing.sent() })?;
                }
                Ok(BTreeSet::new())
            }
            Filled::Lacks(places) => Ok(places.iter().filter_map(|place| name_of(place, &inside)).collect()),
            Filled::Taken(output) => Err(not_filled(&output)),
        }
    }

    /// Adds a volume to the work, with what has to be true of it and what has changed since it was last filled.
    fn compare<'a>(
        &self,
        work: &mut Work<'a>,
        stream: &'a Stream,
        mount: &'a VolumeMount,
        listings: &'a BTreeMap<&str, Listing>,
        instances: &BTreeMap<String, String>,
    ) -> Result<()> {
        let Work { orders, inside, followed, at } = work;
        let (index, name) = (inside.len(), mount.name.as_str());
        at.insert(name, index);
        let writable = !matches!(stream.content, Content::Kept { .. });
        inside.push(VolumeMount { name: name.to_owned(), inside: format!("{PLACE}/{index}").into(), writable });
        match &stream.content {
            Content::Kept { key, .. } => orders.add("is", &format!("{index}/{KEY}"), &files::sha256(key)),
            Content::Written(_) => Ok(()),
            Content::Followed(_) => {
                let Some(listing) = listings.get(name) else { return Ok(()) };
                let instance = instances.get(name).cloned().unwrap_or_default();
                let before = self.recall(name).filter(|state: &State| state.instance == instance);
                if let Some(before) = &before {
                    orders.add("is", &format!("{STATES}/{name}"), &before.token)?;
                }
                let changes = match &before {
                    Some(before) => listing.changes(&before.sent),
                    None => listing.changes(&Sent::default()),
                };
                // Nothing is done to one that is as it is to be.
                if before.is_none() || changes != Changes::default() {
                    let (token, anew) = (unique(), before.is_none());
                    followed.insert(index, Followed { stream, name, listing, instance, anew, changes, token });
                }
                Ok(())
            }
        }
    }
}

impl Work<'_> {
    /// What is done to the volumes that change.
    fn order_changes(&mut self, user: (u32, u32), step: &dyn Fn(Step<'_>)) -> Result<()> {
        for (index, Followed { stream, name, listing, anew, changes, token, .. }) in &self.followed {
            let bytes = listing.bytes_of(&changes.new);
            if bytes > 0 {
                step(Step::Sending { what: &stream.what, bytes, once: false });
            }
            let state = format!("{STATES}/{name}");
            self.orders.add("begin", &state, "-")?;
            if *anew {
                self.orders.add("clear", &index.to_string(), "-")?;
            }
            for path in &changes.gone {
                self.orders.add("gone", &format!("{index}/{path}"), "-")?;
            }
            self.orders.add("owner", &index.to_string(), &owner(user))?;
            self.orders.end(&state, token)?;
        }
        Ok(())
    }

    /// What is done to a volume that a lane writes to: its owner, its keys, and nothing left of an earlier run.
    fn order_written(&mut self, name: &str, user: (u32, u32), keys: &BTreeMap<String, String>) -> Result<()> {
        let index = self.at.get(name).copied().unwrap_or_default();
        self.orders.add("owner", &index.to_string(), &owner(user))?;
        for (target, key) in keys {
            self.orders.add("key", &format!("{index}/{target}"), &files::sha256(key))?;
        }
        for file in OF_A_RUN {
            self.orders.add("gone", &format!("{index}/{file}"), "-")?;
        }
        Ok(())
    }
}

fn owner((user, group): (u32, u32)) -> String {
    format!("{user}:{group}")
}

/// The volume that a place inside of the filling container belongs to.
fn name_of(place: &str, inside: &[VolumeMount]) -> Option<String> {
    let (first, rest) = place.split_once('/')?;
    if first == STATES {
        return Some(rest.to_owned());
    }
    inside.get(first.parse::<usize>().ok()?).map(|mount| mount.name.clone())
}
