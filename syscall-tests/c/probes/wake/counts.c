/* Four wait for the same: how many an event lets go, and with what. The others are seen to sleep on by what a signal makes of them. */
#include "probe.h"
#include "wake_events.h"
#include <sys/file.h>

enum { SLEEPERS = 4 };
static long *results;

struct crowd {
	const char *id, *call;
	int go; /* how many the event is to let go */
	void (*prepare)(void);
	long (*sleep)(void);
	void (*finish)(void);
};
static const struct crowd *crowd;

static void none(int signal, siginfo_t *info, void *context) { (void)signal, (void)info, (void)context; }
static int sleeps(void *at)
{
	on_signal(SIGUSR1, none, 0, 0);
	quiet();
	*(long *)at = crowd->sleep();
	return 0;
}
static int ascending(const void *x, const void *y) { return (*(const long *)x > *(const long *)y) - (*(const long *)x < *(const long *)y); }

static void run(void)
{
	long pids[SLEEPERS];
	char text[200] = "";
	*board = (struct board){.go = 0};
	crowd->prepare();
	for (int i = 0; i < SLEEPERS; i++) {
		pids[i] = spawn(sleeps, &results[i]);
		await_sleep(pids[i], pids[i]);
	}
	crowd->finish();
	for (int gone = 0; gone < crowd->go; gone++) {
		int status;
		long pid = must(sys(wait4, -1, &status, 0, NULL));
		for (int i = 0; i < SLEEPERS; i++)
			if (pids[i] == pid)
				pids[i] = 0;
	}
	for (int i = 0; i < SLEEPERS; i++)
		if (pids[i]) {
			must(sys(kill, pids[i], SIGUSR1));
			reap(pids[i]);
		}
	qsort(results, SLEEPERS, sizeof *results, ascending);
	for (int i = 0; i < SLEEPERS; i++) {
		char one[24];
		snprintf(one, sizeof one, "%ld", results[i]);
		snprintf(text + strlen(text), sizeof text - strlen(text), " %s", err_of(results[i]) ? errno_name(err_of(results[i])) : one);
	}
	observe(crowd->id, crowd->call, ret_int(crowd->go), ARGS(), STATE(f_str("results", text)));
	must(sys(close_range, 3, 399, 0));
}

static void counter(uint64_t first, int flags) { fd = must(sys(eventfd2, first, flags)); }
static void shared_watch(uint32_t events)
{
	event(0);
	ep = must(sys(epoll_create1, 0));
	control(EPOLL_CTL_ADD, fd, events);
}
static void dial(int n)
{
	while (n--)
		must(connects());
}
static void many_listen(void)
{
	listens();
	must(sys(listen, listener, 9));
}
static void moves(void)
{
	must(sys(futex, &board->word, FUTEX_CMP_REQUEUE, 1, 2, (char *)&board->word + 4, 0));
	must(sys(futex, (char *)&board->word + 4, FUTEX_WAKE, 1));
}
static void say(int n)
{
	while (n--)
		must(sys(write, s[0], "abc", 3));
}
static long opens(int flags) { return made_fd(sys(openat, AT_FDCWD, "fifo", flags)); }
static void open_other(int flags) { must(sys(openat, AT_FDCWD, "fifo", flags | O_NONBLOCK)); }
static long page(void) { return sys(write, a[1], data, 4096); }
static void take_pages(int n) { must(sys(read, a[0], data, n * 4096)); }
static void accept_one(void) { must(sys(accept, listener, NULL, NULL)); }

#define LIST(X)                                                                                                       \
	X(pipe_data, "read", 1, make_pipe(a, 0), reads(a[0]), must(sys(write, a[1], "abc", 3)))                       \
	X(pipe_closed, "read", 4, make_pipe(a, 0), (leave(a[1]), reads(a[0])), leave(a[1]))                           \
	X(pipe_page, "write", 1, fill(a), page(), take_pages(1))                                                      \
	X(pipe_pages, "write", 3, fill(a), page(), take_pages(3))                                                     \
	X(pipe_reader_gone, "write", 4, fill(a), (leave(a[0]), page()), leave(a[0]))                                  \
	X(fifo_readers, "openat", 4, fifo(), opens(O_RDONLY), open_other(O_RDWR))                                     \
	X(fifo_writers, "openat", 4, fifo(), opens(O_WRONLY), open_other(O_RDONLY))                                   \
	X(stream_data, "read", 1, pair(SOCK_STREAM), reads(s[1]), say(1))                                            \
	X(stream_ended, "read", 4, pair(SOCK_STREAM), reads(s[1]), down(0, SHUT_WR))                                  \
	X(datagrams, "read", 2, pair(SOCK_DGRAM), reads(s[1]), say(2))                                               \
	X(datagrams_ended, "read", 4, pair(SOCK_DGRAM), reads(s[1]), down(1, SHUT_RD))                                \
	X(packets, "read", 3, pair(SOCK_SEQPACKET), reads(s[1]), say(3))                                             \
	X(packets_ended, "read", 4, pair(SOCK_SEQPACKET), (leave(s[0]), reads(s[1])), leave(s[0]))                    \
	X(stream_writers_ended, "write", 4, full(SOCK_STREAM), writes(s[0]), down(0, SHUT_WR))                        \
	X(accept_one, "accept", 1, many_listen(), made_fd(sys(accept, listener, NULL, NULL)), dial(1))                \
	X(accept_three, "accept", 3, many_listen(), made_fd(sys(accept, listener, NULL, NULL)), dial(3))              \
	X(accept_ended, "accept", 4, many_listen(), made_fd(sys(accept, listener, NULL, NULL)), must(sys(shutdown, listener, SHUT_RD))) \
	X(connect_one, "connect", 1, crowded(), connects(), accept_one())                                             \
	X(connect_more, "connect", 3, crowded(), connects(), must(sys(listen, listener, 3)))                          \
	X(connect_refused, "connect", 4, crowded(), (leave(listener), connects()), leave(listener))                   \
	X(counter, "read", 1, counter(0, 0), reads(fd), add(5))                                                       \
	X(semaphore, "read", 3, counter(0, 1), reads(fd), add(3))                                                     \
	X(counter_writers, "write", 4, event(0xfffffffffffffffe), sys(write, fd, (&(uint64_t){7}), 8), take())        \
	X(timer, "read", 1, timer(0), reads(fd), arm(1))                                                              \
	X(pollers, "poll", 4, event(0), polls(fd, POLLIN), add(1))                                                    \
	X(epoll_level, "epoll_wait", 4, shared_watch(EPOLLIN), collects(), add(1))                                    \
	X(epoll_edge, "epoll_wait", 1, shared_watch(EPOLLIN | EPOLLET), collects(), add(1))                           \
	X(epoll_once, "epoll_wait", 1, shared_watch(EPOLLIN | EPOLLONESHOT), collects(), add(1))                      \
	X(futex_one, "futex", 1, both(), awaits(FUTEX_WAIT, 0), must(sys(futex, &board->word, FUTEX_WAKE, 1)))        \
	X(futex_three, "futex", 3, both(), awaits(FUTEX_WAIT, 0), must(sys(futex, &board->word, FUTEX_WAKE, 3)))      \
	X(futex_all, "futex", 4, both(), awaits(FUTEX_WAIT, 0), must(sys(futex, &board->word, FUTEX_WAKE, INT_MAX)))  \
	X(futex_zero, "futex", 1, both(), awaits(FUTEX_WAIT, 0), must(sys(futex, &board->word, FUTEX_WAKE, 0)))       \
	X(futex_moved, "futex", 2, both(), awaits(FUTEX_WAIT, 0), moves())                                            \
	X(flock, "flock", 4, mine(LOCK_EX, F_WRLCK), wants(LOCK_EX), must(sys(flock, fd, LOCK_UN)))                   \
	X(flock_shared, "flock", 4, mine(LOCK_EX, F_WRLCK), wants(LOCK_SH), must(sys(flock, fd, LOCK_SH)))            \
	X(record, "fcntl", 4, mine(LOCK_EX, F_WRLCK), asks(F_SETLKW, F_WRLCK, 0, 0), must(own_lock(F_SETLK, F_UNLCK, 0, 0))) \
	X(record_shared, "fcntl", 4, mine(LOCK_EX, F_WRLCK), asks(F_SETLKW, F_RDLCK, 0, 0), must(own_lock(F_SETLK, F_RDLCK, 0, 0)))

#define CROWD_FUNCTIONS(id, call, go, prepare, act, finish) WAKE_FUNCTIONS(id, call, prepare, act, finish)
#define CROWD_ROW(id, call, go, prepare, act, finish) {#id, call, go, prepare_##id, sleep_##id, finish_##id},

LIST(CROWD_FUNCTIONS) static const struct crowd crowds[] = {LIST(CROWD_ROW)};

PROBE("wake/counts", LIST(WAKE_ID))
{
	board = pages(1, true);
	results = pages(1, true);
	for (size_t i = 0; i < countof(crowds); i++) {
		crowd = &crowds[i];
		run();
	}
}
