//! Target words → cells.
//!
//! A cell's id makes `dist/<id>/`, the name of its log and its rows in the manifest. It follows from the word that asked for
//! the cell and from configuration, and never from the other words of a run:
//!
//! | word | id |
//! | --- | --- |
//! | a triple, or its platform: `linux/arm64` | `<triple>` |
//! | the same with a glibc floor: `linux/arm64.2.28` | `<triple>.<floor>` |
//! | a device, or an alias of it: `pi-4` | `<device>` |
//! | the same with a floor: `pi-4.2.36` | `<device>.<floor>` |
//! | a group of platforms: `linux` | those of its triples |
//! | a group of devices: `pi`, `pi.2.36` | `<group>-<architecture>`, `<group>-<architecture>.<floor>`: `pi-aarch64` |
//!
//! The members of a group of devices that share a triple are one cell, with the lowest CPU and the lowest floor among them.
//! That cell may only hold what holds for each of them, so a member whose own table or `--route` says anything stands
//! apart, under its own id. Words with one id are one cell; words with different ids are cells of their own, even where
//! their binaries would be the same.

mod words;

use std::sync::Arc;

use crate::machine::Machine;
use crate::model::catalog::{Catalog, Glibc, Target, UNIVERSAL, WindowsRuntime};
use crate::model::sysroot::Suites;
use crate::model::zig;
use crate::plan::Cell;
use crate::project::config::TargetSettings;
use crate::util::error::{Error, Result};
use crate::util::suggest::nearest;
use words::{GROUPS, Wanted, expand};
pub use words::{is_known, names_target, needs_target_list};

/// What words are resolved against.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Targets and devices.
    pub catalog: &'a Catalog,
    /// This machine's own triple.
    pub host: &'a str,
    /// What `rustc --print target-list` prints; empty where every word is known without.
    pub rustc_targets: &'a [String],
    /// The newest glibc that something can link against; none where any floor will do.
    pub newest_glibc: Option<Glibc>,
    /// Which target the platform of 64-bit Windows is.
    pub windows: WindowsRuntime,
}

impl<'a> Known<'a> {
    /// What the catalog knows, whatever the machine.
    pub fn of_catalog(catalog: &'a Catalog) -> Self {
        Self { catalog, host: "", rustc_targets: &[], newest_glibc: None, windows: WindowsRuntime::default() }
    }

    fn platform_of(&self, target: &'a Target) -> Option<&'a str> {
        self.catalog.platform_of(target, self.windows)
    }
}

/// The newest glibc that something can link against: of the pinned zig, of Debian's releases, of this machine's compilers.
pub fn newest_glibc(machine: &Machine) -> Glibc {
    let compilers = machine.gcc.values().filter_map(|gcc| gcc.glibc).chain(machine.glibc);
    let suites = Suites::embedded().all().iter().map(|suite| suite.glibc);
    suites.chain(compilers).fold(zig::newest_glibc(), Glibc::max)
}

/// Resolves the words into cells, each with what `configured` says for its names (the most specific last).
///
/// # Errors
/// A word that means nothing, and a glibc floor that no target of the word can have.
pub fn cells(
    words: &[String],
    known: &Known<'_>,
    configured: &dyn Fn(&[String]) -> TargetSettings,
) -> Result<Vec<Cell>> {
    let mut cells: Vec<Cell> = Vec::new();
    for word in words {
        let wanted = expand(word, known)?;
        let resolved = match wanted.first().is_some_and(|first| first.of_group) {
            true => fold_group(&wanted, known, configured)?,
            false => wanted.iter().map(|wanted| to_cell(wanted, known, configured)).collect::<Result<_>>()?,
        };
        for cell in resolved {
            match cells.iter_mut().find(|other| other.id == cell.id) {
                Some(other) => other.universal |= cell.universal,
                None => cells.push(cell),
            }
        }
    }
    Ok(cells)
}

fn unknown(name: &str, catalog: &Catalog, rustc_targets: &[String]) -> Error {
    let known = catalog
        .targets
        .iter()
        .flat_map(|t| t.platform.as_deref().into_iter().chain([t.triple.as_str()]))
        .chain([UNIVERSAL.triple, UNIVERSAL.platform])
        .chain(catalog.devices.iter().map(|d| d.name.as_str()))
        .chain(GROUPS.iter().copied())
        .chain(rustc_targets.iter().map(String::as_str));
    let error = Error::usage(format!("unknown target or device `{name}`"));
    match catalog.spelling(name).or_else(|| nearest(name, known)) {
        Some(near) => error.hint(format!("did you mean `{near}`? Run `cargo convoy targets` to list all targets")),
        None => error.hint("run `cargo convoy targets` to list all targets"),
    }
}

/// Why nothing can be linked for a floor; none where something can. `oldest` is the oldest of the triple.
fn floor_fault(floor: Glibc, oldest: Glibc, newest: Option<Glibc>) -> Option<(String, Glibc)> {
    if floor < oldest && oldest > Glibc::OLDEST {
        return Some((format!("the first glibc for this architecture is {oldest}"), oldest));
    }
    if floor < Glibc::OLDEST {
        return Some((format!("Rust's standard library requires glibc {} or newer", Glibc::OLDEST), Glibc::OLDEST));
    }
    let newest = newest.filter(|newest| floor > *newest)?;
    Some((format!("glibc versions newer than {newest} are not supported"), newest))
}

fn to_cell(wanted: &Wanted<'_>, known: &Known<'_>, configured: &dyn Fn(&[String]) -> TargetSettings) -> Result<Cell> {
    let Wanted { triple, asked_floor, device, .. } = wanted;
    let target = known.catalog.target(triple);
    let names = wanted.names(known);
    let settings = configured(&names);
    let configured_floor = settings.glibc.filter(|_| triple.is_glibc() && asked_floor.is_none());
    let id = wanted.id();
    if let Some(floor) = configured_floor
        && let Some((fault, instead)) = floor_fault(floor, Glibc::oldest_for(triple), known.newest_glibc)
    {
        return Err(Error::usage(format!(
            "target `{id}`: invalid `glibc = \"{floor}\"` in its [target] table: {fault}"
        ))
        .hint(format!("use `glibc = \"{instead}\"`")));
    }
    // The host's own triple with no floor asked is built as cargo builds it.
    let default = target.and_then(|target| target.default_floor).filter(|_| triple != known.host);
    Ok(Cell {
        id,
        floor_by_default: asked_floor.is_none() && settings.glibc.is_none() && device.is_none(),
        floor: asked_floor.or(configured_floor).or(device.map(|device| device.floor)).or(default),
        cpu: settings.cpu.clone().or_else(|| device.map(|device| device.cpu.clone())),
        platform: target.and_then(|target| known.platform_of(target)).map(str::to_owned),
        devices: device.map(|device| device.name.clone()).into_iter().collect(),
        target: triple.clone(),
        universal: wanted.universal,
        names,
        settings: Arc::new(settings),
    })
}

/// Members of a group that share a triple and of which nothing special is said become one cell, with the lowest CPU and
/// floor; the others stand apart.
fn fold_group(
    members: &[Wanted<'_>],
    known: &Known<'_>,
    configured: &dyn Fn(&[String]) -> TargetSettings,
) -> Result<Vec<Cell>> {
    let mut cells: Vec<Cell> = Vec::new();
    for member in members {
        let shared = member.without_device();
        let single = to_cell(member, known, configured)?;
        if *single.settings != configured(&shared.names(known)) {
            cells.push(single);
            continue;
        }
        let id = shared.id();
        match cells.iter_mut().find(|cell| cell.id == id) {
            Some(cell) => fold(cell, single, known.catalog),
            None => cells.push(Cell { id, ..single }),
        }
    }
    Ok(cells)
}

/// Lets a cell serve another device of its triple too.
fn fold(cell: &mut Cell, member: Cell, catalog: &Catalog) {
    let rank = |cpu: &Option<String>| catalog.cpu_rank(cpu.as_deref());
    if rank(&member.cpu) < rank(&cell.cpu) {
        cell.cpu = member.cpu;
    }
    cell.floor = lowest(cell.floor, member.floor);
    cell.devices.extend(member.devices);
    // They share what is said of the group; a member's own name still means the cell.
    let new: Vec<String> = member.names.into_iter().filter(|name| !cell.names.contains(name)).collect();
    cell.names.extend(new);
}

/// The lower of two floors. No floor promises nothing, so it is not the lowest.
fn lowest(a: Option<Glibc>, b: Option<Glibc>) -> Option<Glibc> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "x86_64-unknown-linux-gnu";

    fn try_cells(words: &[&str], configured: &dyn Fn(&[String]) -> TargetSettings) -> Result<Vec<Cell>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let rustc_targets = ["powerpc64-unknown-linux-gnu".to_owned()];
        let newest_glibc = Some(newest_glibc(&Machine::default()));
        let catalog = Catalog::embedded();
        let windows = WindowsRuntime::default();
        let known = Known { catalog, host: HOST, rustc_targets: &rustc_targets, newest_glibc, windows };
        cells(&words, &known, configured)
    }

    fn cells_of(words: &[&str]) -> Vec<Cell> {
        try_cells(words, &|_| TargetSettings::default()).unwrap()
    }

    /// What each of these tables says, by its word, for cells that go by it.
    type Table<'a> = (&'a str, fn(&mut TargetSettings));

    fn by_words<'a>(tables: &'a [Table<'a>]) -> impl Fn(&[String]) -> TargetSettings + 'a {
        move |names| {
            let mut settings = TargetSettings::default();
            let own = tables.iter().filter(|(word, _)| names.iter().any(|name| name == word));
            own.for_each(|(_, edit)| edit(&mut settings));
            settings
        }
    }

    fn brief(cells: &[Cell]) -> String {
        let line = |cell: &Cell| {
            let floor = cell.floor.map(|floor| floor.to_string()).unwrap_or_default();
            let cpu = cell.cpu.as_deref().unwrap_or("-");
            let flags = cell.settings.rustflags.join(" ");
            format!("{}: {} {floor} {cpu} {:?} {flags}", cell.id, cell.target, cell.devices).trim_end().to_owned()
        };
        cells.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_default_matrix() {
        insta::assert_snapshot!(brief(&cells_of(crate::model::catalog::DEFAULT_MATRIX)));
    }

    #[test]
    fn a_group_folds_devices_and_named_ones_stay_apart() {
        let output =
            [&["pi"][..], &["pi.2.36"], &["pi-4", "pi-5"], &["pi-aarch64", "pi"]].map(|words| brief(&cells_of(words)));
        insta::assert_snapshot!(output.join("\n\n"));
    }

    #[test]
    fn floors_and_devices_of_one_triple_get_ids_of_their_own() {
        insta::assert_snapshot!(brief(&cells_of(&[
            "aarch64-unknown-linux-gnu.2.31",
            "linux/arm64.2.36",
            "pi-4",
            "pi-4.2.36",
            "linux/arm64",
            "powerpc64-unknown-linux-gnu",
            "x86_64-unknown-linux-gnu.2.28",
            "linux/amd64"
        ])));
    }

    #[test]
    fn what_is_said_of_one_device_is_in_no_binary_of_another() {
        let lse = |settings: &mut TargetSettings| settings.rustflags.push("-Ctarget-feature=+lse".to_owned());
        let crc = |settings: &mut TargetSettings| settings.rustflags.push("-Ctarget-feature=+crc".to_owned());
        let output = [
            &[("pi-5", lse as fn(&mut TargetSettings))][..],
            &[("pi-4-64", lse), ("pi-5", lse), ("pi-2", crc)],
            &[("pi", crc), ("pi-5", lse)],
            &[("pi-aarch64", crc)],
            &[("linux/arm64", crc)],
        ]
        .map(|tables| brief(&try_cells(&["pi"], &by_words(tables)).unwrap()));
        insta::assert_snapshot!(output.join("\n\n"));
    }

    /// `dist/<id>/` is a promise: release scripts go by it.
    #[test]
    fn an_id_depends_on_no_other_word_of_the_run() {
        let words = [
            "linux/arm64",
            "aarch64-unknown-linux-gnu",
            "linux/arm64.2.31",
            "linux/arm64.2.36",
            "linux",
            "linux.2.28",
            "all",
            "pi",
            "pi.2.36",
            "pi-armv7",
            "pi-5",
            "pi-5-64",
            "pi-5.2.36",
            "pi-zero",
            "pi-1",
        ];
        let lse = |settings: &mut TargetSettings| settings.rustflags.push("-Ctarget-feature=+lse".to_owned());
        let tables = [("pi-5", lse as fn(&mut TargetSettings)), ("aarch64-unknown-linux-gnu.2.36", lse)];
        for tables in [&tables[..], &[]] {
            let configured = by_words(tables);
            let alone = |word: &str| try_cells(&[word], &configured).unwrap();
            let mut expected: Vec<Cell> = Vec::new();
            for cell in words.iter().flat_map(|word| alone(word)) {
                match expected.iter().find(|other| other.id == cell.id) {
                    Some(other) => assert_eq!(*other, cell),
                    None => expected.push(cell),
                }
            }
            assert_eq!(try_cells(&words, &configured).unwrap(), expected);
        }
    }

    #[test]
    fn words_for_windows_mean_the_runtime_that_configuration_names() {
        let cells = |word: &str, windows| {
            let known = Known { windows, ..Known::of_catalog(Catalog::embedded()) };
            let names =
                |names: &[String]| by_words(&[("windows/amd64", |settings| settings.build_std = Some(true))])(names);
            let cells = super::cells(&[word.to_owned()], &known, &names).unwrap();
            let brief = |cell: &Cell| (cell.id.clone(), cell.platform.clone(), cell.settings.build_std.is_some());
            cells.iter().map(brief).filter(|(id, ..)| id.contains("windows")).collect::<Vec<_>>()
        };
        let platform = Some("windows/amd64".to_owned());
        for (windows, means, other) in [
            (WindowsRuntime::Gnu, "x86_64-pc-windows-gnu", "x86_64-pc-windows-msvc"),
            (WindowsRuntime::Msvc, "x86_64-pc-windows-msvc", "x86_64-pc-windows-gnu"),
        ] {
            let meant = (means.to_owned(), platform.clone(), true);
            for word in ["windows/amd64", "win64", means] {
                assert_eq!(cells(word, windows), std::slice::from_ref(&meant), "{word}");
            }
            assert_eq!(cells(other, windows), [(other.to_owned(), None, false)]);
            for group in ["windows", "all"] {
                let ids: Vec<_> = cells(group, windows).into_iter().map(|(id, ..)| id).collect();
                assert!(ids.iter().any(|id| id == means) && !ids.iter().any(|id| id == other), "{group}: {ids:?}");
            }
        }
    }

    #[test]
    fn no_group_is_called_as_a_device_or_a_triple_is() {
        let catalog = Catalog::embedded();
        let mut triples = std::collections::BTreeMap::new();
        for cell in cells_of(&["pi"]) {
            assert!(catalog.device(&cell.id).is_none() && catalog.target(&cell.id).is_none(), "{}", cell.id);
            assert_eq!(triples.insert(cell.id.clone(), cell.target.clone()), None, "{}", cell.id);
            assert_eq!(cells_of(&[&cell.id]), [cell]);
        }
    }

    #[test]
    fn a_table_means_a_cell_by_every_name_of_it_and_the_most_specific_comes_last() {
        let names = |word: &str| cells_of(&[word]).remove(0).names.join(" ");
        insta::assert_snapshot!(
            ["linux/arm64", "linux/arm64.2.28", "x86_64-unknown-linux-musl", "pi-4-64.2.36"].map(names).join("\n")
        );
        let cpu = |settings: &mut TargetSettings| settings.cpu = Some("cortex-a76".to_owned());
        for (table, word) in [
            ("aarch64-unknown-linux-gnu.2.36", "linux/arm64.2.36"),
            ("linux/arm64.2.36", "aarch64-unknown-linux-gnu.2.36"),
            ("linux", "linux/arm64"),
            ("pi", "pi-4"),
            ("pi-4", "pi-4-64"),
            ("pi-4-64", "pi-4"),
            ("pi-4.2.36", "pi-4.2.36"),
        ] {
            let tables = [(table, cpu as fn(&mut TargetSettings))];
            let cells = try_cells(&[word], &by_words(&tables)).unwrap();
            assert_eq!(cells[0].cpu.as_deref(), Some("cortex-a76"), "{table} for {word}");
        }
    }

    #[test]
    fn a_floor_that_is_there_is_lower_than_none() {
        let floor = |text: &str| Some(text.parse().unwrap());
        assert_eq!(lowest(None, floor("2.31")), floor("2.31"));
        assert_eq!(lowest(floor("2.36"), None), floor("2.36"));
        assert_eq!(lowest(floor("2.36"), floor("2.31")), floor("2.31"));
    }

    #[test]
    fn wrong_words_are_refused_with_a_way_on() {
        let mut output = String::new();
        for word in [
            "pi4",
            "linux/amr64",
            "qqq",
            "aarch64-unknown-linux-gnu.2.x",
            "aarch64-unknown-linux-gnu.2.028",
            "darwin/arm64.2.31",
            "pi-4.2.12",
            "pi-4.2.99",
            "powerpc64-unknown-linux-gn",
            "linux/loong64.2.31",
        ] {
            let error = try_cells(&[word], &|_| TargetSettings::default()).unwrap_err();
            output += &format!("{error}\n  hint: {}\n", error.hint_text().unwrap_or("-"));
        }
        for floor in ["2.5", "2.99"] {
            let glibc = Some(floor.parse().unwrap());
            let configured = |_: &[String]| TargetSettings { glibc, ..TargetSettings::default() };
            output += &format!("{}\n", try_cells(&["linux/arm64"], &configured).unwrap_err());
            // It means nothing for this one.
            assert!(try_cells(&["darwin/arm64"], &configured).is_ok());
        }
        insta::assert_snapshot!(output);
    }

    #[test]
    fn every_floor_of_the_catalog_can_be_linked_for() {
        let catalog = Catalog::embedded();
        let floors = catalog.targets.iter().filter_map(|target| target.default_floor);
        for floor in floors.chain(catalog.devices.iter().map(|device| device.floor)) {
            assert_eq!(floor_fault(floor, Glibc::OLDEST, Some(zig::newest_glibc())), None);
        }
    }
}
