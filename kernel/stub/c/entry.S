/*
 * Entry from patched call sites, and the program's own start.
 *
 * A trampoline arrives at stub_entry with every register as at the system call but r11 = address of the site's descriptor
 * { s32 return_delta, resume_delta } (both relative to the descriptor); `syscall` destroys rcx and r11 anyway. No flag is changed
 * before it is saved, and nothing is written to the application's stack.
 */
#include "layout.h"
	.text
	.globl	stub_entry, stub_entry_bad_gs, stub_entry_saved
	.balign 64
stub_entry:
	mov	%gs:TCB_SELF_MAGIC, %rcx          /* faults if the application changed GS: handled as a trap */
	lea	-TCB_MAGIC(%rcx), %rcx
	jrcxz	1f
stub_entry_bad_gs:
	ud2                                       /* likewise */
1:	mov	%rsp, %gs:TCB_USER_RSP
	mov	%gs:TCB_SYSSTACK, %rsp
	pushfq
stub_entry_saved:
	movslq	(%r11), %rcx
	add	%r11, %rcx
	push	%rcx                              /* ip */
	push	%gs:TCB_USER_RSP                  /* sp */
	push	%rcx                              /* cx: what syscall leaves there */
	push	%rax
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	movslq	4(%r11), %rcx
	add	%r11, %rcx
	mov	%rcx, %gs:TCB_RESUME
	push	104(%rsp)                         /* r11: what syscall leaves there, the flags */
	push	%r10
	push	%r9
	push	%r8
	cld
	mov	%rsp, %rdi
	call	syscall_patched
	/* [exit_check, exit_end): an interruption in here starts the range again with rsp at the saved registers. */
	.globl	exit_check, exit_end
exit_check:
	cmpl	$0, %gs:TCB_KICKED
	jne	exit_slow
	mov	0(%rsp), %r8
	mov	8(%rsp), %r9
	mov	16(%rsp), %r10
	mov	64(%rsp), %rdi
	mov	72(%rsp), %rsi
	mov	96(%rsp), %rdx
	mov	104(%rsp), %rax
	mov	112(%rsp), %rcx
	mov	24(%rsp), %r11
	lea	136(%rsp), %rsp
	popfq
	mov	%gs:TCB_USER_RSP, %rsp
	jmp	*%gs:TCB_RESUME
exit_end:
	ud2
exit_slow:
	mov	%rsp, %rdi
	call	syscall_slow_exit
	jmp	exit_check

	/* void switch_stack(arg, sp, fn): fn(arg) on another stack, never returns. */
	.globl	switch_stack
switch_stack:
	mov	%rsi, %rsp
	xor	%ebp, %ebp
	call	*%rdx
	ud2

	/* void set_gs(u64), u64 get_fs(void), void set_fs(u64) */
	.globl	set_gs, set_fs, get_fs
set_gs:
	wrgsbase %rdi
	ret
set_fs:
	wrfsbase %rdi
	ret
get_fs:
	rdfsbase %rax
	ret

	.globl	_start
_start:
	mov	%rsp, %rdi
	xor	%ebp, %ebp
	and	$-16, %rsp
	call	stub_main
	ud2
	.section .note.GNU-stack, "", @progbits
