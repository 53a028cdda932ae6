//! The directory of thread-local data that the loader reads. Compilers ask for `_tls_index` where they use such data, and so
//! bring the rest in. Its form: <https://learn.microsoft.com/windows/win32/debug/pe-format#the-tls-section>.
#![no_std]

use core::ffi::c_void;

type Callback = Option<unsafe extern "system" fn(*const c_void, u32, *const c_void)>;

#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".tls")]
static mut _tls_start: u8 = 0;
#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".tls$ZZZ")]
static mut _tls_end: u8 = 0;
#[unsafe(no_mangle)]
static mut _tls_index: u32 = 0;

#[used]
#[unsafe(link_section = ".CRT$XLA")]
static FIRST: Callback = None;
#[used]
#[unsafe(link_section = ".CRT$XLZ")]
static LAST: Callback = None;

#[repr(C)]
pub struct Directory {
    start: *const u8,
    end: *const u8,
    index: *const u32,
    callbacks: *const Callback,
    zeros: u32,
    characteristics: u32,
}

// The loader alone reads it.
unsafe impl Sync for Directory {}

// Where the thread's block has the array of such data, for compilers that do not know it themselves.
#[cfg(target_arch = "x86")]
core::arch::global_asm!(".globl __tls_array", ".set __tls_array, 0x2c");

#[used]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rdata$T")]
static _tls_used: Directory = Directory {
    start: &raw const _tls_start,
    end: &raw const _tls_end,
    index: &raw const _tls_index,
    callbacks: unsafe { (&raw const FIRST).add(1) },
    zeros: 0,
    characteristics: 0,
};
