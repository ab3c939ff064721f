# Two timed loops between marks (call 1001): local calls, then handed-off ones.
	.globl _start
_start:
	mov $1000,%ebp           # warm up both sites until they are patched
1:	mov $39,%eax
	syscall
	mov $1000,%eax
	syscall
	dec %ebp
	jnz 1b
	mov $1001,%eax
	syscall
	mov $1000000,%ebp
2:	mov $39,%eax
	syscall
	dec %ebp
	jnz 2b
	mov $1001,%eax
	syscall
	mov $1000,%ebp
3:	mov $1000,%eax
	syscall
	dec %ebp
	jnz 3b
	mov $1001,%eax
	syscall
	mov $200000,%ebp
4:	mov $1000,%eax
	syscall
	dec %ebp
	jnz 4b
	mov $1001,%eax
	syscall
	mov $2000,%ebp           # forks
5:	mov $57,%eax
	syscall
	test %eax,%eax
	jz 6f
	mov %eax,%edi
	mov $61,%eax
	syscall
	dec %ebp
	jnz 5b
	mov $1001,%eax
	syscall
	mov $231,%eax
	xor %edi,%edi
	syscall
6:	mov $60,%eax
	xor %edi,%edi
	syscall
