/* What reads and writes of each size answer and do where whole numbers or records are moved. */
#include "probe.h"
#include "table.h"

PROBE("eventfd/sizes", "write", "read", "semaphore", "timer", "signals", "vector_write", "vector_read")
{
	static struct row row;
	static char buffer[512];
	uint64_t two = 2, count;
	long fd = must(sys(eventfd2, 0, O_NONBLOCK));
	for (long size = 0; size <= 24; size++) {
		memset(buffer, 0, sizeof buffer);
		buffer[0] = 5;
		buffer[8] = 7;
		long r = sys(write, fd, buffer, size);
		count = 0;
		long n = sys(read, fd, &count, 8);
		cell(&row, size, r < 0 ? r : r * 100 + (n == 8 ? (long)count : 99));
	}
	observe_row(&row, "write", "write");
	for (long kind = 0; kind < 2; kind++) {
		fd = must(sys(eventfd2, 0, O_NONBLOCK | (kind ? 1 : 0)));
		for (long size = 0; size <= 24; size++) {
			must(sys(write, fd, &two, 8));
			memset(buffer, 0x55, sizeof buffer);
			long r = sys(read, fd, buffer, size);
			count = 0;
			sys(read, fd, &count, 8);
			cell(&row, size, r < 0 ? r : r * 10000 + (unsigned char)buffer[0] * 100 + (unsigned char)buffer[8] + (long)count * 1000);
			while (sys(read, fd, &count, 8) > 0)
				;
		}
		observe_row(&row, kind ? "semaphore" : "read", "read");
	}
	struct itimerspec soon = {.it_value = {0, 1}};
	fd = must(sys(timerfd_create, CLOCK_MONOTONIC, O_NONBLOCK));
	for (long size = 0; size <= 24; size++) {
		must(sys(timerfd_settime, fd, 0, &soon, NULL));
		struct pollfd p = {(int)fd, POLLIN, 0};
		must(sys(poll, &p, 1, -1));
		cell(&row, size, sys(read, fd, buffer, size));
	}
	observe_row(&row, "timer", "read");
	uint64_t set = SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2);
	mask_signals(SIG_BLOCK, set);
	fd = must(sys(signalfd4, -1, &set, 8, O_NONBLOCK));
	static const long sizes[] = {0, 1, 127, 128, 129, 255, 256, 257, 512};
	for (size_t i = 0; i < countof(sizes); i++) {
		must(sys(kill, sys(getpid), SIGUSR1));
		must(sys(kill, sys(getpid), SIGUSR2));
		cell(&row, sizes[i], sys(read, fd, buffer, sizes[i]));
		while (sys(read, fd, buffer, 512) > 0)
			;
	}
	observe_row(&row, "signals", "read");
	fd = must(sys(eventfd2, 0, O_NONBLOCK));
	for (long first = 0; first <= 16; first += 4) {
		memset(buffer, 0, sizeof buffer);
		buffer[0] = 3;
		struct iovec iov[2] = {{buffer, (size_t)first}, {buffer + first, (size_t)(16 - first)}};
		long r = sys(writev, fd, iov, 2);
		count = 0;
		sys(read, fd, &count, 8);
		cell(&row, first, r < 0 ? r : r * 100 + (long)count);
	}
	observe_row(&row, "vector_write", "writev");
	for (long first = 0; first <= 16; first += 4) {
		must(sys(write, fd, &two, 8));
		memset(buffer, 0x55, sizeof buffer);
		struct iovec iov[2] = {{buffer, (size_t)first}, {buffer + 100, (size_t)(16 - first)}};
		long r = sys(readv, fd, iov, 2);
		cell(&row, first, r < 0 ? r : r * 1000 + buffer[0] + buffer[100]);
		while (sys(read, fd, &count, 8) > 0)
			;
	}
	observe_row(&row, "vector_read", "readv");
}
