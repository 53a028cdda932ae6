//! Where a program starts. Compiled once for each name of `main`, with `--cfg entry="..."`, so that each is a member of
//! the archive by itself and the linker takes the one it was asked for.
#![no_std]

#[allow(unused_imports)]
use core::ffi::{c_char, c_int, c_void};

#[allow(dead_code)]
unsafe extern "C" {
    fn __convoy_initialize() -> c_int;
    fn _set_app_type(kind: c_int);
    fn _configure_narrow_argv(mode: c_int) -> c_int;
    fn _initialize_narrow_environment() -> c_int;
    fn _get_initial_narrow_environment() -> *mut *mut c_char;
    fn _configure_wide_argv(mode: c_int) -> c_int;
    fn _initialize_wide_environment() -> c_int;
    fn _get_initial_wide_environment() -> *mut *mut u16;
    fn __p___argc() -> *mut c_int;
    fn __p___argv() -> *mut *mut *mut c_char;
    fn __p___wargv() -> *mut *mut *mut u16;
    fn _get_narrow_winmain_command_line() -> *mut c_char;
    fn _get_wide_winmain_command_line() -> *mut u16;
    fn exit(code: c_int) -> !;

    safe static __ImageBase: u8;
}

/// What the Universal CRT calls a console program, and one with windows.
#[allow(dead_code)]
const CONSOLE: c_int = 1;
#[allow(dead_code)]
const WINDOWS: c_int = 2;

/// Arguments as they are, without wildcards that are expanded.
const ARGUMENTS: c_int = 1;

/// `SW_SHOWDEFAULT`: how a program's first window is shown.
#[allow(dead_code)]
const SHOW: c_int = 10;

/// What the loader leaves with a program whose C runtime cannot start.
const CANNOT_START: c_int = 255;

#[cfg(any(entry = "main", entry = "WinMain"))]
unsafe fn start(kind: c_int) {
    unsafe {
        _set_app_type(kind);
        if _configure_narrow_argv(ARGUMENTS) != 0
            || _initialize_narrow_environment() != 0
            || __convoy_initialize() != 0
        {
            exit(CANNOT_START);
        }
    }
}

#[cfg(any(entry = "wmain", entry = "wWinMain"))]
unsafe fn start(kind: c_int) {
    unsafe {
        _set_app_type(kind);
        if _configure_wide_argv(ARGUMENTS) != 0 || _initialize_wide_environment() != 0 || __convoy_initialize() != 0 {
            exit(CANNOT_START);
        }
    }
}

#[cfg(entry = "main")]
mod entry {
    use super::*;

    unsafe extern "C" {
        fn main(count: c_int, arguments: *mut *mut c_char, environment: *mut *mut c_char) -> c_int;
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn mainCRTStartup() -> ! {
        unsafe {
            start(CONSOLE);
            exit(main(*__p___argc(), *__p___argv(), _get_initial_narrow_environment()))
        }
    }
}

#[cfg(entry = "wmain")]
mod entry {
    use super::*;

    unsafe extern "C" {
        fn wmain(count: c_int, arguments: *mut *mut u16, environment: *mut *mut u16) -> c_int;
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn wmainCRTStartup() -> ! {
        unsafe {
            start(CONSOLE);
            exit(wmain(*__p___argc(), *__p___wargv(), _get_initial_wide_environment()))
        }
    }
}

#[cfg(entry = "WinMain")]
mod entry {
    use super::*;

    unsafe extern "system" {
        fn WinMain(instance: *const c_void, before: *const c_void, line: *mut c_char, show: c_int) -> c_int;
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn WinMainCRTStartup() -> ! {
        unsafe {
            start(WINDOWS);
            let instance = (&raw const __ImageBase).cast();
            exit(WinMain(instance, core::ptr::null(), _get_narrow_winmain_command_line(), SHOW))
        }
    }
}

#[cfg(entry = "wWinMain")]
mod entry {
    use super::*;

    unsafe extern "system" {
        fn wWinMain(instance: *const c_void, before: *const c_void, line: *mut u16, show: c_int) -> c_int;
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn wWinMainCRTStartup() -> ! {
        unsafe {
            start(WINDOWS);
            let instance = (&raw const __ImageBase).cast();
            exit(wWinMain(instance, core::ptr::null(), _get_wide_winmain_command_line(), SHOW))
        }
    }
}
