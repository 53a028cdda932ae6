//! Functions of MinGW's headers that are not in Windows, and are in zig's own C library for MinGW. Compiled once for each, with
//! `--cfg function="..."`: a program may have its own of one of them.
#![no_std]

#[allow(unused_imports)]
use core::ffi::{c_char, c_int, c_void};

#[cfg(function = "strtok_r")]
mod function {
    use super::*;

    unsafe extern "C" {
        fn strtok_s(text: *mut c_char, separators: *const c_char, state: *mut *mut c_char) -> *mut c_char;
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn strtok_r(text: *mut c_char, separators: *const c_char, state: *mut *mut c_char) -> *mut c_char {
        unsafe { strtok_s(text, separators, state) }
    }
}

#[cfg(function = "mempcpy")]
mod function {
    use super::*;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn mempcpy(to: *mut u8, from: *const u8, size: usize) -> *mut c_void {
        unsafe {
            core::ptr::copy_nonoverlapping(from, to, size);
            to.add(size).cast()
        }
    }
}

#[cfg(function = "frexpf")]
mod function {
    use super::*;

    unsafe extern "C" {
        fn frexp(value: f64, exponent: *mut c_int) -> f64;
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn frexpf(value: f32, exponent: *mut c_int) -> f32 {
        unsafe { frexp(value.into(), exponent) as f32 }
    }
}

#[cfg(function = "hypotf")]
mod function {
    unsafe extern "C" {
        fn _hypotf(a: f32, b: f32) -> f32;
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn hypotf(a: f32, b: f32) -> f32 {
        unsafe { _hypotf(a, b) }
    }
}
