# Shared by the scripts of this folder; sourced, never run.
# shellcheck shell=bash

# rustup is never to install or update a toolchain: not for us, and not for a crate that pins one.
export RUSTUP_AUTO_INSTALL=0

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

# Prints and runs a step of a script.
step() {
    say "== $*"
    "$@"
}

# seconds_text 83 -> 1m23s
seconds_text() {
    awk -v s="$1" 'BEGIN { if (s < 60) printf "%.0fs", s; else printf "%dm%02ds", s / 60, s % 60 }'
}

# The toolchain that holds in the repository, so that a pinned `rust-toolchain.toml` of a downloaded crate changes nothing.
use_active_toolchain() {
    command -v rustup >/dev/null || return 0
    RUSTUP_TOOLCHAIN=$(cd "$root" && rustup show active-toolchain | cut -d' ' -f1)
    export RUSTUP_TOOLCHAIN
}

# copy_crate NAME VERSION DIR: a crate's published source, unmodified, by cargo's own client.
copy_crate() {
    local name=$1 version=$2 dir=$3 fetch
    fetch=$(mktemp -d)
    cat >"$fetch/Cargo.toml" <<TOML
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[lib]
path = "lib.rs"
[dependencies]
"$name" = { version = "=$version", default-features = false }
[workspace]
TOML
    touch "$fetch/lib.rs"
    # `cargo vendor` would resolve and fetch the whole graph of each crate; its own lock file is what is wanted here.
    cargo fetch --quiet --manifest-path "$fetch/Cargo.toml"
    local source
    source=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -mindepth 2 -maxdepth 2 -name "$name-$version" | head -n 1)
    [ -n "$source" ] || die "cargo fetched $name $version and its source is nowhere"
    mkdir -p "$(dirname "$dir")"
    cp -r "$source" "$dir"
    # cargo's own mark of an unpacked crate is no part of it.
    rm -rf "$fetch" "$dir/.cargo-ok"
}

# debian_mirror: the folder above `dists` of the archive of Debian that this machine's apt uses; nothing where it knows none.
debian_mirror() {
    command -v apt-get >/dev/null || return 0
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' | sed -n 's|/* Debian Debian$||p' | head -n 1
}

# python_environment DIR REQUIREMENTS: an environment with the Python packages of a list, made where it is not yet. Needs a
# network and python3 with pip, which `ci/setup build` installs.
python_environment() {
    local dir=$1 requirements=$2
    # Complete once the copy of the list is there, which is written last.
    ! cmp --silent "$requirements" "$dir/installed.txt" || return 0
    say "installing $(basename "$requirements") into ${dir#"$root"/}"
    rm -rf "$dir"
    mkdir -p "$(dirname "$dir")"
    # Debian's python3 has no pip to put into an environment; the one outside can install there.
    python3 -m venv --without-pip "$dir"
    python3 -m pip --quiet --disable-pip-version-check --python "$dir/bin/python" install --no-deps \
        --only-binary :all: --requirement "$requirements"
    cp "$requirements" "$dir/installed.txt"
}
