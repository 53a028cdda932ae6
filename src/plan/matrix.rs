//! Target words → cells.

use std::collections::BTreeMap;

use crate::catalog::{Catalog, Device, Glibc, Target};
use crate::config::TargetSettings;
use crate::error::{Error, Result};
use crate::plan::Cell;
use crate::suggest::nearest;

/// The oldest glibc that Rust's own std starts on.
const RUST_FLOOR: Glibc = Glibc { major: 2, minor: 17 };

/// Groups of targets and what they hold.
const GROUPS: &[&str] = &["linux", "darwin", "windows", "pi", "all"];

/// A word, resolved but not yet folded with the others.
#[derive(Clone, Debug)]
struct Wanted {
    triple: String,
    asked_floor: Option<Glibc>,
    device: Option<Device>,
}

/// The words that configuration may change a cell by.
pub fn names_of(cell: &Cell) -> impl Iterator<Item = &str> {
    [cell.id.as_str(), cell.target.as_str()]
        .into_iter()
        .chain(cell.platform.as_deref())
        .chain(cell.devices.iter().flat_map(|device| names_of_device(device)))
}

/// A device's name as it was asked for, and its own where that is an alias.
fn names_of_device(device: &str) -> impl Iterator<Item = &str> {
    let own = Catalog::embedded().device(device).map(|own| own.name.as_str()).filter(|own| *own != device);
    std::iter::once(device).chain(own)
}

/// Whether every word is known without asking rustc for its target list.
pub fn needs_target_list(words: &[String], catalog: &Catalog) -> bool {
    words.iter().any(|word| {
        let (name, _) = split_floor(word);
        !GROUPS.contains(&name)
            && catalog.target(name).is_none()
            && catalog.platform(name).is_none()
            && catalog.device(name).is_none()
    })
}

/// Resolves the words and folds what is the same. `rustc_targets` is what `rustc --print target-list` knows;
/// `configured` is what configuration says for a cell that goes by these names.
pub fn cells(
    words: &[String],
    catalog: &Catalog,
    host: &str,
    rustc_targets: &[String],
    configured: &dyn Fn(&[&str]) -> TargetSettings,
) -> Result<Vec<Cell>> {
    let mut folded: Vec<Cell> = Vec::new();
    for word in words {
        let expanded = expand(word, catalog, rustc_targets)?;
        // A device named by itself is a cell of its own; those that only a group brings share one by triple.
        let from_group = expanded.len() > 1;
        let cells = expanded.into_iter().map(|wanted| to_cell(wanted, catalog, host, configured));
        let cells: Vec<Cell> = if from_group { fold_devices(cells.collect(), catalog) } else { cells.collect() };
        for cell in cells {
            match folded.iter_mut().find(|other| same_build(other, &cell)) {
                Some(other) => {
                    for device in cell.devices {
                        if !other.devices.contains(&device) {
                            other.devices.push(device);
                        }
                    }
                }
                None => folded.push(cell),
            }
        }
    }
    name_cells(&mut folded);
    // Only now it is known which cell an id means. A floor is a part of such an id, but a CPU is none.
    for cell in folded.iter_mut().filter(|cell| cell.id != cell.target && !cell.devices.contains(&cell.id)) {
        if let Some(cpu) = configured(&[&cell.id]).cpu {
            cell.cpu = Some(cpu);
        }
    }
    Ok(folded)
}

fn same_build(a: &Cell, b: &Cell) -> bool {
    a.target == b.target && a.floor == b.floor && a.cpu == b.cpu
}

fn split_floor(word: &str) -> (&str, Option<&str>) {
    // Neither triples nor platforms nor devices that take a floor hold a dot; rustc's few that do
    // (`thumbv8m.main-none-eabi`) have a letter behind it.
    match word.split_once('.') {
        Some((name, floor)) if floor.starts_with(|c: char| c.is_ascii_digit()) => (name, Some(floor)),
        _ => (word, None),
    }
}

fn expand(word: &str, catalog: &Catalog, rustc_targets: &[String]) -> Result<Vec<Wanted>> {
    let (name, floor) = split_floor(word);
    let floor = floor
        .map(|text| text.parse::<Glibc>().map_err(|why| Error::usage(format!("target `{word}`: {why}"))))
        .transpose()?;
    if let Some(floor) = floor
        && floor < RUST_FLOOR
    {
        return Err(Error::usage(format!("target `{word}`: Rust's own std asks for glibc {RUST_FLOOR} or newer"))
            .hint(format!("use `{name}.{RUST_FLOOR}`")));
    }
    let plain = |target: &Target| Wanted { triple: target.triple.clone(), asked_floor: floor, device: None };
    let of_os = |os: &str| -> Vec<Wanted> {
        catalog.targets.iter().filter(|t| t.platform.is_some() && (os == "all" || t.os() == os)).map(plain).collect()
    };
    let wanted = match name {
        "pi" => catalog
            .devices
            .iter()
            .filter(|device| device.name.starts_with("pi-"))
            .map(|device| Wanted { triple: device.target.clone(), asked_floor: floor, device: Some(device.clone()) })
            .collect(),
        "linux" | "darwin" | "windows" | "all" => of_os(name),
        _ => {
            if let Some(target) = catalog.target(name).or_else(|| catalog.platform(name)) {
                vec![plain(target)]
            } else if let Some(device) = catalog.device(name) {
                vec![Wanted {
                    triple: device.target.clone(),
                    asked_floor: floor,
                    device: Some(Device { name: name.to_owned(), ..device.clone() }),
                }]
            } else if rustc_targets.iter().any(|triple| triple == name) {
                vec![Wanted { triple: name.to_owned(), asked_floor: floor, device: None }]
            } else {
                return Err(unknown(name, catalog, rustc_targets));
            }
        }
    };
    if floor.is_some()
        && let Some(odd) = wanted.iter().find(|wanted| !takes_floor(&wanted.triple))
    {
        return Err(Error::usage(format!("target `{word}`: a glibc floor means nothing for {}", odd.triple))
            .hint(format!("use `{name}`")));
    }
    Ok(wanted)
}

fn unknown(name: &str, catalog: &Catalog, rustc_targets: &[String]) -> Error {
    let known = catalog
        .targets
        .iter()
        .flat_map(|t| t.platform.as_deref().into_iter().chain([t.triple.as_str()]))
        .chain(catalog.devices.iter().map(|d| d.name.as_str()))
        .chain(GROUPS.iter().copied())
        .chain(rustc_targets.iter().map(String::as_str));
    let error = Error::usage(format!("unknown target or device `{name}`"));
    match catalog.spelling(name).or_else(|| nearest(name, known)) {
        Some(near) => error.hint(format!("did you mean `{near}`? `cargo convoy targets` lists what is known")),
        None => error.hint("`cargo convoy targets` lists what is known"),
    }
}

/// Whether a glibc floor means something for a triple.
pub fn takes_floor(triple: &str) -> bool {
    triple.contains("-linux-gnu")
}

fn to_cell(wanted: Wanted, catalog: &Catalog, host: &str, configured: &dyn Fn(&[&str]) -> TargetSettings) -> Cell {
    let target = catalog.target(&wanted.triple);
    let platform = target.and_then(|target| target.platform.clone());
    let device = wanted.device.as_ref();
    let names: Vec<&str> = [Some(wanted.triple.as_str()), platform.as_deref()]
        .into_iter()
        .flatten()
        .chain(device.into_iter().flat_map(|device| names_of_device(&device.name)))
        .collect();
    let settings = configured(&names);
    // The host's own triple with no floor asked is built as cargo builds it.
    let default = target.and_then(|target| target.default_floor).filter(|_| wanted.triple != host);
    Cell {
        id: String::new(),
        floor_by_default: wanted.asked_floor.is_none() && settings.glibc.is_none() && device.is_none(),
        floor: wanted
            .asked_floor
            .or(settings.glibc.filter(|_| takes_floor(&wanted.triple)))
            .or(device.map(|device| device.floor))
            .or(default),
        cpu: settings.cpu.or_else(|| device.map(|device| device.cpu.clone())),
        platform,
        devices: wanted.device.map(|device| device.name).into_iter().collect(),
        target: wanted.triple,
    }
}

/// Cells of devices that share a triple become one, with the lowest CPU and floor.
fn fold_devices(cells: Vec<Cell>, catalog: &Catalog) -> Vec<Cell> {
    let rank = |cpu: &Option<String>| catalog.cpu_rank(cpu.as_deref());
    let mut folded: Vec<Cell> = Vec::new();
    for cell in cells {
        match folded.iter_mut().find(|other| other.target == cell.target) {
            Some(other) => {
                if rank(&cell.cpu) < rank(&other.cpu) {
                    other.cpu.clone_from(&cell.cpu);
                }
                other.floor = other.floor.min(cell.floor);
                other.floor_by_default &= cell.floor_by_default;
                other.devices.extend(cell.devices);
            }
            None => folded.push(cell),
        }
    }
    folded
}

/// The triple where it is unique, else the device, else `<triple>.<floor>`.
fn name_cells(cells: &mut [Cell]) {
    let mut of_triple: BTreeMap<String, usize> = BTreeMap::new();
    for cell in cells.iter() {
        *of_triple.entry(cell.target.clone()).or_default() += 1;
    }
    let floor = |cell: &Cell| cell.floor.map(|floor| format!(".{floor}")).unwrap_or_default();
    for cell in cells.iter_mut() {
        cell.id = match cell.devices.first() {
            _ if of_triple[&cell.target] == 1 => cell.target.clone(),
            Some(device) => device.clone(),
            None => format!("{}{}", cell.target, floor(cell)),
        };
    }
    let mut of_id: BTreeMap<String, usize> = BTreeMap::new();
    for cell in cells.iter() {
        *of_id.entry(cell.id.clone()).or_default() += 1;
    }
    for cell in cells.iter_mut() {
        if of_id[&cell.id] > 1 {
            cell.id = format!("{}{}", cell.id, floor(cell));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells_of(words: &[&str]) -> Vec<Cell> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let list = ["riscv64gc-unknown-linux-gnu".to_owned()];
        cells(&words, Catalog::embedded(), "x86_64-unknown-linux-gnu", &list, &|_| TargetSettings::default()).unwrap()
    }

    #[test]
    fn tables_count_by_a_cells_id_and_by_a_devices_own_name() {
        let configured = |names: &[&str]| {
            let cpu = match names {
                _ if names.contains(&"aarch64-unknown-linux-gnu.2.36") => Some("cortex-a76"),
                _ if names.contains(&"pi-4") => Some("cortex-a55"),
                _ => None,
            };
            TargetSettings { cpu: cpu.map(str::to_owned), ..TargetSettings::default() }
        };
        let cpus = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let cells = cells(&words, Catalog::embedded(), "x86_64-unknown-linux-gnu", &[], &configured).unwrap();
            cells.into_iter().map(|cell| cell.cpu.unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!(cpus(&["linux/arm64.2.31", "linux/arm64.2.36"]), ["", "cortex-a76"]);
        // An alias of the device.
        assert_eq!(cpus(&["pi-4-64"]), ["cortex-a55"]);
    }

    fn brief(words: &[&str]) -> Vec<String> {
        cells_of(words)
            .iter()
            .map(|cell| {
                format!(
                    "{} {} {} {} {:?}",
                    cell.id,
                    cell.target,
                    cell.floor.map(|f| f.to_string()).unwrap_or_default(),
                    cell.cpu.as_deref().unwrap_or("-"),
                    cell.devices
                )
            })
            .collect()
    }

    #[test]
    fn the_default_matrix() {
        insta::assert_snapshot!(brief(crate::catalog::DEFAULT_MATRIX).join("\n"));
    }

    #[test]
    fn a_group_folds_devices_and_named_ones_stay_apart() {
        insta::assert_snapshot!(format!("{}\n\n{}", brief(&["pi"]).join("\n"), brief(&["pi-4", "pi-5"]).join("\n")));
    }

    #[test]
    fn floors_and_devices_of_one_triple_get_ids_of_their_own() {
        insta::assert_snapshot!(
            brief(&[
                "aarch64-unknown-linux-gnu.2.31",
                "linux/arm64.2.36",
                "pi-4",
                "pi-4.2.36",
                "linux/arm64",
                "riscv64gc-unknown-linux-gnu",
                "x86_64-unknown-linux-gnu.2.28",
                "linux/amd64"
            ])
            .join("\n")
        );
    }

    #[test]
    fn wrong_words_are_refused_with_a_way_on() {
        let list = ["riscv64gc-unknown-linux-gnu".to_owned()];
        let mut told = String::new();
        for word in [
            "pi4",
            "linux/amr64",
            "qqq",
            "aarch64-unknown-linux-gnu.2.x",
            "darwin/arm64.2.31",
            "pi-4.2.12",
            "riscv64gc-unknown-linux-gn",
        ] {
            let error = cells(&[word.to_owned()], Catalog::embedded(), "x86_64-unknown-linux-gnu", &list, &|_| {
                TargetSettings::default()
            })
            .unwrap_err();
            told += &format!("{error}\n  hint: {}\n", error.hint_text().unwrap_or("-"));
        }
        insta::assert_snapshot!(told);
    }
}
