//! What objects compiled for control-flow guard ask for: pointers that Windows fills in where it checks indirect calls, and
//! which lead nowhere else where it does not.
#![no_std]

#[cfg(not(target_arch = "x86_64"))]
extern "C" fn check() {}

#[cfg(not(target_arch = "x86_64"))]
#[unsafe(no_mangle)]
static mut __guard_check_icall_fptr: extern "C" fn() = check;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".section .00cfg, \"dr\"",
    ".p2align 3",
    ".globl __guard_check_icall_fptr",
    "__guard_check_icall_fptr: .quad __convoy_guard_check",
    ".globl __guard_dispatch_icall_fptr",
    "__guard_dispatch_icall_fptr: .quad __convoy_guard_dispatch",
    ".text",
    "__convoy_guard_check: ret",
    "__convoy_guard_dispatch: jmp rax",
);
