//! Stack probes. Functions with more than a page of locals call these before they move the stack pointer, so that Windows
//! can commit each page in turn. Their calling convention: <https://learn.microsoft.com/windows/win32/devnotes/-win32-chkstk>.
#![no_std]

// rax: the bytes. All registers are kept.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl __chkstk",
    ".globl ___chkstk_ms",
    "__chkstk:",
    "___chkstk_ms:",
    "push r10",
    "push r11",
    "mov r11, rax",
    "lea r10, [rsp + 24]",
    "2:",
    "cmp r11, 0x1000",
    "jb 3f",
    "sub r10, 0x1000",
    "test [r10], r10",
    "sub r11, 0x1000",
    "jmp 2b",
    "3:",
    "sub r10, r11",
    "test [r10], r10",
    "pop r11",
    "pop r10",
    "ret",
);

// x15: the bytes, divided by 16. x16 and x17 are free.
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl __chkstk",
    "__chkstk:",
    "lsl x16, x15, #4",
    "mov x17, sp",
    "2:",
    "subs x16, x16, #0x1000",
    "b.lo 3f",
    "sub x17, x17, #0x1000",
    "ldr xzr, [x17]",
    "b 2b",
    "3:",
    "add x16, x16, #0x1000",
    "sub x17, x17, x16",
    "ldr xzr, [x17]",
    "ret",
);

// eax: the bytes. Here the probe moves the stack pointer itself, below its own return address.
#[cfg(target_arch = "x86")]
core::arch::global_asm!(
    ".globl __chkstk",
    ".globl __alloca_probe",
    ".globl __alloca",
    ".globl ___chkstk_ms",
    "__chkstk:",
    "__alloca_probe:",
    "__alloca:",
    "push ecx",
    "lea ecx, [esp + 8]",
    "2:",
    "cmp eax, 0x1000",
    "jb 3f",
    "sub ecx, 0x1000",
    "test [ecx], ecx",
    "sub eax, 0x1000",
    "jmp 2b",
    "3:",
    "sub ecx, eax",
    "test [ecx], ecx",
    "mov eax, esp",
    "mov esp, ecx",
    "mov ecx, [eax]",
    "mov eax, [eax + 4]",
    "push eax",
    "ret",
    // The one that MinGW's compilers call only touches the pages.
    "___chkstk_ms:",
    "push ecx",
    "push eax",
    "lea ecx, [esp + 12]",
    "4:",
    "cmp eax, 0x1000",
    "jb 5f",
    "sub ecx, 0x1000",
    "test [ecx], ecx",
    "sub eax, 0x1000",
    "jmp 4b",
    "5:",
    "sub ecx, eax",
    "test [ecx], ecx",
    "pop eax",
    "pop ecx",
    "ret",
);
