//! For a DLL that has none of its own.
#![no_std]

use core::ffi::{c_int, c_void};

#[unsafe(no_mangle)]
extern "system" fn DllMain(_instance: *const c_void, _reason: u32, _reserved: *const c_void) -> c_int {
    1
}
