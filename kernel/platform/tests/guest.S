# A guest without libc: computes with system calls and reports through write(1) and exit_group.
	.globl _start
_start:
	mov $39,%eax            # getpid
	syscall
	mov %rax,%r12
	mov $1,%eax             # write
	mov $1,%edi
	lea msg(%rip),%rsi
	mov $6,%edx
	syscall
	# fork; the child writes and exits with 5
	mov $57,%eax
	syscall
	test %eax,%eax
	jnz 1f
	mov $1,%eax
	mov $1,%edi
	lea cmsg(%rip),%rsi
	mov $6,%edx
	syscall
	mov $60,%eax
	mov $5,%edi
	syscall
1:	mov %rax,%r13
	# wait for it: call 61, answered by the test with the child's status
	mov $61,%eax
	mov %r13,%rdi
	xor %esi,%esi
	xor %edx,%edx
	xor %r10d,%r10d
	syscall
	# anonymous memory from the host
	mov $9,%eax
	xor %edi,%edi
	mov $8192,%esi
	mov $3,%edx
	mov $0x22,%r10d
	mov $-1,%r8
	xor %r9d,%r9d
	syscall
	movl $7,(%rax)
	addl %r12d,(%rax)
	mov (%rax),%edi
	# many handed-off calls
	mov %edi,%r14d
	mov $20000,%ebx
2:	mov %ebx,%edi
	mov $1000,%eax
	syscall
	cmp %ebx,%eax
	jne bad
	dec %ebx
	jnz 2b
	mov %r14d,%edi
	mov $231,%eax
	syscall
bad:	mov $231,%eax
	mov $99,%edi
	syscall
msg:	.ascii "hello\n"
cmsg:	.ascii "child\n"
