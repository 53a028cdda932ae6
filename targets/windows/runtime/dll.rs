//! Where a DLL starts.
#![no_std]

use core::ffi::{c_int, c_void};

unsafe extern "C" {
    fn __convoy_initialize_dll() -> c_int;
    fn __convoy_finish_dll();
}

unsafe extern "system" {
    fn DllMain(instance: *const c_void, reason: u32, reserved: *const c_void) -> c_int;
}

const DETACHED: u32 = 0;
const ATTACHED: u32 = 1;

#[unsafe(no_mangle)]
unsafe extern "system" fn _DllMainCRTStartup(instance: *const c_void, reason: u32, reserved: *const c_void) -> c_int {
    unsafe {
        if reason == ATTACHED && __convoy_initialize_dll() != 0 {
            return 0;
        }
        let answer = DllMain(instance, reason, reserved);
        if reason == DETACHED || (reason == ATTACHED && answer == 0) {
            __convoy_finish_dll();
        }
        answer
    }
}
