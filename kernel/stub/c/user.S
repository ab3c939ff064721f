/*
 * Access to application memory. A fault in [copy_start, copy_end) continues at copy_fixup (rcx = bytes left), one in
 * [word_start, word_end) at word_fixup (the result is -EFAULT). The functions push nothing.
 */
	.text
	.globl	copy_user, copy_start, copy_end, copy_fixup
copy_user:
	mov	%rdx, %rcx
copy_start:
	rep movsb
copy_end:
copy_fixup:
	mov	%rcx, %rax
	ret

	.globl	copy_string, string_start, string_end, string_fixup
copy_string:                              /* rdi dst, rsi src, rdx limit */
	xor	%eax, %eax
string_start:
1:	cmp	%rdx, %rax
	jae	string_fixup
	movzbl	(%rsi,%rax), %ecx
	mov	%cl, (%rdi,%rax)
	inc	%rax
	test	%cl, %cl
	jnz	1b
string_end:
string_fixup:
	ret

	.globl	word_start, word_end, word_fixup
	.globl	get_user32, put_user32, get_user64, put_user64, cmpxchg_user32, xsave_user
word_start:
get_user32:
	mov	(%rsi), %eax
	mov	%eax, (%rdi)
	xor	%eax, %eax
	ret
put_user32:
	mov	%esi, (%rdi)
	xor	%eax, %eax
	ret
get_user64:
	mov	(%rsi), %rax
	mov	%rax, (%rdi)
	xor	%eax, %eax
	ret
put_user64:
	mov	%rsi, (%rdi)
	xor	%eax, %eax
	ret
cmpxchg_user32:                           /* rdi word, esi old, edx new, rcx seen */
	mov	%esi, %eax
	lock cmpxchg %edx, (%rdi)
	mov	%eax, (%rcx)
	xor	%eax, %eax
	ret
	/* The named xsave code: stores the application's vector state in its signal frame. */
xsave_user:                               /* rdi area (64-byte aligned), esi:edx mask */
	mov	%esi, %eax
	xsave64	(%rdi)
	xor	%eax, %eax
	ret
word_end:
word_fixup:
	mov	$-14, %rax
	ret
	.section .note.GNU-stack, "", @progbits
