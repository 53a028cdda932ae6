//! Ways out by installing something on this machine.

use super::{Remedy, RemedyKind};
use crate::machine::{Machine, System};
use crate::model::catalog::{Catalog, tools};
use crate::project::needs::{Need, NeedKind, Side, Table};

/// What to install so that this machine meets a need for a target, in the words of its own package manager.
pub(crate) fn install(need: &Need, target: &str, machine: &Machine) -> Vec<Remedy> {
    let native = need.side == Side::Host || target == machine.rustc.host;
    let remedy = |text: String, command: Option<String>| Remedy {
        kind: RemedyKind::Install,
        text,
        command,
        then_needs: Vec::new(),
    };
    match need.kind {
        NeedKind::Tool => {
            let Some(tool) = tools::tool(&need.name) else {
                return vec![remedy(format!("install `{}` and add it to PATH", need.name), None)];
            };
            let mut remedies: Vec<Remedy> = command(machine.system, &packages_of_tool(tool, machine.system))
                .map(|command| remedy(format!("install {}", need.name), Some(command)))
                .into_iter()
                .collect();
            if let (Some(component), Some(toolchain)) = (&tool.rustup_component, &machine.toolchain) {
                let command = format!("rustup component add --toolchain {toolchain} {component}");
                remedies.push(remedy(format!("install {}", need.name), Some(command)));
            }
            if !tool.pip.is_empty() {
                let command = format!("pip install {}", tool.pip.join(" "));
                remedies.push(remedy(format!("install {} without root", need.name), Some(command)));
            }
            if !tool.cargo.is_empty() {
                let command = format!("cargo install {}", tool.cargo.join(" "));
                remedies.push(remedy(format!("install {}", need.name), Some(command)));
            }
            if remedies.is_empty() {
                remedies.push(remedy(format!("install `{}` and add it to PATH", need.name), None));
            }
            remedies
        }
        NeedKind::SystemLibrary => library(need, target, native, machine).into_iter().collect(),
        NeedKind::CCompiler | NeedKind::CxxCompiler | NeedKind::HostLinker if native => {
            let packages: &[&str] = match machine.system {
                System::Debian => &["g++"],
                System::Fedora => &["gcc-c++"],
                System::Arch => &["gcc"],
                System::MacOs => {
                    return vec![remedy(
                        "install Apple's compilers".to_owned(),
                        Some("xcode-select --install".to_owned()),
                    )];
                }
                System::Other => &[],
            };
            let packages: Vec<String> = packages.iter().map(|name| (*name).to_owned()).collect();
            vec![remedy("install a C and C++ compiler for this machine".to_owned(), command(machine.system, &packages))]
        }
        _ => Vec::new(),
    }
}

fn library(need: &Need, target: &str, native: bool, machine: &Machine) -> Option<Remedy> {
    let library = Table::embedded().libraries.get(&need.name)?;
    let packages = match machine.system {
        System::Debian => &library.debian,
        System::Fedora => &library.fedora,
        System::Arch => &library.arch,
        System::MacOs => &library.brew,
        System::Other => return None,
    };
    if native {
        let mut packages = packages.clone();
        if library.pkg_config.is_some() && !machine.tools.contains_key("pkg-config") {
            let tool = tools::tool("pkg-config")?;
            packages.extend(packages_of_tool(tool, machine.system));
        }
        let text = format!("install {} for this machine", need.name);
        return Some(Remedy {
            kind: RemedyKind::Install,
            text,
            command: command(machine.system, &packages),
            then_needs: Vec::new(),
        });
    }
    // Only Debian's packages of several architectures stand beside each other, and only its own cross gcc links them.
    let target = Catalog::embedded().target(target)?;
    let arch =
        target.debian_arch.as_ref().filter(|_| machine.system == System::Debian && target.multiarch.is_some())?;
    let gcc = target.gcc.as_ref()?;
    if packages.is_empty() || target.triple.is_musl() {
        return None;
    }
    let mut list: Vec<String> = packages.iter().map(|package| format!("{package}:{arch}")).collect();
    if !machine.tools.contains_key("pkg-config") {
        list.push("pkg-config".to_owned());
    }
    if !machine.gcc.contains_key(target.triple.as_str()) {
        list.push(format!("gcc-{}", gcc.prefix.replace('_', "-")));
    }
    let install = command(machine.system, &list)?;
    Some(Remedy {
        kind: RemedyKind::Install,
        text: format!(
            "install {} for the foreign architecture {arch} (the binary then needs at least this machine's glibc \
             version)",
            need.name
        ),
        command: Some(format!("sudo dpkg --add-architecture {arch} && sudo apt-get update && {install}")),
        then_needs: Vec::new(),
    })
}

fn packages_of_tool(tool: &tools::Tool, system: System) -> Vec<String> {
    match system {
        System::Debian => tool.debian.clone(),
        System::Fedora => tool.fedora.clone(),
        System::Arch => tool.arch.clone(),
        System::MacOs => tool.brew.clone(),
        System::Other => Vec::new(),
    }
}

/// The package manager's command that installs these.
fn command(system: System, packages: &[String]) -> Option<String> {
    if packages.is_empty() {
        return None;
    }
    let list = packages.join(" ");
    match system {
        System::Debian => Some(format!("sudo apt-get install {list}")),
        System::Fedora => Some(format!("sudo dnf install {list}")),
        System::Arch => Some(format!("sudo pacman -S {list}")),
        System::MacOs => Some(format!("brew install {list}")),
        System::Other => None,
    }
}

/// Several install commands of one package manager as one.
pub(crate) fn install_commands(remedies: &[Remedy]) -> Vec<String> {
    let mut merged: Vec<String> = Vec::new();
    for command in remedies.iter().filter(|r| r.kind == RemedyKind::Install).filter_map(|r| r.command.as_ref()) {
        // The packages come last, whatever is done before.
        let split = INSTALLERS.iter().find_map(|installer| Some(command.rfind(installer)? + installer.len()));
        let (prefix, packages) = command.split_at(split.unwrap_or(command.len()));
        match merged.iter().position(|other| split.is_some() && other.starts_with(prefix)) {
            Some(index) => {
                for package in packages.split(' ') {
                    if !merged[index].split(' ').any(|own| own == package) {
                        merged[index].push(' ');
                        merged[index].push_str(package);
                    }
                }
            }
            None if merged.contains(command) => {}
            None => merged.push(command.clone()),
        }
    }
    merged
}

const INSTALLERS: [&str; 4] = ["sudo apt-get install ", "sudo dnf install ", "sudo pacman -S ", "brew install "];
