//! The checks of WebAssembly modules.

use super::super::{Finding, Wasm, name_some};
use crate::model::code::Code;

/// The interface of WASI preview 1; every runtime of `wasm32-wasip1` has it.
const WASI: &str = "wasi_snapshot_preview1";

/// The functions of it (`witx/wasi_snapshot_preview1.witx` of the specification).
const FUNCTIONS: [&str; 46] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

pub(super) fn judge(wasm: &Wasm) -> Finding {
    let foreign = wasm.imports.iter().filter(|import| import.module != WASI || !FUNCTIONS.contains(&&*import.name));
    let foreign: Vec<String> = foreign.map(|import| format!("`{}` of `{}`", import.name, import.module)).collect();
    if foreign.is_empty() {
        return Finding::ok(Code::WasiImports, format!("imports only WASI functions ({})", wasm.imports.len()));
    }
    Finding::violation(
        Code::ImportNotInWasi,
        format!(
            "imports {}, which WASI preview 1 does not have: no runtime starts the module; a C library was not linked, \
             or a crate is made for JavaScript hosts (`wasm-bindgen`), so disable it for this target",
            name_some(&foreign)
        ),
    )
}
