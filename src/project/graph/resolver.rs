//! Which of cargo's feature resolvers a workspace uses.

/// cargo's feature resolver, as the workspace's manifest chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// Edition 2015 and 2018.
    V1,
    /// Edition 2021.
    V2,
    /// Edition 2024.
    V3,
}

impl Resolver {
    /// Reads it from the workspace root's manifest: `resolver`, else what the root package's edition implies.
    pub fn of_manifest(text: &str) -> Resolver {
        #[derive(serde::Deserialize)]
        struct Manifest {
            workspace: Option<Section>,
            package: Option<Section>,
        }
        #[derive(serde::Deserialize)]
        struct Section {
            resolver: Option<String>,
            edition: Option<toml::Value>,
            package: Option<Inherited>,
        }
        #[derive(serde::Deserialize)]
        struct Inherited {
            edition: Option<String>,
        }
        let Ok(manifest) = toml::from_str::<Manifest>(text) else { return Resolver::V3 };
        let sections = [&manifest.workspace, &manifest.package];
        let explicit = sections.iter().find_map(|section| section.as_ref()?.resolver.clone());
        let edition = || {
            let edition = manifest.package.as_ref()?.edition.as_ref()?;
            let inherited = || manifest.workspace.as_ref()?.package.as_ref()?.edition.clone();
            edition.as_str().map(str::to_owned).or_else(inherited)
        };
        match explicit.as_deref() {
            Some("1") => Resolver::V1,
            Some("2") => Resolver::V2,
            Some(_) => Resolver::V3,
            None => match edition().as_deref() {
                Some("2021") => Resolver::V2,
                Some(newer) if newer > "2021" => Resolver::V3,
                _ => Resolver::V1,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Resolver;

    #[test]
    fn the_resolver_is_read_as_cargo_reads_it() {
        for (text, resolver) in [
            ("[package]\nname='a'", Resolver::V1),
            ("[package]\nedition='2021'", Resolver::V2),
            ("[package]\nedition='2024'", Resolver::V3),
            ("[package]\nedition='2024'\nresolver='1'", Resolver::V1),
            ("[workspace]\nresolver='2'", Resolver::V2),
            ("[workspace]\nmembers=[]", Resolver::V1),
            ("[workspace.package]\nedition='2024'\n[package]\nedition.workspace=true", Resolver::V3),
        ] {
            assert_eq!(Resolver::of_manifest(text), resolver, "{text}");
        }
    }
}
