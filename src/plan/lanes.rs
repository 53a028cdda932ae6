//! Puts cells into lanes: as few cargo invocations as their environments allow, and as few images.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::Machine;
use crate::machine::engine::Engine;
use crate::plan::container::{self, ImagePlan};
use crate::plan::{CellPlan, Lane, ProvisionKind, RouteKind};
use crate::project::config::ContainerSettings;

/// One image for all cells that can share one.
pub(super) fn share_images(cells: &mut [CellPlan], machine: &Machine) {
    let Engine::Found(engine) = &machine.engine else { return };
    let mut images: Vec<&mut ImagePlan> = cells.iter_mut().filter_map(|cell| cell.image.as_mut()).collect();
    container::unify(&mut images, &engine.images);
    for cell in cells {
        let Some(image) = cell.image.as_ref().filter(|image| image.recipe().is_some()) else { continue };
        let known = image.present && (!image.is_opaque() || machine.image_facts.contains_key(&image.reference));
        cell.provision.retain(|provision| provision.kind != ProvisionKind::Image || !known);
        for provision in cell.provision.iter_mut().filter(|provision| provision.kind == ProvisionKind::Image) {
            provision.name.clone_from(&image.reference);
        }
    }
}

/// What decides which lane a cell may share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Placement {
    pub features: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub build_std: bool,
    pub image: Option<(String, ContainerSettings)>,
    /// Its linker would also serve build scripts and proc-macros.
    pub alone: bool,
}

/// Puts buildable cells into as few cargo invocations as their environments allow.
pub(super) fn assign(cells: &mut [CellPlan], placements: Vec<Option<Placement>>) -> Vec<Lane> {
    let mut lanes: Vec<(Lane, Placement, BTreeSet<String>)> = Vec::new();
    for (cell, placement) in cells.iter_mut().zip(placements) {
        let Some(placement) = placement else { continue };
        // cargo folds a repeated `--target`, so cells of one triple never share a lane.
        let shared = lanes.iter_mut().find(|(_, other, triples)| {
            *other == placement
                && !placement.alone
                && !placement.build_std
                && !triples.contains(cell.cell.target.as_str())
        });
        let route = cell.route.map_or("", RouteKind::name);
        match shared {
            Some((lane, _, triples)) => {
                triples.insert(cell.cell.target.to_string());
                lane.cells.push(cell.cell.id.clone());
                if lane.route != route {
                    lane.route = "mixed".to_owned();
                }
                cell.lane = Some(lane.id.clone());
            }
            None => {
                let plain = placement == Placement { image: placement.image.clone(), ..Placement::default() };
                let image = cell.image.as_ref();
                // Build scripts of one image may not start in another.
                let main = image.map_or("main".to_owned(), |image| format!("container-{}", image.short()));
                let first_plain = plain && !lanes.iter().any(|(lane, _, _)| lane.id == main);
                let id = match image {
                    _ if first_plain => main,
                    Some(_) => format!("{main}-{}", cell.cell.id),
                    None => cell.cell.id.clone(),
                };
                let lane = Lane {
                    id: id.clone(),
                    route: route.to_owned(),
                    cells: vec![cell.cell.id.clone()],
                    image: image.map(|image| image.reference.clone()),
                    features: placement.features.clone(),
                    env: placement.env.clone(),
                    build_std: placement.build_std,
                };
                lanes.push((lane, placement, BTreeSet::from([cell.cell.target.to_string()])));
                cell.lane = Some(id);
            }
        }
    }
    lanes.into_iter().map(|(lane, _, _)| lane).collect()
}
