//! `cargo convoy why`: a need, the ways to it through the graph, and the ways out.

use crate::cli::PlanArgs;
use clap::Args;
use std::collections::BTreeSet;

use crate::command::prepare::{Prepared, environment, look};
use crate::command::print_json;
use crate::machine::engine::Engine;
use crate::model::request::Selection;
use crate::plan::remedy::{self, Chain, Remedy, RemedyKind};
use crate::plan::{self, CellPlan};
use crate::project::graph::{FeatureTables, PartialVersion, Slice};
use crate::project::needs::{self, Circumstances, Knowledge, Need, Side};
use crate::report::{Style, WhyCell, WhyNeed, WhyReport, WhyStep, advice};
use crate::util::error::{Error, Exit, Result};
use crate::util::suggest::nearest;

#[derive(Args, Debug)]
pub struct WhyArgs {
    /// A crate in the dependency graph, or a need: a tool (cmake), a library (openssl), a framework,
    /// or a kind of need (c-compiler)
    #[arg(value_name = "CRATE|NEED")]
    pub subject: String,
    #[command(flatten)]
    plan: PlanArgs,
}

impl WhyArgs {
    /// The subject, the validated request, and whether JSON is asked for.
    pub fn validate(self) -> Result<(String, Selection, bool), clap::Error> {
        let json = self.plan.json;
        Ok((self.subject, self.plan.validate()?, json))
    }
}

/// How many ways to a need are shown.
const CHAINS: usize = 4;

pub(super) fn why(subject: &str, selection: &Selection, json: bool, style: Style) -> Result<Exit> {
    let (reporter, prepared) = look(selection, style)?;
    let report = report(subject, &prepared)?;
    if json {
        print_json(&report)?;
    } else {
        reporter.text(&advice::why(&report, style));
    }
    let blocks = |need: &WhyNeed| need.cells.iter().any(|cell| cell.met_by.is_none());
    Ok(if report.needs.iter().any(blocks) { Exit::Blocked } else { Exit::Success })
}

/// The word that `why` is asked about.
struct Subject<'s> {
    text: &'s str,
    /// Of `CRATE@VERSION`.
    version: Option<PartialVersion>,
}

impl<'s> Subject<'s> {
    fn parse(text: &'s str) -> Result<Self> {
        let version = text.split_once('@').map(|(_, version)| version.parse()).transpose();
        let version = version.map_err(|why: String| Error::usage(format!("crate `{text}` {why}")))?;
        Ok(Self { text, version })
    }

    /// Without a version.
    fn name(&self) -> &'s str {
        self.text.split('@').next().unwrap_or(self.text)
    }

    fn is_package(&self, name: &str, version: &str) -> bool {
        let fits = |own: &PartialVersion| version.parse().is_ok_and(|version| own.matches(&version));
        name == self.name() && self.version.as_ref().is_none_or(fits)
    }
}

fn report(subject: &str, prepared: &Prepared) -> Result<WhyReport> {
    let subject = &Subject::parse(subject)?;
    let plan = &prepared.planned.plan;
    let mut found: Vec<Vec<(&Need, &CellPlan)>> = Vec::new();
    for cell in &plan.cells {
        for need in cell.needs.iter().filter(|need| means(subject, need)) {
            let same = |other: &Need| {
                (other.kind, &other.name, &other.package, &other.version, other.side)
                    == (need.kind, &need.name, &need.package, &need.version, need.side)
            };
            match found.iter_mut().find(|group| group.iter().any(|(other, _)| same(other))) {
                Some(group) => group.push((need, cell)),
                None => found.push(vec![(need, cell)]),
            }
        }
    }
    let path = if found.is_empty() { path_to(subject, prepared)? } else { Vec::new() };
    let ways = Ways::new(prepared)?;
    let needs = found.iter().filter_map(|group| ways.explain(group)).collect();
    Ok(WhyReport { schema: 1, kind: "why".to_owned(), subject: subject.text.to_owned(), needs, path })
}

/// Whether a word means a need: the crate that asks, the thing asked for, or its kind.
fn means(subject: &Subject<'_>, need: &Need) -> bool {
    let library = needs::Table::embedded().libraries.get(&need.name);
    let package = subject.is_package(&need.package, &need.version);
    let subject = subject.text;
    package
        || need.name == subject
        || need.kind.name() == subject
        || library.is_some_and(|library| {
            library.pkg_config.as_deref() == Some(subject)
                || library.link.iter().any(|link| link == subject)
                || library.debian.iter().any(|package| package == subject)
        })
}

/// The way to a crate that asks for nothing; an error for a word that means nothing at all.
fn path_to(subject: &Subject<'_>, prepared: &Prepared) -> Result<Vec<String>> {
    let mut versions = BTreeSet::new();
    for slice in prepared.slices.values() {
        let mut all = slice.target.iter().chain(&slice.host);
        if let Some(package) = all.find(|package| subject.is_package(&package.name, &package.version)) {
            return Ok(slice.path_to(package));
        }
        let all = slice.target.iter().chain(&slice.host).filter(|package| package.name == subject.name());
        versions.extend(all.map(|package| package.version.as_str()));
    }
    let subject = subject.text;
    if let Some(version) = versions.last() {
        let name = subject.split('@').next().unwrap_or(subject);
        let all = versions.iter().copied().collect::<Vec<_>>().join(", ");
        return Err(Error::usage(format!("`{subject}` is not in the dependency graph, which has `{name}` {all}"))
            .hint(format!("use `{name}@{version}`")));
    }
    let needs = prepared.planned.plan.cells.iter().flat_map(|cell| &cell.needs);
    let packages = prepared.slices.values().flat_map(|slice| slice.target.iter().chain(&slice.host));
    let words = needs.flat_map(|need| [need.name.as_str(), need.kind.name()]);
    let near = nearest(subject, words.chain(packages.map(|package| package.name.as_str())));
    let error = Error::usage(format!("no crate in the dependency graph is named `{subject}`, and none needs it"));
    Err(match near {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("run `cargo convoy plan -v` to list all needs"),
    })
}

/// Finds the ways to needs and out of them.
pub(super) struct Ways<'a> {
    prepared: &'a Prepared,
    tables: FeatureTables,
}

impl<'a> Ways<'a> {
    pub(super) fn new(prepared: &'a Prepared) -> Result<Self> {
        Ok(Self { prepared, tables: FeatureTables::from_metadata(&prepared.metadata)? })
    }

    /// One need, as it stands for each cell that has it.
    fn explain(&self, group: &[(&Need, &CellPlan)]) -> Option<WhyNeed> {
        let met: Vec<WhyCell> = group
            .iter()
            .map(|(need, cell)| WhyCell { id: cell.cell.id.clone(), met_by: self.met(need, cell) })
            .collect();
        let unmet: Vec<&CellPlan> =
            group.iter().zip(&met).filter(|(_, met)| met.met_by.is_none()).map(|((_, cell), _)| *cell).collect();
        let (need, first) = *group.first()?;
        let chains = self.chains(need, unmet.first().copied().unwrap_or(first));
        let steps = |chain: &Chain<'_>| {
            let step = |step: &remedy::Step<'_>| WhyStep {
                package: step.package.name.clone(),
                version: step.package.version.clone(),
                opened_by: step.opened_by.clone(),
            };
            chain.steps.iter().map(step).collect()
        };
        Some(WhyNeed {
            kind: need.kind,
            name: need.name.clone(),
            package: need.package.clone(),
            version: need.version.clone(),
            side: need.side,
            evidence: need.evidence.clone(),
            confidence: need.confidence,
            chains: chains.iter().map(steps).collect(),
            cells: met,
            remedies: self.remedies(need, &unmet),
        })
    }

    /// What meets a need of a cell. One that is not sure to be there blocks nothing.
    pub(super) fn met(&self, need: &Need, cell: &CellPlan) -> Option<String> {
        let settings = &self.prepared.project.settings;
        let met = plan::met(need, cell, &self.prepared.planned.machine, &settings.provisioning);
        let unsure = need.confidence == needs::Confidence::Unknown;
        met.or_else(|| unsure.then(|| "may not be needed".to_owned()))
    }

    /// The ways out, for the cells where nothing meets the need: those by features, which serve all, come first.
    pub(super) fn remedies(&self, need: &Need, unmet: &[&CellPlan]) -> Vec<Remedy> {
        let Some(first) = unmet.first() else { return Vec::new() };
        let mut remedies = self.by_features(need, first);
        for cell in unmet {
            for remedy in remedy::install(need, &cell.cell.target, &self.prepared.planned.machine) {
                if !remedies.contains(&remedy) {
                    remedies.push(remedy);
                }
            }
        }
        // Where the plan found that an engine would do, it says so.
        let would_do = |hint: &String| {
            let output = |cell: &&CellPlan| cell.hint.as_ref().is_some_and(|output| output.contains(hint.as_str()));
            need.is_of_tools() && unmet.iter().any(output)
        };
        if let Engine::None { hint: Some(hint), .. } = &self.prepared.planned.machine.engine
            && would_do(hint)
        {
            remedies.push(Remedy {
                kind: RemedyKind::Container,
                text: format!("build in a container: {hint}"),
                command: None,
                then_needs: Vec::new(),
            });
        }
        remedies
    }

    fn by_features(&self, need: &Need, cell: &CellPlan) -> Vec<Remedy> {
        let host = &self.prepared.planned.machine;
        let triple = match need.side {
            Side::Target => &cell.cell.target,
            Side::Host => &host.rustc.host,
        };
        let Prepared { project: plan::Project { settings, .. }, evidence, .. } = self.prepared;
        let env = environment(host, &cell.cell);
        let knowledge = Knowledge { evidence, user: &settings.needs, env: &env };
        let judged = |package: &crate::project::graph::Package| {
            needs::asked(package, Circumstances::new(triple, &host.rustc.host, &env), knowledge)
        };
        let Some(slice) = self.prepared.slices.get(&cell.cell.id) else { return Vec::new() };
        remedy::features(need, slice, &self.chains(need, cell), &self.tables, &judged)
    }

    fn chains(&self, need: &Need, cell: &CellPlan) -> Vec<Chain<'_>> {
        let Some(slice) = self.prepared.slices.get(&cell.cell.id) else { return Vec::new() };
        let Some(id) = id_of(slice, need) else { return Vec::new() };
        remedy::chains(slice, need.side, id, &self.tables, CHAINS)
    }
}

fn id_of<'s>(slice: &'s Slice, need: &Need) -> Option<&'s str> {
    let all = slice.target.iter().chain(&slice.host);
    let mut own = all.filter(|package| package.name == need.package && package.version == need.version);
    own.next().map(|package| package.id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let is = |subject: &str, version: &str| Subject::parse(subject).unwrap().is_package("foo", version);
        assert!(is("foo", "10.2.0") && is("foo@10", "10.2.0") && is("foo@1", "1.9.0") && is("foo@10.2.0", "10.2.0+x"));
        assert!(!is("foo@1", "10.2.0") && !is("foo@10.2", "10.20.0") && !is("fo@10", "10.2.0"));
        assert!(Subject::parse("foo@latest").is_err());
    }
}
