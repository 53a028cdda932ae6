//! `cargo convoy plan`.

use std::collections::BTreeMap;

use clap::Args;

use crate::cli::PlanArgs;
use crate::command::prepare::{drop_aside, look};
use crate::command::{print, print_json};
use crate::model::code::Code;
use crate::model::recipe::Recipe;
use crate::model::request::Selection;
use crate::plan::Status;
use crate::report::{Phase, PlanReport, Style, table};
use crate::util::error::{Exit, Result};

#[derive(Args, Debug)]
pub struct PlanCommandArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Print the Dockerfiles of the images that `build` would build
    #[arg(long, help_heading = "Output Options", conflicts_with = "json")]
    pub dockerfile: bool,
}

impl PlanCommandArgs {
    /// The validated request, and whether JSON is asked for.
    pub fn validate(self) -> Result<(Selection, bool), clap::Error> {
        let json = self.plan.json;
        Ok((self.plan.validate()?, json))
    }
}

/// `cargo convoy plan`.
pub(super) fn plan(selection: &Selection, json: bool, style: Style) -> Result<Exit> {
    let (reporter, prepared) = look(selection, style)?;
    let plan = &prepared.planned.plan;
    prepared.planned.workspace.warn(&reporter);
    if json {
        print_json(&PlanReport::from(plan))?;
    } else {
        let mut text = table::plan(plan, style);
        if style.verbose > 0 {
            for (key, value, origin) in prepared.project.settings.origins() {
                text.push_str(&format!("\n{key} = {value}  ({origin})"));
            }
        }
        reporter.text(&text);
    }
    let exit = if plan.has_blocked() { Exit::Blocked } else { Exit::Success };
    drop_aside(prepared);
    Ok(exit)
}

/// `cargo convoy plan --dockerfile`: what a machine that has no image yet would make, whatever images are here.
pub(super) fn dockerfiles(selection: &Selection, style: Style) -> Result<Exit> {
    let (reporter, prepared) = look(selection, style)?;
    let plan = &prepared.planned.plan;
    prepared.planned.workspace.warn(&reporter);
    let mut recipes: BTreeMap<String, (&Recipe, Vec<&str>)> = BTreeMap::new();
    for cell in &plan.cells {
        if let Some(recipe) = cell.image.as_ref().and_then(|image| image.wanted.as_ref()) {
            recipes.entry(recipe.tag()).or_insert((recipe, Vec::new())).1.push(&cell.cell.id);
        }
    }
    let files =
        recipes.iter().map(|(tag, (recipe, ids))| format!("# {tag} for {}\n{}", ids.join(", "), recipe.dockerfile()));
    print(&files.collect::<Vec<_>>().join("\n"))?;
    if recipes.is_empty() {
        let user_image = plan.cells.iter().any(|cell| cell.image.is_some());
        reporter.text(match user_image {
            true => "no Dockerfile to print: the targets that are built in a container use your own images",
            false => "no Dockerfile to print: no target of this plan is built in a container",
        });
    }
    for cell in plan.cells.iter().filter(|cell| cell.status == Status::Blocked) {
        reporter.error(Phase::Plan, cell.because.clone()).target(&cell.cell.id).code(Code::Blocked).send();
    }
    Ok(if plan.has_blocked() { Exit::Blocked } else { Exit::Success })
}
