//! What C code asks for that clang compiled with `-fstack-protector`, as zig does where nothing is optimised: a value on the
//! stack that must be unchanged when a function returns. It is not made anew for each run, as in `cookie.rs`.
#![no_std]

#[cfg(target_pointer_width = "64")]
#[unsafe(no_mangle)]
static mut __stack_chk_guard: usize = 0x0000_2B99_2DDF_A232;
#[cfg(target_pointer_width = "32")]
#[unsafe(no_mangle)]
static mut __stack_chk_guard: usize = 0xBB40_E64E;

// 2 is the code of a fast failure for a stack that was overrun: <https://learn.microsoft.com/cpp/intrinsics/fastfail>.
#[unsafe(no_mangle)]
extern "C" fn __stack_chk_fail() -> ! {
    unsafe {
        #[cfg(not(target_arch = "aarch64"))]
        core::arch::asm!("int 0x29", in("ecx") 2, options(noreturn, nostack));
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("brk #0xF003", in("w0") 2, options(noreturn, nostack));
    }
}
