//! What objects that Microsoft's compiler made with `/GS` ask for: a value on the stack that must be unchanged when a
//! function returns. It is not made anew for each run: such objects are rare here, and only have to link and to run.
#![no_std]

#[cfg(target_pointer_width = "64")]
#[unsafe(no_mangle)]
static mut __security_cookie: usize = 0x0000_2B99_2DDF_A232;
#[cfg(target_pointer_width = "32")]
#[unsafe(no_mangle)]
static mut __security_cookie: usize = 0xBB40_E64E;

#[unsafe(no_mangle)]
extern "C" fn __security_init_cookie() {}

// The value to compare is in rcx, and a caller's result in rax or xmm0. 2 is the code of a fast failure for a stack that
// was overrun: <https://learn.microsoft.com/cpp/intrinsics/fastfail>.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl __security_check_cookie",
    "__security_check_cookie:",
    "cmp rcx, [rip + __security_cookie]",
    "jne 2f",
    "ret",
    "2:",
    "mov ecx, 2",
    "int 0x29",
    // Handlers of frames with such a value: what they would check besides is not checked.
    ".globl __GSHandlerCheck",
    "__GSHandlerCheck:",
    "mov eax, 1",
    "ret",
    ".globl __GSHandlerCheck_SEH",
    "__GSHandlerCheck_SEH:",
    "jmp __C_specific_handler",
    ".globl __GSHandlerCheck_EH",
    "__GSHandlerCheck_EH:",
    "jmp __CxxFrameHandler3",
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl __security_check_cookie",
    "__security_check_cookie:",
    "adrp x16, __security_cookie",
    "ldr x16, [x16, :lo12:__security_cookie]",
    "cmp x0, x16",
    "b.ne 2f",
    "ret",
    "2:",
    "mov w0, #2",
    "brk #0xF003",
    ".globl __GSHandlerCheck",
    "__GSHandlerCheck:",
    "mov w0, #1",
    "ret",
    ".globl __GSHandlerCheck_SEH",
    "__GSHandlerCheck_SEH:",
    "b __C_specific_handler",
    ".globl __GSHandlerCheck_EH",
    "__GSHandlerCheck_EH:",
    "b __CxxFrameHandler3",
);

#[cfg(target_arch = "x86")]
core::arch::global_asm!(
    ".globl @__security_check_cookie@4",
    "\"@__security_check_cookie@4\":",
    "cmp ecx, [___security_cookie]",
    "jne 2f",
    "ret",
    "2:",
    "mov ecx, 2",
    "int 0x29",
);
