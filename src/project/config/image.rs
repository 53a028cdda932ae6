//! Names of container images: what an engine would not take is refused where it is written, and nothing that is taken
//! can be read as an option of the engine's command line.

/// Whether a text names an image: `[host[:port]/]path[:tag][@digest]`.
pub(super) fn is_image(text: &str) -> bool {
    let (text, digest) = match text.split_once('@') {
        Some((text, digest)) => (text, Some(digest)),
        None => (text, None),
    };
    // `localhost:5000/x` has a port and no tag.
    let (name, tag) = match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    };
    is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

/// Whether names of images can begin with a text: `host[:port][/path]`, or a path alone.
pub(super) fn is_image_prefix(text: &str) -> bool {
    is_host(text) || is_name(text)
}

fn is_name(text: &str) -> bool {
    let path = match text.split_once('/') {
        Some((host, path)) if is_host(host) => path,
        _ => text,
    };
    path.split('/').all(is_component)
}

/// What a first component must look like to be a host: docker tells `team/x` from `example.org/x` in the same way.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let label = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    (name == "localhost" || name.contains('.') || port.is_some())
        && name.chars().all(label)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(plain) && text.ends_with(plain) && text.chars().all(|c| plain(c) || "-._".contains(c))
}

fn is_tag(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&text.len()) && text.starts_with(plain) && text.chars().all(|c| plain(c) || "-.".contains(c))
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.starts_with(|c: char| c.is_ascii_lowercase())
            && algorithm.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
            && hex.len() >= 32
            && hex.chars().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_what_is_none() {
        let digest = format!("debian@sha256:{}", "0a".repeat(32));
        for right in [
            "debian",
            "debian:bookworm-slim",
            "my/image:latest",
            "registry.example/cross-rs/aarch64-unknown-linux-gnu:0.2.5",
            "rustembedded/cross:armv7-unknown-linux-gnueabihf",
            "x86_64-unknown-linux-gnu.centos",
            "localhost:5000/tools:1",
            "localhost/tools",
            "127.0.0.1:5000/a/b",
            digest.as_str(),
        ] {
            assert!(is_image(right), "{right}");
        }
        for wrong in [
            "",
            "-v",
            "--privileged",
            "Debian",
            "a b",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:-x",
            "a@sha256:12",
            "a@",
            "a\n",
            "https://example.org/x",
            "ä",
            "host:port/x",
        ] {
            assert!(!is_image(wrong), "{wrong}");
        }
    }

    #[test]
    fn prefixes_have_no_tag() {
        for right in ["registry.example/team", "localhost:5000", "registry.example", "registry.example:443/a/b", "team"]
        {
            assert!(is_image_prefix(right), "{right}");
        }
        for wrong in [
            "",
            "https://registry.example",
            "registry.example/team/",
            "registry.example/team:1",
            "team@x",
            "-x",
            "a b",
            ":5000",
        ] {
            assert!(!is_image_prefix(wrong), "{wrong}");
        }
    }
}
