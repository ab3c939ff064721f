/*
 * The gate page: the only place from which host calls are not trapped, and every `syscall` instruction of the stub.
 * Two ranges in it can be restarted, so that an interruption is never lost:
 *   [gate_futex_check, gate_futex_syscall]   an interruption before the host futex call makes it return -512;
 *   [sig_exit_check, sig_exit_end)           an interruption before rt_sigreturn is seen by the check again.
 */
#include "layout.h"
	.section .gate, "ax", @progbits
	.globl	gate
gate:
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	%r8, %r10
	mov	%r9, %r8
	mov	8(%rsp), %r9
	syscall
	ret

	.globl	gate_futex, gate_futex_check, gate_futex_syscall, gate_futex_abort
gate_futex:
	mov	%rcx, %r10
	mov	%rsp, %rax
	and	$-REGION_SIZE, %rax
gate_futex_check:
	cmpl	$0, TCB_KICKED(%rax)
	jne	gate_futex_abort
	mov	$202, %eax
gate_futex_syscall:
	syscall
	ret
gate_futex_abort:
	mov	$-512, %rax
	ret

	/* A child with a stack of its own finds there the argument and the function that it starts in. */
	.globl	gate_clone
gate_clone:
	mov	%rcx, %r10
	mov	$56, %eax
	syscall
	test	%rax, %rax
	jnz	1f
	test	%rsi, %rsi
	jz	1f
	pop	%rdi
	pop	%rax
	xor	%ebp, %ebp
	jmp	*%rax
1:	ret

	.globl	gate_sigreturn
gate_sigreturn:
	mov	%rdi, %rsp
	/* falls through */
	.globl	restorer, sig_exit_check, sig_exit_end
restorer:
sig_exit_check:
	mov	%rsp, %rax
	and	$-REGION_SIZE, %rax
	cmpl	$0, TCB_KICKED(%rax)
	jne	2f
3:	mov	$15, %eax
	syscall
sig_exit_end:
	ud2
2:	mov	%rsp, %rdi
	call	sig_slow_exit
	test	%eax, %eax
	jnz	3b
	jmp	sig_exit_check
	.section .note.GNU-stack, "", @progbits
